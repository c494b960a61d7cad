"""The operator's desk: what the command line shows and does."""

from __future__ import annotations

import pytest

from limner.runtime import mailbox
from limner.runtime.errors import NotFound
from limner.runtime.presence import Presence
from limner.sql import desk
from limner.sql.billing import CheckOpenInvoices


async def test_actors_shows_each_living_process_and_each_mailbox(db, config):
    worker = Presence(db, "worker", lease=3)
    worker.children = lambda: [
        {
            "name": "Cashier",
            "state": "running",
            "restarts": 0,
            "mailbox": "billing",
            "in_hand": 1,
            "handled": 7,
            "failed": 2,
        },
        {"name": "bus", "state": "degraded", "restarts": 3, "last_error": "no route"},
    ]
    await worker.beat()
    await mailbox.send(db, CheckOpenInvoices())
    text = "\n".join(await desk.tree(config))
    assert f"worker   {str(worker.id)[:8]}" in text
    assert "Cashier      running    in hand 1, handled 7, failed 2" in text
    assert "bus          degraded    restarted 3 times: no route" in text
    assert f"{'billing':<14}{1:>9}{0:>9}{0:>9}" in text


async def test_a_drained_worker_hears_of_it_with_its_next_heartbeat_and_goes_on_later(db, config):
    worker = Presence(db, "worker", lease=3)
    await worker.beat()
    assert await desk.pause(config, str(worker.id)[:8], paused=True) == "1 asked to take nothing new"
    await worker.beat()
    assert worker.is_paused
    await desk.pause(config, "all", paused=False)
    await worker.beat()
    assert not worker.is_paused


async def test_draining_nobody_is_an_error_that_says_so(config):
    with pytest.raises(NotFound, match="'nobody'"):
        await desk.pause(config, "nobody", paused=True)


async def test_a_key_is_added_and_listed_without_its_secret(config):
    assert "in the pool of simulator" in await desk.add_key(config, "simulator", "night shift", "canary-secret-1234")
    listing = "\n".join(await desk.list_keys(config))
    assert "night shift" in listing
    assert "…1234" in listing
    assert "canary" not in listing


async def test_somebody_is_made_an_admin_by_address(config, cast):
    assert await desk.promote(config, "BOB@example.com", "admin") == "bob@example.com is admin now"
    with pytest.raises(NotFound):
        await desk.promote(config, "nobody@example.com", "admin")
