/* pgmigrate-encoding: utf-8 */
-- Who uses the studio, and the browsers they are signed in with.

create table account (
    id uuid primary key default gen_random_uuid(),
    email text not null check (length(email) between 3 and 254),
    email_key text generated always as (lower(email)) stored,
    password_hash text not null,
    role text not null default 'user' check (role in ('user', 'support', 'admin')),
    locale text not null default 'en',
    verified_at timestamptz,
    banned_at timestamptz,
    ban_reason text,
    created_at timestamptz not null default now()
);

create unique index account_email on account (email_key);
create index account_recent on account (created_at, id);

-- The cookie carries 256 random bits; only their sha256 is kept here.
create table session (
    token_hash bytea primary key check (length(token_hash) = 32),
    id uuid not null default gen_random_uuid(),
    account_id uuid not null references account (id) on delete cascade,
    ip text not null default '',
    agent text not null default '',
    created_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    expires_at timestamptz not null
);

create unique index session_id on session (id);
create index session_of_account on session (account_id);
create index session_expiry on session (expires_at);

-- Token buckets that must hold across processes: sign-in, registration, ordering.
create table throttle (
    key text primary key,
    tokens double precision not null,
    touched_at timestamptz not null default now()
);
