/* pgmigrate-encoding: utf-8 */
-- The key pool: which key paints next in one round trip, rests by key, by account group and by route, probes, proxies,
-- funds, and why each key was taken or passed over. Only adds: images that do not know these columns leave them alone.

comment on table provider_key is 'a provider''s secret, sealed, and what is known of how it does';

alter table provider_key
add column rpm integer check (rpm between 1 and 100000),
add column returns_by_probe boolean not null default true,
add column by_hand boolean not null default false,
add column probe_at timestamptz,
add column probing_until timestamptz;

comment on column provider_key.rpm is 'requests a minute at the most; null: as many as there are slots';
comment on column provider_key.returns_by_probe is 'whether a good probe brings it back from out_of_funds, manual_review and disabled';
comment on column provider_key.by_hand is 'an admin took it out: no probe brings it back';
comment on column provider_key.probe_at is 'when the locksmith looks at it next; null: not at all';
comment on column provider_key.probing_until is 'a lease: somebody looks at it now, until then at the most';
comment on column provider_key.state is 'cooldown: on trial since rests_until, with one picture at a time until one is delivered';

alter table proxy
add column shown text not null default '',
add column why text not null default '',
add column exit_address text not null default '',
add column latency_ms integer,
add column tested_at timestamptz,
add column probing_until timestamptz,
add column retired_at timestamptz;

comment on column proxy.shown is 'its address without user and password';
comment on column proxy.retired_at is 'removed; the row stays for the attempts that went through it';

alter table key_rest
add column day_hits smallint not null default 0;

comment on column key_rest.day_hits is 'how often in a row a quota of the day was named';

-- Where a provider counts by project, all keys of the account group are tired together.
create table group_rest (
    provider_id bigint not null references provider (id),
    account_group text not null,
    model_id text not null references model (id),
    until timestamptz not null,
    cause text not null,
    day_hits smallint not null default 0,
    primary key (provider_id, account_group, model_id)
);

-- A key that is refused where its proxy comes out may go another way. 0: without a proxy.
create table route_rest (
    key_id bigint not null references provider_key (id) on delete cascade,
    proxy_id bigint not null,
    until timestamptz not null,
    cause text not null,
    primary key (key_id, proxy_id)
);

-- How many attempts a key with a limit a minute began in each second of the last minute. Unlogged: a crash forgets a minute.
create unlogged table key_second (
    key_id bigint not null,
    at timestamptz not null,
    n integer not null,
    primary key (key_id, at)
);

alter table attempt
add column considered jsonb,
add column possible_micros bigint not null default 0;

comment on column attempt.considered is 'at the decision: {"chosen": [key, idle seconds, weight, kind of trial], "of": n, "passed": [[key, why, until]]}';
comment on column attempt.possible_micros is 'what it may have cost beyond cost_micros: nobody knows whether it was billed';

-- The last time that no key was free for a job.
create table decision (
    job_id uuid primary key references job (id),
    decided_at timestamptz not null,
    times integer not null default 1,
    considered jsonb not null
);

-- Rests are changes, too; those of one model name it.
alter table key_event add column model_id text;

create function key_rest_changed() returns trigger language plpgsql as $body$
begin
    if tg_op = 'DELETE' then
        insert into key_event (key_id, model_id, state_before, state_after, cause)
        select old.key_id, old.model_id, 'rests', 'active', 'its rest is over'
        from provider_key where id = old.key_id;
    elsif tg_op = 'INSERT' then
        insert into key_event (key_id, model_id, state_before, state_after, cause)
        values (new.key_id, new.model_id, 'active', 'rests', new.cause);
    elsif old.until <= now() then
        insert into key_event (key_id, model_id, state_before, state_after, cause)
        values (new.key_id, new.model_id, 'trial', 'rests', new.cause);
    end if;
    return null;
end
$body$;

create trigger key_rest_changed after insert or update of until or delete on key_rest
for each row execute function key_rest_changed();

create table proxy_event (
    id bigint generated always as identity primary key,
    proxy_id bigint not null references proxy (id) on delete cascade,
    state_before text not null,
    state_after text not null,
    cause text not null,
    created_at timestamptz not null default now()
);

