"""Is a backup worth something? What restore and drill both ask, before, and after its rows are in a database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from limner.actors.archivist import inventory, manifest, snapshot, vaults
from limner.actors.archivist.inventory import Entry
from limner.actors.archivist.manifest import AUDIT_HEAD, DUMP, Manifest
from limner.actors.archivist.target import Damaged, NotKept, Target, check, read_small
from limner.actors.archivist.tools import Tools
from limner.runtime.config import Config
from limner.runtime.database import Database, Transaction
from limner.runtime.errors import Refused
from limner.runtime.report import Line, Say
from limner.runtime.storage import Storage
from limner.runtime.vault import Vault
from limner.sql import backups, books, chain, schema
from limner.sql.chain import Anchor

SAMPLE = 20
"""Secrets that are opened."""
SHOWN = 3
"""Cases of one trouble that are named."""


@dataclass(frozen=True)
class Copy:
    """A backup whose files are those that were written. ``there``: the objects that the target has, with their sizes.

    ``audit_head``: where the audit's chain stood; None in a backup of before there was one.
    """

    manifest: Manifest
    entries: Sequence[Entry]
    there: dict[str, int]
    audit_head: Anchor | None

    @property
    def lacking(self) -> list[str]:
        """Keys that the inventory names and the target has not, or not whole."""
        return [
            entry.key for entry in self.entries if entry.state == "kept" and self.there.get(entry.key) != entry.bytes
        ]


async def read(config: Config, target: Target, name: str, tools: Tools, say: Say) -> Copy:
    """Read all of its files but the objects. Raises Damaged, NotFound, Refused: a wrong vault key, a newer schema."""
    found = await manifest.read(target, name)
    vaults.check(config, found.vault)
    if schema.head() < found.limner.min_image_head:
        raise Refused(
            f"{name} is at schema {found.limner.schema_head} and takes images that know schema "
            f"{found.limner.min_image_head} or later; this one knows {schema.head()}. Use a newer image"
        )
    path = f"{name}/{DUMP}"
    await check(target, path, found.dump.bytes, found.dump.sha256)
    if missing := sorted(set(found.tables) - await tools.tables(target.read(path))):
        raise Damaged(f"{path} lacks the rows of {', '.join(missing)}")
    entries = await inventory.read(target, found)
    say(Line("files", "ok", f"{name}: dump and inventory are what was written, {found.dump.bytes:,} bytes"))
    return Copy(found, entries, await inventory.sizes(target), await _audit_head(target, name))


async def _audit_head(target: Target, name: str) -> Anchor | None:
    """Raises Damaged."""
    try:
        return Anchor.read((await read_small(target, f"{name}/{AUDIT_HEAD}")).decode("ascii", "replace").strip())
    except NotKept:
        return None
    except Refused as why:
        raise Damaged(f"{name}/{AUDIT_HEAD} cannot be read: {why}") from None


async def check_rows(db: Database, copy: Copy, say: Say) -> None:
    """The restored rows: their counts, then the schema, brought up to this image's. Raises Damaged, SchemaError."""
    async with snapshot.session(db.dsn) as connection:  # which may take its time over a big table
        found, wanted = await backups.counts(Transaction(connection)), copy.manifest.tables
    if found != wanted:
        other = [f"{name} {found.get(name)} of {n}" for name, n in wanted.items() if found.get(name) != n]
        raise Damaged(f"{copy.manifest.name}: the rows that came back are not those that went in: {', '.join(other)}")
    say(Line("rows", "ok", f"{sum(found.values()):,} rows in {len(found)} tables, as many as went in"))
    if await schema.current(db) < schema.head():
        before, after = await schema.migrate(db.dsn)
        say(Line("schema", "ok", f"brought from {before} to {after}"))
    await backups.let_go(db, [entry.key for entry in copy.entries if entry.state == "gone"])


async def check_audit(db: Database, copy: Copy, say: Say) -> None:
    """Whether the audit is whole, and the one that went in. If not, it was so before: no reason to lose the rest."""
    found = await chain.verify(db, expect=[copy.audit_head] if copy.audit_head else [])
    if found.is_whole:
        say(Line("audit", "ok", f"{found.links:,} links hold{'' if copy.audit_head else ', made just now'}"))
    else:
        say(
            Line("audit", "warn", f"it is not whole: {found.words}", "`limner audit verify` in the studio: since when?")
        )


async def check_secrets(config: Config, db: Database, say: Say) -> None:
    """Open a sample. Raises VaultError."""
    sealed, vault = await backups.sealed(db), Vault.from_config(config)
    for place, secret in list(sealed.items())[:SAMPLE]:
        vault.open(secret, bound_to=place)
    if sealed:
        say(Line("secrets", "ok", f"{min(len(sealed), SAMPLE)} of {len(sealed)} sealed secrets open"))
    else:
        say(Line("secrets", "skip", "it holds no sealed secret"))


async def check_books(db: Database, storage: Storage, say: Say, *, without_pictures: bool = False) -> None:
    """Every rule of the books. Raises Damaged. ``without_pictures``: lost ones are a warning."""
    findings = await books.verify(db, storage)
    broken = [each for each in findings if each.broken]
    if without_pictures and [each.rule for each in broken] == [books.FILES]:
        say(Line("books", "warn", f"{broken[0].broken} pictures are charged for and lost: {_some(broken[0].cases)}"))
    elif broken:
        raise Damaged("the books are wrong: " + "; ".join(f"{e.rule}: {e.broken}, {_some(e.cases)}" for e in broken))
    else:
        say(Line("books", "ok", f"all {len(findings)} rules hold"))


def _some(cases: Iterable[str]) -> str:
    return ", ".join(list(cases)[:SHOWN])
