"""Visitors who come to Caddy again and again, and remember how each was answered, and by whom."""

from __future__ import annotations

import asyncio
from collections import Counter

from tests.deploy.conftest import Front


class Knocks:
    """``answers`` by method and status, ``by`` counts them by the port of the web that answered."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.answers: Counter[tuple[str, int]] = Counter()
        self.by: Counter[int] = Counter()
        self.is_over = False
        self.answered = asyncio.Event()

    async def go_on(self, method: str) -> None:
        while not self.is_over:
            async with self.front.ask(method, "/", data=b"x" if method == "POST" else None) as answer:
                if answer.status == 200:
                    self.by[(await answer.json())["port"]] += 1
                self.answers[method, answer.status] += 1
                self.answered.set()

    async def some_more(self) -> None:
        """Until a hundred more were answered."""
        enough = self.answers.total() + 100
        async with asyncio.timeout(30):
            while self.answers.total() < enough:
                self.answered.clear()
                await self.answered.wait()
