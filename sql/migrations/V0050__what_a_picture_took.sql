/* pgmigrate-encoding: utf-8 */
-- The tokens that an upstream says a picture took, and the content rules that it names where it paints none. Only adds:
-- images that do not know these tell of none.

alter table attempt add column categories text [];
alter table image add column usage jsonb;

comment on column attempt.categories is 'of the content rules that the upstream names, those that may be shown; null: it named none';
comment on column image.usage is 'tokens in OpenAI''s form, as the upstream told them (sql/usages.py); null: it told none';

-- Pictures whose bytes are durable: for each the attempt's end, the image row, the charge, the end of the job and of its
-- message, and the order for a small copy. Those that are not returned had lost their fence, and nothing of them is
-- written. Who ends jobs of several generations takes the locks in the order of their ids, then those of the balances.
-- As before, but that it keeps the usage, if there is any.
create or replace function pictures_deliver(p_pictures jsonb)
returns table (job_id uuid, is_over boolean, changed_keys bigint [])
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off -- its plans are made while the tables are new and small, and kept
as $body$
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
            storage_key text, thumb_key text, sha256 text, mime text, width integer, height integer, bytes bigint, usage jsonb
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
            job_id, account_id, generation_id, storage_key, thumb_key, sha256, mime, width, height, bytes, thumbed_at,
            usage
        )
        values (
            p.job_id, p.account_id, p.generation_id, p.storage_key, p.thumb_key, p.sha256, p.mime, p.width, p.height,
            p.bytes, null, p.usage
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
        -- It is done behind everything else, so it may be in hand at the deaths of many workers, and kills none of them.
        insert into message (mailbox, kind, payload, max_attempts)
        values ('framing', 'FramePicture', jsonb_build_object('image_id', image), 20);

        job_id := p.job_id;
        select s.is_over into is_over from generation_settle(p.generation_id) as s;
        return next;
    end loop;
end
$body$;
