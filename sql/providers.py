"""Providers: who paints, and what a fresh studio knows of them."""

from __future__ import annotations

import json
from typing import Any

from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.runtime.vault import Vault
from limner.sql import audit, catalogue, keys, models
from limner.sql.catalogue import Seed

SEED = """
insert into provider (code, kind, base_url, settings, is_local) values ($1, $2, $3, $4, $5) on conflict (code) do nothing
"""

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


CHANGE = """
with before as (select base_url, active, settings, is_local from provider where code = $1 for update)
update provider as p set base_url = coalesce($2, p.base_url), active = coalesce($3, p.active),
    settings = coalesce($4, p.settings), is_local = coalesce($5, p.is_local)
from before where p.code = $1
returning before.base_url, before.active, before.settings, before.is_local
"""


async def change(
    db: Db,
    code: str,
    *,
    actor: str,
    base_url: str | None = None,
    active: bool | None = None,
    settings: dict[str, object] | None = None,
    is_local: bool | None = None,
    ip: str = "",
) -> None:
    """What is None stays. Raises NotFound."""
    async with db.transaction() as tx:
        row = await tx.fetchrow(CHANGE, code, base_url, active, settings, is_local)
        if row is None:
            raise NotFound(f"There is no provider {code[:40]!r}.")
        asked = {"base_url": base_url, "active": active, "settings": settings, "is_local": is_local}
        after = {name: value for name, value in asked.items() if value is not None}
        before = {name: row[name] for name in after}
        hidden = {"settings": "…"}  # they may carry headers
        await audit.record(
            tx, actor, "provider.change", code, before | (hidden if "settings" in after else {}),
            after | (hidden if "settings" in after else {}), ip=ip,
        )  # fmt: skip


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
