/* pgmigrate-encoding: utf-8 */
-- The ledger opens a balance with the first entry of an account. It tried to with every entry, which was dearer than the entry.
-- Does the same as before, so images that know nothing of it go on.

create or replace function ledger_apply() returns trigger language plpgsql as $body$
declare
    needed text;
    ended text;
begin
    -- The row lock on the balance puts the entries of one account in a line.
    perform from balance where account_id = new.account_id for update;
    if not found then
        insert into balance (account_id) values (new.account_id) on conflict do nothing;
        perform from balance where account_id = new.account_id for update;
    end if;

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
