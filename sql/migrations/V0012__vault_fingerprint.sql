/* pgmigrate-encoding: utf-8 */
-- Which keys this database has been used with: their fingerprints, never the keys. A process with other keys is told so
-- before it fails to open a first secret; a rotation knows which of two keys is the newer, and which process holds it.

create table fingerprint (
    kind text not null check (kind in ('vault', 'session')),
    digits text not null check (digits ~ '^[0-9a-f]{16}$'),
    name text not null default '',
    known_since timestamptz not null default now(),
    retired_at timestamptz,
    primary key (kind, digits)
);

comment on column fingerprint.name is 'the id of a vault key; a session key has none';

alter table worker add column holds text [] not null default '{}';

comment on column worker.holds is 'kind:digits of the keys it was started with, those that sign and seal first';
