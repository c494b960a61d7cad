/* pgmigrate-encoding: utf-8 */
-- Whoever claims fairly learns whether anything still waits, and looks again only then.
-- Only adds: images that do not know this function go on with message_claim.

-- message_claim, and a last row without an id: has_more says whether a message that could not be taken now still waits.
-- Nothing may hang on this commit alone: whoever has such a message in hand proves it in a later one, and this with it.
create function message_take(p_mailbox text, p_owner uuid, p_count integer, p_humbly boolean)
returns table (
    id bigint, kind text, payload jsonb, attempts smallint, max_attempts smallint, pos bigint, priority smallint,
    seconds_left double precision, has_more boolean
)
language plpgsql
set plan_cache_mode = force_generic_plan
set enable_seqscan = off -- a plan made for an empty table must do for a full one
set enable_bitmapscan = off as $body$
#variable_conflict use_column
begin
    perform set_config('synchronous_commit', 'off', true);
    return query
    select m.id, m.kind, m.payload, m.attempts, m.max_attempts, m.pos, m.priority,
        extract(epoch from m.deadline - now())::double precision, null::boolean
    from message_claim(p_mailbox, p_owner, p_count, p_humbly) as m;
    id := null;
    has_more := exists (select from message as m where m.mailbox = p_mailbox and m.state = 0 and m.partition > '');
    return next;
end
$body$;
