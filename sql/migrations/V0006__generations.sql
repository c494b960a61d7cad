/* pgmigrate-encoding: utf-8 */
-- What was asked for, one job per picture, one attempt per key tried, and the pictures that came.

create table generation (
    id uuid primary key default gen_random_uuid(),
    account_id uuid not null references account (id),
    thread_id uuid not null,
    model_id text not null references model (id),
    prompt text not null check (length(prompt) between 1 and 4000),
    width integer not null check (width between 64 and 4096),
    height integer not null check (height between 64 and 4096),
    count smallint not null check (count between 1 and 8),
    credits bigint not null check (credits > 0),
    state text not null default 'queued'
    check (state in ('queued', 'running', 'delivered', 'failed', 'canceled')),
    reason text not null default '',
    idempotency_key text,
    request_hash bytea,
    created_at timestamptz not null default now(),
    changed_at timestamptz not null default now(),
    hidden_at timestamptz
);

comment on column generation.credits is 'for one picture';
comment on column generation.thread_id is 'the id of the first generation of its thread';

create unique index generation_idempotency on generation (account_id, idempotency_key) where idempotency_key is not null;
create index generation_of_thread on generation (thread_id, created_at);
create index generation_of_account on generation (account_id, created_at, id);
create index generation_recent on generation (created_at, id);

create table job (
    id uuid primary key default gen_random_uuid(),
    generation_id uuid not null references generation (id),
    account_id uuid not null references account (id),
    position smallint not null,
    credits bigint not null check (credits > 0),
    seed bigint not null,
    state text not null default 'queued'
    check (state in ('queued', 'running', 'delivered', 'failed', 'canceled')),
    line text not null default '',
    reason text not null default '',
    percent smallint,
    cancel_asked boolean not null default false,
    waits_until timestamptz,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    finished_at timestamptz,
    deadline timestamptz not null,
    unique (generation_id, position),
    check ((state in ('delivered', 'failed', 'canceled')) = (finished_at is not null))
);

create index job_unfinished on job (deadline) where state in ('queued', 'running');
create index job_waiting on job (created_at) where state = 'queued';
create index job_finished on job (finished_at, state) where finished_at is not null;

-- The table is empty here.
-- squawk-ignore adding-foreign-key-constraint, constraint-missing-not-valid
alter table ledger_entry add constraint ledger_entry_job_id_fkey foreign key (job_id) references job (id);

-- Written before the call and closed after it, so that a crash leaves evidence.
create table attempt (
    id bigint generated always as identity primary key,
    job_id uuid not null references job (id),
    number smallint not null,
    key_id bigint not null references provider_key (id),
    proxy_id bigint references proxy (id),
    model_id text not null references model (id),
    fault text,
    detail text not null default '',
    cost_micros bigint not null default 0,
    upstream_ref text,
    started_at timestamptz not null default now(),
    expires_at timestamptz not null,
    finished_at timestamptz,
    swept_at timestamptz,
    unique (job_id, number)
);

comment on column attempt.swept_at is 'when the janitor looked for bytes that a dying worker may have left behind';
comment on column attempt.fault is 'null while open and after success; else a class of the error vocabulary';

create index attempt_open on attempt (key_id) where finished_at is null;
create index attempt_to_sweep on attempt (finished_at) where fault = 'timeout_unknown' and swept_at is null;
create index attempt_finished on attempt (finished_at) where finished_at is not null;

create table image (
    id uuid primary key default gen_random_uuid(),
    job_id uuid not null unique references job (id),
    account_id uuid not null references account (id),
    generation_id uuid not null references generation (id),
    storage_key text not null,
    thumb_key text not null,
    sha256 text not null,
    mime text not null,
    width integer not null,
    height integer not null,
    bytes bigint not null,
    created_at timestamptz not null default now(),
    deleted_at timestamptz,
    wiped_at timestamptz
);

comment on column image.deleted_at is 'gone for its owner; the janitor wipes the bytes afterwards';

create index image_of_account on image (account_id, created_at, id) where deleted_at is null;
create index image_to_wipe on image (deleted_at) where deleted_at is not null and wiped_at is null;

-- What a picture was made from: an upload, cleaned and re-encoded, or an earlier picture.
create table upload (
    id uuid primary key default gen_random_uuid(),
    account_id uuid not null references account (id),
    storage_key text not null,
    sha256 text not null,
    mime text not null,
    width integer not null,
    height integer not null,
    bytes bigint not null,
    created_at timestamptz not null default now()
);

create table generation_reference (
    generation_id uuid not null references generation (id),
    position smallint not null,
    upload_id uuid references upload (id),
    image_id uuid references image (id),
    primary key (generation_id, position),
    check ((upload_id is null) <> (image_id is null))
);

-- The last preview of a running job. Unlogged: a crash may lose it, and nobody minds.
create unlogged table preview (
    job_id uuid primary key,
    step smallint not null,
    mime text not null,
    data bytea not null check (length(data) <= 65536),
    created_at timestamptz not null default now()
);
