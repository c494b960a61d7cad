/* pgmigrate-encoding: utf-8 */
-- Under load the same few statements were started anew for each picture. These do for all that come together, at once, what
-- job_start, key_lease and pictures_deliver did one by one. Only adds: images that do not know them go on with those.

-- job_start for many. Returns the messages of those that were started; the other jobs had ended, or their message is somebody
-- else's, or (unless p_waits) somebody else is at their generation. Who locks several generations does so in the order of
-- their ids, and before their messages: who has those already must not wait.
create function jobs_start(p_jobs uuid [], p_messages bigint [], p_owners uuid [], p_attempts smallint [], p_waits boolean)
returns setof bigint
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off -- plans that are made while the tables are new and small must do for full ones
set enable_hashjoin = off
set enable_mergejoin = off as $body$
declare
    mine uuid[];
    theirs bigint[];
    whole uuid[];
begin
    select array_agg(j.id), array_agg(t.message_id), array_agg(distinct j.generation_id) into mine, theirs, whole
    from unnest(p_jobs, p_messages, p_owners, p_attempts) as t (job_id, message_id, owner, attempt)
    cross join lateral (select * from job where id = t.job_id offset 0) as j
    cross join lateral (select * from message where id = t.message_id offset 0) as m
    where j.state in ('queued', 'running') and m.owner = t.owner and m.attempts = t.attempt;
    if mine is null then
        return;
    end if;
    if p_waits then
        perform from generation where id = any(whole) and state = 'queued' order by id for no key update;
    else
        whole := array(select id from generation where id = any(whole) for no key update skip locked);
    end if;
    update generation set state = 'running', changed_at = now() where id = any(whole) and state = 'queued';
    -- Said so that no partial index seems to answer it: those hold what is unfinished of all, which may be much.
    with begun as (
        update job set state = 'running', started_at = coalesce(started_at, now()), line = 'painting', waits_until = null
        where id = any(mine) and generation_id = any(whole) and state not in ('delivered', 'failed', 'canceled')
        returning id
    )
    select array_agg(id) into mine from begun;
    update attempt as a set finished_at = now(), fault = 'timeout_unknown', detail = 'its worker died or let go',
        possible_micros = (select m.cost_micros from model as m where m.id = a.model_id)
    where a.job_id = any(mine) and coalesce(a.finished_at, 'infinity') = 'infinity' and not a.is_resumable;
    return query
    select t.message_id from unnest(p_jobs, p_messages) as t (job_id, message_id)
    where t.job_id = any(mine) and t.message_id = any(theirs);
end
$body$;

-- Jobs that wait for a busy key. Unlogged: a crash forgets who came first.
create unlogged table key_wait (
    job_id uuid primary key,
    provider_id bigint not null,
    model_id text not null,
    since timestamptz not null,
    seen_at timestamptz not null,
    is_away boolean not null default false
);

comment on column key_wait.is_away is 'it was put back into the line: it keeps its place, and no key is kept for it';

-- How many look for a key of this model, and have waited since before p_since. Who was not seen for a second is not there to
-- take one. A moment is no wait: else a key that is free already would stand idle until somebody looks.
create function keys_awaited(p_provider bigint, p_model text, p_at timestamptz, p_since timestamptz) returns bigint
language sql stable
set plan_cache_mode = force_generic_plan as $body$
select count(*) from key_wait as w
where w.provider_id = p_provider and w.model_id = p_model and not w.is_away and w.seen_at > p_at - interval '1 second'
    and w.since < least(p_since, p_at - interval '0.4 seconds')
$body$;

-- key_lease for whoever's turn it is: one that has waited longer has the next free key. Who has tried some keys already asks
-- for the others, whoever waits.
create function key_in_turn(
    p_provider bigint, p_model text, p_job uuid, p_tried bigint [], p_first bigint, p_until timestamptz
) returns table (
    attempt_id bigint, number smallint, key_id bigint, label text, kind text, base_url text, switch text, sealed_secret text,
    proxy_id bigint, sealed_proxy text, failures integer, settings jsonb, is_local boolean, back double precision,
    is_busy boolean
) language plpgsql
set plan_cache_mode = force_generic_plan as $body$
#variable_conflict use_column
declare
    v_at timestamptz;
    v_since timestamptz;
    v_ahead bigint := 0;
    v_free bigint := 0;
    l record;
