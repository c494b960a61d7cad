/* pgmigrate-encoding: utf-8 */
-- Caps of a plan by day and month, what the schema itself refuses of the ledger, and the statement that people read.
-- Only adds: images that do not know the caps leave them empty, and write nothing that is refused here.

alter table plan
add column credits_per_day bigint check (credits_per_day > 0),
add column credits_per_month bigint check (credits_per_month > 0);

comment on column plan.credits_per_day is 'what orders of a day in UTC may hold and spend; null: all that is there';
comment on column plan.credits_per_month is 'the same of a calendar month in UTC';

-- As in V0004, with two rules more: a grant for an invoice is what was paid, and an entry agrees with how its job ended.
create or replace function ledger_apply() returns trigger language plpgsql as $body$
declare
    needed text;
    ended text;
begin
    -- The row lock on the balance puts the entries of one account in a line.
    insert into balance (account_id) values (new.account_id) on conflict do nothing;
    perform 1 from balance where account_id = new.account_id for update;

    needed := case new.kind when 'settle' then 'reserve' when 'release' then 'reserve' when 'refund' then 'settle' end;
    if needed is not null then
        select j.state into ended from ledger_entry as e join job as j on j.id = e.job_id
        where e.job_id = new.job_id and e.kind = needed and e.account_id = new.account_id and e.credits = new.credits;
        if not found then
            raise exception 'ledger: % of job % needs a % of the same credits before it', new.kind, new.job_id, needed
                using errcode = 'integrity_constraint_violation';
        end if;
        if new.kind = 'settle' and ended in ('failed', 'canceled') or new.kind = 'release' and ended = 'delivered' then
            raise exception 'ledger: no % of job %, which is %', new.kind, new.job_id, ended
                using errcode = 'integrity_constraint_violation';
        end if;
    elsif new.kind = 'grant' and new.invoice_id is not null then
        perform from invoice as i where i.id = new.invoice_id and i.state = 'paid'
            and (i.purpose = 'gift' or i.account_id = new.account_id and i.credits = new.credits);
        if not found then
            raise exception 'ledger: invoice % is not paid, or is for other credits or somebody else', new.invoice_id
                using errcode = 'integrity_constraint_violation';
        end if;
    end if;

    update balance set
        available = available + case new.kind
            when 'grant' then new.credits when 'release' then new.credits when 'refund' then new.credits
            when 'adjust' then new.credits when 'reserve' then -new.credits when 'cycle_reset' then -new.credits
            else 0 end,
        held = held + case new.kind
            when 'reserve' then new.credits when 'settle' then -new.credits when 'release' then -new.credits
            else 0 end,
        spent = spent + case new.kind
            when 'settle' then new.credits when 'refund' then -new.credits
            else 0 end
    where account_id = new.account_id;
    return new;
end
$body$;

-- After ledger_apply, so under the lock of the account's balance: orders of one account come here one after another, and
-- none sees an old sum. What did not arrive, or was refunded, is not counted; it counts on the day of its order.
create function reserve_allowed() returns trigger language plpgsql as $body$
declare
    a_day bigint;
    a_month bigint;
    midnight timestamptz := date_trunc('day', now(), 'UTC');
    the_first timestamptz := date_trunc('month', now(), 'UTC');
    today bigint;
    this_month bigint;
begin
    select p.credits_per_day, p.credits_per_month into a_day, a_month
    from subscription as s join plan as p on p.id = s.plan_id
    where s.account_id = new.account_id and s.state = 'active' and s.period_end > now();
    if not found then
        raise exception 'account % has no open period', new.account_id
            using errcode = 'check_violation', constraint = 'reserve_needs_an_open_period';
    end if;
    if a_day is null and a_month is null then
        return null;
    end if;
    select coalesce(sum(j.credits) filter (where g.created_at >= midnight), 0), coalesce(sum(j.credits), 0)
    into today, this_month
    from generation as g join job as j on j.generation_id = g.id
    where g.account_id = new.account_id and g.created_at >= case when a_month is null then midnight else the_first end
        and j.state not in ('failed', 'canceled')
        and not exists (select from ledger_entry as e where e.job_id = j.id and e.kind = 'refund');
    if today > a_day then
        raise exception 'account % may spend % credits a day', new.account_id, a_day
            using errcode = 'check_violation', constraint = 'plan_day', detail = today;
    elsif this_month > a_month then
        raise exception 'account % may spend % credits a month', new.account_id, a_month
            using errcode = 'check_violation', constraint = 'plan_month', detail = this_month;
    end if;
    return null;
end
$body$;

create trigger reserve_allowed after insert on ledger_entry
for each row when (new.kind = 'reserve') execute function reserve_allowed();

-- What an account's statement says, line by line; `change` is what a line did to the credits that can be spent.
create view statement as
select e.account_id, e.id, e.created_at, e.kind, e.credits, e.why, e.job_id, e.invoice_id,
    case e.kind when 'settle' then 0 when 'reserve' then -e.credits when 'cycle_reset' then -e.credits else e.credits end
    as change,
    case e.kind when 'settle' then e.credits when 'refund' then -e.credits else 0 end as charged
from ledger_entry as e;
