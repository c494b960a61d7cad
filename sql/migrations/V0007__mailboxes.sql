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
    paused boolean not null default false, -- an operator may have it take nothing new, and go on later
    children jsonb not null default '[]'
) with (fillfactor = 50);

create index worker_seen on worker (seen_at);

create sequence message_pos;

create table message (
    id bigint generated always as identity primary key,
    pos bigint not null default nextval('message_pos'),
    created_at timestamptz not null default now(),
    ready_at timestamptz not null default now(),
    claimed_at timestamptz,
    deadline timestamptz,
    owner uuid,
    state smallint not null default 0 check (state in (0, 1, 2, 3)),
    attempts smallint not null default 0,
    deaths smallint not null default 0,
    max_attempts smallint not null default 5,
    priority smallint not null default 0,
    partition_limit smallint,
    mailbox text not null,
    kind text not null,
    partition text not null default '',
    key text,
    last_error text,
    payload jsonb not null,
    progress jsonb
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0, vacuum_truncate = false);
-- Not truncated: on a table of no pages every plan is a full scan, and plans are kept while the table fills again.

comment on column message.state is '0 waiting, 1 in hand, 2 later, 3 waiting as a suspect that takes no turns';
comment on column message.deaths is 'so many workers died with it in hand; from the second on it is a suspect';
comment on column message.pos is 'orders what waits; a retry takes a new one, so the index grows at one end';

-- What waits, what is in hand and what comes later are found by indexes of their own: a long line costs no more. There are
-- as few as will do, since each one costs every send and every claim.
create unique index message_key on message (mailbox, key) where key is not null;
create index message_waiting on message (mailbox, partition, priority desc, pos) where state = 0;
create index message_later on message (mailbox, state, ready_at) where state >= 2;
create index message_deadline on message (mailbox, deadline) where deadline is not null;
create index message_in_hand on message (mailbox, partition) where state = 1;

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

-- A message that was in hand when its worker died, twice, is a suspect: a worker takes one of them at a time, so that one
-- that kills its worker takes no innocent ones along.
-- Fair: partitions take turns inside a priority, and none exceeds its limit, counted from rows. The mailbox's lock comes
-- first, so that the limits hold among all workers; the next statement has a fresh snapshot. The partitions are
-- found by skipping through the index, so one with a hundred thousand messages costs no more than one with a single one.
create function message_claim(p_mailbox text, p_owner uuid, p_count integer, p_humbly boolean default false)
returns setof message language plpgsql
set plan_cache_mode = force_generic_plan -- to plan it takes longer than to run it
set enable_seqscan = off -- a plan made for an empty table must do for a full one
set enable_bitmapscan = off as $body$
begin
    perform pg_advisory_xact_lock(hashtextextended('mailbox ' || p_mailbox, 0));
    return query
    with recursive waiting as (
        (
            select m.partition, m.partition_limit from message as m
            where m.mailbox = p_mailbox and m.state = 0 and m.partition > ''
            order by m.partition, m.priority desc, m.pos limit 1
        )
        union all
        select n.partition, n.partition_limit
        from waiting as w cross join lateral (
            select m.partition, m.partition_limit from message as m
            where m.mailbox = p_mailbox and m.state = 0 and m.partition > w.partition
            order by m.partition, m.priority desc, m.pos limit 1
        ) as n
    ),
    running as (
        select m.partition, count(*) as n from message as m
        where m.mailbox = p_mailbox and m.state = 1 and m.partition > ''
        group by m.partition
    ),
    -- A partition whose first in line may not start costs one look, however long its line is.
    open as materialized (
        select w.partition, coalesce(r.n, 0) as n
        from waiting as w left join running as r on r.partition = w.partition
        where w.partition_limit is null or coalesce(r.n, 0) < w.partition_limit
    ),
    candidate as (
        select c.id, c.priority, c.pos, c.partition_limit, w.n + c.turn as turn, c.is_suspect,
            row_number() over (partition by c.is_suspect order by c.deaths, c.priority desc, c.pos) as line
        from open as w
        cross join lateral (
            select m.id, m.priority, m.pos, m.partition_limit, m.deaths, m.deaths >= 2 as is_suspect,
                row_number() over (order by m.priority desc, m.pos) as turn
            from message as m
            where m.mailbox = p_mailbox and m.state = 0 and m.partition = w.partition
            order by m.priority desc, m.pos limit p_count
        ) as c
    ),
    chosen as (
        select c.id from candidate as c
        where (c.partition_limit is null or c.turn <= c.partition_limit)
            and (not c.is_suspect or c.line = 1 and not exists (
                select from message as m where m.state = 1 and m.owner = p_owner and m.mailbox = p_mailbox and m.deaths >= 2
            ))
        order by case when p_humbly then c.priority end, c.priority desc, c.turn, c.pos
        limit p_count
    )
    update message as m
    set state = 1, owner = p_owner, attempts = m.attempts + 1, claimed_at = clock_timestamp()
    where m.id = any (array (select c.id from chosen as c)) and (m.state = 0) is true -- else an index on that is taken
    returning m.*;
end
$body$;

-- One message of the group commit, and the wake-up after its commit: a NOTIFY inside the write transaction would have all
-- commits wait for each other, and a statement of its own would be one more way there and back.
-- The actor is woken while the commit is on its way to the disk. WAL is flushed in order, so its claim is durable only when
-- the message is; the sender has its answer after the last commit, which waits for all before it. A key would tell another
-- sender of a message that may still be lost, so with one the first commit waits.
create procedure message_send(
    inout id bigint, p_mailbox text, p_kind text, p_payload jsonb, p_key text, p_partition text, p_limit smallint,
    p_priority smallint, p_max_attempts smallint, p_delay double precision, p_deadline double precision,
    p_channel text, p_told text
) language plpgsql as $body$
begin
    if p_key is null then -- looking for a conflict costs a part of the whole
        if p_told is not null then
            perform set_config('synchronous_commit', 'off', true);
        end if;
        insert into message (
            mailbox, kind, payload, partition, partition_limit, priority, max_attempts, state, ready_at, deadline
        )
        values (
            p_mailbox, p_kind, p_payload, p_partition, p_limit, p_priority, p_max_attempts,
            case when p_delay > 0 then 2 else 0 end, now() + make_interval(secs => p_delay),
            now() + make_interval(secs => p_deadline)
        )
        returning message.id into id;
    else
        insert into message (
            mailbox, kind, payload, key, partition, partition_limit, priority, max_attempts, state, ready_at, deadline
        )
        values (
            p_mailbox, p_kind, p_payload, p_key, p_partition, p_limit, p_priority, p_max_attempts,
            case when p_delay > 0 then 2 else 0 end, now() + make_interval(secs => p_delay),
            now() + make_interval(secs => p_deadline)
        )
        on conflict (mailbox, key) where key is not null do nothing
        returning message.id into id;
    end if;
    if p_told is not null and id is not null then
        commit;
        perform pg_notify(p_channel, p_told);
        if p_key is null then
            commit;
            perform pg_logical_emit_message(true, 'limner', ''); -- a commit that has written nothing would not wait
        end if;
    end if;
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