begin
    perform pg_advisory_xact_lock(hashtextextended('keys of provider ' || p_provider, 0));
    v_at := clock_timestamp();
    select w.since into v_since from key_wait as w where w.job_id = p_job and w.model_id = p_model;
    if p_tried = '{}' then
        v_ahead := keys_awaited(p_provider, p_model, v_at, coalesce(v_since, v_at));
    end if;
    if v_ahead > 0 then
        select coalesce(sum(case when v.trial is null then k.concurrency - (
            select count(*) from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > v_at
        ) else 1 end), 0)
        into v_free
        from key_verdicts(p_provider, p_model, p_tried, p_first, v_at) as v join provider_key as k on k.id = v.key_id
        where v.verdict is null;
    end if;
    if v_free between 1 and v_ahead then
        select null::bigint as attempt_id, 0::double precision as back, true as is_busy into l;
        return query select null::bigint, null::smallint, null::bigint, null::text, null::text, null::text, null::text,
            null::text, null::bigint, null::text, null::integer, null::jsonb, null::boolean, l.back, l.is_busy;
    else
        select * into l from key_lease(p_provider, p_model, p_job, p_tried, p_first, p_until);
        return query select l.attempt_id, l.number, l.key_id, l.label, l.kind, l.base_url, l.switch, l.sealed_secret, l.proxy_id,
            l.sealed_proxy, l.failures, l.settings, l.is_local, l.back, l.is_busy;
    end if;
    if l.attempt_id is null and l.is_busy and p_tried = '{}' then
        delete from key_wait as w where w.provider_id = p_provider and w.seen_at < v_at - interval '2 minutes';
        insert into key_wait as w (job_id, provider_id, model_id, since, seen_at)
        values (p_job, p_provider, p_model, v_at, v_at)
        on conflict (job_id) do update set provider_id = excluded.provider_id, model_id = excluded.model_id,
            since = coalesce(v_since, v_at), seen_at = v_at, is_away = false
            where w.is_away or w.seen_at < v_at - interval '0.3 seconds' or w.model_id <> excluded.model_id;
    else
        delete from key_wait as w where w.job_id = p_job;
    end if;
end
$body$;

-- key_verdicts for first tries. As long as no key of the provider rests, has a proxy or a limit a minute, a small query says
-- the same: to start the large one takes longer than to run it.
create function keys_seen(p_provider bigint, p_model text, p_at timestamptz)
returns table (
    key_id bigint, verdict text, until timestamptz, via bigint, trial text, idle double precision, place bigint,
    comes_back boolean
) language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off as $body$
#variable_conflict use_column
begin
    if exists (
        select from provider_key as k
        where k.provider_id = p_provider and (
            k.state = 'cooldown' or k.rpm is not null or k.proxy_id is not null
            or exists (select from key_rest as r where r.key_id = k.id and r.model_id = p_model)
            or exists (select from route_rest as r where r.key_id = k.id)
        )
    ) or exists (select from group_rest as g where g.provider_id = p_provider) then
        return query select * from key_verdicts(p_provider, p_model, '{}', null, p_at);
    else
        return query
        select k.id, case when k.state <> 'active' then k.state when o.n >= k.concurrency then 'no_slot' end,
            null::timestamptz, null::bigint, null::text, extract(epoch from p_at - k.last_used_at)::double precision,
            row_number() over (order by coalesce(extract(epoch from p_at - k.last_used_at), 1e12) * k.weight desc, k.id),
            k.state = 'active'
        from provider_key as k
        cross join lateral (
            select count(*) as n from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > p_at
        ) as o
        where k.provider_id = p_provider;
    end if;
end
$body$;

-- key_lease for the first tries of many: their keys are looked at once, and shared out as if one after another had asked:
-- first the one that has rested longest for its weight, then each again by its weight. Who finds no room asks for itself, and
-- so do all when others have waited, or a free key is to be tried out (after a rest, over a proxy that rested) or has a limit a
-- minute.
create function keys_lease(p_provider bigint, p_model text, p_jobs uuid [], p_untils timestamptz [])
returns table (
    job_id uuid, attempt_id bigint, number smallint, key_id bigint, label text, kind text, base_url text, switch text,
    sealed_secret text, proxy_id bigint, sealed_proxy text, failures integer, settings jsonb, is_local boolean,
    back double precision, is_busy boolean
) language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
as $body$
#variable_conflict use_column
declare
    v_at timestamptz;
    v_shared integer := 0;
    v_busy boolean := false;
