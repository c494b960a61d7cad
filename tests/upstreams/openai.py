"""A stand-in for OpenAI's image API over real HTTP: scripted per key, and it remembers what it was asked."""

from __future__ import annotations

import base64
import json
from typing import Any

from tests.upstreams.base import Asked, Script, Upstream, painted, run

__all__ = ["Asked", "FakeOpenAI", "Script", "error", "event", "painted", "picture", "stream"]


class FakeOpenAI(Upstream):
    """OpenAI's images and models; a key without scripts gets a picture of the asked size."""

    prefix = "/v1"

    async def usual(self, asked: Asked) -> Script:
        """The models, or a picture with its usage."""
        if asked.path.endswith("/models"):
            return Script(body={"object": "list", "data": [{"id": "gpt-image-2", "object": "model"}]})
        width, height = (int(side) for side in str(asked.fields.get("size", "1024x1024")).split("x"))
        usage = {
            "input_tokens": 110, "input_tokens_details": {"text_tokens": 10, "image_tokens": 100},
            "output_tokens": 1000, "total_tokens": 1110,
        }  # fmt: skip
        headers = {"x-request-id": f"req_{len(asked.fields)}"}
        data = painted(width, height, kilobytes=self.kilobytes)
        if asked.fields.get("stream") in (True, "true"):
            kind = "image_edit" if asked.path.endswith("/edits") else "image_generation"
            partials = [
                painted(width, height, (60 * number, 9, 9)) for number in range(int(asked.fields["partial_images"]))
            ]
            return stream(*partials, final=data, kind=kind, headers=headers, usage=usage)
        return Script(body=picture(data, usage=usage, size=f"{width}x{height}"), headers=headers)


def picture(data: bytes, **more: Any) -> dict[str, Any]:
    """The body of a success: one picture as base64."""
    return {"created": 1794800000, "data": [{"b64_json": base64.b64encode(data).decode()}], **more}


def event(kind: str, **fields: Any) -> bytes:
    """One server-sent event."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), json.dumps({"type": kind, **fields}).encode())


def stream(
    *partials: bytes, final: bytes, kind: str = "image_generation", headers: dict[str, str] | None = None, **more: Any
) -> Script:
    """Unfinished pictures and the finished one."""
    chunks = [
        event(f"{kind}.partial_image", b64_json=base64.b64encode(data).decode(), partial_image_index=index)
        for index, data in enumerate(partials)
    ]
    chunks.append(event(f"{kind}.completed", b64_json=base64.b64encode(final).decode(), **more))
    return Script(body=tuple(chunks), headers={"Content-Type": "text/event-stream"} | (headers or {}))


def error(code: str | None, message: str, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    """The envelope of a failure."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


if __name__ == "__main__":
    run(FakeOpenAI)
