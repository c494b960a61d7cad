/* pgmigrate-encoding: utf-8 */
-- Credits. Entries are only ever added; the balance is their sum, kept by trigger under constraints that have the last word.

create table balance (
    account_id uuid primary key references account (id),
    available bigint not null default 0 constraint balance_covers_it check (available >= 0),
    held bigint not null default 0 check (held >= 0),
    spent bigint not null default 0 check (spent >= 0)
);

create table ledger_entry (
    id bigint generated always as identity primary key,
    account_id uuid not null references account (id),
    job_id uuid,
    invoice_id uuid references invoice (id),
    credits bigint not null check (credits <> 0 and (credits > 0 or kind = 'adjust')),
    created_at timestamptz not null default now(),
    kind text not null
    check (kind in ('grant', 'reserve', 'settle', 'release', 'refund', 'cycle_reset', 'adjust')),
    why text not null default '',
    check ((kind in ('reserve', 'settle', 'release', 'refund')) = (job_id is not null)),
    unique (job_id, kind)
);

create unique index ledger_settled_or_released on ledger_entry (job_id) where kind in ('settle', 'release');
create unique index ledger_granted_once on ledger_entry (invoice_id) where kind = 'grant';
create index ledger_of_account on ledger_entry (account_id, id);

create function ledger_apply() returns trigger language plpgsql as $body$
declare
    needed text;
begin
    -- The row lock on the balance puts the entries of one account in a line.
    insert into balance (account_id) values (new.account_id) on conflict do nothing;
    perform 1 from balance where account_id = new.account_id for update;

    needed := case new.kind when 'settle' then 'reserve' when 'release' then 'reserve' when 'refund' then 'settle' end;
    if needed is not null and not exists (
        select 1 from ledger_entry
        where job_id = new.job_id and kind = needed and account_id = new.account_id and credits = new.credits
    ) then
        raise exception 'ledger: % of job % needs a % of the same credits before it', new.kind, new.job_id, needed
            using errcode = 'integrity_constraint_violation';
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

create trigger ledger_apply before insert on ledger_entry for each row execute function ledger_apply();

create function refuse_change() returns trigger language plpgsql as $body$
begin
    raise exception '% is append-only: add a correcting row instead', tg_table_name
        using errcode = 'integrity_constraint_violation';
end
$body$;

create trigger ledger_append_only before update or delete on ledger_entry
for each row execute function refuse_change();
create trigger ledger_never_truncated before truncate on ledger_entry
for each statement execute function refuse_change();
