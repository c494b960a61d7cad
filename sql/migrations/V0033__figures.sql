/* pgmigrate-encoding: utf-8 */
-- What the charts are drawn from: the figures of days that are over, put down once, and how full pool and queue were,
-- looked at each minute. Days and hours are those of UTC. Only adds: images that do not know these tables leave them alone.

-- What a picture, an attempt or a charge that was given back means for the figures, at the moment when it happened: a row
-- that was written is never written anew, so a day that is over stays as it is. A picture that could not be painted has the
-- fault of its last attempt.
create view work_line as
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
left join lateral (
    select p.id as plan_id, p.price_cents, p.credits_per_cycle, p.price_currency as currency
    from subscription as u join plan as p on p.id = u.plan_id
    where u.account_id = j.account_id and u.created_at <= j.created_at order by u.created_at desc limit 1
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
left join lateral (
    select u.plan_id from subscription as u
    where u.account_id = j.account_id and u.created_at <= j.created_at order by u.created_at desc limit 1
) as s on true
where j.state = 'failed'
union all
select t.finished_at, coalesce(s.plan_id, 0), t.model_id, t.key_id, coalesce(t.fault, ''), '',
    0, 0, 1, 0::bigint, 0::bigint, t.cost_micros, t.possible_micros, null::integer
from attempt as t
join job as j on j.id = t.job_id
left join lateral (
    select u.plan_id from subscription as u
    where u.account_id = j.account_id and u.created_at <= j.created_at order by u.created_at desc limit 1
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
left join lateral (
    select p.id as plan_id, p.price_cents, p.credits_per_cycle, p.price_currency as currency
    from subscription as u join plan as p on p.id = u.plan_id
    where u.account_id = j.account_id and u.created_at <= j.created_at order by u.created_at desc limit 1
) as s on true
where e.kind = 'refund';

comment on column work_line.earned_micros is
'millionths of the currency of the plan, at the price of the plan when it is read';

-- Money that came, and money that was sent back. What was paid too much was never ours, and neither was what came for an
-- invoice that was not paid in the end.
create view takings_line as
select i.paid_at as at, i.plan_id, i.currency, 1 as invoices, i.amount_cents as paid_cents, 0 as refunds,
    0::bigint as refunded_cents
from invoice as i where i.state = 'paid'
union all
select r.ended_at, i.plan_id, i.currency, 0, 0::bigint, 1, least(r.amount_cents, i.amount_cents)
from refund as r join invoice as i on i.id = r.invoice_id
where r.state = 'sent' and r.kind = 'whole' and i.state = 'paid' and i.paid_at <= r.ended_at;

create table figure_mark (
    is_only boolean primary key default true check (is_only),
    until date not null
);

comment on column figure_mark.until is 'all days before this one are put down; no row: none is';

create table work_day (
    scope text not null check (scope in ('all', 'plan', 'model', 'key', 'each')),
    day date not null,
    plan_id bigint not null,
    model_id text not null,
    key_id bigint not null,
    fault text not null,
    currency text not null,
    delivered integer not null,
    failed integer not null,
    attempts integer not null,
    credits bigint not null,
    earned_micros bigint not null,
    cost_micros bigint not null,
    possible_micros bigint not null,
    waits integer [] not null default '{}',
    primary key (scope, day, plan_id, model_id, key_id, fault, currency)
);

-- A year of all there is must be read as quickly as that of one plan: sums over the others are kept, too.
comment on column work_day.scope is
'each: of this very plan, model and key; plan, model, key: of that one with all others; all: of everything';
comment on column work_day.plan_id is '0: who ordered had no plan';
comment on column work_day.key_id is '0: no key had a part in it';
comment on column work_day.waits is 'milliseconds from order to picture, of each that was delivered: middles cannot be added up';

create table wait_day (
    scope text not null check (scope in ('all', 'plan', 'model', 'key', 'each')),
    day date not null,
    plan_id bigint not null,
    model_id text not null,
    key_id bigint not null,
    pictures integer not null,
    p50_ms integer not null,
    p95_ms integer not null,
    primary key (scope, day, plan_id, model_id, key_id)
);

create table takings_day (
    day date not null,
    plan_id bigint not null,
    currency text not null,
    invoices integer not null,
    paid_cents bigint not null,
    refunds integer not null,
    refunded_cents bigint not null,
    primary key (day, plan_id, currency)
);

-- The sums of what was seen each minute of an hour; divided by samples they are averages.
create table studio_hour (
    at timestamptz primary key,
    samples integer not null,
    last_at timestamptz not null,
    waiting bigint not null,
    running bigint not null,
    slots bigint not null,
    busy bigint not null,
    free bigint not null,
    most_waiting integer not null,
    longest_wait double precision not null,
    least_free integer not null
) with (fillfactor = 80);

comment on column studio_hour.slots is 'pictures that the keys could paint at the same time, those aside that are switched off';
comment on column studio_hour.free is 'of keys that could take a picture at once: less than slots - busy while keys rest';

create table pool_hour (
    at timestamptz not null,
    key_id bigint not null,
    samples integer not null,
    slots bigint not null,
    busy bigint not null,
    free bigint not null,
    least_free integer not null,
    primary key (at, key_id)
) with (fillfactor = 80);

alter table worker add column about jsonb not null default '{}';

comment on column worker.about is 'version, schema (the newest migration it carries) and memory (megabytes), as it reports them';

-- Few rows have a part in these two, so they are made in a moment.
-- squawk-ignore require-concurrent-index-creation
create index refund_sent on refund (ended_at) where state = 'sent';
-- squawk-ignore require-concurrent-index-creation
create index ledger_refunded on ledger_entry (created_at) where kind = 'refund';
