"""A second factor as a person has one: the app's codes, by the database's clock, and the sheet of recovery codes."""

from __future__ import annotations

import re

from limner.runtime import otp
from limner.runtime.database import Database
from limner.runtime.vault import Vault
from limner.sql import factors
from limner.sql.accounts import Account
from tests.http.conftest import Browser

ALICE = {"email": "alice@example.com", "password": "alice-likes-vermilion"}
CAROL = {"email": "carol@example.com", "password": "carol-likes-vermilion"}


async def set_up(browser: Browser, db: Database, account: Account) -> tuple[str, list[str]]:
    """Set it up on the pages; the secret in the app, and the recovery codes."""
    await browser.post("/account/security/totp")
    secret = await factors.unconfirmed(db, Vault.from_config(browser.site.config), account.id)
    assert secret is not None
    page = await browser.post("/account/security/totp/confirmation", {"code": await code_of(db, secret)})
    assert page.status == 200, page.text
    return secret, re.findall(r"[A-Z2-9]{4}(?:-[A-Z2-9]{4}){3}", page.text)


async def code_of(db: Database, secret: str, step: int = 0) -> str:
    """What the app shows now, or so many steps from now."""
    now = await db.fetchval("select extract(epoch from now())::float8")
    return otp.code_at(secret, int(now) // otp.STEP + step)


async def let_pass(db: Database) -> None:
    """As if the code of the set-up had been long ago."""
    await db.execute("update second_factor set last_step = 0")
