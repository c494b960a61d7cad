/* pgmigrate-encoding: utf-8 */
-- What somebody was asked to pay, and what the processors told us about it.

create table invoice (
    id uuid primary key default gen_random_uuid(),
    account_id uuid not null references account (id),
    plan_id bigint not null references plan (id),
    subscription_id uuid references subscription (id),
    processor text not null,
    processor_ref text,
    checkout_url text,
    amount_cents bigint not null check (amount_cents >= 0),
    currency text not null,
    credits bigint not null check (credits > 0),
    state text not null default 'pending'
    check (state in ('pending', 'processing', 'paid', 'expired', 'canceled', 'invalid')),
    idempotency_key text,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null,
    paid_at timestamptz,
    checked_at timestamptz,
    check ((state = 'paid') = (paid_at is not null))
);

comment on column invoice.credits is 'copied from the plan when the invoice was made: an edit never rewrites the past';

create unique index invoice_processor_ref on invoice (processor, processor_ref) where processor_ref is not null;
create unique index invoice_idempotency on invoice (account_id, idempotency_key) where idempotency_key is not null;
create index invoice_of_account on invoice (account_id, created_at);
create index invoice_open on invoice (created_at) where state in ('pending', 'processing');

-- Every webhook that was believed, once: a replay is a recorded no-op.
create table payment_event (
    id bigint generated always as identity primary key,
    processor text not null,
    event_ref text not null,
    invoice_id uuid references invoice (id),
    kind text not null,
    effect text not null default 'none',
    received_at timestamptz not null default now(),
    unique (processor, event_ref)
);

-- The sandbox processor's own books: an outsider that happens to live in the same database.
create table sandbox_payment (
    id uuid primary key default gen_random_uuid(),
    order_ref text not null unique,
    amount_cents bigint not null,
    currency text not null,
    title text not null,
    return_url text not null,
    webhook_url text not null,
    state text not null default 'pending' check (state in ('pending', 'settled', 'declined')),
    deliveries integer not null default 0,
    delivered_at timestamptz,
    created_at timestamptz not null default now()
);
