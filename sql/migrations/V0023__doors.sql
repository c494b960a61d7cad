/* pgmigrate-encoding: utf-8 */
-- More than a password: a second factor, sign-ins that wait for it, accounts elsewhere that open one here, fresh proofs.

-- The secret is sealed and bound to its row. It counts once a code of it was shown; each time step counts once.
create table second_factor (
    account_id uuid primary key references account (id) on delete cascade,
    sealed_secret text not null,
    created_at timestamptz not null default now(),
    confirmed_at timestamptz,
    last_step bigint not null default 0
);

comment on column second_factor.last_step is 'the 30 seconds, counted from 1970, of the last code that was taken';

create table recovery_code (
    account_id uuid not null references second_factor (account_id) on delete cascade,
    digest bytea not null check (length(digest) = 32),
    used_at timestamptz,
    primary key (account_id, digest)
);

-- The password was right, the code is still to come: this is no session and has no rights.
create table pending_sign_in (
    token_hash bytea primary key check (length(token_hash) = 32),
    account_id uuid not null references account (id) on delete cascade,
    password_mark bytea not null,
    goal text not null default '',
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

comment on column pending_sign_in.password_mark is 'a digest of the password''s hash: a new password ends what waits';

create index pending_sign_in_of_account on pending_sign_in (account_id);
create index pending_sign_in_expiry on pending_sign_in (expires_at);

-- An account elsewhere that opens one here. The issuer is an OpenID provider''s address, or "telegram".
create table linked_sign_in (
    issuer text not null check (length(issuer) between 1 and 500),
    subject text not null check (length(subject) between 1 and 255),
    account_id uuid not null references account (id) on delete cascade,
    label text not null default '',
    created_at timestamptz not null default now(),
    used_at timestamptz,
    primary key (issuer, subject)
);

create unique index linked_sign_in_of_account on linked_sign_in (account_id, issuer);

-- What somebody else vouched for is taken once: the digests of states and signed answers, until they are too old anyway.
create table spent_answer (
    digest bytea primary key check (length(digest) = 32),
    expires_at timestamptz not null
);

create index spent_answer_expiry on spent_answer (expires_at);

-- When the person behind a session last showed a password or a code. Sessions of before have shown none.
alter table session add column proved_at timestamptz;
alter table session alter column proved_at set default now();
