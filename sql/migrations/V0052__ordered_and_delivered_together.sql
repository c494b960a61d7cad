/* pgmigrate-encoding: utf-8 */
-- Orders that come together, and pictures that are delivered together, are written by a few statements for all of them, not
-- by ten for each; the balance of an account is locked for the last one alone. Only adds, or does the same as before.

-- order_place for many, in the order of their accounts. Those that need more than the books (a thread, references, a name of
-- their own) are written one after the other; so are all that come with such a one. Raises what order_fits raises.
create function orders_place(p_orders jsonb) returns table (place bigint, id uuid, why text) language plpgsql
set plan_cache_mode = force_generic_plan as $body$
#variable_conflict use_column
declare
    a record;
begin
    if exists (
        select from jsonb_array_elements(p_orders) as t (item)
        where t.item -> 'thread_id' <> t.item -> 'id' or t.item -> 'uploads' <> '[]' or t.item -> 'idempotency_key' <> 'null'
    ) then
        for a in
            select t.place, t.item, o.id, o.why from jsonb_array_elements(p_orders) with ordinality as t (item, place)
            cross join lateral order_place(t.item) as o
        loop
            if a.id is not null and a.item ->> 'most_unfinished' is not null then
                perform order_fits((a.item ->> 'account_id')::uuid, (a.item ->> 'most_unfinished')::integer);
            end if;
            return query select a.place, a.id, a.why;
        end loop;
    else
        insert into generation (
            id, account_id, thread_id, model_id, prompt, width, height, count, credits, request_hash, request_id, traceparent,
            parameters, mask_upload_id, partial_images, api_token_id, plan_id, plan_cents, plan_currency, plan_credits
        )
        select o.id, o.account_id, o.id, o.model_id, o.prompt, o.width, o.height, o.count, o.credits, decode(o.request_hash, 'hex'),
            o.request_id, o.traceparent, o.parameters, o.mask, o.partial_images, o.api_token_id, o.plan_id, o.plan_cents,
            o.plan_currency, o.plan_credits
        from jsonb_to_recordset(p_orders) as o (
            id uuid, account_id uuid, model_id text, prompt text, width integer, height integer, count smallint, credits bigint,
            request_hash text, request_id text, traceparent text, parameters jsonb, mask uuid, partial_images smallint,
            api_token_id uuid, plan_id bigint, plan_cents bigint, plan_currency text, plan_credits bigint
        );
        insert into job (id, generation_id, account_id, position, credits, seed, deadline)
        select t.id, o.id, o.account_id, t.place, o.credits, t.seed, now() + make_interval(secs => o.deadline)
        from jsonb_to_recordset(p_orders) as o (
            id uuid, account_id uuid, credits bigint, jobs uuid [], seeds bigint [], deadline double precision
        )
        cross join lateral unnest(o.jobs, o.seeds) with ordinality as t (id, seed, place);
        insert into message (mailbox, kind, payload, key, partition, partition_limit, priority)
        select 'painting', 'PaintPicture', jsonb_build_object('job_id', t.id), 'job ' || t.id, o.account_id::text, o.concurrency,
            o.priority
        from jsonb_to_recordset(p_orders) as o (account_id uuid, jobs uuid [], concurrency smallint, priority smallint)
        cross join lateral unnest(o.jobs) as t (id);
        insert into ledger_entry (account_id, job_id, kind, credits, why)
        select o.account_id, t.id, 'reserve', o.credits, o.why
        from jsonb_to_recordset(p_orders) as o (account_id uuid, credits bigint, why text, jobs uuid [])
        cross join lateral unnest(o.jobs) as t (id);
        return query
        select t.place, (t.item ->> 'id')::uuid, null::text from jsonb_array_elements(p_orders) with ordinality as t (item, place);
        for a in
            select o.account_id, min(o.most_unfinished) as most
            from jsonb_to_recordset(p_orders) as o (account_id uuid, most_unfinished integer)
            where o.most_unfinished is not null group by o.account_id order by o.account_id
        loop
            perform order_fits(a.account_id, a.most);
        end loop;
    end if;
