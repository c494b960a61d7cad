"""Where the database is, and the ways to it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from pydantic import Field

from limner.runtime.config.reading import ConfigError
from limner.runtime.config.section import PostgresAddress, Section


class DatabaseSettings(Section):
    """An address, the embedded one without, and what leads around a pooler."""

    database_url: PostgresAddress | None = Field(
        None, description="postgresql://user:password@host/database; empty: the embedded Postgres"
    )
    database_pool: int = Field(5, ge=2, le=200, description="connections per process at the most")
    database_pooled: bool = Field(
        False, description="true: the database's address leads through a pooler in transaction mode, such as PgBouncer"
    )
    database_direct_url: PostgresAddress | None = Field(
        None, description="the same database around that pooler, for LISTEN and migrations; empty: poll every second"
    )
    pg_bin: Path | None = Field(
        None, description="folder with postgres and initdb; empty: the packaged ones, then the system's"
    )

    @property
    def is_embedded(self) -> bool:
        """True when the database is the embedded one of the all-in-one mode."""
        return self.database_url is None

    @property
    def dsn(self) -> str:
        """Where the database is: the one that was set, else the embedded one of the data folder."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        from limner.runtime import embedded

        return (
            f"postgresql://limner@/limner?host={quote(str(embedded.socket_folder(self.data_dir)), safe='')}&port=5432"
        )

    @property
    def direct_dsn(self) -> str | None:
        """Where a session of one's own can be had, for LISTEN and migrations. None: there is only a pooler."""
        if self.database_direct_url is not None:
            return self.database_direct_url.get_secret_value()
        return None if self.database_pooled else self.dsn

    @property
    def migration_dsn(self) -> str:
        """Where migrations are applied: they hold a lock for as long as a session. Raises ConfigError."""
        if self.direct_dsn is None:
            raise ConfigError(["LIMNER_DATABASE_DIRECT_URL is needed to migrate: a pooler in transaction mode cannot"])
        return self.direct_dsn
