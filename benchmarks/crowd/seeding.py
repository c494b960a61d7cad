"""A crowd, set by set: people, plans, invoices, orders, pictures, their ledger and all that is written down beside them."""

from __future__ import annotations

import colorsys
import io
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg
from PIL import Image, ImageDraw, ImageOps

from benchmarks.crowd import affairs
from limner.runtime.database import Database
from limner.runtime.storage import Storage
from limner.runtime.vault import Vault
from limner.sql import keys

ANSWERING_KEYS = 9
PICTURES, SIDE = 12, 1024
PLANS = """
insert into plan (code, name, price_cents, credits_per_cycle, concurrency, priority, sort) values
('studio', 'Studio', 2499, 300, 4, 1, 1), ('atelier', 'Atelier', 4999, 700, 8, 2, 2) on conflict (code) do nothing
"""

# The rows are right by construction; what checks and counts them one by one is off for this session alone.
UNGUARDED = "set session_replication_role = replica"
GUARDED = "reset session_replication_role"
SETTINGS = """
set timezone = 'UTC'; set synchronous_commit = off; set work_mem = '64MB'; set statement_timeout = 0;
select setseed(0.42)
"""

PERSON = """
create temp table person as
select n, gen_random_uuid() as id, now() - interval '400 days' * (1 - n::float8 / $1) - interval '2 hours' as at,
    case when n % 5000 = 17 then '100%_' else '' end || first[1 + n % 24] || '.' || last[1 + n / 24 % 25] || n || '@'
        || place[1 + n % 7] as email
from generate_series(1, $1::int) as n cross join (values (
    string_to_array('anna boris chen dmitri elena farid greta hugo irina jun katja lars '
        'maria nikita olga pavel quentin rosa sergej tanja ulf vera wei zoe', ' '),
    string_to_array('abel brandt castro dahl egorov fischer garcia huang ivanova jansen kim lopez meyer '
        'novak orlova petrov quinn rossi sato tanaka ulrich vogel wang xu zhang', ' '),
    '{example.com,example.org,example.net,mail.example,post.example,paint.example,art.example}'::text []
)) as word (first, last, place)
"""
ACCOUNTS = """
insert into account (id, email, password_hash, role, locale, verified_at, banned_at, ban_reason, created_at)
select id, email, '!', case when n % 9973 = 0 then 'support' else 'user' end, (array['en', 'en', 'ru', 'zh'])[1 + n % 4],
    case when n % 8 > 0 then at + interval '5 minutes' end, case when n % 211 = 0 then at + interval '30 minutes' end,
    case when n % 211 = 0 then 'sold its pictures as ours' end, at
from person order by at
"""
SUBSCRIBED = """
create temp table subscribed as
select p.n, p.id as account_id, gen_random_uuid() as id, s.at, plan.id as plan_id, plan.price_cents, plan.credits_per_cycle,
    plan.name, least(1 + floor(random() * random() * 6), 1 + floor(extract(epoch from now() - s.at) / 2592000))::int as cycles
from person as p
cross join lateral (select least(p.at + interval '1 hour' * (1 + p.n % 40), now() - interval '20 minutes') as at) as s
join plan on plan.code = case when p.n % 50 = 3 then 'atelier' when p.n % 10 = 3 then 'studio' else 'monthly' end
where p.n % 10 in (0, 3, 7)
"""
CYCLE = """
create temp table cycle as
select s.*, s.id as subscription_id, k, gen_random_uuid() as invoice_id, s.at + (k - 1) * interval '720 hours' as starts,
    s.at + k * interval '720 hours' as ends
from subscribed as s cross join lateral generate_series(1, s.cycles) as k
"""
SUBSCRIPTIONS = """
insert into subscription (
    id, account_id, plan_id, state, anchored_at, period_start, period_end, cycles, cycle_credits, created_at, canceled_at
)
select subscription_id, account_id, plan_id, case when ends > now() then 'active' else 'expired' end, at, starts, ends, cycles,
    credits_per_cycle, at, case when n % 17 = 0 then starts + interval '1 hour' end
from cycle where k = cycles order by at
"""
PENDING = """
insert into subscription (account_id, plan_id, created_at)
select p.id, plan.id, p.at + interval '2 minutes' from person as p join plan on plan.code = 'monthly' where p.n % 400 = 1
"""
PAID = """
insert into invoice (
    id, account_id, plan_id, subscription_id, processor, processor_ref, amount_cents, currency, credits, state, created_at,
    expires_at, paid_at, purpose, received_cents, trouble, trouble_words
)
select invoice_id, account_id, plan_id, subscription_id, (array['btcpay', 'stripe', 'sandbox'])[1 + n % 3],
    'crowd-' || n || '-' || k, price_cents, 'USD', credits_per_cycle, 'paid', starts - interval '4 minutes',
    starts + interval '26 minutes', starts, case when k = 1 then 'plan' else 'renewal' end, price_cents,
    case when n % 1999 = 0 then 'over' else '' end, case when n % 1999 = 0 then 'more came than was asked for' else '' end
from cycle order by starts
"""
UNPAID = """
insert into invoice (
    account_id, plan_id, processor, processor_ref, amount_cents, currency, credits, state, created_at, expires_at, checked_at
)
select p.id, plan.id, 'sandbox', 'crowd-open-' || p.n, plan.price_cents, 'USD', plan.credits_per_cycle,
    (array['expired', 'expired', 'expired', 'canceled', 'invalid'])[1 + p.n % 5], p.at + interval '3 minutes',
    p.at + interval '33 minutes', p.at + interval '35 minutes'
from person as p join plan on plan.code = 'monthly' where p.n % 3 = 1 order by p.at
"""
WEBHOOKS = """
insert into payment_event (processor, event_ref, invoice_id, kind, effect, received_at)
select processor, 'event-' || processor_ref, id, 'paid', 'paid', paid_at from invoice where state = 'paid' order by paid_at
"""
# One of ten orders is for four pictures, two for two of them. All of a cycle lie well before its end.
ASKED = """
create temp table asked as
select gen_random_uuid() as id, c.account_id, c.invoice_id, c.n, row_number() over (order by c.starts) as nth,
    c.starts + (least(c.ends, now()) - c.starts) * random() * 0.97 as at,
    (array[1, 1, 1, 1, 1, 1, 1, 2, 2, 4])[1 + floor(random() * 10)::int] as count
from cycle as c cross join lateral generate_series(1, least(25, floor(random() * 2 * $1 + 0.5 + c.k * 0)::int)) as g
"""
PIECE = """
create temp table piece as
select gen_random_uuid() as id, a.id as generation_id, a.account_id, a.invoice_id, a.nth, position, a.at,
    least(a.at + interval '1 second' * (3 + random() * 40), now()) as done, t.state, floor(random() * 1000)::int as luck
from asked as a cross join lateral generate_series(1, a.count) as position
cross join lateral (select random() + position * 0 + a.count * 0 as r) as dice
cross join lateral (select case when r < 0.955 then 'delivered' when r < 0.992 then 'failed' else 'canceled' end as state) as t
"""
GENERATIONS = """
insert into generation (
    id, account_id, thread_id, model_id, prompt, width, height, count, credits, state, reason, created_at, changed_at
)
select a.id, a.account_id, a.id, ($1::text[])[1 + a.nth % cardinality($1::text[])],
    kind[1 + a.nth % 12] || ' of ' || thing[1 + a.nth / 12 % 15] || ' ' || place[1 + a.nth / 180 % 11] || ', number ' || a.nth,
    1024, 1024, a.count, 1, j.state, case j.state when 'failed' then 'The painter did not answer in time.' else '' end, a.at,
        j.done
from asked as a
join (
    select generation_id, max(done) as done,
        case when bool_or(state = 'delivered') then 'delivered' when bool_or(state = 'failed') then 'failed' else 'canceled'
            end as state
    from piece group by generation_id
) as j on j.generation_id = a.id
cross join (values (
    string_to_array('a watercolour,an oil painting,a photograph,a sketch,a woodcut,a poster,a miniature,a fresco,'
        'a mosaic,an etching,a pastel,a collage', ','),
    string_to_array('a red boat,an old lighthouse,a fox,two owls,a whale,a cat,a castle,apples,a balloon,a market,'
        'a train,a violin,a dancer,a bridge,a garden', ','),
    string_to_array('at dawn,in the snow,under the stars,in autumn,at sea,in the rain,by candlelight,in a city at night,'
        'on a hill,in spring,long ago', ',')
)) as word (kind, thing, place)
order by a.at
"""
JOBS = """
insert into job (id, generation_id, account_id, position, credits, seed, state, reason, created_at, started_at, finished_at,
    deadline)
select id, generation_id, account_id, position, 1, luck, state,
    case state when 'failed' then 'The painter did not answer in time.' else '' end, at, at + interval '1 second', done,
    at + interval '15 minutes'
from piece order by at, position
"""
KEYS = """
select array_agg(k.id order by k.id) from provider_key as k join provider as p on p.id = k.provider_id where p.code = 'simulator'
"""
ATTEMPTS = """
insert into attempt (job_id, number, key_id, model_id, fault, detail, cost_micros, started_at, expires_at, finished_at)
select job_id, number, ($1::bigint[])[1 + luck % cardinality($1::bigint[])], 'demo', fault, coalesce(fault, ''),
    case when fault is null then 4000 + luck * 40 else 0 end, started, done + interval '5 minutes', done
from (
    select id as job_id, 1 as number, luck, at + interval '1 second' as started, done,
        case when state = 'delivered' then null
            else (array['timeout_unknown', 'upstream_5xx', 'rate_limited', 'moderation_input',
                'invalid_request'])[1 + luck % 5] end as fault
    from piece where luck >= 60 or state <> 'delivered'
    union all
    select id, tried.number, luck + tried.number, at + tried.number * interval '1 second', least(done,
        at + (tried.number + 1) * interval '1 second'),
        case when tried.number = 1 then (array['rate_limited', 'proxy_failed', 'balance_exhausted',
            'auth_dead'])[1 + luck % 4] end
    from piece cross join (values (1), (2)) as tried (number) where luck < 60 and state = 'delivered'
) as tries
order by done
"""
IMAGES = """
insert into image (
    job_id, account_id, generation_id, storage_key, thumb_key, sha256, mime, width, height, bytes, created_at, thumbed_at
)
select id, account_id, generation_id, h.key, h.thumb_key, h.sha256, 'image/png', 1024, 1024, h.size, done, done
from piece as p
join unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) with ordinality as h (key, thumb_key, sha256, size, place)
    on h.place = 1 + (p.luck + p.nth) % cardinality($1::text[])
where p.state = 'delivered' order by done
"""
# A refund comes back within the day, an adjustment any time; what is left of a cycle that ended ends with it.
LEDGER = """
insert into ledger_entry (account_id, job_id, invoice_id, credits, created_at, kind, why)
select * from (
    select account_id, null::uuid as job_id, invoice_id, credits_per_cycle as credits, starts as at, 'grant' as kind,
        'Plan ' || name || ', 30 days' as why
    from cycle
    union all
    select account_id, id, null, 1, at, 'reserve', 'a picture' from piece
    union all
    select account_id, id, null, 1, done, case when state = 'delivered' then 'settle' else 'release' end,
        case state when 'delivered' then 'picture delivered' when 'failed' then 'The painter did not answer in time.' else
            'canceled' end
    from piece
    union all
    select account_id, id, null, 1, least(done + interval '4 hours', now()), 'refund', 'not what was asked for'
    from piece where state = 'delivered' and luck = 7
    union all
    select id, null, null, 5, least(at + interval '9 days', now()), 'adjust', 'for the trouble' from person where n % 333 = 0
    union all
    select c.account_id, null, null, c.credits_per_cycle - coalesce(p.used, 0), c.ends, 'cycle_reset', 'the period is over'
    from cycle as c left join (
        select invoice_id, count(*) filter (where state = 'delivered' and luck <> 7) as used from piece group by invoice_id
    ) as p using (invoice_id)
    where c.ends < now() and c.credits_per_cycle > coalesce(p.used, 0)
) as lines order by at
"""
BALANCES = """
insert into balance (account_id, available, held, spent)
select p.id, coalesce(sum(case e.kind when 'reserve' then -e.credits when 'cycle_reset' then -e.credits when 'settle' then 0
        else e.credits end), 0),
    coalesce(sum(case e.kind when 'reserve' then e.credits when 'settle' then -e.credits when 'release' then -e.credits else 0
        end), 0),
    coalesce(sum(case e.kind when 'settle' then e.credits when 'refund' then -e.credits else 0 end), 0)
from person as p left join ledger_entry as e on e.account_id = p.id group by p.id
"""
SESSIONS = """
insert into session (token_hash, account_id, ip, agent, created_at, seen_at, expires_at)
select sha256(convert_to(gen_random_uuid()::text, 'UTF8')), id, '198.51.' || n % 250 || '.' || n / 250 % 250,
    (array['Firefox 140 on Linux', 'Chrome 150 on Windows', 'Safari 19 on iPhone'])[1 + n % 3], seen - interval '5 days', seen,
    seen + interval '25 days'
from (select n, id, now() - interval '13 days' * random() as seen from person where n % 3 = 0) as p order by seen
"""
NOTICES = """
insert into notice (channel, recipient, body, template, locale, details, dedupe_key, created_at, sent_at, failed_at, error,
    attempts)
select 'mail', p.email, '', 'invoice_paid', 'en', null, 'paid ' || c.invoice_id, c.starts,
    case when c.n % 173 > 0 then c.starts + interval '3 seconds' end,
        case when c.n % 173 = 0 then c.starts + interval '1 day' end,
    case when c.n % 173 = 0 then '550 5.1.1 no such mailbox' else '' end, 1
from cycle as c join person as p on p.n = c.n order by c.starts
"""
AUDIT = """
insert into audit (actor, action, subject, before, after, ip, created_at)
select case when n % 5 = 0 then 'system' when n % 5 = 1 then 'cli' else 'carol@example.com' end,
    (array['ledger.adjust', 'account.ban', 'key.state', 'invoice.paid', 'plan.change', 'code.stopped'])[1 + n % 6], email, null,
    jsonb_build_object('reason', 'number ' || n), '127.0.0.1', at + interval '35 minutes'
from person where n % 2 = 0 order by at
"""
CODES = """
insert into code (kind, word, word_key, secret_hash, gives, quantity, most_uses, made_by, note, created_at, stopped_at)
select kind, case kind when 'promo' then 'CROWD' || n else right('0000' || n, 4) end,
    case kind when 'promo' then 'CROWD' || n end, case kind when 'gift' then sha256(convert_to('gift ' || n, 'UTF8')) end,
    case kind when 'promo' then 'percent' else 'credits' end, 10, case kind when 'gift' then 1 end, 'carol@example.com',
        'of the crowd', at,
    case when n % 700 = 0 then at + interval '1 hour' end
from (select n, at, case when n % 100 = 0 then 'promo' else 'gift' end as kind from person where n % 20 = 0) as p order by at
"""
COUNTS = """
select (select count(*) from account) as people, (select count(*) from subscription) as subscriptions,
    (select count(*) from invoice) as invoices, (select count(*) from ledger_entry) as entries,
    (select count(*) from generation) as generations, (select count(*) from job) as jobs,
        (select count(*) from image) as images,
    (select count(*) from attempt) as attempts, (select count(*) from audit) as audit, (select count(*) from notice) as notices,
    (select count(*) from session) as sessions, (select count(*) from code) as codes
"""


