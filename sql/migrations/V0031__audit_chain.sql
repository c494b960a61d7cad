/* pgmigrate-encoding: utf-8 */
-- Trust: who may do what, and that it is known who did.
-- The audit becomes a chain: each row, and each later change that erasure makes to one, is a link with the hash of the content
-- and of the link before. Nothing of it is written by code: what an image of before writes is chained, too.

-- What a link says of its row stays, whatever becomes of the row. Whose name is taken out of a row gets another link for what is
-- left, and the salt of the older ones goes: without it nobody can try addresses against a hash.
create table audit_link (
    seq bigint primary key check (seq > 0),
    audit_id bigint not null,
    salt bytea,
    content bytea not null check (length(content) = 32),
    hash bytea not null check (length(hash) = 32)
);

comment on column audit_link.content is 'sha256(salt || audit_words(row))';
comment on column audit_link.hash is 'sha256(hash of the link before || seq || audit_id || content), the numbers as 8 bytes, highest first';

create index audit_link_of_row on audit_link (audit_id, seq);

-- A row as it is hashed: the same whatever the session's time zone is.
create function audit_words(p_row audit) returns text language sql stable as $body$
select jsonb_build_array(
    p_row.id, p_row.actor, p_row.action, p_row.subject, p_row.before, p_row.after, p_row.ip,
    (extract(epoch from p_row.created_at) * 1000000)::bigint
)::text
$body$;

create function audit_hash(p_before bytea, p_seq bigint, p_audit_id bigint, p_content bytea) returns bytea
language sql immutable as $body$
select sha256(p_before || int8send(p_seq) || int8send(p_audit_id) || p_content)
$body$;

create function audit_append(p_row audit) returns void language plpgsql as $body$
declare
    head audit_link;
    v_salt bytea := uuid_send(gen_random_uuid());
    v_content bytea := sha256(v_salt || convert_to(audit_words(p_row), 'UTF8'));
    v_seq bigint;
begin
    select * into head from audit_link order by seq desc limit 1;
    v_seq := coalesce(head.seq, 0) + 1;
    insert into audit_link (seq, audit_id, salt, content, hash)
    values (v_seq, p_row.id, v_salt, v_content, audit_hash(coalesce(head.hash, ''), v_seq, p_row.id, v_content));
end
$body$;

-- Called as the transaction commits, when it has all its other locks: writers wait for each other that long, and never for ever.
create function audit_chain() returns trigger language plpgsql as $body$
begin
    perform pg_advisory_xact_lock(hashtextextended('audit', 0));
    if tg_op = 'UPDATE' then
        update audit_link set salt = null where audit_id = new.id and salt is not null;
    end if;
    perform audit_append(new);
    return null;
end
$body$;

create function refuse_link_change() returns trigger language plpgsql as $body$
begin
    if tg_op = 'UPDATE' and pg_trigger_depth() > 1 then
        old.salt := null;
        if new is not distinct from old then
            return new;
        end if;
    end if;
    raise exception '% is append-only: add a correcting row instead', tg_table_name
        using errcode = 'integrity_constraint_violation';
end
$body$;

create trigger audit_link_append_only before update or delete on audit_link
for each row execute function refuse_link_change();
create trigger audit_link_never_truncated before truncate on audit_link
for each statement execute function refuse_link_change();

-- What is there already, first without keeping writers from writing, then what they wrote meanwhile.
create function audit_chain_old() returns void language plpgsql as $body$
declare
    v_row audit;
begin
    for v_row in select * from audit order by id loop
        perform audit_append(v_row);
    end loop;
end
$body$;

create function audit_chain_since(p_since xid8) returns void language plpgsql as $body$
declare
    v_row audit;
begin
    for v_row in
        select (a).* from audit as a
        left join lateral (select * from audit_link where audit_id = a.id order by seq desc limit 1) as l on true
        where age(a.xmin) <= age(p_since::xid)
            and (l.seq is null or l.content <> sha256(l.salt || convert_to(audit_words(a), 'UTF8')))
        order by a.id
    loop
        perform audit_append(v_row);
    end loop;
end
$body$;

select set_config('limner.audit_since', pg_snapshot_xmin(pg_current_snapshot())::text, true);
select audit_chain_old();
lock table audit in share row exclusive mode;
select audit_chain_since(current_setting('limner.audit_since')::xid8);
-- Made a moment ago, for this alone.
-- squawk-ignore ban-drop-function
drop function audit_chain_old(), audit_chain_since(xid8);

create constraint trigger audit_chained after insert or update on audit
deferrable initially deferred for each row execute function audit_chain();

-- An admin sees the studio as somebody does, for a while: their own session stays, and nothing can be changed meanwhile. An image
-- of before knows nothing of it, and goes on as the admin.
create table visit (
    id uuid primary key default gen_random_uuid(),
    session_id uuid not null,
    admin_id uuid not null references account (id),
    account_id uuid not null references account (id),
    began_at timestamptz not null default now(),
    until timestamptz not null,
    ended_at timestamptz,
    check (admin_id <> account_id),
    check (until <= began_at + interval '15 minutes')
);

comment on column visit.session_id is 'the admin''s; the visit is over when it is';

create unique index visit_open on visit (session_id) where ended_at is null;
create index visit_of_account on visit (account_id, began_at);

create table known_place (
    account_id uuid not null references account (id) on delete cascade,
    device text not null,
    network text not null,
    seen_at timestamptz not null default now(),
    primary key (account_id, device, network)
);

comment on table known_place is 'from where somebody has come in, as far as that makes a difference: browser and system, network';

create index known_place_age on known_place (seen_at);

alter table account add column wants_sign_in_mail boolean not null default true;
comment on column account.wants_sign_in_mail is 'a mail when somebody comes in from a device and a place that were not seen before';

alter table refund add column period_taken interval;
comment on column refund.period_taken is 'by how much the end of the plan came sooner: the month that it was for is not had';

alter table referral add column taken_credits bigint check (taken_credits between 0 and credits);
comment on column referral.taken_credits is 'what was taken back of the thanks when the order was paid back; null: it was not';
