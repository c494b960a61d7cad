/* pgmigrate-encoding: utf-8 */
-- Pictures shown to others: links, the public wall, reports of what should not be there, and take-downs.

alter table image add column taken_down_at timestamptz;

comment on column image.taken_down_at is 'hidden from all eyes by an admin; the bytes stay until retention, so that it can be restored';

-- Who did it stands in the audit, under "image <id>".
create table takedown (
    id bigint generated always as identity primary key,
    image_id uuid not null references image (id),
    reason text not null check (length(reason) between 1 and 500),
    taken_at timestamptz not null default now(),
    restored_at timestamptz,
    restore_reason text not null default ''
);

comment on column takedown.reason is 'its owner reads it';

create unique index takedown_open on takedown (image_id) where restored_at is null;
create index takedown_recent on takedown (taken_at, id);

create table share (
    id uuid primary key default gen_random_uuid(),
    image_id uuid not null references image (id),
    account_id uuid not null references account (id),
    code text not null unique check (length(code) >= 22),
    shows_prompt boolean not null default false,
    caption text not null default '' check (length(caption) <= 200),
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

comment on table share is 'a link to a picture for whoever has it; a revoked one says so for a year, then it is forgotten';
comment on column share.code is 'at least 128 random bits; kept as it is, for its owner wants to copy it again';

create unique index share_open on share (image_id) where revoked_at is null;
create index share_of_account on share (account_id, created_at);
create index share_of_image on share (image_id);
create index share_revoked on share (revoked_at) where revoked_at is not null;

create table wall_offer (
    id bigint generated always as identity primary key,
    share_id uuid not null references share (id) on delete cascade,
    image_id uuid not null references image (id),
    account_id uuid not null references account (id),
    display_name text not null default '' check (length(display_name) <= 40),
    state text not null default 'waiting' check (state in ('waiting', 'shown', 'refused', 'taken_off', 'withdrawn')),
    reason text not null default '' check (length(reason) <= 500),
    offered_at timestamptz not null default now(),
    decided_at timestamptz
);

comment on column wall_offer.reason is 'why it was refused or taken off; its owner reads it';

-- What an admin refused or took off is not offered again; what its owner withdrew may be.
create unique index wall_offer_once on wall_offer (image_id) where state <> 'withdrawn';
create index wall_offer_recent on wall_offer (state, offered_at, id);
create index wall_offer_shown on wall_offer (decided_at, id) where state = 'shown';
create index wall_offer_of_share on wall_offer (share_id);
create index wall_offer_of_image on wall_offer (image_id);
create index wall_offer_of_account on wall_offer (account_id);

create table report (
    id bigint generated always as identity primary key,
    image_id uuid not null references image (id),
    kind text not null check (kind in ('illegal', 'sexual', 'violence', 'hate', 'person', 'rights', 'other')),
    words text not null default '' check (length(words) <= 1000),
    address text not null default '',
    account_id uuid references account (id),
    times integer not null default 1 check (times > 0),
    created_at timestamptz not null default now(),
    last_at timestamptz not null default now(),
    settled_at timestamptz,
    outcome text check (outcome in ('dismissed', 'taken_down', 'gone')),
    reason text not null default '' check (length(reason) <= 500),
    check ((settled_at is null) = (outcome is null))
);

comment on column report.address is 'where it came from; forgotten a month after it is settled';
comment on column report.times is 'the same household again, while nobody has settled it';
comment on column report.outcome is 'gone: the picture was deleted, by its owner or by retention';

create unique index report_once on report (image_id, address) where settled_at is null and address <> '';
create index report_open on report (image_id) where settled_at is null;
create index report_settled on report (settled_at, image_id) where settled_at is not null;
create index report_of_account on report (account_id) where account_id is not null;
create index report_of_image on report (image_id);

-- What waits for an admin, for whoever watches over the place.
create function reports_waiting(out pictures bigint, out oldest timestamptz) language sql stable as $body$
select count(distinct image_id), min(created_at) from report where settled_at is null
$body$;

create function wall_waiting(out pictures bigint, out oldest timestamptz) language sql stable as $body$
select count(*), min(offered_at) from wall_offer where state = 'waiting'
$body$;

-- Whoever deletes a picture, in whatever way: its links end, it leaves the wall, and nobody need look at it any more.
create function image_leaves() returns trigger language plpgsql as $body$
begin
    update share set revoked_at = coalesce(revoked_at, now()), caption = '', shows_prompt = false where image_id = new.id;
    delete from wall_offer where image_id = new.id;
    update report set settled_at = now(), outcome = 'gone' where image_id = new.id and settled_at is null;
    return null;
end
$body$;

create trigger image_leaves after update of deleted_at on image
for each row when (old.deleted_at is null and new.deleted_at is not null) execute function image_leaves();
