/* pgmigrate-encoding: utf-8 */
-- What processors say of a payment beyond "paid", what went wrong with one, and the way back of money.

alter table invoice add column received_cents bigint not null default 0 check (received_cents >= 0);
alter table invoice add column is_late boolean not null default false;
alter table invoice add column ways jsonb not null default '[]';
alter table invoice add column trouble text not null default ''
check (trouble in ('', 'mismatch', 'partial', 'over', 'doubted', 'unbacked', 'refund'));
alter table invoice add column trouble_words text not null default '';
alter table invoice add column frozen_credits bigint not null default 0 check (frozen_credits >= 0);
alter table invoice add column paid_by text not null default '';

comment on column invoice.received_cents is 'what the processor has seen of it, in the currency of the invoice';
comment on column invoice.is_late is 'the payment came after the processor had closed it';
comment on column invoice.ways is 'how it can be paid: method, link, address, due and currency of each, as the processor says';
comment on column invoice.trouble is 'what a person has to decide; the watchman tells until it is empty again';
comment on column invoice.frozen_credits is 'taken back while a payment is in doubt that was credited already';
comment on column invoice.paid_by is 'who marked it paid by hand; empty: the processor said so';

-- Invoices are few, thousands where pictures are millions: these take milliseconds, and so need not be made beside others' writes.
-- squawk-ignore require-concurrent-index-creation
create index invoice_troubled on invoice (created_at) where trouble <> '';
-- squawk-ignore require-concurrent-index-creation
create index invoice_expired on invoice (expires_at) where state = 'expired';
-- squawk-ignore require-concurrent-index-creation
create index invoice_paid on invoice (paid_at) where state = 'paid';
-- squawk-ignore require-concurrent-index-creation
create index invoice_recent on invoice (created_at, id);

-- Money on its way back. The row is there before the processor is asked, so that nobody is paid back twice.
create table refund (
    id uuid primary key default gen_random_uuid(),
    invoice_id uuid not null references invoice (id),
    kind text not null check (kind in ('whole', 'surplus')),
    amount_cents bigint not null check (amount_cents > 0),
    currency text not null,
    credits_taken bigint not null default 0 check (credits_taken >= 0),
    reason text not null,
    actor text not null,
    state text not null default 'asked' check (state in ('asked', 'sent', 'failed')),
    processor_ref text,
    claim_url text,
    error text not null default '',
    created_at timestamptz not null default now(),
    asked_at timestamptz,
    ended_at timestamptz,
    check ((state = 'asked') = (ended_at is null))
);

comment on column refund.kind is 'whole: all that was received, and what is left of the credits is taken back; surplus: what was paid too much';
comment on column refund.claim_url is 'where its owner says to which wallet the money shall go, when the processor asks for that';

create unique index refund_once on refund (invoice_id, kind) where state <> 'failed';
create index refund_asked on refund (created_at) where state = 'asked';

-- The sandbox plays what real payers do: a part, too much, late, long unconfirmed; and it pays back.
alter table sandbox_payment add column received_cents bigint not null default 0;
alter table sandbox_payment add column is_confirming boolean not null default false;
alter table sandbox_payment add column is_late boolean not null default false;
alter table sandbox_payment add column expired_at timestamptz;
alter table sandbox_payment add column refunded_cents bigint not null default 0;

-- squawk-ignore require-concurrent-index-creation
create index sandbox_payment_recent on sandbox_payment (created_at);

create table sandbox_refund (
    ref text primary key,
    payment_id uuid not null references sandbox_payment (id),
    amount_cents bigint not null check (amount_cents > 0),
    created_at timestamptz not null default now()
);
