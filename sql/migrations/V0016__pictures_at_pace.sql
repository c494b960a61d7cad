/* pgmigrate-encoding: utf-8 */
-- From the claim to "delivered" with few ways to the database and few commits; the small copy follows behind.
-- Only adds: images that do not know these functions go on with their own statements.

alter table image add column thumbed_at timestamptz default now();

comment on column image.thumbed_at is
'when its small copy was put under thumb_key; null: it is to come. By default at once: older images make it beforehand';

-- A generation's state follows from its jobs. The caller has it locked.
create function generation_settle(p_generation uuid, out thread_id uuid, out is_over boolean)
language sql
set plan_cache_mode = force_generic_plan as $body$
update generation as g set changed_at = now(), state = case
        when c.delivered + c.failed + c.canceled < c.all_of_them then case when c.running > 0 or c.delivered > 0
            then 'running' else 'queued' end
        when c.delivered > 0 then 'delivered' when c.failed > 0 then 'failed' else 'canceled' end,
    reason = case
        when c.delivered + c.failed + c.canceled < c.all_of_them then ''
        when c.delivered = c.all_of_them then ''
        when c.delivered > 0 then c.delivered || ' of ' || c.all_of_them || ' arrived; only those were charged'
        else coalesce(c.why, '') end
from (
    select count(*) as all_of_them, count(*) filter (where state = 'delivered') as delivered,
        count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'canceled') as canceled,
        count(*) filter (where state = 'running') as running, min(reason) filter (where reason <> '') as why
    from job where generation_id = p_generation
) as c
where g.id = p_generation
returning g.thread_id, g.state in ('delivered', 'failed', 'canceled')
$body$;

-- Attempts that were left open and cannot be asked for again: their outcome will never be known.
create function attempts_let_go(p_job uuid) returns void language sql
set plan_cache_mode = force_generic_plan as $body$
update attempt as a set finished_at = now(), fault = 'timeout_unknown', detail = 'its worker died or let go',
    possible_micros = (select m.cost_micros from model as m where m.id = a.model_id)
where a.job_id = p_job and a.finished_at is null and not a.is_resumable
$body$;

-- The upstream took the key and the order: what was held against the key, its group, its proxy and its route, and had its
-- time, is over. A rest that began after this attempt stays: the provider said how long. Money that came back to one key of
-- an account is there for the others; each of them goes on trial. Returns the keys that changed: none, nearly always.
create function attempt_answered(
    p_attempt bigint, p_fault text, p_detail text, p_cost bigint, p_possible bigint, p_ref text
) returns setof bigint language plpgsql
set plan_cache_mode = force_generic_plan as $body$
declare
    d record;
begin
    update attempt set finished_at = now(), fault = p_fault, detail = p_detail, cost_micros = p_cost,
        possible_micros = p_possible, upstream_ref = coalesce(p_ref, upstream_ref)
    where id = p_attempt and finished_at is null
    returning key_id, proxy_id, model_id, started_at into d;
    if not found then
        return;
    end if;
    perform from provider_key as k
    where k.id = d.key_id and k.state = 'active' and k.failures = 0
        and not exists (select from key_rest as r where r.key_id = k.id and r.model_id = d.model_id)
        and not exists (select from group_rest as g where g.provider_id = k.provider_id and g.account_group = k.account_group)
        and not exists (select from route_rest as r where r.key_id = k.id)
        and not exists (select from proxy as x where x.id = d.proxy_id and x.state <> 'active');
    if found then
        return;
    end if;

    delete from route_rest as r
    where r.key_id = d.key_id and r.proxy_id = coalesce(d.proxy_id, 0) and r.until <= d.started_at;
    update proxy as x set state = 'active', why = 'it carried a picture again', failures = 0, rests_until = null
    where x.id = d.proxy_id and x.state = 'cooldown' and x.rests_until <= d.started_at;
    delete from group_rest as g using provider_key as k
    where k.id = d.key_id and g.provider_id = k.provider_id and g.account_group = k.account_group
        and g.model_id = d.model_id and g.until <= d.started_at;
    return query
    with rested as (
        delete from key_rest as r where r.key_id = d.key_id and r.model_id = d.model_id and r.until <= d.started_at
        returning r.key_id
    ),
    freed as (
        update provider_key as k set state = 'active', failures = 0, rests_until = null,
            why = case when k.state = 'cooldown' then 'it painted again' else k.why end
        where k.id = d.key_id and (
            k.state = 'active' and k.failures > 0 or k.state = 'cooldown' and k.rests_until <= d.started_at
        )
        returning k.id
    ),
    siblings as (
        update provider_key as s set state = 'cooldown', why = 'another key of its account painted again',
            rests_until = now(), probe_at = null
        from provider_key as k
        where k.id = d.key_id and k.state = 'cooldown' and k.rests_until <= d.started_at
            and s.provider_id = k.provider_id and s.account_group = k.account_group and k.account_group <> ''
            and s.id <> k.id and s.state = 'out_of_funds' and s.returns_by_probe
        returning s.id
    )
    select id from freed union select key_id from rested union select id from siblings;
