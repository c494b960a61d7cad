"""A picture in somebody's gallery, with a link and on the wall: what the tests of sharing begin with."""

from __future__ import annotations

from uuid import UUID

from limner.sql import shares, walls
from limner.sql.accounts import Account
from limner.sql.shares import Share
from tests.http.conftest import Browser, Site, hang


async def shared(site: Site, owner: Account, *, shows_prompt: bool = False, caption: str = "") -> tuple[UUID, Share]:
    """A picture with a link to it."""
    picture = (await hang(site, owner))[0]
    return picture, await shares.make(site.db, picture, owner.id, shows_prompt=shows_prompt, caption=caption)


async def offered(site: Site, owner: Account, name: str = "", **about: str) -> tuple[UUID, Share, int]:
    """One that waits for the wall; the number of its offer."""
    picture, share = await shared(site, owner, **about)
    await walls.offer(site.db, picture, owner.id, name)
    return picture, share, await site.db.fetchval("select max(id) from wall_offer where image_id = $1", picture)


async def shown(site: Site, owner: Account, name: str = "", **about: str) -> tuple[UUID, Share, int]:
    """One that hangs there."""
    picture, share, offer = await offered(site, owner, name, **about)
    await walls.decide(site.db, offer, "shown", actor="test")
    return picture, share, offer


async def report(visitor: Browser, share: Share, kind: str = "hate", words: str = "") -> int:
    """Returns the status of the answer."""
    return (await visitor.post(f"{share.path}/reports", {"kind": kind, "words": words})).status
