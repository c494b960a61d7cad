"""Rotating keys of which several hold at a time: those of the vault, and those that sign forms."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from limner.actors.rotation import places
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.opening import open_database
from limner.runtime.report import Line, Say
from limner.runtime.vault import Vault, fingerprint, generate_key
from limner.sql import audit, vaults

Kind = Literal["vault", "session"]
SETTING: dict[Kind, str] = {"vault": "vault_keys", "session": "secret_key"}
USED_BY: dict[Kind, tuple[str, ...]] = {"vault": ("web", "worker"), "session": ("web",)}
GRACE = 3600.0
"""Seconds for which forms that were opened before a rotation may still be sent; and no second rotation begins so soon."""
SILENT = 60.0
"""Seconds without a heartbeat after which a process is not asked for its keys any more."""
RESTART: dict[Kind, str] = {
    "vault": "restart all roles (Compose: docker compose restart web worker bot, and archivist if you have it), then"
    " run this again",
    "session": "restart web (Compose: docker compose restart web), then run this again",
}


@dataclass
class Ring:
    """The keys of one kind as they stand in their file: ``parts`` as text, ``digits`` their fingerprints."""

    kind: Kind
    config: Config
    path: Path
    say: Say
    parts: list[str] = field(default_factory=list)

    @property
    def digits(self) -> list[str]:
        return [_digits(self.kind, part) for part in self.parts]

    @property
    def code(self) -> str:
        return f"rotate.{self.kind}"

    def tell(self, state: Literal["ok", "warn", "fail"], words: str, fix: str = "") -> None:
        self.say(Line(self.code, state, words, fix))


async def rotate(
    config: Config, kind: Kind, say: Say, *, folder: Path | None = None, again: bool = False, now: bool = False
) -> None:
    """Do the next steps of a rotation as far as they go: add a key, seal anew, retire the old ones. Safe to run again.

    ``again`` begins another one though the last has just ended; ``now`` does not wait for forms that are still open.
    The verdict is 0 when a rotation is complete, 1 while something has to be restarted first. Raises Refused.
    """
    path = places.path_of(config, SETTING[kind], folder)
    with places.alone(path.parent):
        parts = [part.strip() for part in places.value_of(config, SETTING[kind]).split(",") if part.strip()]
        ring = Ring(kind, config, path, say, parts)
        async with _open(config) as db:
            if kind == "vault":
                await vaults.admit(db, config)
            await _remember(ring, db)
            if len(parts) > 1:
                await _go_on(ring, db, now=now)
            elif again or not await _has_just_ended(ring, db):
                await _begin(ring, db)


@contextlib.asynccontextmanager
async def _open(config: Config) -> AsyncIterator[Database]:
    async with open_database(config.dsn, role="rotation", pool=2, pooled=config.database_pooled) as db:
        yield db


async def _has_just_ended(ring: Ring, db: Database) -> bool:
    ends = [known.retired_at for known in await vaults.known(db, ring.kind) if known.retired_at]
    seconds = (datetime.now(UTC) - max(ends)).total_seconds() if ends else GRACE
    if seconds < GRACE:
        ring.tell("ok", f"rotated {seconds / 60:.0f} min ago: nothing to do; --again begins another rotation")
    return seconds < GRACE


async def _begin(ring: Ring, db: Database) -> None:
    """A fresh key in front. When several web processes check each other's forms, all must know it before one signs."""
    fresh = await _fresh(ring, db)
    others = len(await _holders(ring, db)) if ring.kind == "session" else 0
    parts = [*ring.parts, fresh] if others > 1 else [fresh, *ring.parts]
    await _keep(ring, db, parts, "begun")
    what = "to be known to all before it signs" if others > 1 else "in front of the old one, which still holds"
    ring.tell("ok", f"{ring.path} has a fresh key {_name(ring.kind, fresh)}, {what}")
    ring.tell("warn", "the processes that run have yet to learn it", RESTART[ring.kind])


async def _fresh(ring: Ring, db: Database) -> str:
    if ring.kind == "session":
        return places.word(48)
    taken = {known.name for known in await vaults.known(db, "vault")} | {part.partition(":")[0] for part in ring.parts}
    number = next(number for number in range(1, len(taken) + 2) if f"k{number}" not in taken)
    return generate_key(f"k{number}")


async def _go_on(ring: Ring, db: Database, *, now: bool) -> None:
    newest = await _newest(ring, db)
    name = _name(ring.kind, ring.parts[newest])
    if await _lacking(ring, db, ring.digits[newest], name, first=False):
        return None
    if newest:
        await _keep(ring, db, [ring.parts[newest], *(p for i, p in enumerate(ring.parts) if i != newest)], "in front")
        ring.tell("ok", f"all processes know {name}: it stands in front now")
        return ring.tell("warn", "the processes that run still use the old one", RESTART[ring.kind])
    if ring.kind == "vault" and not await _seal_anew(ring, db):
        return None
    if not await _lacking(ring, db, ring.digits[0], name, first=True) and (now or _is_over(ring)):
        await _retire(ring, db, name)


