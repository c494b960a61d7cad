"""The pool as a painter's customer sees it: a key to paint with, the way in, and what is made of how it went."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import anyio

from limner.actors import failover
from limner.actors.failover import Blame
from limner.actors.providers import base
from limner.actors.providers.base import Access, Fault, UpstreamError
from limner.runtime.config import Config
from limner.runtime.database import Database
from limner.runtime.errors import Busy
from limner.runtime.log import logger
from limner.runtime.vault import KeyUnknown, Vault, VaultError
from limner.sql import attempts, keys, painters, proxies, rests
from limner.sql.attempts import Lease, Wait, Way
from limner.sql.jobs import Job

log = logger(__name__)

NO_KEY_PAUSE = 15.0
PATIENCE = 2.0
"""Seconds that a job in hand waits for a busy key before it goes back into the line."""
LONGEST_PAUSE = 60.0
"""Seconds after which a job that waits for tired keys looks again: somebody may have added one."""


class NoKey(Busy):
    """No key is free. ``back``: seconds until one could be, as far as is known."""

    def __init__(self, message: str, *, after: float, back: float | None) -> None:
        super().__init__(message, after=after)
        self.back = back


class Pool:
    """Leases keys for one process. All that must hold among processes holds in the database."""

    def __init__(self, db: Database, config: Config, vault: Vault) -> None:
        self.db = db
        self.config = config
        self.vault = vault
        self._freed = anyio.Event()
        again = {Fault.TIMEOUT_UNKNOWN: config.retry_unknown, Fault.NO_IMAGE: config.retry_empty}
        self._final = [fault for fault, is_wanted in again.items() if not is_wanted]

    async def lease(
        self, job: Job, tried: Sequence[int], first: int | None = None, *, found: Lease | Wait | None = None
    ) -> Lease:
        """A key, with its attempt written down; ``found`` what was found already. Waits a moment for a busy one. Raises NoKey."""
        until = job.deadline + timedelta(seconds=attempts.BEYOND)
        began, pause = time.monotonic(), 0.05
        while True:
            freed = self._freed
            found = found or await attempts.lease(
                self.db, job.provider_id, job.model_id, job.id, tried=tried, until=until, first=first
            )
            if isinstance(found, Lease):
                return found
            left = began + PATIENCE - time.monotonic()
            if not found.is_busy or left <= 0:
                raise _no_key(await self._beside_spent(job, tried, found))
            with anyio.move_on_after(min(pause, left)):
                await freed.wait()
            found = None
            pause = min(pause * 1.5, 0.4)

    async def _beside_spent(self, job: Job, tried: Sequence[int], wait: Wait) -> Wait:
        """How long without those that are done with it for good. Raises UpstreamError when no other comes back by itself."""
        spent = await attempts.spent(self.db, job.id, failover.SPENDING) if tried else {}
        if not spent:
            return wait
        back = await attempts.free_in(self.db, job.provider_id, job.model_id, list(spent))
        if back is None:
            raise UpstreamError(Fault(list(spent.values())[-1]), "every key has tried that could")
        return Wait(back, wait.is_busy)

    async def look_back(self, job: Job) -> list[int]:
        """What an earlier try of this job came to holds over a crash and a wait: the keys that are done with it.

        Raises UpstreamError when it was the end.
        """
        faults = await attempts.faults(self.db, job.id)
        if faults and not failover.goes_on(faults, self._final):
            raise UpstreamError(Fault(faults[-1]), "an earlier try had settled it")
        return await self.spent(job) if faults else []

    async def spent(self, job: Job) -> list[int]:
        """The keys that are done with this job."""
        return list(await attempts.spent(self.db, job.id, failover.SPENDING))

    async def blame(self, job: Job, lease: Lease, error: UpstreamError) -> bool:
        """Let rest who is to blame and close the attempt. Returns whether the order may go on to another key."""
        fault = error.fault
        reaction = failover.REACTIONS[fault]
        log.warning("attempt_failed", job=str(job.id), key=lease.label, fault=fault)
        log.debug("attempt_detail", job=str(job.id), detail=error.detail)  # upstreams quote prompts
        cost = getattr(error, "cost_micros", 0)
        possible = job.cost_micros if reaction.may_cost and not cost else 0
        before, here, elsewhere = 0, False, False
        if fault is Fault.UPSTREAM_5XX or error.is_vague:
            about = (job.id, lease.key_id, fault)
            before, here, elsewhere = await attempts.of_key(self.db, *about, is_vague=error.is_vague)
        counts = not before and (not error.is_vague or await self._is_doubted(job, lease, fault))
        # First the rest, then the slot: nobody takes the freed slot of a key, or a way, that is about to rest.
        # A model all of whose keys rest in the name of this fault is not offered any more (models.IS_OFFERED).
        cause = f"refused: {error.detail}" if error.is_vague else f"{fault}: {error.detail}"
        await self._let_rest(lease, job.model_id, error, cause[:300], before, counts=counts)
        close = attempts.answered if reaction.blame is Blame.ORDER else attempts.close
        await close(
            self.db, lease.attempt_id, fault=fault, detail=error.detail, cost_micros=cost, possible_micros=possible
        )
        self.freed()
        # Only now: what fails here leaves no answered attempt open, to be asked for once more elsewhere.
        if error.param or error.categories:
            await attempts.note_blame(self.db, lease.attempt_id, error.param, error.categories)
        if here and failover.is_poison(fault, before, lease.failures, elsewhere=elsewhere):
            log.warning("order_breaks_painters", job=str(job.id), key=lease.label)
            return False
        return failover.goes_on(await attempts.faults(self.db, job.id), self._final)

    async def _is_doubted(self, job: Job, lease: Lease, fault: Fault) -> bool:
        """Whether a refusal in unknown words is held against the key: so many get the same since it painted anything."""
        return await attempts.others(self.db, lease.key_id, job.account_id, fault) >= failover.DOUBTERS - 1

    async def _let_rest(
        self, lease: Lease, model_id: str, error: UpstreamError, cause: str, before: int, *, counts: bool
    ) -> None:
        """``before``: how often this key came to the same with this order; ``counts``: whether a rest is held against it."""
        fault, key_id = error.fault, lease.key_id
        probe_in = failover.probe_in(self.config.key_probe_seconds)
        match failover.REACTIONS[fault].blame:
            case Blame.KEY_FOR_EVER:
                await rests.die(self.db, key_id, cause, probe_in)
            case Blame.ACCOUNT_GROUP:
                await rests.run_dry(self.db, key_id, cause, probe_in)
            case Blame.PROXY if lease.proxy_id is not None:
                await proxies.rest(self.db, lease.proxy_id, cause, attempt_id=lease.attempt_id)
            case Blame.ROUTE:
                seconds = failover.rest_seconds(fault, error.after, lease.failures)
                await rests.rest_route(self.db, key_id, lease.proxy_id, seconds, cause)
            case Blame.KEY_FOR_MODEL | Blame.PROXY:
                await self._rest_from_model(lease, model_id, error, cause, before, counts=counts)
                await rests.review_if_hopeless(self.db, key_id, self.config.key_most_failures, probe_in)
            case Blame.COUNTED:
                await rests.count(self.db, key_id)
                await rests.review_if_hopeless(self.db, key_id, self.config.key_most_failures, probe_in)
            case Blame.NOBODY | Blame.ORDER:
                log.debug("nobody_to_blame", fault=fault)

    async def _rest_from_model(
        self, lease: Lease, model_id: str, error: UpstreamError, cause: str, before: int, *, counts: bool
    ) -> None:
        """From this model alone; all keys of the account where the provider counts by project."""
        painter = base.provider(lease.kind)
        by_project = error.fault in (Fault.RATE_LIMITED, Fault.DAILY_QUOTA)
        by_group = by_project and getattr(painter, "quota_scope", "key") == "account_group"
        is_daily = bool(getattr(error, "is_daily", False))
        tomorrow = failover.until_tomorrow(datetime.now(UTC), getattr(painter, "quota_zone", "America/Los_Angeles"))
        after = error.after
        if error.fault is Fault.DAILY_QUOTA and after is None:
            after = tomorrow
        if error.is_vague and after is None:
            after = failover.VAGUE
        seconds = failover.rest_seconds(error.fault, after, max(lease.failures, before))
        about = {"attempt_id": lease.attempt_id, "by_group": by_group, "counts": counts}
        hits = await rests.rest(self.db, lease.key_id, model_id, seconds, cause, is_daily=is_daily, **about)  # type: ignore[arg-type]
        if is_daily and hits >= failover.DAY_HITS and seconds < tomorrow:
            cause = f"{Fault.DAILY_QUOTA}: {hits} failures in a row named a quota of the day"
            await rests.rest(self.db, lease.key_id, model_id, tomorrow, cause, is_daily=True, **about)  # type: ignore[arg-type]

    def access(self, way: Way, timeout: float, prompt: str = "", texts: tuple[str, ...] = ()) -> Access:
        """The way in, opened. Raises NoKey while a rotation is ahead of this process, UpstreamError for what is damaged."""
        secret = self._open(way.sealed_secret, keys.bound_to(way.key_id), Fault.AUTH_DEAD)
        proxy = None
        if way.proxy_id is not None:
            proxy = self._open(way.sealed_proxy or "", keys.proxy_bound_to(way.proxy_id), Fault.PROXY_FAILED)
        base_url = painters.base_url(way.kind, way.base_url, self.config.openai_url)
        is_local = way.is_local or (way.kind == "openai" and not way.base_url)  # the operator's own setting
        timeout = max(timeout, 1)
        silence = min(timeout, self.config.painter_silence)
        return Access(secret, base_url, proxy, way.switch, timeout, way.settings, is_local, silence, prompt, texts)

    def _open(self, sealed: str, bound_to: str, fault: Fault) -> str:
        """Raises NoKey while a rotation is ahead of this process: one that was started later can paint it.

        Raises UpstreamError(``fault``) for what is damaged: it is no use to anybody.
        """
        try:
            return self.vault.open(sealed, bound_to=bound_to)
        except KeyUnknown as error:
            log.error("vault_is_behind", why=str(error), hint="restart this process with the present LIMNER_VAULT_KEYS")
            raise NoKey("waiting for a painter", after=NO_KEY_PAUSE, back=None) from None
        except VaultError as error:
            raise UpstreamError(fault, str(error)) from None

    def freed(self) -> None:
        """An attempt is over: whoever waits here for a busy key may look again."""
        self._freed.set()
        self._freed = anyio.Event()


def _no_key(wait: Wait) -> NoKey:
    spread = random.uniform(0.0, 0.5)  # noqa: S311
    if wait.back is None:
        return NoKey("waiting for a painter", after=NO_KEY_PAUSE + spread, back=None)
    if wait.is_busy or wait.back < 1:
        return NoKey("all painters are busy", after=max(wait.back, 0.3) + spread, back=None)
    return NoKey("all painters are resting", after=min(wait.back, LONGEST_PAUSE) + spread, back=wait.back)
