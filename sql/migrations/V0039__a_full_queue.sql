/* pgmigrate-encoding: utf-8 */
-- How many unfinished pictures an account may have holds also for orders that come at the same time.
-- Only adds: images that do not know this function look beforehand, as they did.

-- To be asked in the transaction of an order, when it holds its credits: from then on the balance is locked, so what others of
-- this account ordered before is there to be counted. Each unfinished picture holds a credit or more.
create function order_fits(p_account uuid, p_most integer) returns boolean language plpgsql
set plan_cache_mode = force_generic_plan as $body$
declare
    v_unfinished bigint;
begin
    perform from balance where account_id = p_account and held <= p_most;
    if found then
        return true;
    end if;
    select count(*) into v_unfinished from job where account_id = p_account and state in ('queued', 'running');
    if v_unfinished > p_most then
        raise exception 'an account has at most % unfinished pictures', p_most
            using errcode = 'check_violation', constraint = 'account_queue', detail = v_unfinished::text;
    end if;
    return true;
end
$body$;
