"""A stand-in for a relay that imitates OpenAI, in all the ways they do: images by address, chats, credits."""

from __future__ import annotations

import base64
from typing import Any

from tests.upstreams.base import Asked, Script, Upstream, painted, run

__all__ = ["Asked", "FakeRelay", "Script", "chatted", "data_url", "error", "painted"]

MODELS = [
    {
        "id": "google/gemini-nano-banana-2.1", "name": "Google: Nano Banana 2.1",
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["image", "text"]},
    },
    {
        "id": "black-forest-labs/flux.2-pro", "name": "FLUX.2 Pro",
        "architecture": {"input_modalities": ["text"], "output_modalities": ["image"]},
    },
    {
        "id": "openai/gpt-5", "name": "GPT-5",
        "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    },
]  # fmt: skip


class FakeRelay(Upstream):
    """Images by address unless base64 is asked for, chats with pictures, a key with a limit."""

    prefix = "/api/v1"

    async def usual(self, asked: Asked) -> Script:
        """By path."""
        if asked.path.endswith("/models"):
            return Script(body={"data": MODELS})
        if asked.path.endswith("/key"):
            return Script(body={"data": {"label": "sk-or-…890", "limit": 100, "usage": 25.5, "limit_remaining": 74.5}})
        if asked.path.endswith("/credits"):
            return Script(body={"data": {"total_credits": 110.5, "total_usage": 104.25}})
        if asked.path.endswith("/chat/completions"):
            return Script(body=chatted(images=[data_url(self._painted(1024, 1024))], usage={"cost": 0.039}))
        width, height = (int(side) for side in str(asked.fields.get("size", "1024x1024")).split("x"))
        data = self._painted(width, height)
        if asked.fields.get("response_format") == "b64_json":
            return Script(body={"created": 1794800000, "data": [{"b64_json": base64.b64encode(data).decode()}]})
        self.pictures[f"{width}x{height}.png"] = data
        url = f"{self.base_url.removesuffix(self.prefix)}/files/{width}x{height}.png"
        return Script(body={"created": 1794800000, "data": [{"url": url}]})

    def _painted(self, width: int, height: int) -> bytes:
        return painted(width, height, kilobytes=self.kilobytes)


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def chatted(
    content: Any = "Here you go", *, images: list[str] | None = None, finish: str = "stop", native: str = "STOP",
    usage: dict[str, Any] | None = None, **message: Any,
) -> dict[str, Any]:  # fmt: skip
    """A chat's answer as OpenRouter gives it, with these pictures."""
    shown = [{"type": "image_url", "image_url": {"url": url}} for url in images or ()]
    told = {"role": "assistant", "content": content, **({"images": shown} if shown else {}), **message}
    return {
        "id": "gen-1794800000-abc", "object": "chat.completion", "model": "google/gemini-nano-banana-2.1",
        "choices": [{"index": 0, "finish_reason": finish, "native_finish_reason": native, "message": told}],
        "usage": {"prompt_tokens": 20, "completion_tokens": 1290, "total_tokens": 1310, **(usage or {})},
    }  # fmt: skip


def error(code: int, message: str, **metadata: Any) -> dict[str, Any]:
    """OpenRouter's envelope."""
    return {"error": {"code": code, "message": message, **({"metadata": metadata} if metadata else {})}}


if __name__ == "__main__":
    run(FakeRelay)