begin
    perform pg_advisory_xact_lock(hashtextextended('keys of provider ' || p_provider, 0));
    v_at := clock_timestamp();
    if keys_awaited(p_provider, p_model, v_at, v_at) = 0 then
        return query
        with v as materialized (
            select * from keys_seen(p_provider, p_model, v_at)
            where exists (select from provider where id = p_provider and active)
        ),
        free as materialized (
            select v.key_id, v.via, round(v.idle) as idle, v.place, k.weight, x.sealed_url,
                k.concurrency - (
                    select count(*) from attempt as a where a.key_id = k.id and a.finished_at is null and a.expires_at > v_at
                ) as room,
                v.trial is null and k.rpm is null and (v.via is null or x.state = 'active')
                    and not exists (select from route_rest as r where r.key_id = k.id) as is_plain
            from v
            cross join lateral (select * from provider_key where id = v.key_id offset 0) as k
            left join proxy as x on x.id = v.via
            where v.verdict is null
        ),
        picked as materialized (
            select t.*, row_number() over (order by (t.turn = 0) desc, case t.turn when 0 then t.place end, t.turn::float / t.weight, t.key_id) as n
            from (
                select free.*, s.turn from free
                cross join lateral generate_series(0, least(free.room, cardinality(p_jobs)) - 1) as s (turn)
                where (select bool_and(is_plain) from free)
            ) as t
            order by n limit cardinality(p_jobs)
        ),
        passed as materialized (
            select free.key_id, (
                select coalesce(jsonb_agg(jsonb_build_array(p.key_id, coalesce(p.verdict, 'later'), p.until_epoch) order by p.place), '[]')
                from (
                    select v.key_id, v.verdict, v.place,
                        case when v.until > v_at and v.verdict is not null then round(extract(epoch from v.until)) end as until_epoch
                    from v where v.key_id <> free.key_id order by v.place limit 50
                ) as p
            ) as others
            from free
        ),
        moment as materialized (select clock_timestamp() as at), -- later than the end of whatever made room
        made as (
            insert into attempt (job_id, number, key_id, proxy_id, model_id, started_at, expires_at, considered)
            select p_jobs[p.n], (select coalesce(max(a.number), 0) + 1 from attempt as a where a.job_id = p_jobs[p.n]),
                p.key_id, p.via, p_model, (select at from moment), p_untils[p.n], jsonb_build_object(
                    'chosen', jsonb_build_array(p.key_id, case p.turn when 0 then p.idle else 0 end, p.weight, null),
                    'of', (select count(*) from v), 'passed', (select others from passed where passed.key_id = p.key_id)
                )
            from picked as p
            returning attempt.id, attempt.job_id, attempt.number, attempt.key_id
        ),
        used as (
            update provider_key set last_used_at = (select at from moment) where id = any(array(select distinct key_id from picked))
        )
        select m.job_id, m.id, m.number, k.id, k.label, p.kind, p.base_url, k.switch, k.sealed_secret, f.via, f.sealed_url,
            k.failures, p.settings, p.is_local, null::double precision, false
        from made as m
        join free as f on f.key_id = m.key_id
        cross join lateral (select * from provider_key where id = m.key_id offset 0) as k
        cross join lateral (select * from provider where id = p_provider offset 0) as p;
        get diagnostics v_shared = row_count;
    end if;
    for n in v_shared + 1 .. cardinality(p_jobs) loop
        if v_busy then -- then they all are, and each looks again in a moment
            return query select p_jobs[n], null::bigint, null::smallint, null::bigint, null::text, null::text, null::text, null::text,
                null::text, null::bigint, null::text, null::integer, null::jsonb, null::boolean, 0::double precision, true;
        else
            return query select p_jobs[n], l.* from key_in_turn(p_provider, p_model, p_jobs[n], '{}', null, p_untils[n]) as l;
            v_busy := exists (select from key_wait as w where w.job_id = p_jobs[n]);
        end if;
    end loop;
end
$body$;

