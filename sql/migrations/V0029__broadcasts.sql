/* pgmigrate-encoding: utf-8 */
-- Messages to many people: each of them gets one once, or it says why not. And what failed may be painted again, on the house.

alter table account add column news_stopped_at timestamptz;

comment on column account.news_stopped_at is 'wants no messages to many people since then; null: may get them';

create table broadcast (
    id uuid primary key default gen_random_uuid(),
    state text not null default 'draft' check (state in ('draft', 'sending', 'stopped', 'done')),
    segment text not null check (segment in ('all', 'running', 'without', 'plan', 'never', 'lapsed')),
    plan_id bigint references plan (id),
    by_telegram boolean not null default false,
    per_minute integer not null check (per_minute between 1 and 6000),
    words jsonb not null,
    people integer not null default 0,
    created_by text not null,
    created_at timestamptz not null default now(),
    started_at timestamptz,
    paced_at timestamptz,
    listed_to uuid,
    is_listed boolean not null default false,
    ended_at timestamptz,
    check ((segment = 'plan') = (plan_id is not null)),
    check ((state = 'draft') = (started_at is null))
);

comment on column broadcast.words is 'by language: {"en": {"subject": …, "body": …}}; en is always there';
comment on column broadcast.people is 'for how many it was begun';
comment on column broadcast.listed_to is 'up to this account its people stand in broadcast_recipient; is_listed: all of them do';
comment on column broadcast.paced_at is 'up to then its pace is used up';

create index broadcast_recent on broadcast (created_at, id);
create index broadcast_sending on broadcast (started_at) where state = 'sending';

-- A person of a broadcast that was begun. What became of the notice, the outbox knows.
create table broadcast_recipient (
    broadcast_id uuid not null references broadcast (id) on delete cascade,
    account_id uuid not null references account (id) on delete cascade,
    state text not null default 'waiting' check (state in ('waiting', 'queued', 'skipped')),
    channel text check (channel in ('mail', 'telegram')),
    notice_id bigint,
    why text not null default '',
    primary key (broadcast_id, account_id)
);

comment on column broadcast_recipient.channel is 'of one that waits: by this way alone; null: by the best one';

create index broadcast_recipient_waiting on broadcast_recipient (broadcast_id, account_id) where state = 'waiting';
create index broadcast_recipient_by_telegram on broadcast_recipient (broadcast_id) where channel = 'telegram';
create index broadcast_recipient_of_account on broadcast_recipient (account_id);

-- An order whose failed pictures an admin has ordered again, on the house: once.
create table retry (
    generation_id uuid primary key references generation (id) on delete cascade,
    retried_as uuid not null unique references generation (id) on delete cascade,
    credits bigint not null check (credits > 0),
    created_at timestamptz not null default now()
);
