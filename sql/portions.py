"""Portions: what of a broadcast goes into the outbox next, each portion in one transaction, at the pace that was chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from limner.runtime.database import Db, Transaction, affected
from limner.sql import audit, broadcasts, segments, spreading
from limner.sql.broadcasts import Words
from limner.sql.channels import NOTICE_QUEUED
from limner.sql.spreading import Ways

AT_ONCE = 5000
"""People written down in one transaction."""
SENDING = "select id from broadcast where state = 'sending' order by started_at, id"


async def under_way(db: Db) -> list[UUID]:
    return [row["id"] for row in await db.fetch(SENDING)]


LISTING = """
select segment, plan_id, listed_to, started_at from broadcast
where id = $1 and state = 'sending' and not is_listed for update skip locked
"""
ENLIST = f"""
with found as (
    insert into broadcast_recipient (broadcast_id, account_id)
    select $3::uuid, a.id from account as a
    where {segments.IS_IN} and ($4::uuid is null or a.id > $4) and a.created_at <= $5 order by a.id limit $6
    returning account_id
), part as (
    select count(*) < $6 as is_last, (select account_id from found order by account_id desc limit 1) as furthest from found
)
update broadcast set is_listed = part.is_last, listed_to = case when not part.is_last then part.furthest end
from part where id = $3 returning is_listed
"""


async def enlist(db: Db, broadcast_id: UUID) -> bool:
    """Write down who is to get it, some thousand at a time in the order of their ids. False when all of them are there."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(LISTING, broadcast_id)
        if row is None:
            return False
        where = (row["listed_to"], row["started_at"], AT_ONCE)
        return not await tx.fetchval(ENLIST, row["segment"], row["plan_id"], broadcast_id, *where)


# What was not used for more than some seconds is lost: after an outage nothing is made up for.
TURN = """
with turn as (
    select b.id, b.per_minute, greatest(b.paced_at, now() - make_interval(secs => greatest(30, 60.0 / b.per_minute))) as since
    from broadcast as b where b.id = $1 and b.state = 'sending' for update skip locked
)
select since, floor(per_minute * extract(epoch from now() - since) / 60 + 0.001)::int as due, per_minute - (
    select count(*)::int from notice as n
    where n.sent_at is null and n.failed_at is null and n.dedupe_key = 'broadcast ' || $1::uuid::text
        and (n.next_at is null or n.next_at <= now())
) as room from turn
"""
PACE = """
update broadcast set paced_at = $2::timestamptz + make_interval(secs => $3 * 60.0 / per_minute) where id = $1
"""


async def spread(db: Db, broadcast_id: UUID, ways: Ways, texts: Mapping[str, Words]) -> int:
    """Hand the next portion to the outbox, as large as the pace allows; returns how many people it reached or passed over.

    One transaction: whoever is killed in it has done nothing. No more than a minute's worth waits in the outbox, so that
    a broadcast can be stopped. ``texts``: what is said by Telegram, by language.
    """
    async with db.transaction() as tx:
        turn = await tx.fetchrow(TURN, broadcast_id)
        if turn is None:
            return 0
        await tx.execute(FALL_BACK, broadcast_id, ways.mail)
        portion, reached = min(turn["due"], turn["room"]), 0
        if portion > 0:
            reached = await _hand_out(tx, broadcast_id, portion, ways, texts)
            await tx.execute(PACE, broadcast_id, turn["since"], float(reached))
        await _finish(tx, broadcast_id, ways)
        return reached


