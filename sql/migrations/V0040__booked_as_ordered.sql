/* pgmigrate-encoding: utf-8 */
-- An order remembers the plan it was made on and what that cost, so that no later change of plan or price changes what it
-- earned; and a payment in doubt is out of the revenue until it holds or goes back.
-- Only adds, and functions and views that take what they took: images that know nothing of it write no plan, which is then found as before.

alter table generation add column plan_id bigint;
alter table generation add column plan_cents bigint;
alter table generation add column plan_currency text;
alter table generation add column plan_credits bigint check (plan_credits > 0);

comment on column generation.plan_id is 'on which it was ordered; null: by an image that did not write it down';
comment on column generation.plan_cents is 'what a cycle of the plan cost at that moment, in plan_currency, for plan_credits';

-- The same as in V0026, and the plan.
create or replace function order_place(p_order jsonb) returns table (id uuid, why text) language plpgsql
set plan_cache_mode = force_generic_plan as $body$
#variable_conflict use_column
declare
    o record;
begin
    select * into o from jsonb_to_record(p_order) as t (
        id uuid, account_id uuid, thread_id uuid, model_id text, prompt text, width integer, height integer, count smallint,
        credits bigint, idempotency_key text, request_hash text, request_id text, traceparent text, parameters jsonb,
        mask uuid, partial_images smallint, api_token_id uuid, jobs uuid [], seeds bigint [], deadline double precision,
        uploads uuid [], pictures uuid [], why text, concurrency smallint, priority smallint,
        plan_id bigint, plan_cents bigint, plan_currency text, plan_credits bigint
    );
    if o.thread_id <> o.id and not exists (
        select from generation as g where g.id = o.thread_id and g.account_id = o.account_id
    ) then
        return query select null::uuid, 'thread';
        return;
    end if;
    if cardinality(o.uploads) > 0 and exists (
        select from unnest(o.uploads, o.pictures) as t (upload_id, image_id)
        where not exists (select from upload as u where u.id = t.upload_id and u.account_id = o.account_id)
            and not exists (
                select from image as i where i.id = t.image_id and i.account_id = o.account_id and i.deleted_at is null
            )
    ) then
        return query select null::uuid, 'reference';
        return;
    end if;

    insert into generation (
        id, account_id, thread_id, model_id, prompt, width, height, count, credits, idempotency_key, request_hash, request_id,
        traceparent, parameters, mask_upload_id, partial_images, api_token_id, plan_id, plan_cents, plan_currency, plan_credits
    )
    values (
        o.id, o.account_id, o.thread_id, o.model_id, o.prompt, o.width, o.height, o.count, o.credits, o.idempotency_key,
        decode(o.request_hash, 'hex'), o.request_id, o.traceparent, o.parameters, o.mask, o.partial_images, o.api_token_id,
        o.plan_id, o.plan_cents, o.plan_currency, o.plan_credits
    )
    on conflict (account_id, idempotency_key) where idempotency_key is not null do nothing;
    if not found then
        return query select null::uuid, null::text;
        return;
    end if;
    if cardinality(o.uploads) > 0 then
        insert into generation_reference (generation_id, position, upload_id, image_id)
        select o.id, t.place, t.upload_id, t.image_id
        from unnest(o.uploads, o.pictures) with ordinality as t (upload_id, image_id, place);
    end if;
    insert into job (id, generation_id, account_id, position, credits, seed, deadline)
    select t.id, o.id, o.account_id, t.place, o.credits, t.seed, now() + make_interval(secs => o.deadline)
    from unnest(o.jobs, o.seeds) with ordinality as t (id, seed, place);
    insert into message (mailbox, kind, payload, key, partition, partition_limit, priority)
    select 'painting', 'PaintPicture', jsonb_build_object('job_id', t.id), 'job ' || t.id, o.account_id::text, o.concurrency,
        o.priority
    from unnest(o.jobs) as t (id);
    insert into ledger_entry (account_id, job_id, kind, credits, why)
    select o.account_id, t.id, 'reserve', o.credits, o.why from unnest(o.jobs) as t (id);
    return query select o.id, null::text;
end
$body$;

-- On which plan it was ordered, and what that cost for how many credits. Where it was not written down, the plan that its
-- account has now, at the price of today. Made for views: the planner puts it into their queries.
create function plan_ordered(
    p_plan bigint, p_cents bigint, p_credits bigint, p_currency text, p_account uuid, p_at timestamptz
)
returns table (plan_id bigint, price_cents bigint, credits_per_cycle bigint, currency text) language sql stable as $body$
    select p_plan, p_cents, p_credits, p_currency where p_plan is not null
    union all
    (
        select p.id, p.price_cents, p.credits_per_cycle, p.price_currency
        from subscription as u join plan as p on p.id = u.plan_id
        where p_plan is null and u.account_id = p_account and u.created_at <= p_at
        order by u.created_at desc limit 1
    )
$body$;