create index proxy_event_of_proxy on proxy_event (proxy_id, id);

create function proxy_state_changed() returns trigger language plpgsql as $body$
begin
    insert into proxy_event (proxy_id, state_before, state_after, cause)
    values (new.id, old.state, new.state, new.why);
    return null;
end
$body$;

create trigger proxy_state_changed after update of state on proxy
for each row when (old.state is distinct from new.state) execute function proxy_state_changed();

-- What is left on an account over there: told by its provider, or what an operator put in less what we have booked since.
create table fund (
    id bigint generated always as identity primary key,
    provider_id bigint not null references provider (id),
    name text not null,
    micros bigint not null,
    counted_to timestamptz not null default now(),
    source text not null check (source in ('told', 'entered')),
    alert_below_micros bigint,
    unique (provider_id, name)
);

comment on column fund.name is 'the account group of its keys, or "key 7" for a key that has none';
comment on column fund.micros is 'millionths of a US dollar at counted_to; what attempts cost since then comes off';

create table top_up (
    id bigint generated always as identity primary key,
    fund_id bigint not null references fund (id),
    micros bigint not null check (micros <> 0),
    note text not null default '',
    actor text not null,
    created_at timestamptz not null default now()
);

-- By which way a key may go at a moment: its proxy, else the backup, else straight where the operator allows it after a
-- failure of transport. Otherwise why not, and until when. A proxy or a route that has rested takes one attempt at first.
create function key_route(p_key bigint, p_proxy bigint, p_may_go_direct boolean, p_at timestamptz)
returns table (via bigint, shut text, until timestamptz) language sql stable as $body$
with way as (
    select w.place, w.proxy_id, x.state, r.until as blocked_until,
        case
            when x.state = 'disabled' or x.retired_at is not null then 'proxy_disabled'
            when x.state = 'cooldown' and x.rests_until > p_at then 'proxy_rests'
            when x.state = 'cooldown' and (x.probing_until > p_at or exists (
                select from attempt as a
                where a.proxy_id = x.id and a.finished_at is null and a.expires_at > p_at and a.started_at >= x.rests_until
            )) then 'proxy_on_trial'
            when r.until > p_at then 'region_blocked'
            when r.until is not null and exists (
                select from attempt as a
                where a.key_id = p_key and coalesce(a.proxy_id, 0) = w.proxy_id and a.finished_at is null
                    and a.expires_at > p_at and a.started_at >= r.until
            ) then 'region_on_trial'
        end as shut,
        greatest(case when x.state = 'cooldown' then x.rests_until end, r.until) as until
    from (
        select 1 as place, coalesce(p_proxy, 0) as proxy_id
        union all
        select 2, b.backup_id from proxy as b where b.id = p_proxy and b.backup_id is not null
        union all
        select 3, 0 where p_proxy is not null and p_may_go_direct and not exists (
            select from proxy as own left join proxy as b on b.id = own.backup_id
            where own.id = p_proxy and (own.state <> 'cooldown' or b.state = 'active')
        )
    ) as w
    left join proxy as x on x.id = w.proxy_id
    left join route_rest as r on r.key_id = p_key and r.proxy_id = w.proxy_id
)
(select nullif(w.proxy_id, 0), null::text, null::timestamptz from way as w where w.shut is null order by w.place limit 1)
union all
(
    select null, w.shut, w.until from way as w where not exists (select from way as free where free.shut is null)
    order by w.shut = 'proxy_disabled', w.until limit 1
)
$body$;

