"""The public wall: pictures that their owners offered, and an admin let in."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from limner.runtime.database import Database, Db, affected
from limner.runtime.errors import Refused
from limner.sql import audit, lists, shares
from limner.sql.takedowns import LONGEST_REASON, NotAsBelieved

LONGEST_NAME = 40
STATES = ("waiting", "shown", "refused", "taken_off")
FROM = {"shown": ["waiting", "refused", "taken_off"], "refused": ["waiting"], "taken_off": ["shown"]}
"""What an admin makes of an offer: out of which states."""
ACTS = {"shown": "wall.approve", "refused": "wall.refuse", "taken_off": "wall.take_off"}


@dataclass(frozen=True)
class Offer:
    """``state``: waiting, shown, refused, taken_off or withdrawn; ``reason``: of the last two decisions of an admin."""

    id: int
    display_name: str
    state: str
    reason: str
    offered_at: datetime
    decided_at: datetime | None


COLUMNS = "id, display_name, state, reason, offered_at, decided_at"
LATEST = f"select {COLUMNS} from wall_offer where image_id = $1 and account_id = $2 order by id desc limit 1"


async def latest(db: Db, image_id: UUID, account_id: UUID) -> Offer | None:
    row = await db.fetchrow(LATEST, image_id, account_id)
    return None if row is None else Offer(**row)


OFFER = """
insert into wall_offer (share_id, image_id, account_id, display_name) values ($1, $2, $3, $4)
on conflict (image_id) where state <> 'withdrawn' do nothing
"""


async def offer(db: Database, image_id: UUID, account_id: UUID, display_name: str) -> None:
    """Offer a picture that has a link. Raises Refused for the name, NotFound, TakenDown, NotAsBelieved."""
    name = _checked(display_name)
    async with db.transaction() as tx:
        await shares.hold(tx, image_id, account_id)
        share_id = await shares.hold_open(tx, image_id, account_id)
        if not affected(await tx.execute(OFFER, share_id, image_id, account_id, name)):
            raise NotAsBelieved("It was offered to the wall already.")


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if len(name) > LONGEST_NAME:
        raise Refused(f"The name has at most {LONGEST_NAME} characters, not {len(name)}.", field="display_name")
    if "@" in name or "://" in name:
        raise Refused("A name for everybody to read, not an address.", field="display_name")
    return name


WITHDRAW = """
update wall_offer set state = 'withdrawn', decided_at = now()
where image_id = $1 and account_id = $2 and state in ('waiting', 'shown')
"""


async def withdraw(db: Db, image_id: UUID, account_id: UUID) -> None:
    """Its owner takes it back, whether it waits or hangs there. Raises NotAsBelieved."""
    if not affected(await db.execute(WITHDRAW, image_id, account_id)):
        raise NotAsBelieved("It is not on the wall, and does not wait for it.")


@dataclass(frozen=True)
class Shown:
    """A picture on the wall."""

    id: int
    decided_at: datetime
    code: str
    prompt: str
    caption: str
    display_name: str
    width: int
    height: int

    @property
    def words(self) -> str:
        return self.caption or self.prompt or "A picture, painted with Limner"


SHOWN = """
select w.id, w.decided_at, s.code, case when s.shows_prompt then g.prompt else '' end as prompt, s.caption, w.display_name,
    i.width, i.height
from wall_offer as w
join share as s on s.id = w.share_id
join image as i on i.id = w.image_id
join generation as g on g.id = i.generation_id
join account as a on a.id = w.account_id
where w.state = 'shown' and s.revoked_at is null and i.deleted_at is null and i.taken_down_at is null and a.banned_at is null
    and ($1::timestamptz is null or (w.decided_at, w.id) < ($1, $2))
