"""A stand-in for fal's queue: jobs that are created, looked at, fetched and canceled, and how often each was."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.upstreams.base import Asked, Script, Upstream, painted, run

__all__ = ["Asked", "FakeFal", "Job", "Script", "painted"]

STATES = ("IN_QUEUE", "IN_PROGRESS", "COMPLETED")


@dataclass
class Job:
    """``looks``: how often its status was asked."""

    id: str
    model: str
    input: dict[str, Any]
    looks: int = 0
    canceled: bool = False
    seen: asyncio.Event = field(default_factory=asyncio.Event)


class FakeFal(Upstream):
    """Each job is queued, in progress and completed on its first three looks; ``holds``: it stays in progress.

    ``result``: what is fetched instead of a picture; its path lies in that of the status, so it cannot be scripted.
    """

    aside = ("/status",)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.jobs: dict[str, Job] = {}
        self.holds = False
        self.result: Script | None = None
        self.looked = asyncio.Event()
        self._numbers = itertools.count(1)

    def key(self, request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix("Key ")

    async def usual(self, asked: Asked) -> Script:
        """By path and method."""
        if asked.path.startswith("/v1/"):
            return self._platform(asked)
        if asked.method == "POST":
            return self._create(asked)
        job = self.jobs.get(asked.path.partition("/requests/")[2].partition("/")[0])
        if job is None:
            return Script(404, {"detail": "Request not found"})
        if asked.path.endswith("/cancel"):
            job.canceled = True
            return Script(202, {"status": "CANCELLATION_REQUESTED"})
        if asked.path.endswith("/status"):
            return self._status(job)
        return self.result or self._result(job)

    def _create(self, asked: Asked) -> Script:
        job = Job(f"019a-{next(self._numbers):04}", asked.path.removeprefix("/"), asked.fields)
        self.jobs[job.id] = job
        return Script(body={"status": "IN_QUEUE", "request_id": job.id, **self.urls(job)})

    def urls(self, job: Job) -> dict[str, str]:
        """As fal builds them: from owner and app alone."""
        at = f"{self.base_url}/{'/'.join(job.model.split('/')[:2])}/requests/{job.id}"
        return {"response_url": at, "status_url": f"{at}/status", "cancel_url": f"{at}/cancel", "queue_position": 0}  # type: ignore[dict-item]

    def _status(self, job: Job) -> Script:
        state = STATES[min(job.looks, 1 if self.holds else 2)]
        job.looks += 1
        self.looked.set()
        return Script(200 if state == "COMPLETED" else 202, {"status": state, "request_id": job.id, **self.urls(job)})

    def _result(self, job: Job) -> Script:
        size = job.input.get("image_size")
        width, height = (size["width"], size["height"]) if isinstance(size, dict) else (1024, 1024)
        self.pictures[f"{job.id}.png"] = painted(width, height, kilobytes=self.kilobytes)
        picture = {"url": f"{self.base_url}/files/{job.id}.png", "width": width, "height": height}
        return Script(body={"images": [picture], "seed": 7, "has_nsfw_concepts": [False], "prompt": "a fox"})

    def _platform(self, asked: Asked) -> Script:
        if asked.path.endswith("/account/billing"):
            return Script(body={"username": "my-team", "credits": {"current_balance": 24.5, "currency": "USD"}})
        if asked.path.endswith("/pricing"):
            return Script(body={"prices": [{"endpoint_id": "fal-ai/flux/schnell", "unit_price": 0.003}]})
        if "cursor" not in asked.query:
            listed = {"endpoint_id": "fal-ai/flux/dev", "metadata": {"display_name": "FLUX.1 [dev]"}}
            return Script(body={"models": [listed], "next_cursor": "Mg==", "has_more": True})
        return Script(body={"models": [{"endpoint_id": "fal-ai/aura-flow"}], "next_cursor": None, "has_more": False})


if __name__ == "__main__":
    run(FakeFal)
