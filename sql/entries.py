"""Entries: the catalogue of models as operators edit it, and as a provider's own list adds to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import asyncpg

from limner.runtime.database import Db
from limner.runtime.errors import NotFound, Refused
from limner.sql import audit
from limner.sql.models import Size, normal


@dataclass(frozen=True)
class Found:
    """A model that an upstream lists. ``sizes`` is empty where it does not say; ``options``: what its painter can send."""

    upstream_id: str
    name: str
    abilities: Sequence[str]
    sizes: Sequence[str]
    options: Mapping[str, object] = field(default_factory=dict)


IMPORT = """
insert into model (id, provider_id, upstream_id, name, abilities, sizes, credits, active, sort, aliases, options)
select $2, p.id, $3, $4, $5, $6, 1, false, 80, $7, $8 from provider as p
where p.code = $1 and not exists (
    select from model as m where m.provider_id = p.id and (lower(m.upstream_id) = lower($3) or lower($3) = any(m.aliases))
)
on conflict (id) do nothing
returning id
"""


async def import_new(db: Db, provider: str, found: Sequence[Found], *, actor: str, ip: str = "") -> list[str]:
    """Those that the catalogue lacks: in at one credit, switched off until the operator has looked. Returns their ids."""
    async with db.transaction() as tx:
        added = []
        for each in found:
            model_id, name = _id_for(each.upstream_id), each.name[:120] or each.upstream_id
            sizes, aliases = list(each.sizes) or ["1024x1024"], [normal(each.upstream_id)]
            row = (provider, model_id, each.upstream_id, name, list(each.abilities), sizes, aliases, dict(each.options))
            for row_id in [model_id, f"{provider}.{model_id}"[:80]]:
                if made := await tx.fetchval(IMPORT, provider, row_id, *row[2:]):
                    added.append(made)
                    break
        after: dict[str, object] = {"listed": len(found), "added": added[:100]}
        await audit.record(tx, actor, "model.import", provider, None, after, ip=ip)
        return added


def _id_for(upstream_id: str) -> str:
    """An id that our catalogue takes: small letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^a-z0-9._-]", ".", normal(upstream_id)).lstrip("._-")[:80] or "model"


@dataclass(frozen=True)
class Entry:
    """A row of the catalogue as an operator edits it. ``options``: see choices.read."""

    name: str
    upstream_id: str
    credits: int
    cost_micros: int
    active: bool
    sizes: list[str]
    aliases: list[str]
    retires_at: datetime | None
    replacement: str | None
    abilities: list[str] = field(default_factory=lambda: ["text"])
    options: dict[str, object] = field(default_factory=dict)


ENTRY = """
select name, upstream_id, credits, cost_micros, active, sizes, aliases, retires_at, replacement, abilities, options
from model where id = $1
"""


async def entry(db: Db, model_id: str) -> Entry:
    """Raises NotFound."""
    row = await db.fetchrow(ENTRY, model_id)
    if row is None:
        raise NotFound("There is no such model.")
    return Entry(**row)


ABILITIES = ("text", "image", "mask")
"""What a model paints from: words, reference pictures, a reference with a mask."""
ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,79}")

NEW = """
insert into model (id, provider_id, name, upstream_id, credits, cost_micros, active, sizes, aliases, retires_at, replacement,
    abilities, options, sort)
select $1, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 80 from provider where code = $2
on conflict (id) do nothing
returning id
"""


async def add(
    db: Db,
    provider: str,
    model_id: str,
    entry: Entry,
    abilities: Sequence[str],
    *,
    actor: str,
    reason: str = "",
    ip: str = "",
) -> None:
    """A model that a provider paints with. Raises NotFound for no such provider, and Refused."""
    model_id = normal(model_id)
    if not ID.fullmatch(model_id):
        raise Refused(
            f"An id has up to 80 of a-z, 0-9, dot, dash and underscore, unlike {model_id[:90]!r}.", field="id"
        )
    entry = checked(model_id, replace(entry, abilities=list(abilities)))
    async with db.transaction() as tx:
        if not await tx.fetchval("select exists (select from provider where code = $1)", provider):
            raise Refused(f"There is no provider {provider[:40]!r}.", field="provider")
        try:
            made = await tx.fetchval(NEW, model_id, provider, *vars(entry).values())
        except asyncpg.ForeignKeyViolationError as error:
            raise Refused(f"There is no model {entry.replacement!r}.", field="replacement") from error
        if made is None:
            raise Refused(f"There is a model {model_id!r} already.", field="id")
        after = {**_shown(entry), "provider": provider}
        await audit.record(tx, actor, "model.add", model_id, None, after, reason=reason, ip=ip)


CHANGE = """
update model set name = $2, upstream_id = $3, credits = $4, cost_micros = $5, active = $6, sizes = $7, aliases = $8,
    retires_at = $9, replacement = $10, abilities = $11, options = $12
where id = $1
"""


async def change(db: Db, model_id: str, to: Entry, *, actor: str, reason: str = "", ip: str = "") -> None:
    """Raises NotFound, and Refused for a size, a price or a replacement that cannot be."""
    to = checked(model_id, to)
    async with db.transaction() as tx:
        before = await entry(tx, model_id)
        try:
            await tx.execute(CHANGE, model_id, *vars(to).values())
        except asyncpg.ForeignKeyViolationError as error:
            raise Refused(f"There is no model {to.replacement!r}.", field="replacement") from error
        await audit.record(tx, actor, "model.change", model_id, _shown(before), _shown(to), reason=reason, ip=ip)


def checked(model_id: str, to: Entry) -> Entry:
    """The entry as it is kept. Raises Refused that names the field."""
    for size in to.sizes:
        shape = Size.parse(size)
        if not all(64 <= side <= 4096 for side in (shape.width, shape.height)):
            raise Refused(f"A side is from 64 to 4096 pixels, not {size}.", field="sizes")
    if not to.sizes:
        raise Refused("A model needs a size.", field="sizes")
    if to.credits < 1 or to.cost_micros < 0:
        raise Refused("A picture costs at least one credit, and us nothing or more.", field="credits")
    if to.replacement == model_id:
        raise Refused("A model cannot replace itself.", field="replacement")
    aliases = [normal(alias) for alias in to.aliases if alias.strip()]
    return replace(to, aliases=aliases, abilities=able(to.abilities))


def able(abilities: Sequence[str]) -> list[str]:
    """With what each implies. Raises Refused."""
    if wrong := sorted(set(abilities) - set(ABILITIES)):
        raise Refused(f"A model paints from {', '.join(ABILITIES)}, not from {wrong[0][:40]!r}.", field="abilities")
    return [
        each for each in ABILITIES if each == "text" or each in abilities or (each == "image" and "mask" in abilities)
    ]


def _shown(each: Entry) -> dict[str, Any]:
    return {**vars(each), "retires_at": str(each.retires_at or "")}
