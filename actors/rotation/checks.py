"""`limner secrets check`: whether every secret is long enough, alone, well kept, and opens what it sealed."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from limner.actors.rotation.places import value_of
from limner.runtime.config import Config, secret_fields, setting_name
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from limner.runtime.report import Line, Say
from limner.runtime.vault import Vault, VaultError
from limner.sql import vaults

SHORTEST = {"secret_key": 32, "sandbox_secret": 16, "s3_secret_key": 16}
NOT_SECRET = {"database_url", "database_direct_url", "telegram_proxy", "s3_access_key"}
"""Names and addresses: two of them may be alike, and their length says nothing."""
OLD = 365
"""Days after which a key is due for rotation."""
SILENT = 60.0


async def check(config: Config, say: Say) -> None:
    """Look at every secret, without a change; no line has a secret in it. Raises one of TROUBLE."""
    for name in secret_fields():
        say(_length(config, name))
        if path := _file_of(config, name):
            say(_keeping(name, path))
    say(_distinctness(config))
    async with open_database(config.dsn, role="rotation", pool=2, pooled=config.database_pooled) as db:
        vault = _vault(config, say)
        if vault is not None:
            await _look_into(db, vault, say)
        await _compare(config, db, say)


def _length(config: Config, name: str) -> Line:
    value, least = value_of(config, name), SHORTEST.get(name, 1)
    if not value:
        return Line("secrets.length", "skip", f"{setting_name(name)} is not set")
    parts = config.secret_keys if name == "secret_key" else (value,)
    if (short := min(len(part) for part in parts)) < least:
        words = f"{setting_name(name)} has {short} characters, {least} are needed"
        return Line("secrets.length", "fail", words, f"give {setting_name(name)} a longer one")
    return Line("secrets.length", "ok", f"{setting_name(name)} is long enough")


def _file_of(config: Config, name: str) -> Path | None:
    if named := os.environ.get(f"{setting_name(name)}_FILE"):
        return Path(named)
    kept = config.data_dir / "secrets" / name
    return kept if kept.is_file() and not os.environ.get(setting_name(name)) else None


def _keeping(name: str, path: Path) -> Line:
    """A file that all may read must lie in a folder that nobody else may enter; Docker's own mounts are its affair."""
    mode, age = stat.S_IMODE(path.stat().st_mode), (time.time() - path.stat().st_mtime) / 86400
    closed = not stat.S_IMODE(path.parent.stat().st_mode) & 0o077 or path.is_relative_to("/run/secrets")
    if mode & 0o022 or (mode & 0o044 and not closed):
        return Line("secrets.file", "fail", f"{path} has mode {mode:04o}: others may {'write' if mode & 0o022 else 'read'} it",
                    f"chmod 600 {path}, or chmod 700 {path.parent} and chmod 444 {path}")  # fmt: skip
    return Line("secrets.file", "ok", f"{path} has mode {mode:04o} and is {age:.0f} days old")


def _distinctness(config: Config) -> Line:
    seen: dict[str, list[str]] = {}
    for name in secret_fields():
        if name not in NOT_SECRET and (value := value_of(config, name)):
            seen.setdefault(value, []).append(setting_name(name))
    shared = [" and ".join(names) for names in seen.values() if len(names) > 1]
    if shared:
        return Line("secrets.distinct", "fail", f"the same secret serves as {'; '.join(shared)}", "rotate one of them")
    return Line("secrets.distinct", "ok", "no secret serves for two things")


def _vault(config: Config, say: Say) -> Vault | None:
    try:
        return Vault.from_config(config)
    except VaultError as error:
        say(Line("secrets.vault", "fail", str(error), "give LIMNER_VAULT_KEYS the keys of this installation"))
    return None


async def _look_into(db: Database, vault: Vault, say: Say) -> None:
    shut, total = [], 0
    after = None
    while rows := await vaults.page(db, after, 200):
        after, total = rows[-1], total + len(rows)
        shut += [why for row in rows if (why := vaults.trouble(vault, row))]
    for why in shut[:20]:
        say(Line("secrets.sealed", "fail", why, "give LIMNER_VAULT_KEYS the key that sealed it, or remove the row"))
    if not shut:
        say(Line("secrets.sealed", "ok", f"all {total} sealed secrets open"))
    for line in _rotation(vault, await vaults.sealed_with(db)):
        say(line)


def _rotation(vault: Vault, used: dict[str, int]) -> Iterator[Line]:
    """A rotation that was begun and has not ended."""
    for kid in vault.key_ids[1:]:
        yield Line("secrets.rotation", "warn", f"the vault still has the old key {kid}; {used.get(kid, 0)} secrets are"
                   " sealed with it", "limner secrets rotate vault, until it says that the old key is retired")  # fmt: skip


async def _compare(config: Config, db: Database, say: Say) -> None:
    """The keys of this process with what the database knows, and with those of the processes that live."""
    for kind, mine in vaults.fingerprints(config).items():
        known = {each.digits: each for each in await vaults.known(db, kind)}
        for digits, name in mine.items():
            say(_age(kind, f"{name} ({digits})".strip(), known.get(digits)))
        for holder in await vaults.holders(db, max(SILENT, config.lease)):
            if mine and holder.keys(kind) and holder.keys(kind) != list(mine):
                say(Line("secrets.process", "warn", f"{holder} was started with other {kind} keys than are set now",
                         f"restart {holder.role}"))  # fmt: skip


def _age(kind: str, name: str, known: vaults.Known | None) -> Line:
    if known is None:
        return Line(
            "secrets.age", "warn", f"{kind} key {name} is not known to this database", "limner migrate records it"
        )
    days = (datetime.now(UTC) - known.known_since).days
    if days > OLD:
        return Line("secrets.age", "warn", f"{kind} key {name} is {days} days old", f"limner secrets rotate {kind}")
    return Line("secrets.age", "ok", f"{kind} key {name} is {days} days old")
