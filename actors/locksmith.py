"""The Locksmith looks after keys that rest: it probes them for free, one at a time, and never lets one be forgotten."""

from __future__ import annotations

import time

import anyio

from limner.actors import failover
from limner.actors.pool import Pool
from limner.actors.providers import base, egress
from limner.actors.providers.base import Access, Fault, UpstreamError
from limner.actors.providers.egress import Wire
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Busy, Hopeless, Refused
from limner.runtime.log import logger
from limner.runtime.presence import Presence
from limner.runtime.vault import Vault
from limner.sql import keys, probes, proxies
from limner.sql.keys import LookAfterKeys
from limner.sql.probes import Probe
from limner.sql.proxies import TryProxy

log = logger(__name__)

CHECK = 30.0
"""Seconds that a free check of a key may take."""
ADDRESS_LIMIT = 64
"""Bytes: no address is longer."""


class Locksmith(Actor):
    """Does what is due, whenever the schedule says so; any number of workers may, one probes."""

    mailbox = "locksmith"
    messages = (LookAfterKeys, TryProxy)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, config: Config, vault: Vault) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self.pool = Pool(db, config, vault)

    async def receive(self, message: LookAfterKeys | TryProxy) -> None:
        if isinstance(message, TryProxy):
            await try_proxy(self.db, self.config, self.pool.vault, message.proxy_id)
            return
        while probe := await probes.take(self.db, self._again()):
            await self._probe(probe)
        while taken := await probes.take_proxy(self.db):
            await self._look_through(*taken)

    async def _probe(self, probe: Probe) -> None:
        """Ask the provider, for nothing, whether it takes the key."""
        error = await self._checked(probe)
        if error is None:
            log.info("probe_passed", key=probe.label, was=probe.state)
            return await probes.passed(self.db, probe)
        log.info("probe_failed", key=probe.label, state=probe.state, fault=error.fault)
        if error.fault is Fault.PROXY_FAILED and probe.proxy_id is not None:
            await proxies.rest(self.db, probe.proxy_id, str(error))
        await probes.failed(self.db, probe, str(error), self._again())

    async def _look_through(self, proxy_id: int, sealed: str, probe: Probe | None) -> None:
        """A proxy whose rest is over, through a key that uses it; any answer of an upstream shows that it carries."""
        error = None
        if probe is None and self.config.exit_address_url is not None:
            found = await try_proxy(self.db, self.config, self.pool.vault, proxy_id)
            error = None if found.is_through else UpstreamError(Fault.PROXY_FAILED, found.words)
        elif probe is not None:
            error = await self._checked(probe)
        if error is not None and error.fault is Fault.PROXY_FAILED:
            await proxies.rest(self.db, proxy_id, str(error))
        else:
            await proxies.wake(self.db, proxy_id, "it carries again")

    async def _checked(self, probe: Probe) -> UpstreamError | None:
        try:
            with anyio.fail_after(CHECK + 5):
                await base.provider(probe.kind).check(self.pool.access(probe, CHECK))
        except UpstreamError as error:
            return error
        except TimeoutError:
            return UpstreamError(Fault.TIMEOUT_UNKNOWN, "the check took too long")
        except (Busy, Refused, Hopeless) as error:  # the vault cannot open it, or nobody knows this kind
            return UpstreamError(Fault.INVALID_REQUEST, str(error))
        return None

    def _again(self) -> float:
        return failover.probe_in(self.config.key_probe_seconds)


class Found:
    """What a test of a proxy found: ``address`` where it comes out, or ``words`` why nothing came through."""

    def __init__(self, address: str = "", milliseconds: int | None = None, words: str = "") -> None:
        self.address = address
        self.milliseconds = milliseconds
        self.words = words

    @property
    def is_through(self) -> bool:
        return not self.words


async def try_proxy(db: Database, config: Config, vault: Vault, proxy_id: int) -> Found:
    """Ask through a proxy where it comes out. Well: it takes part again. Badly: noted; only traffic lets it rest."""
    sealed = await proxies.sealed_url(db, proxy_id)
    if config.exit_address_url is None:
        found = Found(words="LIMNER_EXIT_ADDRESS_URL is empty, so nobody can say where it comes out")
    else:
        url = vault.open(sealed, bound_to=keys.proxy_bound_to(proxy_id))
        found = await _exit(config.exit_address_url, url, is_local=config.env == "development")
    await proxies.note_test(db, proxy_id, found.address or found.words, found.milliseconds)
    if found.is_through:
        await proxies.wake(db, proxy_id, "a test came through")
    return found


async def _exit(asked: str, proxy: str, *, is_local: bool) -> Found:
    access = Access("", asked, proxy, timeout=10, is_local=is_local)
    wire, began = Wire(), time.monotonic()
    try:
        with egress.translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire) as session:
                async with session.get(asked, allow_redirects=False) as answer:
                    body = await answer.content.read(ADDRESS_LIMIT)
                    status = answer.status
    except UpstreamError as error:
        return Found(words=error.detail or str(error))
    text = base.clean(body.decode("ascii", "replace"))
    if status != 200 or not text:
        return Found(words=f"{asked} answered {status}")
    return Found(text, round((time.monotonic() - began) * 1000))
