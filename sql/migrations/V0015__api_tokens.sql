/* pgmigrate-encoding: utf-8 */
-- Orders from programs: tokens with caps, what each has spent, and how often an account may ask.
-- Only adds: images that do not know these columns leave them empty.

comment on column generation.idempotency_key is 'what the caller named the order; the same name gives the same order';

-- The token carries 256 random bits; only its sha256 is kept. Rows stay when a token is revoked.
create table api_token (
    id uuid primary key default gen_random_uuid(),
    account_id uuid not null references account (id),
    name text not null check (length(name) between 1 and 80),
    token_hash bytea not null unique check (length(token_hash) = 32),
    last_four text not null,
    scopes text [] not null check (scopes <@ '{images:write,images:read,models:read}' and cardinality(scopes) > 0),
    credits_per_day bigint check (credits_per_day > 0),
    credits_per_month bigint check (credits_per_month > 0),
    models text [],
    networks cidr [],
    expires_at timestamptz,
    last_used_at timestamptz,
    last_used_ip text not null default '',
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

comment on column api_token.models is 'null: every model of the plan';
comment on column api_token.networks is 'from where it may be used; null: from anywhere';

create index api_token_of_account on api_token (account_id, created_at);

create table api_token_use (
    token_id uuid not null references api_token (id),
    day date not null,
    credits bigint not null default 0 check (credits >= 0),
    primary key (token_id, day)
);

comment on table api_token_use is 'credits held and spent by orders of a day, in UTC; what was released is taken off again';

-- No foreign key: the first order of each day is checked by the one of api_token_use, and the rest cost nothing.
alter table generation add column api_token_id uuid;

comment on column generation.api_token_id is 'the token that ordered it; null: a person did';

-- After ledger_apply, so under the lock of the account's balance: orders of one token come here one after another, and
-- none sees an old sum.
create function api_token_spend() returns trigger language plpgsql as $body$
declare
    token uuid;
    ordered date;
    change bigint := case new.kind when 'reserve' then new.credits else -new.credits end;
    today bigint;
    caps record;
begin
    select g.api_token_id, (g.created_at at time zone 'utc')::date into token, ordered
    from job as j join generation as g on g.id = j.generation_id where j.id = new.job_id;
    if token is null then
        return null;
    end if;
    insert into api_token_use as u (token_id, day, credits) values (token, ordered, greatest(change, 0))
    on conflict (token_id, day) do update set credits = u.credits + change
    returning u.credits into today;
    if new.kind <> 'reserve' then
        return null;
    end if;
    select credits_per_day as a_day, credits_per_month as a_month into caps from api_token where id = token;
    if today > caps.a_day then
        raise exception 'token % may spend % credits a day', token, caps.a_day
            using errcode = 'check_violation', constraint = 'api_token_day';
    end if;
    if caps.a_month is not null and caps.a_month < (
        select sum(u.credits) from api_token_use as u
        where u.token_id = token and u.day >= date_trunc('month', ordered)::date
    ) then
        raise exception 'token % may spend % credits a month', token, caps.a_month
            using errcode = 'check_violation', constraint = 'api_token_month';
    end if;
    return null;
end
$body$;

create trigger api_token_spend after insert on ledger_entry
for each row when (new.kind in ('reserve', 'release', 'refund')) execute function api_token_spend();

-- How often an account's programs may ask. Unlogged: written by each request, and a crash may forget it.
create unlogged table api_rate (
    account_id uuid primary key,
    left_over double precision not null,
    touched_at timestamptz not null default now()
) with (fillfactor = 50);
