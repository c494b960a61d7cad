"""A stand-in for Stability AI's API over real HTTP: core, ultra, sd3 and the balance."""

from __future__ import annotations

import base64
import functools
import json
import math
from typing import Any

from tests.upstreams.base import Asked, Script, Upstream, painted, run

FIELDS = {
    "core": {"prompt", "negative_prompt", "aspect_ratio", "seed", "output_format", "style_preset"},
    "ultra": {"prompt", "negative_prompt", "aspect_ratio", "seed", "output_format", "image", "strength"},
    "sd3": {
        "prompt", "negative_prompt", "aspect_ratio", "seed", "output_format", "image", "strength", "model", "mode",
        "cfg_scale",
    },
}  # fmt: skip


class FakeStability(Upstream):
    """Stability's Stable Image; a key without scripts gets a picture of the asked ratio, for as long as it has credits."""

    credits = 1000.0

    async def usual(self, asked: Asked) -> Script:
        """What a key without scripts gets; forms that are none, and unknown fields, are refused."""
        if not asked.key:
            return Script(401, error("unauthorized", "missing or invalid api key"))
        if asked.path == "/v1/user/balance":
            return Script(body={"credits": self.credits})
        known = FIELDS.get(asked.path.removeprefix("/v2beta/stable-image/generate/"))
        if known is None:
            return Script(404, error("not_found", "the requested resource was not found"))
        if not asked.headers["content-type"].startswith("multipart/form-data"):
            return Script(400, error("bad_request", "content-type: must be multipart/form-data"))
        if unknown := {*asked.fields, *(name for name, _, _ in asked.files)} - known:
            return Script(400, error("bad_request", f"{min(unknown)}: is not a known field"))
        shape = (str(asked.fields.get("aspect_ratio", "1:1")), str(asked.fields.get("output_format", "png")))
        body = success(*shape, int(asked.fields.get("seed", 0)), self.kilobytes)
        return Script(
            body=body, headers={"Content-Type": f"application/json; type=image/{shape[1]}", "x-request-id": "r1"}
        )


@functools.lru_cache(maxsize=64)
def encoded(ratio: str, form: str, kilobytes: int) -> str:
    """A picture as base64, made once."""
    return base64.b64encode(painted(*pixels(ratio), kilobytes=kilobytes, form=form.upper())).decode()


def success(ratio: str, form: str, seed: int, kilobytes: int) -> bytes:
    """The body of a success."""
    return json.dumps({"image": encoded(ratio, form, kilobytes), "finish_reason": "SUCCESS", "seed": seed}).encode()


def pixels(ratio: str) -> tuple[int, int]:
    """Sides of a picture of a megapixel, on a grid of 64."""
    wide, tall = (int(part) for part in ratio.split(":"))
    side = 1024 / math.sqrt(wide * tall)
    return round(wide * side / 64) * 64, round(tall * side / 64) * 64


def error(name: str, *errors: str) -> dict[str, Any]:
    """The envelope of a failure."""
    return {"id": "9160aa70222ae4dc7ab3b2e1aa2ef4b9", "name": name, "errors": list(errors)}


if __name__ == "__main__":
    run(FakeStability)
