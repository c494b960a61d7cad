"""Providers: who paints, and what a fresh studio knows of them."""

from __future__ import annotations

from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.vault import Vault
from limner.sql import keys, models

SEED = "insert into provider (code, kind, base_url) values ($1, $2, $3) on conflict (code) do nothing"

SIZES = ("1024x1024", "1536x1024", "1024x1536")
DEMO_SIZES = (*SIZES, "1344x768", "768x1344", "512x512")


async def codes(db: Db) -> list[str]:
    return [row["code"] for row in await db.fetch("select code from provider where active order by code")]


async def ensure_catalogue(db: Db, config: Config, vault: Vault) -> None:
    """The providers and models that a fresh studio begins with. What an operator changed about them stays."""
    await db.execute(SEED, "openai", "openai", "")  # an empty base: the one of the settings
    for place, (model_id, name, credits, cost) in enumerate(
        [("gpt-image-2", "GPT Image 2", 2, 40_000), ("gpt-image-1-mini", "GPT Image mini", 1, 11_000)], start=10
    ):
        await models.ensure(
            db,
            model_id,
            "openai",
            model_id,
            name,
            abilities=("text", "image", "mask"),
            sizes=SIZES,
            credits=credits,
            cost_micros=cost,
            sort=place,
        )
    if config.env == "development":
        await _ensure_simulator(db)
    if config.has_demo_painter:
        await _ensure_demo(db, vault)


async def _ensure_simulator(db: Db) -> None:
    """A painter of faults. It has no keys at first, so nobody is offered its model."""
    await db.execute(SEED, "simulator", "simulator", "")
    await models.ensure(
        db,
        "simulator",
        "simulator",
        "simulator",
        "Fault simulator",
        abilities=("text", "image"),
        sizes=DEMO_SIZES,
        credits=1,
        cost_micros=0,
        sort=90,
    )


async def _ensure_demo(db: Db, vault: Vault) -> None:
    await db.execute(SEED, "demo", "demo", "")
    await models.ensure(
        db,
        "demo",
        "demo",
        "demo",
        "Demo painter",
        abilities=("text", "image"),
        sizes=DEMO_SIZES,
        credits=1,
        cost_micros=0,
        sort=0,
    )
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
