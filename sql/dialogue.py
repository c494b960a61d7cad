"""Dialogue: what the Telegram bot asked an admin and waits for, a yes or a word; nothing of it is in their buttons."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from limner.runtime.database import Db, affected

MINUTES = 5
"""For so long a question stands."""


@dataclass(frozen=True)
class Confirmation:
    """What a yes does: ``act`` of ``menu``, with ``what``. ``back``: the button that leads on otherwise."""

    menu: str
    act: str
    what: dict[str, Any]
    back: str


ASK = """
insert into telegram_confirmation (token, telegram_id, menu, act, what, back, expires_at)
values ($1, $2, $3, $4, $5, $6, now() + make_interval(mins => $7))
"""


async def ask(db: Db, telegram_id: int, asked: Confirmation) -> str:
    """Keep what they were asked; returns the name under which only they can say yes to it, and only once."""
    token = secrets.token_hex(8)
    await db.execute(ASK, token, telegram_id, asked.menu, asked.act, asked.what, asked.back, MINUTES)
    return token


TAKE = """
delete from telegram_confirmation where token = $1 and telegram_id = $2
returning menu, act, what, back, expires_at > now() as stands
"""


async def take(db: Db, telegram_id: int, token: str) -> Confirmation | None:
    """They said yes: what to, unless it was used, is too old, or was asked of somebody else."""
    row = await db.fetchrow(TAKE, token, telegram_id)
    if row is None or not row["stands"]:
        return None
    return Confirmation(menu=row["menu"], act=row["act"], what=row["what"], back=row["back"])


@dataclass(frozen=True)
class Prompt:
    """What their next message is: the answer to ``question`` of ``menu``. ``back``: where calling it off leads."""

    menu: str
    question: str
    what: dict[str, Any]
    back: str


LISTEN = """
insert into telegram_prompt (telegram_id, menu, question, what, back, expires_at)
values ($1, $2, $3, $4, $5, now() + make_interval(mins => $6))
on conflict (telegram_id) do update set menu = excluded.menu, question = excluded.question, what = excluded.what,
    back = excluded.back, expires_at = excluded.expires_at
"""


async def listen(db: Db, telegram_id: int, prompt: Prompt) -> None:
    """Their next message is the answer; a question before this one is forgotten."""
    await db.execute(LISTEN, telegram_id, prompt.menu, prompt.question, prompt.what, prompt.back, MINUTES)


HEAR = """
delete from telegram_prompt where telegram_id = $1
returning menu, question, what, back, expires_at > now() as stands
"""


async def hear(db: Db, telegram_id: int) -> Prompt | None:
    """What the message that came is the answer to; then nothing more is."""
    row = await db.fetchrow(HEAR, telegram_id)
    if row is None or not row["stands"]:
        return None
    return Prompt(menu=row["menu"], question=row["question"], what=row["what"], back=row["back"])


FORGET = "delete from telegram_prompt where telegram_id = $1"


async def forget(db: Db, telegram_id: int) -> None:
    """They went on to something else."""
    await db.execute(FORGET, telegram_id)


OLD_CONFIRMATIONS = "delete from telegram_confirmation where expires_at <= now()"
OLD_PROMPTS = "delete from telegram_prompt where expires_at <= now()"


async def cleanup(db: Db) -> int:
    """Delete what nobody answered in time; returns how many rows."""
    return sum([affected(await db.execute(statement)) for statement in (OLD_CONFIRMATIONS, OLD_PROMPTS)])
