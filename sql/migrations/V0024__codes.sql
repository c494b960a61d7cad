/* pgmigrate-encoding: utf-8 */
-- Promo and gift codes and who used them, trials of new accounts, and referrals.

create table code (
    id uuid primary key default gen_random_uuid(),
    kind text not null check (kind in ('promo', 'gift')),
    word text not null,
    word_key text unique,
    secret_hash bytea unique check (length(secret_hash) = 32),
    gives text not null check (gives in ('percent', 'amount', 'days', 'credits', 'cycle')),
    quantity bigint not null check (quantity > 0),
    currency text,
    plan_id bigint references plan (id),
    plan_ids bigint [],
    first_order_only boolean not null default false,
    most_uses bigint check (most_uses > 0),
    most_per_account integer not null default 1 check (most_per_account > 0),
    uses bigint not null default 0 check (uses >= 0),
    ends_at timestamptz,
    stopped_at timestamptz,
    invoice_id uuid unique references invoice (id),
    batch uuid,
    note text not null default '',
    made_by text not null,
    created_at timestamptz not null default now(),
    constraint code_has_uses_left check (most_uses is null or uses <= most_uses),
    check ((kind = 'promo') = (word_key is not null) and (kind = 'gift') = (secret_hash is not null)),
    check (gives <> 'percent' or quantity <= 100),
    check ((gives = 'amount') = (currency is not null)),
    check ((gives = 'cycle') = (plan_id is not null)),
    check (kind = 'promo' and gives <> 'cycle' or gives in ('credits', 'cycle') and most_uses = 1)
);

comment on column code.word is 'a promo code as it was written; of a gift code the last four characters, and no more of it is kept';
comment on column code.word_key is 'a promo code as it is compared: without case, spaces and look-alikes';
comment on column code.secret_hash is 'SHA-256 of a gift code as it is compared: whoever has it has money';
comment on column code.quantity is 'per cent, cents, days or credits; of a cycle the credits in it';
comment on column code.plan_ids is 'of which plans it takes something off the price; null: of all';
comment on column code.invoice_id is 'with which a gift code was bought: it holds as soon as that is paid';
comment on column code.uses is 'reserved and used: the constraint has the last word on how many';

create index code_recent on code (created_at, id);

create table redemption (
    id bigint generated always as identity primary key,
    code_id uuid not null references code (id),
    account_id uuid not null references account (id),
    nth integer not null check (nth > 0),
    state text not null check (state in ('reserved', 'used', 'returned')),
    is_beyond boolean not null default false,
    invoice_id uuid unique references invoice (id),
    entry_id bigint unique references ledger_entry (id),
    created_at timestamptz not null default now(),
    ended_at timestamptz,
    check (state <> 'reserved' or invoice_id is not null),
    check ((state = 'reserved') = (ended_at is null)),
    check (entry_id is null or state = 'used')
);

comment on column redemption.is_beyond is 'its invoice was paid after its use had been given back: it counts for no limit';
comment on column redemption.entry_id is 'of a code that gives credits: the grant';

create unique index redemption_nth on redemption (code_id, account_id, nth) where state <> 'returned' and not is_beyond;
create index redemption_of_account on redemption (account_id, created_at);

-- Whoever ends an invoice, in whatever way: the use that it reserved is used, or given back.
create function redemption_follows() returns trigger language plpgsql as $body$
begin
    if new.state = 'paid' then
        update redemption set is_beyond = true where invoice_id = new.id and state = 'returned';
        update redemption set state = 'used', ended_at = now() where invoice_id = new.id and state <> 'used';
    elsif new.state in ('expired', 'canceled', 'invalid') then
        with back as (
            update redemption set state = 'returned', ended_at = now()
            where invoice_id = new.id and state = 'reserved' returning code_id
        )
        update code set uses = uses - 1 from back where code.id = back.code_id;
    end if;
    return null;
end
$body$;

create trigger redemption_follows after update of state on invoice
for each row when (old.state is distinct from new.state) execute function redemption_follows();

create table trial (
    account_id uuid primary key references account (id),
    mail_hash bytea not null unique check (length(mail_hash) = 32),
    address text not null,
    subnet text not null,
    credits bigint not null check (credits > 0),
    entry_id bigint not null unique references ledger_entry (id),
    claimed_at timestamptz not null default now()
);

comment on column trial.mail_hash is 'SHA-256 of the mail address without its tags and dots: one trial for all spellings of it';
comment on column trial.address is 'forgotten after a month, with the subnet';

create index trial_recent on trial (claimed_at);

create table referral_link (
    account_id uuid primary key references account (id),
    code text not null unique
);

create table referral (
    account_id uuid primary key references account (id),
    referrer_id uuid not null references account (id),
    address text not null,
    credits bigint not null check (credits > 0),
    refused text not null default '' check (refused in ('', 'mail', 'address', 'many', 'refund')),
    created_at timestamptz not null default now(),
    invoice_id uuid unique references invoice (id),
    earned_at timestamptz,
    entry_id bigint unique references ledger_entry (id),
    check (account_id <> referrer_id),
    check ((invoice_id is null) = (earned_at is null)),
    check (earned_at is null or refused = ''),
    check (entry_id is null or earned_at is not null)
);

comment on column referral.credits is 'what was promised to the referrer when the account was made';
comment on column referral.invoice_id is 'the first paid order of the account: with it the credits are earned';
comment on column referral.entry_id is 'the grant; it comes when the referrer has a plan, for credits without one would be lost';

create index referral_of_referrer on referral (referrer_id, created_at);
create index referral_by_address on referral (address, created_at);
