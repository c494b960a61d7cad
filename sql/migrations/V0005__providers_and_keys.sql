/* pgmigrate-encoding: utf-8 */
-- Who paints, with which keys, through which proxies.

create table provider (
    id bigint generated always as identity primary key,
    code text not null unique check (code ~ '^[a-z0-9-]{1,40}$'),
    kind text not null,
    base_url text not null default '',
    active boolean not null default true,
    created_at timestamptz not null default now()
);

comment on column provider.kind is 'names the adapter in actors/providers';

create table model (
    id text primary key check (id ~ '^[a-z0-9][a-z0-9._-]{0,79}$'),
    provider_id bigint not null references provider (id),
    upstream_id text not null,
    name text not null,
    abilities text [] not null default '{text}',
    sizes text [] not null default '{1024x1024}',
    credits bigint not null default 1 check (credits > 0),
    cost_micros bigint not null default 0 check (cost_micros >= 0),
    active boolean not null default true,
    sort smallint not null default 0,
    retires_at timestamptz,
    replacement text references model (id),
    created_at timestamptz not null default now()
);

comment on column model.cost_micros is 'what one picture costs us, in millionths of a US dollar, when the provider does not say';

create table proxy (
    id bigint generated always as identity primary key,
    label text not null,
    sealed_url text not null,
    state text not null default 'active' check (state in ('active', 'cooldown', 'disabled')),
    rests_until timestamptz,
    failures integer not null default 0,
    backup_id bigint references proxy (id),
    created_at timestamptz not null default now()
);

create table provider_key (
    id bigint generated always as identity primary key,
    provider_id bigint not null references provider (id),
    label text not null,
    sealed_secret text not null default '',
    fingerprint text not null,
    last_four text not null default '',
    account_group text not null default '',
    switch text not null default '',
    weight integer not null default 1 check (weight between 1 and 1000),
    concurrency integer not null default 2 check (concurrency between 1 and 1000),
    state text not null default 'active'
    check (state in ('active', 'cooldown', 'out_of_funds', 'manual_review', 'disabled')),
    why text not null default '',
    rests_until timestamptz,
    failures integer not null default 0,
    last_used_at timestamptz,
    proxy_id bigint references proxy (id),
    may_go_direct boolean not null default false,
    balance_micros bigint,
    created_at timestamptz not null default now(),
    unique (provider_id, fingerprint)
);

comment on column provider_key.account_group is 'keys of one billing account run dry together';
comment on column provider_key.failures is 'retryable failures in a row, over recovery cycles';
comment on column provider_key.switch is 'how the simulator and the demo painter behave with this key';

-- A key may be tired of one model and fresh for the next.
create table key_rest (
    key_id bigint not null references provider_key (id) on delete cascade,
    model_id text not null references model (id),
    until timestamptz not null,
    cause text not null,
    primary key (key_id, model_id)
);

-- Every change of a key's state, with its cause.
create table key_event (
    id bigint generated always as identity primary key,
    key_id bigint not null references provider_key (id) on delete cascade,
    state_before text not null,
    state_after text not null,
    cause text not null,
    created_at timestamptz not null default now()
);

create index key_event_of_key on key_event (key_id, id);

create function key_state_changed() returns trigger language plpgsql as $body$
begin
    insert into key_event (key_id, state_before, state_after, cause)
    values (new.id, old.state, new.state, new.why);
    return null;
end
$body$;

create trigger key_state_changed after update of state on provider_key
for each row when (old.state is distinct from new.state) execute function key_state_changed();
