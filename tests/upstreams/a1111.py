"""A stand-in for AUTOMATIC1111's web UI over real HTTP: one picture at a time, with progress, previews and interrupts."""

from __future__ import annotations

import asyncio
import base64
import functools
import io
import json
from typing import Any

from aiohttp import web
from PIL import Image

from tests.upstreams.base import Asked, Script, Upstream, painted, run

CHECKPOINTS = {
    "dreamshaper_8.safetensors [879db523c3]": ("dreamshaper_8", "879db523c3"),
    "sdxl/juggernaut.safetensors [33e58e8668]": ("juggernaut", "33e58e8668"),
}
SAMPLERS = ("Euler a", "DPM++ 2M", "DDIM")
STEPS = 20


class FakeA1111(Upstream):
    """AUTOMATIC1111's API; a key without scripts gets a picture of the asked size, when it is its turn.

    A key is "user:password" of HTTP Basic, or "none". While ``gate`` is cleared a picture waits half done.
    """

    aside = ("/progress", "/interrupt")
    """Looking on eats no script that is meant for a picture."""

    def __init__(self, *, delay: float = 0.0, **more: Any) -> None:
        super().__init__(**more)
        self.seconds = delay
        self.gate = asyncio.Event()
        self.gate.set()
        self.started = asyncio.Event()
        self.interrupted = asyncio.Event()
        self.looked = asyncio.Event()
        self.progress, self.preview, self.task = 0.0, b"", ""
        self.pending: set[str] = set()
        self.is_old = False
        """Before 1.8: it knows no names of tasks that came through the API."""
        self._turn = asyncio.Lock()

    def key(self, request: web.Request) -> str:
        """As it was before it was encoded."""
        header = request.headers.get("Authorization", "")
        return base64.b64decode(header.removeprefix("Basic ")).decode() if header else "none"

    async def usual(self, asked: Asked) -> Script:
        """What a key without scripts gets."""
        match asked.path.removeprefix("/sdapi/v1/"):
            case "/internal/progress":
                return self._own_progress(asked)
            case "txt2img" | "img2img":
                return await self._paint(asked)
            case "progress":
                return self._progress(asked)
            case "interrupt":
                self.interrupted.set()
                self.gate.set()
                return Script(body={})
            case "sd-models":
                return Script(body=[
                    {"title": title, "model_name": name, "hash": digest, "filename": f"/models/{name}.safetensors"}
                    for title, (name, digest) in CHECKPOINTS.items()
                ])  # fmt: skip
        return Script(404, {"detail": "Not Found"})

    async def _paint(self, asked: Asked) -> Script:
        fields = asked.fields
        if (sampler := fields.get("sampler_name", "Euler a")) not in SAMPLERS:
            return Script(404, error("HTTPException", f"{sampler}: Sampler not found"))
        if asked.path.endswith("img2img"):
            for encoded in (*fields["init_images"], *filter(None, [fields.get("mask")])):
                if not is_picture(encoded):
                    return Script(500, error("HTTPException", "Invalid encoded image"))
        task = str(fields.get("force_task_id", "task(x)"))
        self.pending.add(task)
        async with self._turn:
            self.pending.discard(task)
            self.task, self.progress = task, 0.5
            self.started.set()
            await asyncio.sleep(self.seconds)
            await self.gate.wait()
            self.task, self.progress = "", 0.0
        return Script(body=success(fields, self.kilobytes))

    def _own_progress(self, asked: Asked) -> Script:
        """What the web UI's own pages ask: about one task."""
        self.looked.set()
        task, known = asked.fields["id_task"], not self.is_old
        is_active = known and task == self.task
        body = {"active": is_active, "queued": known and task in self.pending, "completed": False}
        if is_active:
            body |= {"progress": self.progress, "eta": 1.0}
            if asked.fields.get("live_preview") and self.preview:
                body |= {"live_preview": f"data:image/png;base64,{self._preview()}", "id_live_preview": 1}
        return Script(body=body)

    def _progress(self, asked: Asked) -> Script:
        """What the API says: never whose picture it is, for its ``current_task`` was taken when it was started."""
        self.looked.set()
        shown = self._preview() if self.preview and asked.query.get("skip_current_image") != "true" else None
        return Script(body={
            "progress": self.progress, "eta_relative": 1.0, "state": {"sampling_steps": STEPS, "job_count": 1},
            "current_image": shown, "textinfo": None, "current_task": None,
        })  # fmt: skip

    def _preview(self) -> str:
        return base64.b64encode(self.preview).decode()


def is_picture(encoded: str) -> bool:
    """Whether that decodes to a picture."""
    try:
        Image.open(io.BytesIO(base64.b64decode(encoded))).load()
    except (ValueError, OSError):
        return False
    return True


@functools.lru_cache(maxsize=64)
def encoded_picture(width: int, height: int, kilobytes: int) -> str:
    """A picture as base64, made once."""
    return base64.b64encode(painted(width, height, kilobytes=kilobytes)).decode()


def success(fields: dict[str, Any], kilobytes: int = 0) -> bytes:
    """The body of a success; a checkpoint that is not there is replaced by the first one, as the real one does."""
    asked = fields.get("override_settings", {}).get("sd_model_checkpoint", "")
    name, digest = CHECKPOINTS.get(asked) or next(iter(CHECKPOINTS.values()))
    seed = fields.get("seed", -1)
    info = {
        "prompt": fields.get("prompt"), "seed": seed, "all_seeds": [seed], "index_of_first_image": 0,
        "sd_model_name": name, "sd_model_hash": digest, "infotexts": [f"Steps: {STEPS}, Seed: {seed}"],
    }  # fmt: skip
    image = encoded_picture(fields.get("width", 512), fields.get("height", 512), kilobytes)
    return json.dumps({"images": [image], "parameters": {}, "info": json.dumps(info)}).encode()


def error(kind: str, detail: str, errors: str = "") -> dict[str, Any]:
    """The envelope of a failure."""
    return {"error": kind, "detail": detail, "body": "", "errors": errors or detail}


if __name__ == "__main__":
    run(FakeA1111)
