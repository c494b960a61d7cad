"""Seeds: what `limner migrate` makes sure of after the migrations."""

from __future__ import annotations

from pathlib import Path

from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.opening import open_database
from limner.runtime.vault import Vault
from limner.sql import plans, providers, schema, vaults

CAST = Path(__file__).with_name("seeds.sql")


async def sow(db: Db, config: Config) -> None:
    """The default plan, the catalogue, and in development the cast. Twenty at once make one of each."""
    async with db.transaction() as tx:
        await tx.execute("select pg_advisory_xact_lock(hashtextextended('seeds', 0))")
        await vaults.admit(tx, config)
        await plans.ensure_default(tx)
        await providers.ensure_catalogue(tx, config, Vault.from_config(config))
        if config.env == "development":
            await tx.execute(CAST.read_text(encoding="utf-8"))


async def migrate_and_sow(config: Config) -> tuple[int, int]:
    """What `limner migrate` does. Returns the schema's version before and after. Raises SchemaError, WrongKeys."""
    versions = await schema.migrate(config.migration_dsn)
    async with open_database(config.migration_dsn, role="migrate", pool=2) as db:
        await sow(db, config)
    return versions
