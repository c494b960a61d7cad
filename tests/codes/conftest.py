"""A crowd beside the known cast, and what must be true of the books after whatever happened."""

from __future__ import annotations

from limner.runtime.database import Db
from limner.sql import accounts, books
from limner.sql.accounts import Account


async def crowd(db: Db, count: int, *, verified: bool = True, domain: str = "example.com") -> list[Account]:
    """People without a plan."""
    made = [await accounts.create(db, f"person{number}@{domain}", "none") for number in range(count)]
    if verified:
        await db.execute("update account set verified_at = now() where verified_at is null")
    return [await accounts.get(db, each.id) for each in made]


async def sound(db: Db) -> None:
    """Raises AssertionError that names every rule of the books that is broken."""
    broken = [f"{rule}: {dict(row)}" for rule, sql in books.RULES.items() for row in (await db.fetch(sql))[:3]]
    assert not broken, "\n".join(broken)
