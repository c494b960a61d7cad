/* pgmigrate-encoding: utf-8 */
-- What is told to people, who did what, and the bot's own books.

-- The outbox: one row for each message to somebody, delivered once by the courier.
create table notice (
    id bigint generated always as identity primary key,
    channel text not null check (channel in ('telegram', 'mail')),
    recipient text not null,
    subject text not null default '',
    body text not null,
    dedupe_key text,
    created_at timestamptz not null default now(),
    sent_at timestamptz,
    failed_at timestamptz,
    error text not null default ''
);

create unique index notice_once on notice (channel, recipient, dedupe_key) where dedupe_key is not null;
create index notice_unsent on notice (created_at) where sent_at is null and failed_at is null;

create table audit (
    id bigint generated always as identity primary key,
    actor text not null,
    action text not null,
    subject text not null,
    before jsonb,
    after jsonb,
    ip text not null default '',
    created_at timestamptz not null default now()
);

create index audit_subject on audit (subject, id);

create trigger audit_append_only before update or delete on audit
for each row execute function refuse_change();
create trigger audit_never_truncated before truncate on audit
for each statement execute function refuse_change();

-- A trouble that was seen and is not over yet, or is.
create table alert (
    id bigint generated always as identity primary key,
    cause text not null,
    words text not null,
    began_at timestamptz not null default now(),
    told_at timestamptz,
    ended_at timestamptz
);

create unique index alert_one_open on alert (cause) where ended_at is null;
create index alert_recent on alert (began_at);

create table telegram_admin (
    telegram_id bigint primary key,
    name text not null,
    role text not null default 'owner' check (role in ('owner', 'operator', 'viewer')),
    created_at timestamptz not null default now()
);

create table telegram_pairing (
    telegram_id bigint primary key,
    name text not null,
    code_hash bytea not null,
    expires_at timestamptz not null,
    created_at timestamptz not null default now()
);

-- Wrong pairing codes; five of them burn all pending ones.
create table telegram_guess (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now()
);

-- Updates are written here before the offset moves on, so that none is lost or handled twice.
create table telegram_update (
    update_id bigint primary key,
    payload jsonb not null,
    received_at timestamptz not null default now(),
    handled_at timestamptz
);

create index telegram_update_waiting on telegram_update (update_id) where handled_at is null;