end
$body$;

-- generation_settle for many; the caller has them locked.
create function generations_settle(p_generations uuid []) returns table (id uuid, thread_id uuid, is_over boolean)
language sql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off as $body$
update generation as g set changed_at = now(), state = case
        when c.delivered + c.failed + c.canceled < c.all_of_them then case when c.running > 0 or c.delivered > 0
            then 'running' else 'queued' end
        when c.delivered > 0 then 'delivered' when c.failed > 0 then 'failed' else 'canceled' end,
    reason = case
        when c.delivered + c.failed + c.canceled < c.all_of_them then ''
        when c.delivered = c.all_of_them then ''
        when c.delivered > 0 then c.delivered || ' of ' || c.all_of_them || ' arrived; only those were charged'
        else coalesce(c.why, '') end
from (select distinct t.id from unnest(p_generations) as t (id)) as wanted
cross join lateral (
    select count(*) as all_of_them, count(*) filter (where state = 'delivered') as delivered,
        count(*) filter (where state = 'failed') as failed, count(*) filter (where state = 'canceled') as canceled,
        count(*) filter (where state = 'running') as running, min(reason) filter (where reason <> '') as why
    from job where generation_id = wanted.id
) as c
where g.id = wanted.id
returning g.id, g.thread_id, g.state in ('delivered', 'failed', 'canceled')
$body$;

create or replace function generation_settle(p_generation uuid, out thread_id uuid, out is_over boolean)
language sql
set plan_cache_mode = force_generic_plan as $body$
select thread_id, is_over from generations_settle(array[p_generation])
$body$;

-- attempt_answered for many that painted. Nothing is held against any of their keys, as a rule: then that is all there is to
-- see to. What begins to be held against one meanwhile stays, as it does when it begins after the attempt.
create function attempts_painted(p_attempts bigint [], p_costs bigint [], p_refs text []) returns table (attempt_id bigint, key_id bigint)
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off -- plans that are made while the tables are new and small must do for full ones
set enable_hashjoin = off
set enable_mergejoin = off as $body$
begin
    if exists (
        select
        from (select distinct a.key_id, a.proxy_id, a.model_id from attempt as a where a.id = any(p_attempts)) as a
        cross join lateral (select * from provider_key where id = a.key_id offset 0) as k
        where k.state <> 'active' or k.failures > 0
            or exists (select from key_rest as r where r.key_id = k.id and r.model_id = a.model_id)
            or exists (select from group_rest as g where g.provider_id = k.provider_id and g.account_group = k.account_group)
            or exists (select from route_rest as r where r.key_id = k.id)
            or (select x.state from proxy as x where x.id = a.proxy_id) <> 'active'
    ) then
        return query
        select t.id, n.id from unnest(p_attempts, p_costs, p_refs) as t (id, cost, ref)
        cross join lateral attempt_answered(t.id, null, '', t.cost, 0, t.ref) as n (id);
        return;
    end if;
    update attempt as a set finished_at = now(), fault = null, detail = '', cost_micros = t.cost, possible_micros = 0,
        upstream_ref = coalesce(t.ref, a.upstream_ref)
    from unnest(p_attempts, p_costs, p_refs) as t (id, cost, ref)
    where a.id = t.id and coalesce(a.finished_at, 'infinity') = 'infinity'; -- not by the index of all that are open
end
$body$;

-- Pictures whose bytes are durable: for each the attempt's end, the image row, the charge, the end of the job and of its
-- message, and the order for a small copy. Those that are not returned had lost their fence, and nothing of them is
-- written. Who ends jobs of several generations takes the locks in the order of their ids, then those of the balances.
create or replace function pictures_deliver(p_pictures jsonb)
returns table (job_id uuid, is_over boolean, changed_keys bigint [])
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
    select p.job_id, s.is_over, array(select c.key_id from painted as c where c.attempt_id = p.attempt_id)
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
