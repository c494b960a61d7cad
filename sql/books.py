"""Verify the books: what must be true of money, jobs and pictures at every moment, read from one snapshot."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from limner.runtime.database import Database, Db
from limner.runtime.storage import Missing, Storage

MOST = 20
"""Cases of one broken rule that are shown; all of them are counted."""
PATIENCE = 600.0
"""Seconds that the whole reading may take."""
SNAPSHOT = "set transaction isolation level repeatable read, read only"
UNHURRIED = "set local statement_timeout = '10min'"

SUMS = """
        coalesce(sum(case kind when 'reserve' then -credits when 'cycle_reset' then -credits when 'settle' then 0
            else credits end), 0) as available,
        coalesce(sum(case kind when 'reserve' then credits when 'settle' then -credits when 'release' then -credits
            else 0 end), 0) as held,
        coalesce(sum(case kind when 'settle' then credits when 'refund' then -credits else 0 end), 0) as spent
"""
"""What some entries come to, as columns."""

# What each account's entries come to, and what its balance says.
BALANCE_IS_THE_SUM = f"""
select b.account_id::text as what, format('balance %s/%s/%s, entries %s/%s/%s (available/held/spent)',
    b.available, b.held, b.spent, e.available, e.held, e.spent) as why
from balance as b
left join lateral (
    select {SUMS}
    from ledger_entry where account_id = b.account_id
) as e on true
where (b.available, b.held, b.spent) is distinct from (e.available, e.held, e.spent)
    or least(b.available, b.held, b.spent) < 0
union all
select distinct e.account_id::text, 'entries without a balance' from ledger_entry as e
where not exists (select from balance as b where b.account_id = e.account_id)
"""
# What a gift's payer bought is somebody else's: its code is granted, not the invoice.
PAID_IS_CREDITED_ONCE = """
select i.id::text as what, format('%s, with %s grants of %s credits for %s', i.state, count(e.id),
    coalesce(sum(e.credits), 0), i.credits) as why
from invoice as i left join ledger_entry as e on e.invoice_id = i.id and e.kind = 'grant'
group by i.id
having count(e.id) > 1 or i.state <> 'paid' and count(e.id) > 0
    or i.purpose <> 'gift' and (
        i.state = 'paid' and count(e.id) = 0
        or count(e.id) = 1 and (sum(e.credits) <> i.credits or not bool_and(e.account_id = i.account_id))
    )
"""
DELIVERED_IS_CHARGED_ONCE = """
select j.id::text as what, format('%s, with %s pictures and %s charges', j.state, i.n, e.n) as why
from job as j
cross join lateral (select count(*) as n from image where job_id = j.id) as i
cross join lateral (
    select count(*) as n from ledger_entry where job_id = j.id and kind = 'settle' and credits = j.credits
) as e
where (j.state = 'delivered') <> (i.n = 1) or (j.state = 'delivered') <> (e.n = 1)
"""
UNDELIVERED_IS_RELEASED = """
select j.id::text as what, format('%s, entries %s', j.state, k.kinds) as why
from job as j
cross join lateral (select array_agg(kind order by id) as kinds from ledger_entry where job_id = j.id) as k
where j.state in ('failed', 'canceled') and k.kinds is distinct from '{reserve,release}'
"""
UNFINISHED_IS_HELD = """
select j.id::text as what, format('%s, entries %s', j.state, k.kinds) as why
from job as j
cross join lateral (select array_agg(kind order by id) as kinds from ledger_entry where job_id = j.id) as k
where j.state in ('queued', 'running') and k.kinds is distinct from '{reserve}'
"""
OWN_PICTURES = """
select i.id::text as what, format('of job %s, whose account or generation is another', i.job_id) as why
from image as i join job as j on j.id = i.job_id
where (i.account_id, i.generation_id) is distinct from (j.account_id, j.generation_id)
"""
# Of each account: its charges, and the price that its orders name for what was delivered (I7).
CHARGED_IS_THE_PRICE = """
select j.account_id::text as what, format('charged %s for %s delivered pictures, whose price is %s',
    sum(e.credits), count(*), sum(g.credits)) as why
from job as j join generation as g on g.id = j.generation_id
join ledger_entry as e on e.job_id = j.id and e.kind = 'settle'
where j.state = 'delivered'
group by j.account_id
having sum(e.credits) <> sum(g.credits)
"""
# The statement is what people read: its lines come to the same as the entries behind the balance (I7).
STATEMENT_ADDS_UP = """
select coalesce(s.account_id, e.account_id)::text as what,
    format('it says %s charged and %s left, the entries %s and %s', s.charged, s.left_over, e.charged, e.left_over) as why
