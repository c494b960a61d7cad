/* pgmigrate-encoding: utf-8 */
-- What is sold, and who has it until when.

create table plan (
    id bigint generated always as identity primary key,
    code text not null unique check (code ~ '^[a-z0-9-]{1,40}$'),
    name text not null,
    price_cents bigint not null check (price_cents >= 0),
    price_currency text not null default 'USD',
    billing_currency text not null default 'USDT',
    credits_per_cycle bigint not null check (credits_per_cycle > 0),
    concurrency smallint not null default 2 check (concurrency between 1 and 100),
    priority smallint not null default 0 check (priority between -10 and 10),
    allowed_models text [],
    retention_days integer check (retention_days > 0),
    storage_quota_bytes bigint check (storage_quota_bytes > 0),
    longest_wait_seconds integer not null default 900 check (longest_wait_seconds between 5 and 86400),
    shows_exact_quota boolean not null default false,
    active boolean not null default true,
    sort smallint not null default 0,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

comment on column plan.allowed_models is 'null: every model';
comment on column plan.credits_per_cycle is '1 credit = 1 standard picture';

create table subscription (
    id uuid primary key default gen_random_uuid(),
    account_id uuid not null references account (id),
    plan_id bigint not null references plan (id),
    state text not null default 'pending_activation'
    check (state in ('pending_activation', 'active', 'past_due', 'expired', 'canceled')),
    anchored_at timestamptz,
    period_start timestamptz,
    period_end timestamptz,
    cycles integer not null default 0,
    cycle_credits bigint not null default 0 check (cycle_credits >= 0),
    created_at timestamptz not null default now(),
    check (state = 'pending_activation' or (period_start is not null and period_end > period_start))
);

comment on column subscription.anchored_at is 'periods are counted in months from here, so a 31st comes back after February';
comment on column subscription.cycle_credits is 'what was granted for the current period: 100 % of the quota display';

create unique index subscription_one_alive on subscription (account_id)
where state in ('pending_activation', 'active', 'past_due');
create index subscription_ending on subscription (period_end) where state = 'active';
