/* pgmigrate-encoding: utf-8 */
-- Durable mailboxes: a message is a row, owned by a worker that is alive or by nobody. NOTIFY only wakes.

create table worker (
    id uuid primary key,
    role text not null,
    host text not null,
    pid integer not null,
    started_at timestamptz not null default now(),
    seen_at timestamptz not null default now(),
    state text not null default 'running' check (state in ('running', 'degraded', 'draining', 'stopped')),
    children jsonb not null default '[]'
) with (fillfactor = 50);

create index worker_seen on worker (seen_at);

create table message (
    id bigint generated always as identity primary key,
    created_at timestamptz not null default now(),
    ready_at timestamptz not null default now(),
    claimed_at timestamptz,
    deadline timestamptz,
    owner uuid,
    attempts smallint not null default 0,
    max_attempts smallint not null default 5,
    priority smallint not null default 0,
    partition_limit smallint,
    mailbox text not null,
    kind text not null,
    partition text not null default '',
    key text,
    last_error text,
    payload jsonb not null
);

create unique index message_key on message (mailbox, key) where key is not null;
create index message_ready on message (mailbox, ready_at) where owner is null;
create index message_owned on message (owner) where owner is not null;

create table dead_letter (
    id bigint primary key,
    mailbox text not null,
    kind text not null,
    partition text not null,
    key text,
    attempts smallint not null,
    reason text not null,
    payload jsonb not null,
    created_at timestamptz not null,
    died_at timestamptz not null default now()
);

create index dead_letter_recent on dead_letter (died_at);

-- A claim takes the mailbox's lock first, so that the limits, counted from rows, hold among all workers.
-- plpgsql and not one statement: after the lock, the second statement has a fresh snapshot.
-- A message that was begun twice already is a suspect: a worker owns one of them at a time, so that one which kills its
-- worker cannot take the attempts of others along.
create function message_claim(p_mailbox text, p_owner uuid, p_count integer)
returns setof message language plpgsql as $body$
begin
    perform pg_advisory_xact_lock(hashtextextended('mailbox ' || p_mailbox, 0));
    return query
    with running as (
        select m.partition, count(*) as n
        from message as m
        where m.mailbox = p_mailbox and m.owner is not null
        group by m.partition
    ),
    waiting as (
        select m.id, m.priority, m.partition, m.partition_limit,
            row_number() over (partition by m.partition order by m.priority desc, m.ready_at, m.id) as turn,
            m.attempts >= 2 as is_suspect,
            row_number() over (partition by m.attempts >= 2 order by m.attempts, m.priority desc, m.ready_at, m.id) as line
        from message as m
        where m.mailbox = p_mailbox and m.owner is null and m.ready_at <= clock_timestamp()
    ),
    chosen as (
        select w.id
        from waiting as w
        left join running as r on r.partition = w.partition
        where (w.partition_limit is null or coalesce(r.n, 0) + w.turn <= w.partition_limit)
            and (not w.is_suspect or w.line = 1 and not exists (
                select from message as m where m.owner = p_owner and m.mailbox = p_mailbox and m.attempts > 2
            ))
        order by w.priority desc, coalesce(r.n, 0) + w.turn, w.id
        limit p_count
    )
    update message as m
    set owner = p_owner, attempts = m.attempts + 1, claimed_at = clock_timestamp()
    from chosen
    where m.id = chosen.id and m.owner is null
    returning m.*;
end
$body$;

-- Who may do a thing that only one may do: poll Telegram, keep the schedule.
create table lease (
    name text primary key,
    owner uuid not null,
    expires_at timestamptz not null
);

create table schedule (
    name text primary key,
    last_at timestamptz not null
);
