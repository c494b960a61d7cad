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

-- Only the owner of the message may start its job, and only one that has not ended; null otherwise. Attempts that a crash
-- left open are closed, but for those whose jobs go on over there (sql/errands.py). The generation comes before the job, as for whoever ends one.
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
    update attempt as a set finished_at = now(), fault = 'timeout_unknown', detail = 'its worker died or let go',
        possible_micros = (select m.cost_micros from model as m where m.id = a.model_id)
    where a.job_id = p_job and a.finished_at is null and not a.is_resumable;
    return p_job;
end
$body$;

-- Pictures whose bytes are durable: for each the attempt's end, the image row, the charge, the end of the job and of its
-- message, and the order for a small copy. Those that are not returned had lost their fence, and nothing of them is
-- written. Who ends jobs of several generations takes the locks in the order of their ids, then those of the balances.
create function pictures_deliver(p_pictures jsonb)
returns table (job_id uuid, generation_id uuid, thread_id uuid, is_over boolean)
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
        update attempt set finished_at = now(), cost_micros = p.cost_micros,
            upstream_ref = coalesce(p.upstream_ref, upstream_ref)
        where id = p.attempt_id and finished_at is null;
        delete from preview where job_id = p.job_id;
        insert into message (mailbox, kind, payload)
        values ('framing', 'FramePicture', jsonb_build_object('image_id', image));

        job_id := p.job_id;
        generation_id := p.generation_id;
        select s.thread_id, s.is_over into thread_id, is_over from generation_settle(p.generation_id) as s;
        return next;
    end loop;
end
$body$;
