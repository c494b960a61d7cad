"""What a crowd makes its staff look at: the wall, reports and take-downs, alerts, invitations, broadcasts, dead letters."""

from __future__ import annotations

# For 100,000 people: 50,000 pictures that were shared and offered to the wall. Each sixth of them was reported, by one to four
# visitors; of what was settled an eighth came down, and a tenth of it still waits.
SHARED = """
create temp table shared as
select s.*, gen_random_uuid() as share_id, least(s.made + interval '1 hour', now()) as at, s.nth % 6 = 0 as is_reported,
    s.nth % 6 = 0 and s.nth / 6 % 10 <> 3 as is_settled, s.nth % 48 = 0 and s.nth / 6 % 10 <> 3 as is_down
from (
    select i.id as image_id, i.account_id, i.created_at as made, row_number() over (order by i.created_at) as nth
    from (select * from image order by sha256(convert_to(id::text, 'UTF8')) limit $1 / 2) as i
) as s
"""
SHARES = """
insert into share (id, image_id, account_id, code, shows_prompt, caption, created_at, revoked_at)
select share_id, image_id, account_id, replace(gen_random_uuid()::text, '-', ''), nth % 3 > 0,
    case when nth % 2 = 0 then 'Number ' || nth || ', and my best so far' else '' end, at,
    case when nth % 29 = 0 then at + interval '20 days' end
from shared order by at
"""
OFFERS = """
insert into wall_offer (share_id, image_id, account_id, display_name, state, reason, offered_at, decided_at)
select share_id, image_id, account_id, case when nth % 4 > 0 then 'Painter ' || nth % 997 else '' end, state,
    case when state in ('refused', 'taken_off') then 'not for everybody' else '' end, at,
    case when state <> 'waiting' then least(at + interval '5 hours', now()) end
from (
    select *, case when is_down then 'taken_off' when nth % 20 = 0 then 'withdrawn' when nth % 20 in (1, 7) then 'refused'
        when nth % 20 = 2 then 'taken_off' when nth % 20 = 3 then 'waiting' else 'shown' end as state
    from shared
) as s order by at
"""
REPORTS = """
insert into report (image_id, kind, words, address, times, created_at, last_at, settled_at, outcome, reason)
select image_id, (array['illegal', 'sexual', 'violence', 'hate', 'person', 'rights', 'other'])[1 + (nth / 6 + g) % 7],
    case when g % 2 = 1 then 'This is the picture number ' || nth || ', and it should not be here.' else '' end,
    '203.0.' || nth / 6 % 200 || '.' || g, 1 + g % 3, least(at + g * interval '40 minutes', now()),
    least(at + g * interval '50 minutes', now()), case when is_settled then least(at + interval '9 hours', now()) end,
    case when is_down then 'taken_down' when is_settled then 'dismissed' end,
    case when is_settled then 'looked at, and decided' else '' end
from shared cross join lateral generate_series(1, 1 + (nth / 6 % 4)::int) as g
where is_reported order by at
"""
TAKEDOWNS = """
insert into takedown (image_id, reason, taken_at)
select image_id, 'looked at, and decided', least(at + interval '9 hours', now()) from shared where is_down order by at
"""
DOWN = """
update image as i set taken_down_at = t.taken_at from takedown as t where t.image_id = i.id
"""
ALERTS = """
insert into alert (cause, words, rule, severity, place, button, began_at, told, told_at, messages, ended_at, returns)
select r.code || ' ' || p.n, 'Trouble number ' || p.n || ', as ' || p.email || ' would see it', r.code, r.severity, '/admin',
    'home', p.at, case when p.is_open then 'open' else 'over' end, p.at + interval '1 minute', 1,
    case when not p.is_open then p.at + interval '1 minute' * (1 + p.n % 300) end, p.n % 3
from (select *, n % 5000 = 0 as is_open from person where n % 20 = 0) as p
join (select *, row_number() over (order by code) - 1 as place, count(*) over () as of from alert_rule) as r
    on r.place = p.n / 20 % r.of
order by p.at
"""
INVITATIONS = """
insert into invitation (code_hash, hint, note, most_uses, uses, created_by, created_at, expires_at, revoked_at)
select sha256(convert_to('invitation ' || n, 'UTF8')), right('000' || n % 9999, 4), 'for ' || email, 1 + n % 5,
    case when n % 3 = 0 then 1 + n % 5 else 0 end, case when n % 4 = 0 then 'cli' else 'carol@example.com' end, at,
    at + interval '14 days', case when n % 97 = 0 then at + interval '1 day' end
from person where n % 5 = 0 order by at
"""
# The newest of all goes to everybody, and a part of it is under way; the others are old ones.
BROADCASTS = """
insert into broadcast (
    state, segment, per_minute, words, people, created_by, created_at, started_at, paced_at, is_listed, ended_at
)
select case when is_newest then 'stopped' when began is null then 'draft' else 'done' end,
    (array['all', 'running', 'without', 'never', 'lapsed'])[1 + n / 200 % 5], 600,
    jsonb_build_object('en', jsonb_build_object('subject', 'News, number ' || n, 'body', repeat('We paint faster now. ', 60))),
    case when began is null then 0 else n end, 'carol@example.com', at, began, began, began is not null,
    least(began + interval '3 hours', now())
from (
    select n, at, n = $1 as is_newest, case when n % 2000 > 0 or n = $1 then least(at + interval '5 minutes', now()) end as began
    from person where n % 200 = 0 or n = $1
) as p order by at
"""
TOLD = """
insert into notice (channel, recipient, body, template, locale, details, dedupe_key, created_at, sent_at, failed_at, error,
    attempts)
select 'mail', p.email, '', 'broadcast', 'en', jsonb_build_object('broadcast_id', b.id, 'account_id', p.id),
    'broadcast ' || b.id, b.started_at, case when p.n % 100 <> 1 then now() end, case when p.n % 100 = 1 then now() end,
    case when p.n % 100 = 1 then '550 5.1.1 no such mailbox' else '' end, 1
from person as p cross join (select * from broadcast order by created_at desc limit 1) as b where p.n % 10 > 0 order by p.n
"""
RECIPIENTS = """
insert into broadcast_recipient (broadcast_id, account_id, state, channel, notice_id, why)
select b.id, p.id, case when n.id is not null then 'queued' when p.n % 20 = 0 then 'skipped' else 'waiting' end,
    case when n.id is not null then 'mail' end, n.id, case when n.id is null and p.n % 20 = 0 then 'banned' else '' end
from person as p cross join (select * from broadcast order by created_at desc limit 1) as b
left join notice as n on n.dedupe_key = 'broadcast ' || b.id and n.recipient = p.email
"""
LETTERS = """
insert into dead_letter (id, mailbox, kind, partition, attempts, reason, payload, created_at, died_at)
select nextval(pg_get_serial_sequence('message', 'id')), (array['mails', 'cashing', 'notices'])[1 + n % 3],
    (array['DeliverMails', 'CheckInvoice', 'DeliverNotices'])[1 + n % 3], '', 5,
    'TimeoutError: nobody answered within 30 seconds, number ' || n, '{}', at, least(at + interval '1 hour', now())
from person where n % 5 = 1 order by at
"""
COUNTS = """
select (select count(*) from wall_offer) as offers, (select count(*) from report) as reports,
    (select count(*) from takedown) as takedowns, (select count(*) from alert) as alerts,
    (select count(*) from invitation) as invitations, (select count(*) from broadcast) as broadcasts,
    (select count(*) from broadcast_recipient) as recipients, (select count(*) from dead_letter) as letters
"""
OF_PICTURES = (SHARES, OFFERS, REPORTS, TAKEDOWNS, DOWN)
OF_THE_HOUSE = (ALERTS, INVITATIONS, TOLD, RECIPIENTS, LETTERS)