@dataclass(frozen=True)
class Hung:
    """One of the few pictures that all of them are."""

    key: str
    thumb_key: str
    sha256: str
    size: int


async def seed(
    db: Database, vault: Vault, storage: Storage, people: int, entries: int, say: Callable[[str], None]
) -> None:
    """So many people; as many entries, or a few more. Into a database that has been migrated and sown, and is otherwise new."""
    await db.execute(PLANS)
    for number in range(ANSWERING_KEYS):
        await keys.add(db, vault, "simulator", f"crowd {number + 1}", f"crowd-key-{number:04}", actor="crowd")
    hung = await _hang(storage)
    connection = await asyncpg.connect(db.dsn)
    try:
        await connection.execute(SETTINGS)
        async with connection.transaction():
            await _fill(connection, hung, people, entries, say)
        await connection.execute(GUARDED)
        say("put in order")
        await connection.execute("vacuum (analyze)")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


async def _fill(
    connection: asyncpg.Connection, hung: list[Hung], people: int, entries: int, say: Callable[[str], None]
) -> None:
    for words, statements in (
        ("people", (PERSON, ACCOUNTS)),
        ("subscriptions", (SUBSCRIBED, CYCLE, SUBSCRIPTIONS, PENDING)),
        ("invoices", (PAID, UNPAID, WEBHOOKS)),
    ):
        await _run(connection, say, words, *((sql, (people,) if sql is PERSON else ()) for sql in statements))
    cycles = await connection.fetchval("select count(*) from cycle")
    models = await connection.fetchval("select array_agg(id order by id) from model where active")
    each = max(0.6, (entries * 1.05 - 2 * cycles) / 2 / 1.5 / cycles)
    await _run(
        connection,
        say,
        "orders",
        (ASKED, (each,)),
        (PIECE, ()),
        ("analyze piece", ()),
        (GENERATIONS, (models,)),
        (JOBS, ()),
    )
    key_ids = await connection.fetchval(KEYS)
    await _run(connection, say, "attempts", (ATTEMPTS, (key_ids,)))
    columns = [[getattr(each, name) for each in hung] for name in ("key", "thumb_key", "sha256", "size")]
    await _run(connection, say, "pictures", (IMAGES, tuple(columns)))
    await _run(
        connection, say, "wall, reports", (affairs.SHARED, (people,)), *((sql, ()) for sql in affairs.OF_PICTURES)
    )
    await _run(connection, say, "ledger", (LEDGER, ()), (BALANCES, ()))
    await _run(
        connection,
        say,
        "sessions, mails, audit, codes",
        (SESSIONS, ()),
        (NOTICES, ()),
        (CODES, ()),
        guarded=((AUDIT, ()),),
    )
    house = [(sql, ()) for sql in affairs.OF_THE_HOUSE]
    await _run(connection, say, "alerts, invitations, broadcasts, letters", (affairs.BROADCASTS, (people,)), *house)