-- What stands between each key of a provider and a picture. No verdict: it is free. The order is that of choice.
-- "trial" says that the attempt would be the one that shows whether a rest is over.
create function key_verdicts(p_provider bigint, p_model text, p_tried bigint [], p_first bigint, p_at timestamptz)
returns table (
    key_id bigint, verdict text, until timestamptz, via bigint, trial text, idle double precision, place bigint,
    comes_back boolean
) language sql stable as $body$
select k.id,
    case
        when k.id = any(p_tried) then 'tried'
        when k.state not in ('active', 'cooldown') then k.state
        when k.state = 'cooldown' and k.rests_until > p_at then 'rests'
        when r.until > p_at then 'rests_for_model'
        when g.until > p_at then 'group_rests'
        when w.shut is not null then w.shut
        when k.state = 'cooldown' and o.since_rest > 0 then 'on_trial'
        when r.until is not null and o.since_model_rest > 0 then 'on_trial_for_model'
        when g.until is not null and exists (
            select from attempt as a join provider_key as s on s.id = a.key_id
            where s.provider_id = k.provider_id and s.account_group = k.account_group and a.model_id = p_model
                and a.finished_at is null and a.expires_at > p_at and a.started_at >= g.until
        ) then 'group_on_trial'
        when o.n >= k.concurrency then 'no_slot'
        when m.n >= k.rpm then 'rpm'
    end,
    greatest(case when k.state = 'cooldown' then k.rests_until end, r.until, g.until, w.until,
        case when m.n >= k.rpm then m.eldest + interval '61 seconds' end),
    w.via,
    case
        when k.state = 'cooldown' then 'key' when r.until is not null then 'model' when g.until is not null then 'group'
    end,
    extract(epoch from p_at - k.last_used_at)::double precision,
    row_number() over (
        order by (k.id = p_first) is true desc,
            coalesce(extract(epoch from p_at - k.last_used_at), 1e12) * k.weight desc, k.id
    ),
    k.state in ('active', 'cooldown') and w.shut is distinct from 'proxy_disabled'
from provider_key as k
left join key_rest as r on r.key_id = k.id and r.model_id = p_model
left join group_rest as g
    on k.account_group <> '' and g.provider_id = k.provider_id and g.account_group = k.account_group and g.model_id = p_model
cross join lateral key_route(k.id, k.proxy_id, k.may_go_direct, p_at) as w
cross join lateral (
    select count(*) as n, count(*) filter (where a.started_at >= coalesce(k.rests_until, '-infinity')) as since_rest,
        count(*) filter (where a.model_id = p_model and a.started_at >= r.until) as since_model_rest
    from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > p_at
) as o
cross join lateral (
    select sum(s.n) as n, min(s.at) as eldest from key_second as s
    where k.rpm is not null and s.key_id = k.id and s.at > p_at - interval '61 seconds'
) as m
where k.provider_id = p_provider
$body$;

-- The key to try next, with its attempt written down before the call: one way there and back. One leaser at a time per
-- provider, so that slots, trials and minutes, counted from rows, hold among all workers; the statements after the lock
-- have fresh snapshots. Without a free key: in how many seconds the first could be back (null: none by itself), and whether
-- one that was not tried is merely busy.
create function key_lease(
    p_provider bigint, p_model text, p_job uuid, p_tried bigint [], p_first bigint, p_until timestamptz
) returns table (
    attempt_id bigint, number smallint, key_id bigint, label text, kind text, base_url text, switch text, sealed_secret text,
    proxy_id bigint, sealed_proxy text, failures integer, settings jsonb, is_local boolean, back double precision,
    is_busy boolean
) language plpgsql
set plan_cache_mode = force_generic_plan -- to plan it takes longer than to run it
as $body$
#variable_conflict use_column
declare
    v_at timestamptz;
    v_considered jsonb;
    v_key bigint;
    v_via bigint;
    v_back double precision;
    v_busy boolean;
    v_id bigint;
    v_number smallint;
