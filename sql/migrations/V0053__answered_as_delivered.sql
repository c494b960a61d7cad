/* pgmigrate-encoding: utf-8 */
-- Whoever delivers a picture knows all that its program is answered, and tells it: nobody has to look once more. Images of
-- before go on with pictures_deliver, which does the same and returns less.

-- Pictures whose bytes are durable: for each the attempt's end, the image row, the charge, the end of the job and of its
-- message, and the order for a small copy. Those that are not returned had lost their fence, and nothing of them is
-- written. Who ends jobs of several generations takes the locks in the order of their ids, then those of the balances.
-- alone: what is to be known, beside the picture itself, for the answer to a program whose order had this one alone.
create function pictures_hand_over(p_pictures jsonb)
returns table (job_id uuid, is_over boolean, changed_keys bigint [], alone jsonb)
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off -- plans that are made while the tables are new and small must do for full ones
set enable_hashjoin = off
set enable_mergejoin = off as $body$
#variable_conflict use_column
declare
    done uuid[];
    kept jsonb;
    n integer;
begin
    perform from generation where id = any (array(
        select (t.item ->> 'generation_id')::uuid from jsonb_array_elements(p_pictures) as t (item)
    )) order by id for update;

    with mine as (
        delete from message as m
        using jsonb_to_recordset(p_pictures) as p (job_id uuid, message_id bigint, owner uuid, fence smallint)
        cross join lateral (select state from job where id = p.job_id offset 0) as j
        where m.id = p.message_id and m.owner = p.owner and m.attempts = p.fence and j.state = 'running'
        returning p.job_id
    ),
    ended as (
        update job set state = 'delivered', reason = '', line = '', percent = null, waits_until = null, finished_at = now()
        where id = any(array(select mine.job_id from mine))
        returning id
    )
    select array_agg(id) into done from ended;
    if done is null then
        return;
    end if;
    kept := (
        select jsonb_agg(t.item) from jsonb_array_elements(p_pictures) as t (item) where (t.item ->> 'job_id')::uuid = any(done)
    );

    with images as (
        insert into image (
            job_id, account_id, generation_id, storage_key, thumb_key, sha256, mime, width, height, bytes, thumbed_at, usage
        )
        select p.job_id, p.account_id, p.generation_id, p.storage_key, p.thumb_key, p.sha256, p.mime, p.width, p.height, p.bytes,
            null, p.usage
        from jsonb_to_recordset(kept) as p (
            job_id uuid, account_id uuid, generation_id uuid, storage_key text, thumb_key text, sha256 text, mime text,
            width integer, height integer, bytes bigint, usage jsonb
        )
        returning id
    )
    -- It is done behind everything else, so it may be in hand at the deaths of many workers, and kills none of them.
    insert into message (mailbox, kind, payload, max_attempts)
    select 'framing', 'FramePicture', jsonb_build_object('image_id', images.id), 20 from images;

    delete from preview where job_id = any(done);

    return query
    with p as materialized (
        select * from jsonb_to_recordset(kept) as t (job_id uuid, generation_id uuid, attempt_id bigint, cost_micros bigint, upstream_ref text)
    ),
    painted as materialized (
        select * from attempts_painted(
            array(select attempt_id from p order by job_id), array(select cost_micros from p order by job_id),
            array(select upstream_ref from p order by job_id)
        )
    ),
    settled as materialized (select * from generations_settle(array(select generation_id from p)))
    select p.job_id, s.is_over, array(select c.key_id from painted as c where c.attempt_id = p.attempt_id), (
            select jsonb_build_object(
                'token_id', g.api_token_id, 'created_at', g.created_at, 'changed_at', now(),
                'image_id', (select i.id from image as i where i.job_id = p.job_id),
                'credits', (select j.credits from job as j where j.id = p.job_id),
                'is_heard', exists (
                    select from (
                        select account_id from api_token as t
                        where t.id = g.api_token_id and t.revoked_at is null
                            and (t.expires_at is null or t.expires_at > clock_timestamp()) offset 0
                    ) as t
                    where (select a.banned_at is null from account as a where a.id = t.account_id)
                )
            )
            from generation as g where g.id = p.generation_id and g.count = 1 and g.api_token_id is not null
        )
    from p join settled as s on s.id = p.generation_id;

    insert into ledger_entry (account_id, job_id, kind, credits, why)
    select r.account_id, r.job_id, 'settle', r.credits, 'picture delivered'
    from ledger_entry as r where r.job_id = any(done) and r.kind = 'reserve' order by r.account_id, r.job_id;
    get diagnostics n = row_count;
    if n <> cardinality(done) then
        raise exception 'of the jobs % only % have a reserve to settle', done, n using errcode = 'integrity_constraint_violation';
    end if;
end
$body$;

create or replace function pictures_deliver(p_pictures jsonb)
returns table (job_id uuid, is_over boolean, changed_keys bigint [])
language sql as $body$
select d.job_id, d.is_over, d.changed_keys from pictures_hand_over(p_pictures) as d
$body$;
