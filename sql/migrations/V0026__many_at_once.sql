/* pgmigrate-encoding: utf-8 */
-- What many ask of the database at the same time goes out as one statement, which calls these for each of them.
-- Only adds, or does the same as before: images that do not know these functions go on with their own statements.

-- A program's token comes in: found alive, and one request taken of its account's minute. No row: it is none.
-- left_over is null when the minute is used up. The account's bucket is locked before the token, whoever comes in.
create function token_enter(p_hash bytea, p_ip text, p_most double precision)
returns table (
    id uuid, account_id uuid, email text, scopes text [], models text [], networks cidr [], left_over double precision, held bigint
) language plpgsql
set plan_cache_mode = force_generic_plan as $body$
#variable_conflict use_column
declare
    t record;
    v_left double precision;
begin
    select k.id, k.account_id, a.email, k.scopes, k.models, k.networks,
        k.last_used_at is null or k.last_used_at < now() - interval '1 minute' as is_stale
    into t
    from api_token as k join account as a on a.id = k.account_id
    where k.token_hash = p_hash and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
        and a.banned_at is null;
    if not found then
        return;
    end if;
    -- The bucket is refilled by the time that passed, and one is taken. None is taken when less than one is there.
    insert into api_rate as r (account_id, left_over) values (t.account_id, p_most - 1)
    on conflict (account_id) do update set
        left_over = least(p_most, r.left_over + extract(epoch from now() - r.touched_at) * p_most / 60) - 1, touched_at = now()
    where least(p_most, r.left_over + extract(epoch from now() - r.touched_at) * p_most / 60) >= 1
    returning r.left_over into v_left;
    if t.is_stale then
        update api_token as k set last_used_at = now(), last_used_ip = p_ip where k.id = t.id;
    end if;
    return query select t.id, t.account_id, t.email, t.scopes, t.models, t.networks, v_left,
        coalesce((select b.held from balance as b where b.account_id = t.account_id), 0);
end
$body$;

-- An order in the books: the generation, its jobs, what they hold, one message for each. why: 'thread' or 'reference', when
-- one of these is not there or another's; neither id nor why: its idempotency key is taken. The balance that is locked
-- comes last, so that nobody waits for it longer than this takes.
create function order_place(p_order jsonb) returns table (id uuid, why text) language plpgsql
set plan_cache_mode = force_generic_plan as $body$
#variable_conflict use_column
declare
    o record;
begin
    select * into o from jsonb_to_record(p_order) as t (
        id uuid, account_id uuid, thread_id uuid, model_id text, prompt text, width integer, height integer, count smallint,
        credits bigint, idempotency_key text, request_hash text, request_id text, traceparent text, parameters jsonb,
        mask uuid, partial_images smallint, api_token_id uuid, jobs uuid [], seeds bigint [], deadline double precision,
        uploads uuid [], pictures uuid [], why text, concurrency smallint, priority smallint
    );
    if o.thread_id <> o.id and not exists (
        select from generation as g where g.id = o.thread_id and g.account_id = o.account_id
    ) then
        return query select null::uuid, 'thread';
        return;
    end if;
    if cardinality(o.uploads) > 0 and exists (
        select from unnest(o.uploads, o.pictures) as t (upload_id, image_id)
        where not exists (select from upload as u where u.id = t.upload_id and u.account_id = o.account_id)
            and not exists (
                select from image as i where i.id = t.image_id and i.account_id = o.account_id and i.deleted_at is null
            )
    ) then
        return query select null::uuid, 'reference';
        return;
    end if;

    insert into generation (
        id, account_id, thread_id, model_id, prompt, width, height, count, credits, idempotency_key, request_hash, request_id,
        traceparent, parameters, mask_upload_id, partial_images, api_token_id
    )
    values (
        o.id, o.account_id, o.thread_id, o.model_id, o.prompt, o.width, o.height, o.count, o.credits, o.idempotency_key,
        decode(o.request_hash, 'hex'), o.request_id, o.traceparent, o.parameters, o.mask, o.partial_images, o.api_token_id
    )
    on conflict (account_id, idempotency_key) where idempotency_key is not null do nothing;
    if not found then
        return query select null::uuid, null::text;
        return;
    end if;
    if cardinality(o.uploads) > 0 then
        insert into generation_reference (generation_id, position, upload_id, image_id)
        select o.id, t.place, t.upload_id, t.image_id
        from unnest(o.uploads, o.pictures) with ordinality as t (upload_id, image_id, place);
    end if;
    insert into job (id, generation_id, account_id, position, credits, seed, deadline)
    select t.id, o.id, o.account_id, t.place, o.credits, t.seed, now() + make_interval(secs => o.deadline)
    from unnest(o.jobs, o.seeds) with ordinality as t (id, seed, place);
    insert into message (mailbox, kind, payload, key, partition, partition_limit, priority)
    select 'painting', 'PaintPicture', jsonb_build_object('job_id', t.id), 'job ' || t.id, o.account_id::text, o.concurrency,
        o.priority
    from unnest(o.jobs) as t (id);
    insert into ledger_entry (account_id, job_id, kind, credits, why)
    select o.account_id, t.id, 'reserve', o.credits, o.why from unnest(o.jobs) as t (id);
    return query select o.id, null::text;
end
$body$;

-- Pictures whose bytes are durable: for each the attempt's end, the image row, the charge, the end of the job and of its
-- message, and the order for a small copy. Those that are not returned had lost their fence, and nothing of them is
-- written. Who ends jobs of several generations takes the locks in the order of their ids, then those of the balances.
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
        -- It is done behind everything else, so it may be in hand at the deaths of many workers, and kills none of them.
        insert into message (mailbox, kind, payload, max_attempts)
        values ('framing', 'FramePicture', jsonb_build_object('image_id', image), 20);

        job_id := p.job_id;
        select s.is_over into is_over from generation_settle(p.generation_id) as s;
        return next;
    end loop;
end
$body$;