end
$body$;

-- Only the owner of the message may start its job, and only one that has not ended; null otherwise. What a crash
-- left open is closed, unless it can be asked for. The generation comes before the job, as for whoever ends one.
-- Nothing hangs on this commit alone: an attempt is on the disk before its painter is asked, and this with it.
create function job_start(p_job uuid, p_message bigint, p_owner uuid, p_attempt smallint) returns uuid
language plpgsql
set plan_cache_mode = force_generic_plan as $body$
declare
    whole uuid;
begin
    select j.generation_id into whole from job as j
    where j.id = p_job and j.state in ('queued', 'running')
        and exists (select from message as m where m.id = p_message and m.owner = p_owner and m.attempts = p_attempt);
    if not found then
        return null;
    end if;
    perform set_config('synchronous_commit', 'off', true);
    update generation set state = 'running', changed_at = now() where id = whole and state = 'queued';
    update job set state = 'running', started_at = coalesce(started_at, now()), line = 'painting', waits_until = null
    where id = p_job and state in ('queued', 'running');
    if not found then
        return null;
    end if;
    perform attempts_let_go(p_job);
    return p_job;
end
$body$;

-- Pictures whose bytes are durable: for each the attempt's end, the image row, the charge, the end of the job and of its
-- message, and the order for a small copy. Those that are not returned had lost their fence, and nothing of them is
-- written. Who ends jobs of several generations takes the locks in the order of their ids, then those of the balances.
create function pictures_deliver(p_pictures jsonb)
returns table (job_id uuid, is_over boolean, changed_keys bigint [])
language plpgsql
set plan_cache_mode = force_generic_plan as $body$
#variable_conflict use_column
declare
    p record;
    image uuid;
begin
    perform from generation where id = any (array(
        select (t.item ->> 'generation_id')::uuid from jsonb_array_elements(p_pictures) as t (item)
    )) order by id for update;
    for p in
        select * from jsonb_to_recordset(p_pictures) as t (
            job_id uuid, generation_id uuid, account_id uuid, message_id bigint, owner uuid, fence smallint,
            attempt_id bigint, cost_micros bigint, upstream_ref text,
            storage_key text, thumb_key text, sha256 text, mime text, width integer, height integer, bytes bigint
        ) order by t.account_id, t.job_id
    loop
        with mine as (
            delete from message where id = p.message_id and owner = p.owner and attempts = p.fence
                and exists (select from job where id = p.job_id and state = 'running')
            returning id
        )
        update job set state = 'delivered', reason = '', line = '', percent = null, waits_until = null, finished_at = now()
        where id = p.job_id and exists (select from mine);
        continue when not found;

        insert into image (
            job_id, account_id, generation_id, storage_key, thumb_key, sha256, mime, width, height, bytes, thumbed_at
        )
        values (
            p.job_id, p.account_id, p.generation_id, p.storage_key, p.thumb_key, p.sha256, p.mime, p.width, p.height,
            p.bytes, null
        )
        returning id into image;
        insert into ledger_entry (account_id, job_id, kind, credits, why)
        select r.account_id, p.job_id, 'settle', r.credits, 'picture delivered'
        from ledger_entry as r where r.job_id = p.job_id and r.kind = 'reserve';
        if not found then
            raise exception 'job % has no reserve to settle', p.job_id using errcode = 'integrity_constraint_violation';
        end if;
        changed_keys := array(select t.id from attempt_answered(p.attempt_id, null, '', p.cost_micros, 0, p.upstream_ref) as t (id));
        delete from preview where job_id = p.job_id;
        insert into message (mailbox, kind, payload)
        values ('framing', 'FramePicture', jsonb_build_object('image_id', image));

        job_id := p.job_id;
        select s.is_over into is_over from generation_settle(p.generation_id) as s;
        return next;
    end loop;
end
$body$;
