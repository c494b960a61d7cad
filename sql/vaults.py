"""Vaults: all that is sealed and with which keys, and which keys this database has been used with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from limner.runtime import build
from limner.runtime.config import Config
from limner.runtime.database import Database, Db
from limner.runtime.errors import WRONG_SETTINGS, LimnerError
from limner.runtime.machine import Machine
from limner.runtime.presence import Presence
from limner.runtime.vault import SETTING, Vault, VaultError, fingerprint
from limner.sql import factors, keys, schema

BOUND_TO: dict[str, Callable[[str], str]] = {
    "provider_key": lambda row_id: keys.bound_to(int(row_id)),
    "proxy": lambda row_id: keys.proxy_bound_to(int(row_id)),
    "second_factor": lambda row_id: factors.bound_to(UUID(row_id)),
}

EVERYTHING = """(
    select 'provider_key' as place, id::text collate "C" as id, sealed_secret as text
    from provider_key where sealed_secret <> ''
    union all select 'proxy', id::text collate "C", sealed_url from proxy where sealed_url <> ''
    union all select 'second_factor', account_id::text collate "C", sealed_secret from second_factor
) as sealed"""


class WrongKeys(LimnerError):
    """None of the configured keys is one that this database is sealed with. Starting again will not help."""

    exit_code = WRONG_SETTINGS


@dataclass(frozen=True)
class Sealed:
    """One sealed text and where it belongs: a row of ``place``, whose id may be a number or a UUID."""

    place: str
    id: str
    text: str

    @property
    def bound_to(self) -> str:
        return BOUND_TO[self.place](self.id)


@dataclass(frozen=True)
class Known:
    """A key that this database has been used with; ``name`` is a vault key's id."""

    digits: str
    name: str
    known_since: datetime
    retired_at: datetime | None


async def enlist(db: Database, config: Config, role: str) -> Presence:
    """Wait for the schema, see that the vault is the right one, and be present with the keys of ``config``.

    Raises SchemaError, and WrongKeys.
    """
    await schema.wait_until_ready(db)
    if config.vault_keys.get_secret_value():
        await admit(db, config)
    presence = Presence(db, role, lease=config.lease, holds=holds(config), machine=Machine(config.data_dir))
    presence.about = partial(build.about, schema.head())
    return presence


def holds(config: Config) -> list[str]:
    """``kind:digits`` of each configured key, those that seal and sign first in their kind."""
    return [f"{kind}:{digits}" for kind, found in fingerprints(config).items() for digits in found]


def fingerprints(config: Config) -> dict[str, dict[str, str]]:
    """By kind, then by digits: the key's id, or nothing for a session key."""
    vault = Vault.from_config(config).fingerprints if config.vault_keys.get_secret_value() else {}
    session = [fingerprint(key.encode(), "session") for key in config.secret_keys if key]
    return {"vault": {digits: kid for kid, digits in vault.items()}, "session": dict.fromkeys(session, "")}


async def admit(db: Db, config: Config) -> None:
    """See that the vault is the one that sealed what is here, and record keys that are new. Raises WrongKeys.

    Nothing is opened before the fingerprints fit. A database in which nothing is sealed takes any key.
    """
    vault, used, recorded = Vault.from_config(config), await sealed_with(db), await known(db, "vault")
    if used and recorded:
        _check(vault, recorded)
    fitting = {digits: kid for kid, digits in vault.fingerprints.items() if await _fits(db, vault, kid, used)}
    if used and not recorded and not used.keys() & set(fitting.values()):
        raise WrongKeys(f"{SETTING} has {_named(vault)}, and none of them opens what is sealed in this database")
    await remember(db, "vault", fitting)
    await remember(db, "session", fingerprints(config)["session"])


def _check(vault: Vault, recorded: Sequence[Known]) -> None:
    mine = set(vault.fingerprints.values())
    in_use = [key for key in recorded if key.retired_at is None]
    if not any(key.digits in mine for key in in_use):
        wanted = ", ".join(f"{key.name} ({key.digits})" for key in in_use)
        raise WrongKeys(f"{SETTING} has {_named(vault)}, but this database is sealed with {wanted}: give it that key")


def _named(vault: Vault) -> str:
    return ", ".join(f"{kid} ({digits})" for kid, digits in vault.fingerprints.items())


SAMPLE = f"select place, id, text from {EVERYTHING} where split_part(text, '.', 2) = $1 limit 1"


async def _fits(db: Db, vault: Vault, kid: str, used: Mapping[str, int]) -> bool:
    """False when something is sealed with a key of this id and does not open with ours."""
    if kid not in used:
        return True
    row = await db.fetchrow(SAMPLE, kid)
    return row is None or trouble(vault, Sealed(**row)) is None