async def _newest(ring: Ring, db: Database) -> int:
    """The place of the key that was added last; of two equally old ones the first."""
    since = {known.digits: known.known_since for known in await vaults.known(db, ring.kind)}
    return max(range(len(ring.parts)), key=lambda place: (since[ring.digits[place]], -place))


async def _lacking(ring: Ring, db: Database, digits: str, name: str, *, first: bool) -> bool:
    """Whether a living process does not know the key, or does not use it ``first``; says which."""
    verb = "use" if first else "know"
    lacking = [
        holder
        for holder in await _holders(ring, db)
        if digits not in (holder.keys(ring.kind)[:1] if first else holder.keys(ring.kind))
    ]
    for holder in lacking:
        ring.tell("warn", f"{holder} was started before: it does not {verb} {name}", RESTART[ring.kind])
    return bool(lacking)


async def _holders(ring: Ring, db: Database) -> list[vaults.Holder]:
    """Who is to know keys of this kind: its usual users, and whoever says to have one."""
    users = USED_BY[ring.kind]
    found = await vaults.holders(db, max(SILENT, ring.config.lease), *users)
    return [holder for holder in found if holder.role in users or (ring.kind == "vault" and holder.keys("vault"))]


async def _seal_anew(ring: Ring, db: Database) -> bool:
    """Whether nothing is sealed with an old key any more."""
    vault = Vault.from_config(ring.config)
    done = await vaults.reseal(db, vault)
    for why in done.stuck:
        ring.tell("fail", why, "give LIMNER_VAULT_KEYS the key that it names, or remove the row")
    left = {kid: n for kid, n in (await vaults.sealed_with(db)).items() if kid != vault.active}
    ring.tell("ok", f"{done.done} secrets are sealed anew with {vault.active}")
    if left and not done.stuck:
        counted = ", ".join(f"{n} with {kid}" for kid, n in left.items())
        ring.tell("warn", f"others changed secrets at the same moment: {counted}", "run this again")
    return not left


def _is_over(ring: Ring) -> bool:
    """Whether forms that carry the old signature have been open for long enough."""
    left = 0.0 if ring.kind == "vault" else GRACE - (time.time() - ring.path.stat().st_mtime)
    if left > 0:
        ring.tell("warn", "forms that people opened before still carry the old signature",
                  f"run this again in {left / 60:.0f} min, or with --now")  # fmt: skip
    return left <= 0


async def _retire(ring: Ring, db: Database, name: str) -> None:
    old = ", ".join(_name(ring.kind, part) for part in ring.parts[1:])
    aside = _set_aside(ring) if ring.kind == "vault" else None
    await vaults.retire(db, ring.kind, ring.digits[0])  # first: a run that ends here is only to be run again
    await _keep(ring, db, ring.parts[:1], "ended")
    kept = f"; backups of before need it: it is in {aside}" if aside else ""
    ring.tell(
        "ok", f"{old} is retired, {name} alone is left{kept}", "the next restart forgets the old one; it is in no hurry"
    )


def _set_aside(ring: Ring) -> Path:
    """A retired key goes to a file that nothing reads; returns which."""
    path = ring.path.with_name(f"{ring.path.name}.retired")
    there = places.read(path).split(",") if path.is_file() else []
    places.replace(path, ",".join([*(part for part in ring.parts[1:] if part not in there), *there]))
    return path


async def _keep(ring: Ring, db: Database, parts: list[str], step: str) -> None:
    places.replace(ring.path, ",".join(parts))
    ring.parts = parts
    await _remember(ring, db)
    await audit.record(db, "cli", "secret.rotate", ring.kind, None, {"step": step, "keys": ring.digits})


async def _remember(ring: Ring, db: Database) -> None:
    await vaults.remember(db, ring.kind, {_digits(ring.kind, part): _id(ring.kind, part) for part in ring.parts})


def _digits(kind: Kind, part: str) -> str:
    return Vault.parse(part).fingerprint if kind == "vault" else fingerprint(part.encode(), "session")


def _id(kind: Kind, part: str) -> str:
    return part.partition(":")[0] if kind == "vault" else ""


def _name(kind: Kind, part: str) -> str:
    """What may be shown of a key: its id if it has one, and its fingerprint."""
    return f"{_id(kind, part)} ({_digits(kind, part)})".strip()
