"""The Locksmith looks after keys that rest: it probes them for free, one at a time, and never lets one be forgotten."""

from __future__ import annotations

import anyio

from limner.actors import failover, workbench
from limner.actors.pool import Pool
from limner.actors.providers import base
from limner.actors.providers.base import Fault, TellsBalance, UpstreamError
from limner.runtime.actor import Actor
from limner.runtime.bus import Bus
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Busy, Hopeless, Refused
from limner.runtime.log import logger, redact
from limner.runtime.presence import Presence
from limner.runtime.vault import Vault
from limner.sql import funds, probes, proxies
from limner.sql.keys import LookAfterKeys, TryKey
from limner.sql.models import ImportModels
from limner.sql.probes import Probe
from limner.sql.proxies import TryProxy

log = logger(__name__)

CHECK = 30.0
"""Seconds that a free check of a key may take."""
NO_WAY = UpstreamError(Fault.PROXY_FAILED, "no proxy of it carries")
FALLEN = ("out_of_funds", "manual_review", "disabled")


class Locksmith(Actor):
    """Does what is due, whenever the schedule says so; any number of workers may, one probes."""

    mailbox = "locksmith"
    messages = (LookAfterKeys, TryKey, TryProxy, ImportModels)

    def __init__(self, db: Database, bus: Bus, presence: Presence, *, config: Config, vault: Vault) -> None:
        super().__init__(db, bus, presence)
        self.config = config
        self.pool = Pool(db, config, vault)

    async def receive(self, message: LookAfterKeys | TryKey | TryProxy | ImportModels) -> None:
        match message:
            case TryKey():
                await self._try_key(message.key_id)
            case TryProxy():
                await workbench.try_proxy(self.db, self.config, self.pool.vault, message.proxy_id)
            case ImportModels():
                await workbench.import_models(self.db, self.pool, message.provider, actor=message.actor)
            case LookAfterKeys():
                await self._look_after_keys()

    async def _look_after_keys(self) -> None:
        while probe := await probes.take(self.db, self._again()):
            await self._probe(probe)
        while taken := await probes.take_proxy(self.db):
            await self._look_through(*taken)
        await self._read_balances()

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

    async def _try_key(self, key_id: int) -> None:
        """An admin wants to know, whatever its state; one that fell out by itself comes back if it may."""
        trial = await probes.of_key(self.db, key_id)
        if trial is None:
            return
        error = NO_WAY if trial.shut else await self._checked(trial.probe)
        await probes.tried(self.db, key_id, "" if error is None else redact(str(error))[:500])
        if error is None and trial.returns and trial.probe.state in FALLEN:
            await probes.passed(self.db, trial.probe)

    async def _look_through(self, proxy_id: int, sealed: str, probe: Probe | None) -> None:
        """A proxy whose rest is over, through a key that uses it; any answer of an upstream shows that it carries."""
        error = None
        if probe is None and self.config.exit_address_url is not None:
            found = await workbench.try_proxy(self.db, self.config, self.pool.vault, proxy_id)
            error = None if found.is_through else UpstreamError(Fault.PROXY_FAILED, found.words)
        elif probe is not None:
            error = await self._checked(probe)
        if error is not None and error.fault is Fault.PROXY_FAILED:
            await proxies.rest(self.db, proxy_id, str(error))
        else:
            await proxies.wake(self.db, proxy_id, "it carries again")

    async def _read_balances(self) -> None:
        """What is left on each account: told where the provider tells, else counted from what was paid in."""
        await funds.count(self.db)
        telling = [kind for kind in await funds.kinds(self.db) if _teller(kind) is not None]
        for probe in await funds.due(self.db, telling) if telling else []:
            teller = _teller(probe.kind)
            assert teller is not None
            try:
                with anyio.fail_after(CHECK):
                    micros = await teller.balance(self.pool.access(probe, CHECK))
            except (UpstreamError, TimeoutError, Busy, Refused, Hopeless) as error:
                log.info("balance_unread", key=probe.label, why=str(error) or "too slow")
            else:
                await funds.told(self.db, probe.key_id, micros)

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


def _teller(kind: str) -> TellsBalance | None:
    """The painter of this kind, when it can read a balance."""
    painter = base.provider(kind) if kind in base.KINDS else None
    return painter if isinstance(painter, TellsBalance) else None