def trouble(vault: Vault, sealed: Sealed) -> str | None:
    """Why it does not open; None when it does."""
    try:
        vault.open(sealed.text, bound_to=sealed.bound_to)
    except VaultError as error:
        return str(error)
    return None


SEALED_WITH = f"""
select split_part(text, '.', 2) as kid, count(*) as n from {EVERYTHING} group by kid order by kid
"""


async def sealed_with(db: Db) -> dict[str, int]:
    """How many texts are sealed with each key, by the key's id."""
    return {row["kid"]: row["n"] for row in await db.fetch(SEALED_WITH)}


PAGE = f"""
select place, id, text from {EVERYTHING}
where (place, id) > ($1, $2) and split_part(text, '.', 2) <> $3 order by place, id limit $4
"""


async def page(db: Db, after: Sealed | None, count: int, *, but: str = "") -> list[Sealed]:
    """The next ``count`` sealed texts, in a fixed order; without those of the key ``but``."""
    place, row_id = (after.place, after.id) if after else ("", "")
    return [Sealed(**row) for row in await db.fetch(PAGE, place, row_id, but, count)]


@dataclass(frozen=True)
class Resealed:
    """``done``: sealed anew. ``left``: changed by somebody else meanwhile. ``stuck``: why each of the rest stays shut."""

    done: int
    left: int
    stuck: Sequence[str]


async def reseal(db: Db, vault: Vault, *, batch: int = 100) -> Resealed:
    """Seal with the active key whatever is sealed with another one; nothing is held up meanwhile.

    Each row is replaced only if it still is what was read, so a change at the same moment wins. Safe to break off and
    to run again, and beside others.
    """
    done, left, stuck = 0, 0, list[str]()
    after: Sealed | None = None
    while rows := await page(db, after, batch, but=vault.active):
        after = rows[-1]
        for row in rows:
            try:
                text = vault.open(row.text, bound_to=row.bound_to)
            except VaultError as error:
                stuck.append(str(error))
            else:
                replaced = await _replace(db, row, vault.seal(text, bound_to=row.bound_to))
                done, left = done + replaced, left + (not replaced)
    return Resealed(done, left, stuck)


REPLACE = {
    "provider_key": """
        update provider_key set sealed_secret = $3 where id = $1::text::bigint and sealed_secret = $2 returning true
    """,
    "proxy": "update proxy set sealed_url = $3 where id = $1::text::bigint and sealed_url = $2 returning true",
    "second_factor": """
        update second_factor set sealed_secret = $3 where account_id = $1::text::uuid and sealed_secret = $2 returning true
    """,
}


async def _replace(db: Db, row: Sealed, sealed: str) -> bool:
    return bool(await db.fetchval(REPLACE[row.place], row.id, row.text, sealed))


KNOWN = "select digits, name, known_since, retired_at from fingerprint where kind = $1 order by known_since, digits"


async def known(db: Db, kind: str) -> list[Known]:
    """The keys of this kind, vault or session, that this database has been used with, the oldest first."""
    return [Known(**row) for row in await db.fetch(KNOWN, kind)]


REMEMBER = """
insert into fingerprint (kind, digits, name)
select $1, digits, name from unnest($2::text[], $3::text[]) as t(digits, name)
on conflict (kind, digits) do update set retired_at = null
where fingerprint.retired_at is not null and fingerprint.digits = ($2::text[])[1]
"""


async def remember(db: Db, kind: str, names: Mapping[str, str]) -> None:
    """Record keys by their digits. The first one, which is active, counts as in use even if it was retired."""
    await db.execute(REMEMBER, kind, list(names), list(names.values()))


RETIRE = "update fingerprint set retired_at = now() where kind = $1 and digits <> $2 and retired_at is null"


async def retire(db: Db, kind: str, kept: str) -> None:
    """Record that of this kind only the key with these digits is in use."""
    await db.execute(RETIRE, kind, kept)


@dataclass(frozen=True)
class Holder:
    """A living process and the keys it was started with, as ``holds`` lists them."""

    role: str
    host: str
    pid: int
    holds: Sequence[str]

    def keys(self, kind: str) -> list[str]:
        """The digits of its keys of this kind, the active one first."""
        return [each.partition(":")[2] for each in self.holds if each.startswith(f"{kind}:")]

    def __str__(self) -> str:
        return f"{self.role} {self.pid} on {self.host}"


HOLDERS = """
select role, host, pid, holds from worker
where state <> 'stopped' and seen_at > now() - make_interval(secs => $1) and (role = any($2::text[]) or holds <> '{}')
order by role, started_at
"""


async def holders(db: Db, lease: float, *roles: str) -> list[Holder]:
    """Living processes of these roles, whatever they say, and of other roles that say what they hold."""
    return [Holder(**row) for row in await db.fetch(HOLDERS, float(lease), list(roles))]