async def _run(
    connection: asyncpg.Connection, say: Callable[[str], None], words: str, *steps: tuple[str, tuple[object, ...]],
    guarded: tuple[tuple[str, tuple[object, ...]], ...] = (),
) -> None:  # fmt: skip
    began = time.monotonic()
    await connection.execute(UNGUARDED)
    for sql, arguments in steps:
        await connection.execute(sql, *arguments)
    await connection.execute(GUARDED)
    for sql, arguments in guarded:
        await connection.execute(sql, *arguments)
    say(f"{words}: {time.monotonic() - began:.1f} s")


async def _hang(storage: Storage) -> list[Hung]:
    hung = []
    for n in range(PICTURES):
        picture = _paint(n)
        kept = await storage.put(f"crowd/{n}.png", _as(picture, "PNG"), "image/png")
        thumb = await storage.put(f"crowd/{n}.thumb.webp", _as(picture.resize((256, 256)), "WEBP"), "image/webp")
        hung.append(Hung(kept.key, thumb.key, kept.sha256, kept.size))
    return hung


def _paint(n: int) -> Image.Image:
    """A sun over hills, each at another hour."""
    dice = random.Random(n)
    dark, light, sun = (_colour(n / PICTURES + turn, shade) for turn, shade in ((0.55, 0.3), (0.5, 0.9), (0.1, 1.0)))
    picture = ImageOps.colorize(Image.linear_gradient("L").resize((SIDE, SIDE)), dark, light)
    draw, left, top = ImageDraw.Draw(picture), dice.randrange(SIDE // 2), dice.randrange(SIDE // 2)
    draw.ellipse((left, top, left + SIDE // 4, top + SIDE // 4), fill=sun)
    for row in range(3):
        peaks = [(SIDE * i // 6, SIDE * (11 + row * 2 + dice.randrange(-1, 3)) // 18) for i in range(7)]
        draw.polygon([(0, SIDE), *peaks, (SIDE, SIDE)], fill=_colour(n / PICTURES + 0.6, 0.5 - row * 0.15))
    return picture


def _colour(hue: float, shade: float) -> str:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, 0.55, shade))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _as(picture: Image.Image, kind: str) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, kind)
    return kept.getvalue()
