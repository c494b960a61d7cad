"""One upgrade or rollback, step by step, and the way back from each of them."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from typing import Any

import anyio

from limner.actors.shipwright.command import Done
from limner.actors.shipwright.deployment import Deployment
from limner.actors.shipwright.fleet import Broken, Fleet, Images
from limner.actors.shipwright.releases import Book
from limner.runtime.errors import LimnerError, as_raised
from limner.runtime.report import Line, Say

BACKUP_WITHIN = 6 * 3600.0
MIGRATE_WITHIN = 3600.0
HEALTHY_WITHIN = 120.0
"""Seconds that a role may take from its start until it is healthy."""
QUICK_GRACE = 20
"""Seconds that running pictures may take to finish in a rollback; what is cut off is painted again, uncharged."""
REHEARSED = ("web", "worker", "bot")


class Voyage:
    """One upgrade or rollback, step by step."""

    def __init__(self, fleet: Fleet, right: Deployment, book: Book, say: Say, healthy_within: float) -> None:
        self.fleet, self.right, self.book, self.say = fleet, right, book, say
        self.healthy_within = healthy_within
        self.backup = ""
        self._replaced: list[str] = []

    @asynccontextmanager
    async def recorded(self, action: str, target: Images) -> AsyncIterator[None]:
        """What becomes of the block stands in the audit."""
        before = {"images": asdict(self.book.in_service.images) if self.book.in_service else None}
        after: dict[str, Any] = {"images": asdict(target), "result": "done"}
        began = time.monotonic()
        try:
            with _signals_heeded():
                yield
        except BaseException as why:
            after |= {"result": "failed", "why": str(why).splitlines()[0][:300] if str(why) else type(why).__name__}
            raise
        finally:
            after |= {"backup": self.backup, "took": round(time.monotonic() - began, 1)}
            with anyio.CancelScope(shield=True):
                if self.right.talk is not None and not await self.right.record(action, before, after):
                    self.say(Line("deploy.audit", "warn", "what was done could not be written into the audit"))

    async def save(self, now: Images) -> str:
        """Back up with what runs now; returns the backup's name. Raises Broken."""
        done = await self.fleet.run(now, ["backup", "--json"], BACKUP_WITHIN)
        lines = _lines(done)
        made = [line.words.split()[0] for line in lines if line.code == "backup.made"]
        if done.code > 1 or not made:
            raise Broken("the backup failed, so nothing was changed", "\n".join(map(str, lines)) or done.said)
        for line in lines:
            if line.state == "warn":
                self.say(line)
        self.say(Line("upgrade.backup", "ok", f"{made[-1]}, read back"))
        return made[-1]

    async def migrate(self, target: Images) -> None:
        done = await self.fleet.run(target, ["migrate"], MIGRATE_WITHIN)
        if done.code:
            raise Broken(f"`limner migrate` of {target.app} ended with {done.code}{self._from_before()}", done.said)
        self.say(Line("upgrade.migrate", "ok", (done.out.strip().splitlines() or ["done"])[-1]))

    async def rehearse(self, target: Images) -> None:
        """Each role once beside the running one, before that is touched: what crashes or hangs is found out here."""
        troubles: list[Broken] = []
        roles = [role for role in await self.fleet.roles() if role in REHEARSED]
        with as_raised():
            async with anyio.create_task_group() as group:
                for role in roles:
                    group.start_soon(self._rehearse, role, target, troubles)
        if troubles:
            words = "; ".join(str(each) for each in troubles)
            raise Broken(
                f"{words}; nothing was replaced{self._from_before()}", "\n".join(each.logs for each in troubles)
            )
        self.say(Line("upgrade.rehearsal", "ok", "every role starts and is healthy beside what runs"))

    async def _rehearse(self, role: str, target: Images, troubles: list[Broken]) -> None:
        try:
            await self.fleet.rehearse(role, target, self.healthy_within)
        except Broken as why:
            troubles.append(why)

    async def sail(
        self, target: Images, before: Images, groups: Sequence[Sequence[str]], grace: int | None = None
    ) -> None:
        """Replace the roles, try them out, pin the set. On any failure all is as it was. Raises Broken."""
        try:
            self.right.is_settled = False
            await self.fleet.pin(before)  # a name such as limner:local may mean the new image by now
            for roles in groups:
                self._replaced += roles
                await self.fleet.replace(roles, target, self.healthy_within, grace)
                self.say(Line("deploy.role", "ok", f"{', '.join(roles)}: healthy with {target}"))
            await self._smoke()
            await self.fleet.pin(target)
            self.right.is_settled = True
        except BaseException as why:
            with anyio.CancelScope(shield=True):
                await self._put_back(before)
            if not isinstance(why, LimnerError | OSError):
                raise
            now = "the former set runs again" if self.right.is_settled else "and NOT every role could be put back"
            raise Broken(f"{why}; {now}{self._from_before()}", getattr(why, "logs", "")) from None

    async def _put_back(self, before: Images) -> None:
        stuck = []
        for role in reversed(self._replaced):
            try:
                await self.fleet.replace([role], before, self.healthy_within, QUICK_GRACE)
                self.say(Line("deploy.put_back", "ok", f"{role}: healthy with {before}"))
            except (LimnerError, OSError) as why:
                stuck.append(role)
                self.say(Line("deploy.put_back", "fail", f"{role}: {why}", "see its log, then: limner rollback"))
        self.right.is_settled = not stuck

    async def _smoke(self) -> None:
        """A look from outside at every role. Raises Broken."""
        for role in await self.fleet.roles():
            if role.startswith("web"):
                for path in ("/health/ready", "/"):
                    status = await self.fleet.knock(role, path)
                    if not 200 <= status < 400:
                        raise Broken(f"smoke test: {role} answers {path} with {status or 'nothing'}")
            done = await self._health(role)
            if done.code:
                raise Broken(f"smoke test: limner health {role} ended with {done.code}", done.said)
        self.say(Line("deploy.smoke", "ok", "every web is ready and shows its page; every role is healthy"))

    async def _health(self, role: str) -> Done:
        """Asked again for a while: a heartbeat that is on its way is no failure."""
        done = await self.fleet.health(role)
        with anyio.move_on_after(min(15.0, self.healthy_within)):
            while done.code:
                await anyio.sleep(0.5)
                done = await self.fleet.health(role)
        return done

    def _from_before(self) -> str:
        return f"; the backup from before is {self.backup}" if self.backup else ""


@contextmanager
def _signals_heeded() -> Iterator[None]:
    """SIGTERM cancels the block, and Broken is raised after it has put all in order. A lost terminal stops nothing."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    told = []

    def stop() -> None:
        told.append(True)
        task.cancel()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    loop.add_signal_handler(signal.SIGTERM, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not told:
            raise
        task.uncancel()
        raise Broken("told to stop: what had been replaced was put back") from None
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGHUP, before)


def _lines(done: Done) -> list[Line]:
    """What a command with --json reported; nothing when it did not come so far."""
    try:
        return [Line(**line) for line in json.loads(done.out)["lines"]]
    except (ValueError, KeyError, TypeError):
        return []