from (select account_id, sum(charged) as charged, sum(change) as left_over from statement group by account_id) as s
full join (
    select account_id, coalesce(sum(credits) filter (where kind = 'settle'), 0)
            - coalesce(sum(credits) filter (where kind = 'refund'), 0) as charged,
        coalesce(sum(credits) filter (where kind in ('grant', 'adjust', 'release', 'refund')), 0)
            - coalesce(sum(credits) filter (where kind in ('reserve', 'cycle_reset')), 0) as left_over
    from ledger_entry group by account_id
) as e on e.account_id = s.account_id
where (s.charged, s.left_over) is distinct from (e.charged, e.left_over)
"""
# An end that comes early is not waited for by an order that has begun: it has a minute (I9).
RESERVED_IN_A_PERIOD = """
select e.job_id::text as what, format('reserved %s, the last period of %s ended %s', e.created_at, e.account_id, s.until) as why
from ledger_entry as e
left join (select account_id, max(period_end) as until from subscription group by account_id) as s
    on s.account_id = e.account_id
where e.kind = 'reserve' and (s.until is null or e.created_at > s.until + interval '1 minute')
"""
TOKENS_SPENT_WHAT_THEY_ORDERED = """
select format('%s on %s', coalesce(u.token_id, o.token_id), coalesce(u.day, o.day)) as what,
    format('counted %s, its orders cost %s', coalesce(u.credits, 0), coalesce(o.credits, 0)) as why
from api_token_use as u
full join (
    select g.api_token_id as token_id, (g.created_at at time zone 'utc')::date as day,
        sum(case e.kind when 'reserve' then e.credits else -e.credits end) as credits
    from generation as g join job as j on j.generation_id = g.id join ledger_entry as e on e.job_id = j.id
    where g.api_token_id is not null and e.kind in ('reserve', 'release', 'refund')
    group by 1, 2
) as o on o.token_id = u.token_id and o.day = u.day
where coalesce(u.credits, 0) <> coalesce(o.credits, 0)
"""
# What refuses to change an entry, to count it twice or to spend what is not there: in place, and switched on (I2, I4, I10).
GUARDS_STAND = """
select g.name as what, g.does || ': it is gone or switched off' as why
from (values
    ('t', 'ledger_append_only', 'refuses to change or delete an entry'),
    ('t', 'ledger_never_truncated', 'refuses to empty the ledger'),
    ('t', 'ledger_apply', 'keeps the balance, and the order of entries'),
    ('t', 'reserve_allowed', 'refuses orders without a period, or beyond a cap'),
    ('t', 'api_token_spend', 'counts what tokens spend'),
    ('i', 'ledger_entry_job_id_kind_key', 'refuses a second entry of a kind for a job'),
    ('i', 'ledger_settled_or_released', 'refuses to charge and release the same job'),
    ('i', 'ledger_granted_once', 'refuses a second grant for an invoice'),
    ('i', 'generation_idempotency', 'refuses a second order under one key'),
    ('i', 'image_job_id_key', 'refuses a second picture of a job'),
    ('c', 'balance_covers_it', 'refuses to spend what is not there')
) as g (kind, name, does)
where not case g.kind
    when 't' then exists (
        select from pg_trigger where tgname = g.name and tgrelid = 'ledger_entry'::regclass and tgenabled in ('O', 'A')
    )
    when 'i' then exists (select from pg_index where indexrelid = to_regclass(g.name) and indisunique and indisvalid)
    else exists (
        select from pg_constraint where conname = g.name and conrelid = 'balance'::regclass and convalidated
    ) end
"""
# A use of a code that gives credits, a trial and an earned thank-you have one grant each, and a counter counts its uses.
GIVEN_ONCE = """
select format('redemption %s', r.id) as what, format('%s, of a code for %s %s, with a grant of %s', r.state, c.quantity,
    c.gives, e.credits) as why
from redemption as r join code as c on c.id = r.code_id left join ledger_entry as e on e.id = r.entry_id
where (r.state = 'used' and c.gives in ('credits', 'cycle')) <> (e.id is not null)
    or e.id is not null and (e.kind, e.account_id, e.credits) <> ('grant', r.account_id, c.quantity)
union all
select format('code %s', c.id), format('counts %s uses, there are %s', c.uses, count(r.id))
from code as c left join redemption as r on r.code_id = c.id and r.state <> 'returned' and not r.is_beyond
group by c.id having c.uses <> count(r.id)
union all
select format('invoice %s', i.id), format('a gift that is %s, with %s codes', i.state, count(c.id))
from invoice as i left join code as c on c.invoice_id = i.id
where i.purpose = 'gift' group by i.id having count(c.id) <> 1
union all
select format('invoice %s', i.id), format('%s, its code is %s', i.state, r.state)
from invoice as i join redemption as r on r.invoice_id = i.id
where (r.state = 'used') <> (i.state = 'paid') or r.state = 'reserved' and i.state not in ('pending', 'processing')
union all
select format('trial of %s', t.account_id), format('%s credits, granted %s', t.credits, e.credits)
from trial as t left join ledger_entry as e on e.id = t.entry_id
where (e.kind, e.account_id, e.credits) is distinct from ('grant', t.account_id, t.credits)
union all
select format('referral of %s', r.account_id), format('%s credits, granted %s', r.credits, e.credits)
from referral as r left join ledger_entry as e on e.id = r.entry_id left join invoice as i on i.id = r.invoice_id
where r.entry_id is not null and (e.kind, e.account_id, e.credits) is distinct from ('grant', r.referrer_id, r.credits)
    or r.invoice_id is not null and i.state <> 'paid'
