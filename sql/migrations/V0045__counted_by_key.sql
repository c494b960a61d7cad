/* pgmigrate-encoding: utf-8 */
-- What a chart counts anew is a day or two: a few thousand rows, each of which leads to its order by a key. The planner of a database on
-- plain settings thinks reading all orders there ever were cheaper, so it is told: "offset 0" keeps it from that. And what an
-- order came to is said by the attempt that failed, not by one that a worker only let go of.
-- The view is as in V0040 else: images of before read the same from it.

create or replace view work_line as
select j.finished_at as at, coalesce(s.plan_id, 0) as plan_id, g.model_id, coalesce(a.key_id, 0) as key_id,
    ''::text as fault, coalesce(s.currency, '') as currency, 1 as delivered, 0 as failed, 0 as attempts, j.credits,
    coalesce((j.credits * s.price_cents * 10000.0 / s.credits_per_cycle)::bigint, 0) as earned_micros,
    0::bigint as cost_micros, 0::bigint as possible_micros,
    (extract(epoch from j.finished_at - j.created_at) * 1000)::integer as wait_ms
from job as j
join lateral (select * from generation where id = j.generation_id offset 0) as g on true
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
join lateral (select * from generation where id = j.generation_id offset 0) as g on true
left join lateral (
    select t.key_id, t.fault from attempt as t where t.job_id = j.id
    order by t.fault is not distinct from 'cancelled', t.number desc limit 1
) as a on true
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where j.state = 'failed'
union all
select t.finished_at, coalesce(s.plan_id, 0), t.model_id, t.key_id, coalesce(t.fault, ''), '',
    0, 0, 1, 0::bigint, 0::bigint, t.cost_micros, t.possible_micros, null::integer
from attempt as t
join lateral (select * from job where id = t.job_id offset 0) as j on true
join lateral (select * from generation where id = j.generation_id offset 0) as g on true
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where t.finished_at is not null
union all
select e.created_at, coalesce(s.plan_id, 0), g.model_id, coalesce(a.key_id, 0), '', coalesce(s.currency, ''),
    0, 0, 0, -e.credits, coalesce(-(e.credits * s.price_cents * 10000.0 / s.credits_per_cycle)::bigint, 0),
    0::bigint, 0::bigint, null::integer
from ledger_entry as e
join lateral (select * from job where id = e.job_id offset 0) as j on true
join lateral (select * from generation where id = j.generation_id offset 0) as g on true
left join lateral (
    select t.key_id from attempt as t where t.job_id = j.id and t.fault is null and t.finished_at is not null
    order by t.number desc limit 1
) as a on true
left join lateral plan_ordered(
    g.plan_id, g.plan_cents, g.plan_credits, g.plan_currency, g.account_id, j.created_at
) as s on true
where e.kind = 'refund';
