/* pgmigrate-encoding: utf-8 */
-- Rests of account groups and of routes are told like those of keys; and failures that follow each other within seconds are
-- one. Only adds: images that do not know the column count each failure, as they did.

alter table provider_key add column failed_at timestamptz;

comment on column provider_key.failed_at is 'when a failure was last held against it';

-- What an account group rests from, each of its keys does.
create function group_rest_changed() returns trigger language plpgsql as $body$
begin
    if tg_op = 'DELETE' then
        insert into key_event (key_id, model_id, state_before, state_after, cause)
        select k.id, old.model_id, 'rests', 'active', 'its rest is over'
        from provider_key as k
        where k.provider_id = old.provider_id and k.account_group = old.account_group and k.state in ('active', 'cooldown')
        order by k.id;
    elsif tg_op = 'INSERT' then
        insert into key_event (key_id, model_id, state_before, state_after, cause)
        select k.id, new.model_id, 'active', 'rests', 'with its account group: ' || new.cause
        from provider_key as k
        where k.provider_id = new.provider_id and k.account_group = new.account_group and k.state in ('active', 'cooldown')
        order by k.id;
    elsif old.until <= now() then
        insert into key_event (key_id, model_id, state_before, state_after, cause)
        select k.id, new.model_id, 'trial', 'rests', 'with its account group: ' || new.cause
        from provider_key as k
        where k.provider_id = new.provider_id and k.account_group = new.account_group and k.state in ('active', 'cooldown')
        order by k.id;
    end if;
    return null;
end
$body$;

create trigger group_rest_changed after insert or update of until or delete on group_rest
for each row execute function group_rest_changed();

-- By which way a key is not welcome for a while; by another one it goes on.
create function route_rest_changed() returns trigger language plpgsql as $body$
declare
    v_key bigint := coalesce(new.key_id, old.key_id);
    v_way text := 'straight';
begin
    if coalesce(new.proxy_id, old.proxy_id) <> 0 then
        select 'by proxy ' || x.id || ' ' || x.label into v_way from proxy as x where x.id = coalesce(new.proxy_id, old.proxy_id);
    end if;
    if tg_op = 'DELETE' then
        insert into key_event (key_id, state_before, state_after, cause)
        select k.id, 'rests', 'active', coalesce(v_way, 'by a proxy') || ': its rest is over'
        from provider_key as k where k.id = v_key;
    elsif tg_op = 'INSERT' then
        insert into key_event (key_id, state_before, state_after, cause)
        values (v_key, 'active', 'rests', coalesce(v_way, 'by a proxy') || ': ' || new.cause);
    elsif old.until <= now() then
        insert into key_event (key_id, state_before, state_after, cause)
        values (v_key, 'trial', 'rests', coalesce(v_way, 'by a proxy') || ': ' || new.cause);
    end if;
    return null;
end
$body$;

create trigger route_rest_changed after insert or update of until or delete on route_rest
for each row execute function route_rest_changed();