begin
    perform pg_advisory_xact_lock(hashtextextended('keys of provider ' || p_provider, 0));
    v_at := clock_timestamp();

    with v as materialized (
        select * from key_verdicts(p_provider, p_model, p_tried, p_first, v_at)
        where exists (select from provider where id = p_provider and active)
    ),
    chosen as (select * from v where verdict is null order by place limit 1)
    select c.key_id, c.via,
        (select min(greatest(extract(epoch from v.until - v_at), 0)) from v where v.comes_back)::double precision,
        (select coalesce(bool_or(
            v.verdict in ('no_slot', 'rpm') or v.verdict like '%on_trial%'), false) from v),
        jsonb_build_object(
            'chosen', case when c.key_id is not null then jsonb_build_array(
                c.key_id, round(c.idle), (select k.weight from provider_key as k where k.id = c.key_id), c.trial) end,
            'of', (select count(*) from v),
            'passed', (
                select coalesce(jsonb_agg(jsonb_build_array(p.key_id, coalesce(p.verdict, 'later'), p.until_epoch) order by p.place), '[]')
                from (
                    select v.key_id, v.verdict, v.place,
                        case when v.until > v_at and v.verdict is not null then round(extract(epoch from v.until)) end as until_epoch
                    from v where v.key_id is distinct from c.key_id order by v.place limit 50
                ) as p
            )
        )
    into v_key, v_via, v_back, v_busy, v_considered
    from (select) as one left join chosen as c on true;

    if v_key is null then
        insert into decision as d (job_id, decided_at, considered) values (p_job, v_at, v_considered)
        on conflict (job_id) do update
            set decided_at = excluded.decided_at, times = d.times + 1, considered = excluded.considered
            where d.decided_at < v_at - interval '1 second';
        return query select null::bigint, null::smallint, null::bigint, null::text, null::text, null::text, null::text,
            null::text, null::bigint, null::text, null::integer, null::jsonb, null::boolean, v_back, v_busy;
        return;
    end if;

    v_at := clock_timestamp(); -- later than the end of whatever made room
    insert into attempt (job_id, number, key_id, proxy_id, model_id, started_at, expires_at, considered)
    select p_job, coalesce(max(a.number), 0) + 1, v_key, v_via, p_model, v_at, p_until, v_considered
    from attempt as a where a.job_id = p_job
    returning attempt.id, attempt.number into v_id, v_number;

    update provider_key as k set last_used_at = v_at where k.id = v_key;
    if exists (select from provider_key as k where k.id = v_key and k.rpm is not null) then
        delete from key_second as s where s.key_id = v_key and s.at < v_at - interval '2 minutes';
        insert into key_second as s (key_id, at, n) values (v_key, date_trunc('second', v_at), 1)
        on conflict (key_id, at) do update set n = s.n + 1;
    end if;

    return query
    select v_id, v_number, k.id, k.label, p.kind, p.base_url, k.switch, k.sealed_secret, v_via, x.sealed_url, k.failures,
        p.settings, p.is_local, null::double precision, false
    from provider_key as k join provider as p on p.id = k.provider_id left join proxy as x on x.id = v_via
    where k.id = v_key;
end
$body$;

-- What was earned and what was paid, line by line: a delivered picture earns its credits at its plan's price, an attempt
-- costs what was booked for it.
create view margin_line as
select j.finished_at, (j.finished_at at time zone 'utc')::date as day, s.plan_id, g.model_id, a.key_id, j.account_id,
    1 as delivered, 0 as attempts, j.credits::bigint as credits,
    (j.credits * s.price_cents * 10000.0 / s.credits_per_cycle)::bigint as earned_micros,
    0::bigint as cost_micros, 0::bigint as possible_micros
from job as j
join generation as g on g.id = j.generation_id
left join lateral (
    select t.key_id from attempt as t where t.job_id = j.id and t.fault is null and t.finished_at is not null
    order by t.number desc limit 1
) as a on true
left join lateral (
    select p.id as plan_id, p.price_cents, p.credits_per_cycle
    from subscription as u join plan as p on p.id = u.plan_id
    where u.account_id = j.account_id and u.created_at <= j.created_at order by u.created_at desc limit 1
) as s on true
where j.state = 'delivered'
union all
select t.finished_at, (t.finished_at at time zone 'utc')::date, s.plan_id, t.model_id, t.key_id, j.account_id,
    0, 1, 0, 0, t.cost_micros, t.possible_micros
from attempt as t
join job as j on j.id = t.job_id
left join lateral (
    select u.plan_id from subscription as u
    where u.account_id = j.account_id and u.created_at <= j.created_at order by u.created_at desc limit 1
) as s on true
where t.finished_at is not null;
