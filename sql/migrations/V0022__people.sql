/* pgmigrate-encoding: utf-8 */
-- Who was invited, who came in, and who left for good.

alter table account add column deleted_at timestamptz;
alter table account add column invitation_id uuid;

comment on column account.deleted_at is 'gone for good: banned, too, and named deleted-… instead of an address';
comment on column account.invitation_id is 'with which invitation it was made; null: without one';

-- The code carries 120 random bits; only its sha256 is kept. Rows stay when an invitation is revoked.
create table invitation (
    id uuid primary key default gen_random_uuid(),
    code_hash bytea not null unique check (length(code_hash) = 32),
    hint text not null,
    note text not null default '' check (length(note) <= 200),
    most_uses integer not null check (most_uses between 1 and 10000),
    uses integer not null default 0 check (uses between 0 and most_uses),
    created_by text not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    revoked_at timestamptz
);

comment on column invitation.hint is 'the first four characters of the code, to tell one from another';

create index invitation_recent on invitation (created_at);

-- Each time somebody came in, or tried to. Without an account: nobody has that address, which is not kept.
create table sign_in (
    id bigint generated always as identity primary key,
    account_id uuid references account (id) on delete cascade,
    way text not null default 'password',
    is_refused boolean not null,
    ip text not null default '',
    agent text not null default '',
    created_at timestamptz not null default now()
);

create index sign_in_of_account on sign_in (account_id, id);
create index sign_in_age on sign_in (created_at);

-- Reference pictures of those who left are wiped like pictures.
alter table upload add column deleted_at timestamptz;
alter table upload add column wiped_at timestamptz;

-- What only grows may be changed in one way: the name of an account that is being deleted is taken out of it. Who does that
-- says so for its transaction (limner.erasing); what becomes of a row is checked here all the same.
create function anonymous_name(p_account uuid) returns text language sql immutable as $body$
select 'deleted-' || p_account || '@invalid'
$body$;

create function audit_anonymised(p_row jsonb, p_email text, p_name text) returns jsonb language sql immutable as $body$
select replace(p_row::text, to_json(p_email)::text, to_json(p_name)::text)::jsonb
    || case when starts_with(p_row ->> 'subject', p_email || ' ')
        then jsonb_build_object('subject', p_name || substr(p_row ->> 'subject', length(p_email) + 1)) else '{}' end
    || case when p_row ->> 'actor' = p_email then '{"ip": ""}'::jsonb else '{}' end
$body$;

create or replace function refuse_change() returns trigger language plpgsql as $body$
declare
    leaving record;
    before jsonb;
begin
    if tg_op = 'UPDATE' and coalesce(current_setting('limner.erasing', true), '') <> '' then
        select id, email into leaving from account
        where id = current_setting('limner.erasing')::uuid and deleted_at is not null;
        before := to_jsonb(old);
        if found and (case tg_table_name
            when 'ledger_entry' then before ->> 'account_id' = leaving.id::text and before ->> 'kind' = 'reserve'
                and to_jsonb(new) = before || '{"why": "a picture"}'
            when 'audit' then to_jsonb(new) = audit_anonymised(before, leaving.email, anonymous_name(leaving.id))
            else false
        end) then
            return new;
        end if;
    end if;
    raise exception '% is append-only: add a correcting row instead', tg_table_name
        using errcode = 'integrity_constraint_violation';
end
$body$;
