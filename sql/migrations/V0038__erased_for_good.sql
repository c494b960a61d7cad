/* pgmigrate-encoding: utf-8 */
-- What else than an address names a person in old rows of the audit goes with the address. New rows have none of it.

create or replace function audit_anonymised(p_row jsonb, p_email text, p_name text) returns jsonb language sql immutable as $body$
with said as (
    select replace(p_row::text, to_json(p_email)::text, to_json(p_name)::text)::jsonb as words,
        starts_with(p_row ->> 'subject', p_email || ' ') as is_of_theirs,
        case when p_row ->> 'subject' <> p_email and not starts_with(p_row ->> 'subject', p_email || ' ') then '{}'
            when p_row ->> 'action' = 'session.end' then '{ip,agent}'
            when p_row ->> 'action' in ('account.sign_in_linked', 'account.sign_in_unlinked') then '{label}'
            when p_row ->> 'action' in ('token.create', 'token.revoke') then '{name}'
            else '{}' end::text [] as told
)
select words
    || case when is_of_theirs
        then jsonb_build_object('subject', p_name || substr(p_row ->> 'subject', length(p_email) + 1)) else '{}' end
    || case when p_row ->> 'actor' = p_email then '{"ip": ""}'::jsonb else '{}' end
    || case when jsonb_typeof(words -> 'before') = 'object'
        then jsonb_build_object('before', (words -> 'before') - told) else '{}' end
    || case when jsonb_typeof(words -> 'after') = 'object'
        then jsonb_build_object('after', (words -> 'after') - told) else '{}' end
from said
$body$;
