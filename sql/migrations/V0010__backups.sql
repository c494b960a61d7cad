/* pgmigrate-encoding: utf-8 */
-- What the archivist did: copies made, copies tried out, copies put back.

create table backup_run (
    id bigint generated always as identity primary key,
    kind text not null check (kind in ('backup', 'drill', 'restore', 'base')),
    state text not null default 'running' check (state in ('running', 'done', 'failed')),
    name text not null default '',
    bytes bigint not null default 0 check (bytes >= 0),
    why text not null default '',
    started_at timestamptz not null default now(),
    ended_at timestamptz,
    check ((state = 'running') = (ended_at is null))
);

comment on column backup_run.kind is 'base: what a recovery to a moment starts from';
comment on column backup_run.name is 'of the copy that was made, tried out or put back';

create index backup_run_recent on backup_run (kind, started_at);
create index backup_run_good on backup_run (kind, ended_at) where state = 'done';

-- How many rows each durable table has, as the caller's snapshot sees it: a copy is compared with that.
create function table_counts() returns table (name text, n bigint) language plpgsql stable as $body$
begin
    for name in
        select c.relname from pg_class as c
        where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relpersistence = 'p' order by c.relname
    loop
        execute format('select count(*) from public.%I', name) into n;
        return next;
    end loop;
end
$body$;