order by w.decided_at desc, w.id desc limit $3
"""


async def shown(db: Db, *, before: tuple[datetime, int] | None = None, count: int = 40) -> list[Shown]:
    """Newest first, by keyset."""
    at, last = before or (None, None)
    return [Shown(**row) for row in await db.fetch(SHOWN, at, last, count)]


@dataclass(frozen=True)
class Judged:
    """An offer as admins see it."""

    id: int
    image_id: UUID
    account_id: UUID
    email: str
    display_name: str
    state: str
    reason: str
    prompt: str
    shows_prompt: bool
    caption: str
    code: str
    is_linked: bool
    is_down: bool
    width: int
    height: int
    offered_at: datetime
    decided_at: datetime | None

    @property
    def words(self) -> str:
        return self.caption or self.prompt

    @property
    def beside(self) -> str:
        return beside(self.caption, self.shows_prompt)


def beside(caption: str, shows_prompt: bool) -> str:
    """What an admin saw beside a picture, in short: its owner may change it while it is neither waiting nor shown."""
    return hashlib.sha256(f"{shows_prompt} {caption}".encode()).hexdigest()[:16]


LIST = """
select w.id, w.image_id, w.account_id, a.email, w.display_name, w.state, w.reason, g.prompt, s.shows_prompt, s.caption, s.code,
    s.revoked_at is null as is_linked, i.taken_down_at is not null as is_down, i.width, i.height, w.offered_at, w.decided_at
from wall_offer as w
join share as s on s.id = w.share_id
join image as i on i.id = w.image_id
join generation as g on g.id = i.generation_id
join account as a on a.id = w.account_id
where w.state = $1 and ($2::timestamptz is null or (w.offered_at, w.id) < ($2, $3))
    and ($4 = '' or lower(a.email) like lower($4) or lower(w.display_name) like lower($4) or lower(s.caption) like lower($4)
        or lower(g.prompt) like lower($4))
    and ($5::timestamptz is null or w.offered_at >= $5) and ($6::timestamptz is null or w.offered_at < $6)
order by w.offered_at desc, w.id desc limit $7
"""


@dataclass(frozen=True)
class Sought:
    """Which to show; what is empty hides none. ``text``: a part of the owner's address, the name, the words or the prompt."""

    text: str = ""
    since: datetime | None = None
    until: datetime | None = None


async def listing(
    db: Db, state: str, sought: Sought | None = None, *, before: tuple[datetime, int] | None = None, count: int = 24
) -> list[Judged]:
    """The offers in one of STATES, newest first, by keyset."""
    sought, (at, last) = sought or Sought(), before or (None, None)
    asked = (lists.part(sought.text), sought.since, sought.until)
    return [Judged(**row) for row in await lists.read(db, LIST, state, at, last, *asked, count)]


# A picture that is taken down, or whose link is revoked, is shown to nobody: whoever does that waits for this, or was faster.
HOLD = """
select w.state, s.caption, s.shows_prompt from wall_offer as w
join image as i on i.id = w.image_id and i.deleted_at is null and i.taken_down_at is null
join share as s on s.id = w.share_id and s.revoked_at is null
where w.id = $1 for share of i, s
"""
DECIDE = """
update wall_offer set state = $2, reason = $3, decided_at = now() where id = $1 and state = any($4::text[]) returning image_id
"""


async def decide(
    db: Database, offer_id: int, to: str, reason: str = "", *, saw: str | None = None, actor: str, ip: str = ""
) -> None:
    """An admin shows, refuses or takes off (``to``: a key of FROM). A reason is for its owner, and needed unless it is shown.
    ``saw``: what stood beside it then, as beside() has it; None: whatever does.

    Raises NotAsBelieved when it was withdrawn, decided or made unfit to be shown meanwhile; Refused for the reason.
    """
    reason = reason.strip()
    if to != "shown" and not reason:
        raise Refused("The reason is missing: the owner of the picture reads it.", field="reason")
    if len(reason) > LONGEST_REASON:
        raise Refused(f"The reason has at most {LONGEST_REASON} characters, not {len(reason)}.", field="reason")
    async with db.transaction() as tx:
        before = await tx.fetchrow(HOLD, offer_id)
        if before is None:
            raise NotAsBelieved("It cannot hang there: its owner or an admin took the picture or its link away.")
        if saw is not None and saw != beside(before["caption"], before["shows_prompt"]):
            raise NotAsBelieved("Its owner says something else beside it meanwhile: look again.")
        image_id = await tx.fetchval(DECIDE, offer_id, to, reason, FROM[to])
        if image_id is None:
            raise NotAsBelieved("Somebody was faster: it was decided or withdrawn meanwhile.")
        after = {"wall": to, "reason": reason}
        await audit.record(tx, actor, ACTS[to], f"image {image_id}", {"wall": before["state"]}, after, ip=ip)