create or replace view work_line as
select j.finished_at as at, coalesce(s.plan_id, 0) as plan_id, g.model_id, coalesce(a.key_id, 0) as key_id,
    ''::text as fault, coalesce(s.currency, '') as currency, 1 as delivered, 0 as failed, 0 as attempts, j.credits,
    coalesce((j.credits * s.price_cents * 10000.0 / s.credits_per_cycle)::bigint, 0) as earned_micros,
    0::bigint as cost_micros, 0::bigint as possible_micros,
    (extract(epoch from j.finished_at - j.created_at) * 1000)::integer as wait_ms
from job as j
join generation as g on g.id = j.generation_id
left join lateral (
    select t.key_id from attempt as t where t.job_id = j.id and t.fault is null and t.finished_at is not null
    order by t.number desc limit 1
) as a on true
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where j.state = 'delivered'
union all
select j.finished_at, coalesce(s.plan_id, 0), g.model_id, coalesce(a.key_id, 0), coalesce(a.fault, ''), '',
    0, 1, 0, 0::bigint, 0::bigint, 0::bigint, 0::bigint, null::integer
from job as j
join generation as g on g.id = j.generation_id
left join lateral (
    select t.key_id, t.fault from attempt as t where t.job_id = j.id order by t.number desc limit 1
) as a on true
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where j.state = 'failed'
union all
select t.finished_at, coalesce(s.plan_id, 0), t.model_id, t.key_id, coalesce(t.fault, ''), '',
    0, 0, 1, 0::bigint, 0::bigint, t.cost_micros, t.possible_micros, null::integer
from attempt as t
join job as j on j.id = t.job_id
join generation as g on g.id = j.generation_id
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where t.finished_at is not null
union all
select e.created_at, coalesce(s.plan_id, 0), g.model_id, coalesce(a.key_id, 0), '', coalesce(s.currency, ''),
    0, 0, 0, -e.credits, coalesce(-(e.credits * s.price_cents * 10000.0 / s.credits_per_cycle)::bigint, 0),
    0::bigint, 0::bigint, null::integer
from ledger_entry as e
join job as j on j.id = e.job_id
join generation as g on g.id = j.generation_id
left join lateral (
    select t.key_id from attempt as t where t.job_id = j.id and t.fault is null and t.finished_at is not null
    order by t.number desc limit 1
) as a on true
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where e.kind = 'refund';

comment on column work_line.earned_micros is
'millionths of the currency of the plan, at its price when it was ordered';

create or replace view margin_line as
select j.finished_at, (j.finished_at at time zone 'utc')::date as day, s.plan_id, g.model_id, a.key_id, j.account_id,
    1 as delivered, 0 as attempts, j.credits::bigint as credits,
    (j.credits * s.price_cents * 10000.0 / s.credits_per_cycle)::bigint as earned_micros,
    0::bigint as cost_micros, 0::bigint as possible_micros, s.currency
from job as j
join generation as g on g.id = j.generation_id
left join lateral (
    select t.key_id from attempt as t where t.job_id = j.id and t.fault is null and t.finished_at is not null
    order by t.number desc limit 1
) as a on true
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where j.state = 'delivered'
union all
select t.finished_at, (t.finished_at at time zone 'utc')::date, s.plan_id, t.model_id, t.key_id, j.account_id,
    0, 1, 0, 0, t.cost_micros, t.possible_micros, s.currency
from attempt as t
join job as j on j.id = t.job_id
join generation as g on g.id = j.generation_id
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where t.finished_at is not null;

-- Revenue is money that is settled. What a processor takes back its word about, after it was credited, is taken out of it from that
-- moment on, and comes in again when it holds after all, or when it goes back as a refund, which is taken off by itself.
create table payment_doubt (
    invoice_id uuid not null references invoice (id),
    cents bigint not null check (cents > 0),
    since timestamptz not null default now(),
    until timestamptz,
    primary key (invoice_id, since)
);

create unique index payment_doubt_open on payment_doubt (invoice_id) where until is null;
create index payment_doubt_since on payment_doubt (since);
create index payment_doubt_until on payment_doubt (until) where until is not null;

comment on column payment_doubt.until is 'null: it is in doubt';

-- What is in doubt already, from now on: days that are over stay as they were put down.
insert into payment_doubt (invoice_id, cents)
select id, amount_cents from invoice
where state = 'paid' and amount_cents > 0 and (trouble in ('doubted', 'unbacked', 'mismatch') or frozen_credits > 0);

-- Money that came and was sent back, as in V0033, and money that fell into doubt and out of it.
create or replace view takings_line as
select i.paid_at as at, i.plan_id, i.currency, 1 as invoices, i.amount_cents as paid_cents, 0 as refunds,
    0::bigint as refunded_cents
from invoice as i where i.state = 'paid'
union all
select r.ended_at, i.plan_id, i.currency, 0, 0::bigint, 1, least(r.amount_cents, i.amount_cents)
from refund as r join invoice as i on i.id = r.invoice_id
where r.state = 'sent' and r.kind = 'whole' and i.state = 'paid' and i.paid_at <= r.ended_at
union all
select d.since, i.plan_id, i.currency, 0, -d.cents, 0, 0::bigint
from payment_doubt as d join invoice as i on i.id = d.invoice_id
union all
select d.until, i.plan_id, i.currency, 0, d.cents, 0, 0::bigint
from payment_doubt as d join invoice as i on i.id = d.invoice_id where d.until is not null;
