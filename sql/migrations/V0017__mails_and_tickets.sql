/* pgmigrate-encoding: utf-8 */
-- Mails are written from templates when they go out, and links in them are used once.

alter table notice add column template text;
alter table notice add column locale text;
alter table notice add column details jsonb;
alter table notice add column ticket_id uuid;

comment on column notice.template is 'of a mail: which one; subject and body are made from it when it goes out';
comment on column notice.details is 'what the template says: names, amounts, dates; never a secret';
comment on column notice.ticket_id is 'whose link it carries; the secret in it is made from this when it goes out';

-- What a link in a mail allows, once. The link's secret is an HMAC of the id under the studio''s own key: it is nowhere in here.
create table ticket (
    id uuid primary key default gen_random_uuid(),
    account_id uuid not null references account (id) on delete cascade,
    purpose text not null check (purpose ~ '^[a-z_]{1,30}$'),
    details jsonb not null default '{}',
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    used_at timestamptz
);

create index ticket_of_account on ticket (account_id, purpose) where used_at is null;
create index ticket_expiry on ticket (expires_at);