"""
RULES = {
    "a balance is the sum of its entries": BALANCE_IS_THE_SUM,
    "a paid invoice is credited once, an unpaid one never": PAID_IS_CREDITED_ONCE,
    "a delivered picture is charged once, an undelivered one never": DELIVERED_IS_CHARGED_ONCE,
    "a job that ended without a picture was released": UNDELIVERED_IS_RELEASED,
    "a job that has not ended holds its credits": UNFINISHED_IS_HELD,
    "a picture belongs to whom its job belongs": OWN_PICTURES,
    "what was charged is the price of what was delivered": CHARGED_IS_THE_PRICE,
    "the statement says what the entries come to": STATEMENT_ADDS_UP,
    "nothing was reserved after the end of a period": RESERVED_IN_A_PERIOD,
    "a token has spent what its orders cost": TOKENS_SPENT_WHAT_THEY_ORDERED,
    "whatever guards the ledger is in its place": GUARDS_STAND,
    "a code, a trial and a referral give what they promise, once": GIVEN_ONCE,
}
"""They hold at any moment, also in a backup of any age."""
HELD_IN_TIME = """
select e.job_id::text as what, format('%s credits held since %s, its deadline was %s', e.credits, e.created_at,
    j.deadline) as why
from ledger_entry as e join job as j on j.id = e.job_id
where e.kind = 'reserve' and j.deadline < now() - interval '15 minutes'
    and not exists (select from ledger_entry as o where o.job_id = e.job_id and o.kind in ('settle', 'release'))
"""
LIVE_RULES = {"nothing is held longer than its deadline and a quarter of an hour": HELD_IN_TIME}
"""Those that hold where workers run (I6): one of them ends what is overdue."""
FILES = "the bytes behind each charge are there"
"""The rule that the storage answers for."""
PICTURES = """
select id, storage_key, thumb_key, sha256, bytes, thumbed_at is not null as is_framed from image
where deleted_at is null and wiped_at is null and id > $1 order by id limit 500
"""
FIRST = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class Finding:
    """What came of one rule: ``broken`` cases, and the first of them in words."""

    rule: str
    broken: int
    cases: Sequence[str]


async def verify(db: Database, storage: Storage, *, deep: bool = False, live: bool = False) -> list[Finding]:
    """One finding for each rule, in order. ``deep`` reads every picture and compares its SHA-256.

    ``live``: here workers run, so the rules about time are looked at, too.

    Nothing is written, and nobody is held up. Pictures are looked for after the snapshot, so one that was wiped
    meanwhile is asked for again before it counts as gone. Raises StorageUnavailable.
    """
    found = await rules(db, live=live)
    gone = [case async for case in _gone(db, storage, deep)]
    return [*found, _finding(FILES, gone)]


async def rules(db: Database, *, live: bool = False) -> list[Finding]:
    """What the database alone can say, in one snapshot; nothing is written, and nobody is held up."""
    async with db.transaction(PATIENCE) as tx:
        await tx.execute(SNAPSHOT)
        await tx.execute(UNHURRIED)
        return [
            _finding(rule, [f"{row['what']}: {row['why']}" for row in await tx.fetch(sql)])
            for rule, sql in (RULES | (LIVE_RULES if live else {})).items()
        ]


def _finding(rule: str, cases: Sequence[str]) -> Finding:
    return Finding(rule, len(cases), cases[:MOST])


STILL_THERE = "select deleted_at is null and wiped_at is null from image where id = $1"


async def _gone(db: Db, storage: Storage, deep: bool) -> AsyncIterator[str]:
    after: object = FIRST
    while rows := await db.fetch(PICTURES, after):
        for row in rows:
            after = row["id"]
            why = await _trouble(storage, row["storage_key"], row["bytes"], row["sha256"] if deep else None)
            if why is None and row["is_framed"] and await storage.head(row["thumb_key"]) is None:
                why = "no thumbnail"
            if why is not None and await db.fetchval(STILL_THERE, row["id"]):
                yield f"{row['id']}: {why}"


async def _trouble(storage: Storage, key: str, size: int, sha256: str | None) -> str | None:
    """What is wrong with the bytes under this key."""
    found = await storage.head(key)
    if found is None:
        return f"nothing is stored under {key}"
    if found != size:
        return f"{found} bytes are stored under {key}, {size} were delivered"
    if sha256 is None:
        return None
    digest = hashlib.sha256()
    try:
        async for chunk in storage.stream(key):
            digest.update(chunk)
    except Missing:
        return f"nothing is stored under {key}"
    return None if digest.hexdigest() == sha256 else f"other bytes than were delivered are stored under {key}"
