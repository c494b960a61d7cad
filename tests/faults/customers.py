"""Customers over real HTTP, who try again with the same key until they have an answer, as a browser's user would."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from uuid import UUID

import aiohttp
import anyio

from limner.runtime.database import Db

PASSWORD = "alice-likes-vermilion"
LATER = (429, 500, 502, 503, 504)

# Customers with a plan, who have Alice's password.
SIGN_UP = """
with alice as (
    select a.password_hash, s.plan_id from account as a join subscription as s on s.account_id = a.id
    where a.email_key = 'alice@example.com'
),
made as (
    insert into account (email, password_hash, verified_at)
    select 'customer-' || n || '@example.com', password_hash, now() from alice, generate_series(1, $1::int) as n
    returning id, email
),
subscribed as (
    insert into subscription (account_id, plan_id, state, anchored_at, cycles, period_start, period_end, cycle_credits)
    select id, plan_id, 'active', now(), 1, now(), now() + interval '1 month', 100 from made, alice
),
granted as (
    insert into ledger_entry (account_id, kind, credits, why) select id, 'grant', 100, 'for the test' from made
)
select id, email from made order by email
"""


async def sign_up(db: Db, count: int) -> list[tuple[UUID, str]]:
    """Ids and e-mail addresses of new customers."""
    return [(row["id"], row["email"]) for row in await db.fetch(SIGN_UP, count)]


@dataclass
class Customer:
    """``answers``: for each idempotency key the generations that the site answered with."""

    session: aiohttp.ClientSession
    url: str
    email: str
    csrf: str = ""
    answers: dict[str, list[UUID]] = field(default_factory=dict)
    refused_connections: int = 0

    async def log_in(self) -> None:
        page = await self._until_answered("GET", "/login")
        form = {"csrf": _csrf(page[1]), "email": self.email, "password": PASSWORD}
        await self._until_answered("POST", "/login", form)
        self.csrf = _csrf((await self._until_answered("GET", "/studio"))[1])

    async def order(self, key: str, prompt: str) -> UUID:
        """The generation's id, whatever happens to the site meanwhile."""
        form = {"csrf": self.csrf, "prompt": prompt, "model": "simulator", "size": "512x512", "count": "1"}
        location, _ = await self._until_answered("POST", "/generations", form | {"idempotency_key": key})
        generation = UUID(location.rpartition("#generation-")[2])
        self.answers.setdefault(key, []).append(generation)
        return generation

    async def _until_answered(self, method: str, path: str, form: dict[str, str] | None = None) -> tuple[str, str]:
        while True:
            try:
                async with self.session.request(method, self.url + path, data=form, allow_redirects=False) as answer:
                    text = await answer.text()
                    if answer.status in (200, 303) and (answer.status == 303) == (method == "POST"):
                        return answer.headers.get("Location", ""), text
                    assert answer.status in LATER, f"{method} {path} answered {answer.status}: {text[-2000:]}"
                    await anyio.sleep(float(answer.headers.get("Retry-After", 1)))
            except (aiohttp.ClientError, TimeoutError):
                self.refused_connections += 1
                await anyio.sleep(0.2)


@contextlib.asynccontextmanager
async def customer(url: str, email: str) -> AsyncIterator[Customer]:
    timeout = aiohttp.ClientTimeout(total=15)
    jar: Any = aiohttp.CookieJar(unsafe=True)  # the address has no name
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=timeout) as session:
        yield Customer(session, url, email)


def _csrf(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page[-2000:]
    return unescape(found[1])