-- Jobs begin: started, with all that it takes to paint them, and those that want one (and were not tried before, and need no
-- pictures) with a key. What is read of them beside that is as it was before. Who locks several generations does so in the
-- order of their ids; the lines of the providers come after all of them, in the order of theirs. Whoever has a key asks its
-- painter next, so this commit waits for the disk; the lines wait with it, and all that come meanwhile go together.
create function jobs_begin(
    p_jobs uuid [], p_messages bigint [], p_owners uuid [], p_attempts smallint [], p_want_keys boolean [],
    p_beyond double precision, p_waits boolean default true
)
returns table (
    message_id bigint, id uuid, generation_id uuid, thread_id uuid, account_id uuid, prompt text, model_id text, upstream_id text,
    provider_id bigint, cost_micros bigint, width integer, height integer, seed bigint, deadline timestamptz,
    seconds_left double precision, "references" text [], request_id text, traceparent text, parameters jsonb, mask text,
    partial_images smallint, was_tried boolean, has_errand boolean, key jsonb
) language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off as $body$
#variable_conflict use_column
begin
    return query
    with at_work as materialized (
        select t.place, t.message_id, t.wants_key, j.id, j.generation_id, g.thread_id, j.account_id, g.prompt, m.id as model_id,
            m.upstream_id, m.provider_id, m.cost_micros, g.width, g.height, j.seed, j.deadline, g.request_id, g.traceparent,
            g.parameters, g.partial_images, (select u.storage_key from upload as u where u.id = g.mask_upload_id) as mask,
            before.has_errand is not null as was_tried, before.has_errand is true as has_errand,
            array(
                select coalesce(
                    (select u.storage_key from upload as u where u.id = r.upload_id),
                    (select i.storage_key from image as i where i.id = r.image_id)
                )
                from generation_reference as r where r.generation_id = g.id order by r.position
            ) as "references"
        from jobs_start(p_jobs, p_messages, p_owners, p_attempts, p_waits) as begun (message_id)
        join unnest(p_jobs, p_messages, p_want_keys) with ordinality as t (job_id, message_id, wants_key, place)
            on t.message_id = begun.message_id
        cross join lateral (select * from job where id = t.job_id offset 0) as j
        cross join lateral (select * from generation where id = j.generation_id offset 0) as g
        cross join lateral (
            select bool_or(a.is_resumable and a.finished_at is null) as has_errand from attempt as a where a.job_id = j.id
        ) as before -- null: there is none
        cross join lateral (select * from model where id = g.model_id offset 0) as m
    ),
    leased as materialized (
        select l.job_id, to_jsonb(l) - 'job_id' as key
        from (
            select w.provider_id, w.model_id, array_agg(w.id order by w.place) as jobs,
                array_agg(w.deadline + make_interval(secs => p_beyond) order by w.place) as untils
            from at_work as w where w.wants_key and not w.was_tried and w.mask is null and w."references" = '{}'
            group by w.provider_id, w.model_id order by w.provider_id, w.model_id
        ) as w
        cross join lateral keys_lease(w.provider_id, w.model_id, w.jobs, w.untils) as l
    )
    select w.message_id, w.id, w.generation_id, w.thread_id, w.account_id, w.prompt, w.model_id, w.upstream_id, w.provider_id,
        w.cost_micros, w.width, w.height, w.seed, w.deadline, extract(epoch from w.deadline - clock_timestamp())::double precision,
        w."references", w.request_id, w.traceparent, w.parameters, w.mask, w.partial_images, w.was_tried, w.has_errand, l.key
    from at_work as w left join leased as l on l.job_id = w.id;
end
$body$;

-- message_take for pictures to be painted, with their jobs begun: one way to the database and one commit for both. The last
-- row is as there, without an id. A message without a job is for whoever took it to look at.
create function jobs_take(p_owner uuid, p_count integer, p_humbly boolean, p_beyond double precision)
returns table (
    message_id bigint, kind text, payload jsonb, attempts smallint, max_attempts smallint, pos bigint, priority smallint,
    message_seconds double precision, has_more boolean,
    id uuid, generation_id uuid, thread_id uuid, account_id uuid, prompt text, model_id text, upstream_id text,
    provider_id bigint, cost_micros bigint, width integer, height integer, seed bigint, deadline timestamptz,
    seconds_left double precision, "references" text [], request_id text, traceparent text, parameters jsonb, mask text,
    partial_images smallint, was_tried boolean, has_errand boolean, key jsonb
) language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off as $body$
#variable_conflict use_column
declare
    v_hardened text := current_setting('synchronous_commit'); -- message_take lets go of it
    v_taken jsonb;
    v_jobs uuid[];
    v_ids bigint[];
    v_attempts smallint[];
    n integer;
begin
    select jsonb_agg(to_jsonb(m) order by m.priority desc, m.pos) into v_taken
    from message_take('painting', p_owner, p_count, p_humbly) as m;
    select array_agg((t.item -> 'payload' ->> 'job_id')::uuid order by t.place), array_agg((t.item ->> 'id')::bigint order by t.place),
        array_agg((t.item ->> 'attempts')::smallint order by t.place)
    into v_jobs, v_ids, v_attempts
    from jsonb_array_elements(v_taken) with ordinality as t (item, place)
    where t.item ->> 'kind' = 'PaintPicture' and (t.item ->> 'attempts')::smallint <= (t.item ->> 'max_attempts')::smallint;
    n := coalesce(cardinality(v_ids), 0);
    if n > 0 then
        perform set_config('synchronous_commit', v_hardened, true);
    end if;
    return query
    select m.id, m.kind, m.payload, m.attempts, m.max_attempts, m.pos, m.priority, m.seconds_left, m.has_more,
        b.id, b.generation_id, b.thread_id, b.account_id, b.prompt, b.model_id, b.upstream_id, b.provider_id, b.cost_micros,
        b.width, b.height, b.seed, b.deadline, b.seconds_left, b."references", b.request_id, b.traceparent, b.parameters, b.mask,
        b.partial_images, b.was_tried, b.has_errand, b.key
    from jsonb_to_recordset(v_taken) as m (
        id bigint, kind text, payload jsonb, attempts smallint, max_attempts smallint, pos bigint, priority smallint,
        seconds_left double precision, has_more boolean
    )
    left join jobs_begin(
        v_jobs, v_ids, array_fill(p_owner, array[n]), v_attempts, array_fill(true, array[n]), p_beyond, false
    ) as b on b.message_id = m.id;
end
$body$;
