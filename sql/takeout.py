"""Takeout: everything that is kept about somebody, as they take it with them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg

from limner.runtime.database import Db
from limner.runtime.log import logger
from limner.runtime.storage import Missing, Storage
from limner.runtime.zipstream import Entry
from limner.sql.cells import safe

log = logger(__name__)

BATCH = 500
ENDINGS = {"image/png": "png", "image/jpeg": "jpg", "image/webp": "webp"}

# Each goes on behind the id of the last row before ($2).
PROFILE = """
select 1::bigint as seq, id, email, role, locale, created_at, verified_at, banned_at, ban_reason, news_stopped_at
from account where id = $1 and $2::bigint < 1 limit $3
"""
SESSIONS = """
select * from (
    select row_number() over (order by created_at, id) as seq, created_at, seen_at, expires_at, ip, agent
    from session where account_id = $1
) as s where seq > $2 order by seq limit $3
"""
SIGN_INS = """
select id as seq, created_at, way, is_refused, ip, agent from sign_in where account_id = $1 and id > $2 order by id limit $3
"""
TOKENS = """
select * from (
    select row_number() over (order by created_at, id) as seq, id, name, last_four, scopes, created_at, expires_at, revoked_at,
        last_used_at, last_used_ip
    from api_token where account_id = $1
) as t where seq > $2 order by seq limit $3
"""
INVOICES = """
select * from (
    select row_number() over (order by i.created_at, i.id) as seq, i.id, i.purpose, p.code as plan, i.state, i.amount_cents,
        i.discount_cents, i.currency, i.credits, i.processor, i.processor_ref, i.created_at, i.expires_at, i.paid_at
    from invoice as i join plan as p on p.id = i.plan_id where i.account_id = $1
) as i where seq > $2 order by seq limit $3
"""
LEDGER = """
select id as seq, created_at, kind, credits, why, job_id, invoice_id from ledger_entry
where account_id = $1 and id > $2 order by id limit $3
"""
PROMPTS = """
select * from (
    select row_number() over (order by created_at, id) as seq, id, thread_id, created_at, prompt, model_id, width, height, count,
        parameters, state, reason
    from generation where account_id = $1
) as g where seq > $2 order by seq limit $3
"""
PICTURES = """
select * from (
    select row_number() over (order by created_at, id) as seq, id, generation_id, created_at, mime, width, height, bytes,
        sha256, storage_key, taken_down_at,
        (select t.reason from takedown as t where t.image_id = image.id and t.restored_at is null) as taken_down_for
    from image where account_id = $1 and deleted_at is null
) as i where seq > $2 order by seq limit $3
"""
SEEN = """
select * from (
    select row_number() over (order by created_at, id) as seq, id, created_at, mime, storage_key
    from image where account_id = $1 and deleted_at is null and taken_down_at is null
) as i where seq > $2 order by seq limit $3
"""
UPLOADS = """
select * from (
    select row_number() over (order by created_at, id) as seq, id, created_at, mime, width, height, bytes, sha256, storage_key
    from upload where account_id = $1 and deleted_at is null
) as u where seq > $2 order by seq limit $3
"""
SHARES = """
select * from (
    select row_number() over (order by s.created_at, s.id) as seq, s.image_id, s.code, s.shows_prompt, s.caption, s.created_at,
        s.revoked_at, w.display_name as name_on_the_wall, w.state as wall, w.reason as wall_reason, w.offered_at, w.decided_at
    from share as s left join lateral (
        select * from wall_offer where share_id = s.id order by id desc limit 1
    ) as w on true
    where s.account_id = $1
) as s where seq > $2 order by seq limit $3
"""
REPORTS = """
select id as seq, image_id, kind, words, times, created_at, settled_at, outcome from report
where account_id = $1 and id > $2 order by id limit $3
"""
LISTS = {
    "profile": PROFILE, "sessions": SESSIONS, "sign-ins": SIGN_INS, "api-tokens": TOKENS, "invoices": INVOICES,
    "ledger": LEDGER, "prompts": PROMPTS, "pictures": PICTURES, "uploads": UPLOADS,
    "shares": SHARES, "reports": REPORTS,
}  # fmt: skip
FILES = {"pictures": SEEN, "uploads": UPLOADS}


async def entries(db: Db, storage: Storage, account_id: UUID) -> AsyncIterator[Entry]:
    """Every list as JSON and as CSV, then the pictures: read while they are sent, some rows at a time."""
    now = datetime.now(UTC)
    for name, statement in LISTS.items():
        yield Entry(f"{name}.json", _as_json(_rows(db, statement, account_id)), now)
        yield Entry(f"{name}.csv", _as_csv(_rows(db, statement, account_id)), now)
    for folder, statement in FILES.items():
        async for row in _rows(db, statement, account_id):
            name = f"{folder}/{row['created_at']:%Y-%m-%d}-{row['id']}.{ENDINGS.get(row['mime'], 'bin')}"
            yield Entry(name, _bytes(storage, row["storage_key"]), row["created_at"], packs=False)


async def _rows(db: Db, statement: str, account_id: UUID) -> AsyncIterator[asyncpg.Record]:
    after = 0
    while rows := await db.fetch(statement, account_id, after, BATCH):
        for row in rows:
            yield row
        after = rows[-1]["seq"]


async def _bytes(storage: Storage, key: str) -> AsyncIterator[bytes]:
    """A picture that is lost is an empty file, and the rest goes on. When the storage is down, the whole download breaks off."""
    try:
        async for piece in storage.stream(key):
            yield piece
    except Missing:
        log.warning("picture_missing", key=key)


async def _as_json(rows: AsyncIterator[asyncpg.Record]) -> AsyncIterator[bytes]:
    yield b"["
    first = True
    async for row in rows:
        about = {name: _plain(value) for name, value in _shown(row)}
        yield (b"\n" if first else b",\n") + json.dumps(about, ensure_ascii=False).encode()
        first = False
    yield b"\n]\n"


async def _as_csv(rows: AsyncIterator[asyncpg.Record]) -> AsyncIterator[bytes]:
    first = True
    async for row in rows:
        shown = list(_shown(row))
        if first:
            yield _line(name for name, _ in shown)
        yield _line(_cell(value) for _, value in shown)
        first = False


def _shown(row: asyncpg.Record) -> Iterable[tuple[str, Any]]:
    return ((name, value) for name, value in row.items() if name not in ("seq", "storage_key"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)


def _cell(value: Any) -> str:
    """A table program would run what begins like a formula."""
    plain = _plain(value)
    text = "" if plain is None else plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
    return safe(text) if isinstance(value, str) else text


def _line(cells: Iterable[str]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(cells)
    return buffer.getvalue().encode()
