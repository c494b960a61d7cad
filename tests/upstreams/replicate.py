"""A stand-in for Replicate: predictions that are created, looked at and canceled, and files that are uploaded."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import Any

from tests.upstreams.base import Asked, Script, Upstream, painted, run

__all__ = ["Asked", "FakeReplicate", "Prediction", "Script", "painted"]

STATES = ("starting", "processing", "succeeded")


@dataclass
class Prediction:
    """``looks``: how often it was asked for. ``model``: "owner/name", or a version."""

    id: str
    model: str
    input: dict[str, Any]
    looks: int = 0
    canceled: bool = False


class FakeReplicate(Upstream):
    """Each prediction starts, works and succeeds on its first looks; ``holds``: it goes on working."""

    prefix = "/v1"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.predictions: dict[str, Prediction] = {}
        self.holds = False
        self.lists = True
        self.looked = asyncio.Event()
        self._numbers = itertools.count(1)

    async def usual(self, asked: Asked) -> Script:
        """By path and method."""
        if asked.path == "/v1/account":
            return Script(body={"type": "organization", "username": "acme", "name": "Acme"})
        if asked.path == "/v1/collections/text-to-image":
            listed = [{"owner": "black-forest-labs", "name": "flux-dev"}, {"owner": "google", "name": "nano-banana"}]
            return Script(body={"name": "Text to image", "slug": "text-to-image", "models": listed})
        if asked.path == "/v1/files":
            return Script(201, {"id": "f1", "urls": {"get": "https://api.replicate.com/v1/files/f1"}})
        if asked.method == "POST" and asked.path.endswith("/predictions"):
            return self._create(asked)
        prediction = self.predictions.get(asked.path.partition("/predictions/")[2].partition("/")[0])
        if prediction is None:
            return Script(404, {"detail": "The requested resource could not be found.", "status": 404})
        if asked.path.endswith("/cancel"):
            prediction.canceled = True
        self.looked.set()
        return self._told(prediction)

    def _create(self, asked: Asked) -> Script:
        model = asked.fields.get("version") or asked.path.removeprefix("/v1/models/").removesuffix("/predictions")
        prediction = Prediction(f"gm3q{next(self._numbers):04}", model, asked.fields["input"])
        self.predictions[prediction.id] = prediction
        told = self._told(prediction, 2 if "wait=" in asked.headers.get("prefer", "") else 0)
        return Script(201, told.body)

    def _told(self, prediction: Prediction, at_once: int = 0) -> Script:
        state = STATES[max(at_once, min(prediction.looks, 1 if self.holds else 2))]
        prediction.looks += 1
        if prediction.canceled:
            state = "canceled"
        return Script(body={
            "id": prediction.id, "model": prediction.model, "status": state, "input": prediction.input, "error": None,
            "logs": "", "output": self._output(prediction) if state == "succeeded" else None,
            "urls": {"get": f"{self.base_url}/predictions/{prediction.id}"},
        })  # fmt: skip

    def _output(self, prediction: Prediction) -> list[str] | str:
        width, height = prediction.input.get("width", 1024), prediction.input.get("height", 1024)
        self.pictures[f"{prediction.id}.png"] = painted(width, height, kilobytes=self.kilobytes)
        url = f"{self.base_url.removesuffix(self.prefix)}/files/{prediction.id}.png"
        return [url] if self.lists else url


if __name__ == "__main__":
    run(FakeReplicate)
