"""The speaker sends the answers: in their order within a chat, and a chat that has to wait holds up no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

import anyio
from anyio.abc import TaskGroup

from limner.actors.bot.sending import Answer
from limner.actors.bot.telegram import Telegram, Understood
from limner.runtime.errors import Busy, Hopeless
from limner.runtime.log import following, logger
from limner.runtime.mailbox import backoff

log = logger(__name__)

LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Line:
    """An answer, and what the log calls the request that it belongs to."""

    answer: Answer
    request: str


class Speaker:
    def __init__(self, telegram: Telegram) -> None:
        self.telegram = telegram
        self._late: dict[int, deque[Line]] = {}
        """By chat: what waits there until Telegram takes it again."""

    async def say(self, group: TaskGroup, answers: Iterable[Answer], request: str) -> None:
        """Send them; what Telegram is too busy for is sent later, by a task of ``group``."""
        for answer in answers:
            line = Line(answer, request)
            if answer.chat_id in self._late:
                self._late[answer.chat_id].append(line)
            elif (pause := await self._try(line, 1)) is not None:
                self._late[answer.chat_id] = deque([line])
                group.start_soon(self._catch_up, answer.chat_id, pause)

    async def _catch_up(self, chat_id: int, pause: float | None) -> None:
        line, tries = self._late[chat_id], 1
        try:
            while line:
                await anyio.sleep(pause or 0)
                tries += 1
                pause = await self._try(line[0], tries)
                if pause is None:
                    line.popleft()
                    tries = 0
        finally:
            del self._late[chat_id]

    async def _try(self, line: Line, attempt: int) -> float | None:
        """Seconds until it is worth another try; None when it is sent, refused or lost."""
        answer, name = line.answer, type(line.answer.method).__name__
        with following(line.request):
            try:
                await self.telegram.send(answer.method)
            except Understood as odd:
                log.warning("answer_odd", method=name, error=str(odd))
            except Hopeless as why:
                if "not modified" in str(why):
                    return None
                log.warning("answer_refused", method=name, why=str(why))
                if answer.otherwise is not None:
                    instead = replace(answer, method=answer.otherwise, otherwise=None)
                    return await self._try(replace(line, answer=instead), attempt)
            except Busy as later:
                log.warning("answer_waits" if attempt < answer.tries else "answer_lost", method=name, error=str(later))
                if attempt < answer.tries:
                    return min(later.after if later.after is not None else backoff(attempt), LONGEST_PAUSE)
        return None