REFUSED = "n.failed_at is not null and n.let_go_at is null"
"""Of a notice: Telegram did not take it. What somebody let go stays unsaid."""
# Telegram takes nothing for who has never written to the bot, or has blocked it. Locked, since somebody may just send it again.
FALL_BACK = f"""
with refused as (
    select r.account_id from broadcast_recipient as r join notice as n on n.id = r.notice_id
    where r.broadcast_id = $1 and r.channel = 'telegram' and r.state = 'queued' and {REFUSED} and $2::boolean
    for update of n
)
update broadcast_recipient as r set state = 'waiting', channel = 'mail', notice_id = null
from refused where r.broadcast_id = $1 and r.account_id = refused.account_id
"""
NEXT = f"""
select r.account_id, a.email, a.locale, {segments.WHY_NOT} as why, case when r.channel is null and b.by_telegram and $3 then (
    select l.subject from linked_sign_in as l where l.account_id = a.id and l.issuer = 'telegram'
) end as chat
from broadcast_recipient as r join account as a on a.id = r.account_id join broadcast as b on b.id = r.broadcast_id
where r.broadcast_id = $1 and r.state = 'waiting' order by r.account_id limit $2 for update of r
"""
TELL = """
insert into notice (channel, recipient, subject, body, dedupe_key)
select 'telegram', t.chat, $3::jsonb -> t.language ->> 'subject', $3::jsonb -> t.language ->> 'body', $4
from unnest($1::text[], $2::text[]) as t (chat, language)
on conflict (channel, recipient, dedupe_key) where dedupe_key is not null do nothing returning id, recipient
"""
MAIL = f"""
insert into notice (channel, recipient, body, template, locale, details, dedupe_key)
select 'mail', t.email, '', '{broadcasts.TEMPLATE}', t.locale,
    jsonb_build_object('broadcast_id', $4::uuid, 'account_id', t.account_id), $5
from unnest($1::uuid[], $2::text[], $3::text[]) as t (account_id, email, locale)
on conflict (channel, recipient, dedupe_key) where dedupe_key is not null do nothing returning id, recipient
"""
NOTE = """
update broadcast_recipient as r set state = case when t.notice_id is null then 'skipped' else 'queued' end, channel = t.channel,
    notice_id = t.notice_id, why = t.why
from unnest($2::uuid[], $3::text[], $4::bigint[], $5::text[]) as t (account_id, channel, notice_id, why)
where r.broadcast_id = $1 and r.account_id = t.account_id
"""


async def _hand_out(tx: Transaction, broadcast_id: UUID, portion: int, ways: Ways, texts: Mapping[str, Words]) -> int:
    """Returns for how many people: each of them has a notice then, or a reason why not."""
    people = await tx.fetch(NEXT, broadcast_id, portion, ways.telegram)
    welcome = [row for row in people if not row["why"]]
    chats = [row for row in welcome if row["chat"] is not None]
    mails = [row for row in welcome if row["chat"] is None and ways.mail]
    said = {language: {"subject": words.subject, "body": words.body} for language, words in texts.items()}
    once = f"broadcast {broadcast_id}"

    languages = [row["locale"].split("-")[0] if row["locale"].split("-")[0] in texts else "en" for row in chats]
    told = await tx.fetch(TELL, [row["chat"] for row in chats], languages, said, once)
    about = (
        zip(*((row["account_id"], row["email"], row["locale"]) for row in mails), strict=True)
        if mails
        else ([], [], [])
    )
    mailed = await tx.fetch(MAIL, *about, broadcast_id, once)
    by_chat = {row["recipient"]: row["id"] for row in told}
    by_mail = {row["recipient"]: row["id"] for row in mailed}

    became = [_became(row, by_chat, by_mail, ways) for row in people]
    if became:
        await tx.execute(NOTE, broadcast_id, *zip(*became, strict=True))
        tx.tell(NOTICE_QUEUED)
    return len(people)


def _became(
    row: Any, by_chat: Mapping[str, int], by_mail: Mapping[str, int], ways: Ways
) -> tuple[UUID, str | None, int | None, str]:
    """The account, its channel and its notice, and why there is none."""
    account_id: UUID = row["account_id"]
    if row["why"]:
        return account_id, None, None, row["why"]
    if row["chat"] is None and not ways.mail:
        return account_id, None, None, "no mail server"
    channel, notice = ("telegram", by_chat.get(row["chat"])) if row["chat"] else ("mail", by_mail.get(row["email"]))
    return (account_id, channel, notice, "") if notice else (account_id, None, None, "this address has it already")


# Whoever Telegram has refused since the portion gets a mail in the next one.
FINISH = f"""
update broadcast as b set state = 'done', ended_at = now()
where b.id = $1 and b.state = 'sending' and b.is_listed
    and not exists (select from broadcast_recipient as r where r.broadcast_id = b.id and r.state = 'waiting')
    and not exists (
        select from notice as n
        where n.sent_at is null and n.failed_at is null and (n.attempts = 0 or n.channel = 'telegram')
            and n.dedupe_key = 'broadcast ' || $1::uuid::text
    )
    and not exists (
        select from broadcast_recipient as r join notice as n on n.id = r.notice_id
        where r.broadcast_id = b.id and r.channel = 'telegram' and {REFUSED} and $2::boolean
    )
"""


async def _finish(tx: Transaction, broadcast_id: UUID, ways: Ways) -> None:
    """When somebody has set out with each mail, from when on nothing can be stopped, and every chat has said yes or no."""
    if not affected(await tx.execute(FINISH, broadcast_id, ways.mail)):
        return
    became = await spreading.progress(tx, broadcast_id)
    after = {"state": "done", "queued": became.under_way + became.sent + became.failed, "skipped": became.skipped}
    await audit.record(tx, "herald", "broadcast.done", str(broadcast_id), {"state": "sending"}, after)
