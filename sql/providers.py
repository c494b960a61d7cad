"""Providers: who paints, and what a fresh studio knows of them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.runtime.vault import Vault
from limner.sql import audit, catalogue, keys, models, painters
from limner.sql.catalogue import Seed
from limner.sql.switches import Settings

SEED = """
insert into provider (code, kind, base_url, settings, is_local) values ($1, $2, $3, $4, $5) on conflict (code) do nothing
"""

CODE = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
DEMO_SIZES = (*catalogue.SIZES, "1344x768", "768x1344", "512x512")


async def codes(db: Db) -> list[str]:
    return [row["code"] for row in await db.fetch("select code from provider where active order by code")]


LIST = """
select p.id, p.code, p.kind, p.base_url, p.active, p.settings, p.is_local,
    (select count(*) from provider_key as k where k.provider_id = p.id) as keys,
    (select count(*) from provider_key as k where k.provider_id = p.id and k.state = 'active') as active_keys,
    (select count(*) from model as m where m.provider_id = p.id and m.active) as models
from provider as p order by p.code
"""


async def listing(db: Db) -> list[dict[str, Any]]:
    return [dict(row) for row in await db.fetch(LIST)]


ACTS = """
select created_at, actor, action, before, after from audit
where action = any($2::text[]) and (subject = $1 or subject like $1 || ' %') order by id desc limit 50
"""


async def acts(db: Db, code: str, *, with_money: bool) -> list[dict[str, Any]]:
    """What somebody did to a provider, the newest first; ``with_money``: and what was put in over there."""
    money = ("fund.top_up", "fund.alert", "fund.set") if with_money else ()
    return [dict(row) for row in await db.fetch(ACTS, code, ["provider.add", "provider.change", *money])]


NEW = """
insert into provider (code, kind, base_url, settings, is_local) values ($1, $2, $3, $4, $5) on conflict (code) do nothing
returning id
"""
HIDDEN = "…"
"""Instead of settings in the audit: they may carry headers."""


async def add(
    db: Db,
    code: str,
    kind: str,
    *,
    actor: str,
    base_url: str = "",
    settings: Settings | None = None,
    is_local: bool = False,
    reason: str = "",
    ip: str = "",
) -> None:
    """Raises Refused for a code that is taken or cannot be, a kind that nobody is, an address or a setting that is wrong."""
    if not CODE.fullmatch(code):
        raise Refused(
            f"A code has up to 40 of a-z, 0-9 and -, which is not the first, unlike {code[:50]!r}.", field="code"
        )
    painters.check_kind(kind)
    painters.check_settings(kind, settings or {})
    base_url = painters.check_address(kind, base_url, is_local=is_local)
    async with db.transaction() as tx:
        if await tx.fetchval(NEW, code, kind, base_url, dict(settings or {}), is_local) is None:
            raise Refused(f"There is a provider {code!r} already.", field="code")
        after: dict[str, object] = {"kind": kind, "base_url": base_url, "is_local": is_local}
        await audit.record(
            tx,
            actor,
            "provider.add",
            code,
            None,
            after | ({"settings": HIDDEN} if settings else {}),
            reason=reason,
            ip=ip,
        )


KNOWN = "select kind, base_url, active, settings, is_local from provider where code = $1 for update"
CHANGE = "update provider set base_url = $2, active = $3, settings = $4, is_local = $5 where code = $1"


async def change(
    db: Db,
    code: str,
    *,
    actor: str,
    base_url: str | None = None,
    active: bool | None = None,
    settings: Settings | None = None,
    is_local: bool | None = None,
    reason: str = "",
    ip: str = "",
) -> None:
    """What is None stays. Raises NotFound, and Refused for an address or a setting that is wrong."""
    asked = {"base_url": base_url, "active": active, "settings": settings, "is_local": is_local}
    given = {name: value for name, value in asked.items() if value is not None}
    async with db.transaction() as tx:
        row = await tx.fetchrow(KNOWN, code)
        if row is None:
            raise NotFound(f"There is no provider {code[:40]!r}.")
        after = dict(row) | given
        if settings is not None:
            painters.check_settings(row["kind"], settings)
        if (after["base_url"], after["is_local"]) != (row["base_url"], row["is_local"]):
            after["base_url"] = painters.check_address(row["kind"], after["base_url"], is_local=after["is_local"])
        await tx.execute(CHANGE, code, after["base_url"], after["active"], dict(after["settings"]), after["is_local"])
        hidden = {"settings": HIDDEN} if settings is not None else {}
        shown = [{name: each[name] for name in given} | hidden for each in (dict(row), after)]
        await audit.record(tx, actor, "provider.change", code, *shown, reason=reason, ip=ip)


def problem(provider: Mapping[str, Any]) -> str:
    """What is wrong with a row of the listing, however it came there; empty: nothing."""
    try:
        painters.check_kind(provider["kind"])
        painters.check_settings(provider["kind"], provider["settings"])
        painters.check_address(provider["kind"], provider["base_url"], is_local=provider["is_local"])
    except Refused as why:
        return str(why)
    return ""


async def ensure_catalogue(db: Db, config: Config, vault: Vault) -> None:
    """The providers and models that a fresh studio begins with. What an operator changed about them stays."""
    for code, (kind, base_url) in catalogue.PROVIDERS.items():
        await db.execute(SEED, code, kind, base_url, catalogue.SETTINGS.get(code, {}), code in catalogue.LOCAL)
    for seed in catalogue.MODELS:
        await models.ensure(db, seed)
    if config.env == "development":
        await _ensure_painter(db, "simulator", "Fault simulator", 90)  # without keys: nobody is offered its model
    if config.has_demo_painter:
        await _ensure_demo(db, vault)


async def _ensure_painter(db: Db, code: str, name: str, sort: int) -> None:
    """One that paints by itself, for nothing."""
    await db.execute(SEED, code, code, "", {}, False)
    await models.ensure(db, Seed(code, code, code, name, micros=0, sizes=DEMO_SIZES, sort=sort))


async def _ensure_demo(db: Db, vault: Vault) -> None:
    await _ensure_painter(db, "demo", "Demo painter", 0)
    has_keys = (
        "select exists (select from provider_key as k join provider as p on p.id = k.provider_id where p.code = 'demo')"
    )
    if not await db.fetchval(has_keys):
        for number in (1, 2, 3):
            await keys.add(
                db,
                vault,
                "demo",
                f"Demo brush {number}",
                f"demo-brush-{number}",
                actor="system",
                account_group=f"demo-{number}",
                concurrency=4,
            )


def settings_in(text: str) -> dict[str, object]:
    """The settings that somebody typed. Raises Refused."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refused(f"Settings are a JSON object: {error}.", field="settings") from None
    if not isinstance(found, dict):
        raise Refused("Settings are a JSON object.", field="settings")  # not repeated: they may carry headers
    return found
