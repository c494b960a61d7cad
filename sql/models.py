"""Models: what can paint, as data. A name, its abilities, its sizes and its price in credits."""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

from limner.runtime.database import Db
from limner.runtime.errors import Refused
from limner.runtime.mailbox import Message
from limner.sql import painters
from limner.sql.catalogue import Seed

USUAL_PROMPT = 4000
"""Characters of a prompt that a model reads whose options say nothing about it."""
MARKUP = "markup"
"""The option of a model that takes a drawing over the first reference, in the place of a mask. The order of one has this among
its parameters, so that a painter which does not know it refuses it, and never takes the one for the other."""
NO_PARAMETERS = ("references", "prompt", MARKUP)
"""Options that say what an order may have, and are nothing to choose."""


@dataclass(frozen=True)
class Size:
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """From "1024x1536". Raises Refused."""
        width, _, height = text.lower().partition("x")
        if not (width.isdecimal() and height.isdecimal() and len(text) < 12):
            raise Refused(f"A size looks like 1024x1024, not {text[:40]!r}.", field="size")
        return cls(int(width), int(height))

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def ratio(self) -> str:
        """The nearest of the ratios that pages know by name, such as "3-2"."""
        return ratio(self.width, self.height)

    @property
    def label(self) -> str:
        return {
            "1-1": "Square",
            "3-2": "Landscape",
            "2-3": "Portrait",
            "16-9": "Wide",
            "9-16": "Tall",
            "4-3": "Classic",
            "3-4": "Upright",
        }[self.ratio]


@dataclass(frozen=True)
class Model:
    id: str
    name: str
    provider_id: int
    upstream_id: str
    abilities: list[str]
    sizes: list[Size]
    credits: int
    cost_micros: int
    options: dict[str, object]
    aliases: list[str]

    @property
    def longest_prompt(self) -> int:
        """Characters of a prompt that it reads."""
        bounds = self.options.get("prompt")
        return int(bounds["max"]) if isinstance(bounds, dict) else USUAL_PROMPT

    def check(self, size: Size, references: int, prompt: int = 0) -> None:
        """Raises Refused when this model cannot do that. ``prompt``: its characters."""
        if prompt > self.longest_prompt:
            words = f"A prompt has at most {self.longest_prompt} characters, not {prompt}."
            raise Refused(words, field="prompt", code="string_above_max_length")
        if size not in self.sizes:
            offered = ", ".join(str(each) for each in self.sizes)
            raise Refused(f"{self.name} paints {offered}, not {size}.", field="size")
        if references and "image" not in self.abilities:
            raise Refused(f"{self.name} does not take reference pictures.", field="reference")


@dataclass(frozen=True)
class Offered(Model):
    """One that can be ordered. ``sends_unfinished``: its painter shows unfinished pictures to whoever streams."""

    sends_unfinished: bool


@dataclass(frozen=True)
class ImportModels(Message):
    """See which models a provider lists, and take in those that the catalogue lacks."""

    mailbox = "locksmith"
    provider: str
    actor: str


COLUMNS = (
    "m.id, m.name, m.provider_id, m.upstream_id, m.abilities, m.sizes, m.credits, m.cost_micros, m.options, m.aliases"
)

# As long as some key could ever paint it again, and not when every key has found it gone over there.
IS_OFFERED = """
m.active and p.active and (m.retires_at is null or m.retires_at > now())
    and exists (
        select from provider_key as k where k.provider_id = p.id and k.state <> 'disabled' and not exists (
            select from key_rest as r
            where r.key_id = k.id and r.model_id = m.id and r.until > now() and r.cause like 'model_unavailable%'
        )
    )
"""
ON_OFFER = f"""
select {COLUMNS}, p.kind, p.settings from model as m join provider as p on p.id = m.provider_id
where {IS_OFFERED} order by m.sort, m.name
"""


async def on_offer(db: Db) -> list[Offered]:
    return [_offered(dict(row)) for row in await db.fetch(ON_OFFER)]


def _offered(row: dict[str, Any]) -> Offered:
    unfinished = painters.sends_unfinished(row.pop("kind"), row.pop("settings"))
    return Offered(**vars(from_row(row)), sends_unfinished=unfinished)


# Which model a name stands for: an id, an alias or the upstream's id, those on offer first. A retired one leads on.
RESOLVE = """
with recursive named as (
    select m.id from model as m join provider as p on p.id = m.provider_id
    where m.id = $1 or $1 = any(m.aliases) or lower(m.upstream_id) = $1
    order by m.id = any($2::text[]) desc, m.id = $1 desc, $1 = any(m.aliases) desc, m.active desc, m.sort limit 1
),
led as (
    select id, 0 as step from named
    union all
    select m.replacement, l.step + 1 from led as l join model as m on m.id = l.id
    where m.replacement is not null and (m.retires_at <= now() or not m.active) and l.step < 8
)
select id from led order by step desc limit 1
"""


async def offered(db: Db, name: str) -> Offered:
    """The model on offer that a name stands for, however it is written. Raises Refused."""
    known = {model.id: model for model in await on_offer(db)}
    model_id = normal(name)
    if model_id not in known and model_id.isprintable():
        model_id = await db.fetchval(RESOLVE, model_id, list(known))
    if model_id not in known:
        raise Refused(f"There is no model {name[:80]!r} on offer.", field="model")
    return known[model_id]


def normal(name: str) -> str:
    """A model's name as it is compared: no space around, no capitals."""
    return name.strip().lower()


SEED = """
insert into model (id, provider_id, upstream_id, name, abilities, sizes, credits, cost_micros, sort, options, aliases, active)
select $1, id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12 from provider where code = $2
on conflict (id) do update set options = excluded.options, aliases = excluded.aliases
where model.options = '{}' and model.aliases = '{}' and (excluded.options <> '{}' or excluded.aliases <> '{}')
"""


async def ensure(db: Db, seed: Seed) -> None:
    """The model is in the catalogue; what an operator changed about it stays."""
    aliases = [normal(alias) for alias in seed.aliases]
    row = (seed.id, seed.provider, seed.upstream_id, seed.name, list(seed.abilities), list(seed.sizes))
    await db.execute(SEED, *row, seed.credits, seed.micros, seed.sort, dict(seed.options), aliases, seed.active)


LIST = """
select m.id, p.code as provider, m.upstream_id, m.name, m.abilities, m.sizes, m.credits, m.cost_micros, m.active, m.aliases,
    m.retires_at, m.replacement, m.options,
    (select count(*) from provider_key as k where k.provider_id = p.id and k.state in ('active', 'cooldown')) as keys
from model as m join provider as p on p.id = m.provider_id order by p.code, m.sort, m.id
"""


async def listing(db: Db) -> list[dict[str, Any]]:
    """The whole catalogue."""
    return [dict(row) for row in await db.fetch(LIST)]


RATIOS = {"1-1": 1.0, "3-2": 1.5, "2-3": 2 / 3, "16-9": 16 / 9, "9-16": 9 / 16, "4-3": 4 / 3, "3-4": 0.75}


def ratio(width: int, height: int) -> str:
    shared = gcd(width, height)
    exact = f"{width // shared}-{height // shared}"
    return exact if exact in RATIOS else min(RATIOS, key=lambda name: abs(RATIOS[name] - width / height))


def from_row(row: object) -> Model:
    fields = dict(row)  # type: ignore[call-overload]
    return Model(sizes=[Size.parse(text) for text in fields.pop("sizes")], **fields)
