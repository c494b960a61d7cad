"""Models: what can paint, as data. A name, its abilities, its sizes and its price in credits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

from limner.runtime.database import Db
from limner.runtime.errors import Refused


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

    def check(self, size: Size, references: int) -> None:
        """Raises Refused when this model cannot do that."""
        if size not in self.sizes:
            offered = ", ".join(str(each) for each in self.sizes)
            raise Refused(f"{self.name} paints {offered}, not {size}.", field="size")
        if references and "image" not in self.abilities:
            raise Refused(f"{self.name} does not take reference pictures.", field="reference")


COLUMNS = (
    "m.id, m.name, m.provider_id, m.upstream_id, m.abilities, m.sizes, m.credits, m.cost_micros, m.options, m.aliases"
)

# As long as some key could ever paint it again.
IS_OFFERED = """
m.active and p.active and (m.retires_at is null or m.retires_at > now())
    and exists (select from provider_key as k where k.provider_id = p.id and k.state <> 'disabled')
"""
ON_OFFER = f"""
select {COLUMNS} from model as m join provider as p on p.id = m.provider_id where {IS_OFFERED} order by m.sort, m.name
"""


async def on_offer(db: Db) -> list[Model]:
    return [from_row(row) for row in await db.fetch(ON_OFFER)]


SEED = """
insert into model (id, provider_id, upstream_id, name, abilities, sizes, credits, cost_micros, sort)
select $1, id, $3, $4, $5, $6, $7, $8, $9 from provider where code = $2
on conflict (id) do nothing
"""


async def ensure(
    db: Db,
    model_id: str,
    provider: str,
    upstream_id: str,
    name: str,
    *,
    abilities: Sequence[str],
    sizes: Sequence[str],
    credits: int,
    cost_micros: int,
    sort: int,
) -> None:
    """The model is in the catalogue; what an operator changed about it stays."""
    await db.execute(
        SEED, model_id, provider, upstream_id, name, list(abilities), list(sizes), credits, cost_micros, sort
    )


RATIOS = {"1-1": 1.0, "3-2": 1.5, "2-3": 2 / 3, "16-9": 16 / 9, "9-16": 9 / 16, "4-3": 4 / 3, "3-4": 0.75}


def ratio(width: int, height: int) -> str:
    shared = gcd(width, height)
    exact = f"{width // shared}-{height // shared}"
    return exact if exact in RATIOS else min(RATIOS, key=lambda name: abs(RATIOS[name] - width / height))


def from_row(row: object) -> Model:
    fields = dict(row)  # type: ignore[call-overload]
    return Model(sizes=[Size.parse(text) for text in fields.pop("sizes")], **fields)
