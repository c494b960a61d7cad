"""A stand-in for Google's Gemini API over real HTTP: generateContent and the list of models."""

from __future__ import annotations

import base64
import functools
import json
import math
from typing import Any

from aiohttp import web

from tests.upstreams.base import Asked, Script, Upstream, painted, run

PIXELS = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
CONFIG = {
    "responseModalities", "imageConfig", "seed", "temperature", "topP", "topK", "maxOutputTokens", "candidateCount",
    "thinkingConfig", "stopSequences",
}  # fmt: skip
BODY = {"contents", "systemInstruction", "safetySettings", "generationConfig", "tools"}
MODELS = [
    {
        "name": "models/gemini-2.5-pro",
        "displayName": "Gemini 2.5 Pro",
        "supportedGenerationMethods": ["generateContent"],
    },
    {"name": "models/text-embedding-9", "displayName": "Embedding", "supportedGenerationMethods": ["embedContent"]},
    {
        "name": "models/gemini-nano-banana-2.1",
        "displayName": "Nano Banana 2.1",
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    },
]


class FakeGemini(Upstream):
    """Gemini's generateContent; a key without scripts gets a picture of the asked ratio and size."""

    prefix = "/v1beta"
    page = 1000
    """Models on a page, at most."""

    def key(self, request: web.Request) -> str:
        """Of the header alone: a key in the query is an unknown one."""
        return request.headers.get("x-goog-api-key", "")

    async def usual(self, asked: Asked) -> Script:
        """What a key without scripts gets; fields in wrong places are refused as Google does."""
        if not asked.key:
            return Script(403, error(403, "PERMISSION_DENIED", "Method doesn't allow unregistered callers."))
        if asked.path.endswith("/models"):
            return self._models(asked)
        if not asked.path.endswith(":generateContent"):
            return Script(404, error(404, "NOT_FOUND", f"{asked.path} is not found for API version v1beta"))
        config = asked.fields.get("generationConfig", {})
        for at, unknown in (("", set(asked.fields) - BODY), (" at 'generation_config'", set(config) - CONFIG)):
            if unknown:
                text = f'Invalid JSON payload received. Unknown name "{min(unknown)}"{at}: Cannot find field.'
                return Script(400, error(400, "INVALID_ARGUMENT", text))
        image = config.get("imageConfig", {})
        body = success(str(image.get("aspectRatio", "1:1")), str(image.get("imageSize", "1K")), self.kilobytes)
        return Script(body=body, headers={"Content-Type": "application/json; charset=UTF-8"})

    def _models(self, asked: Asked) -> Script:
        """Page by page, as many as asked for."""
        start, count = int(asked.query.get("pageToken", 0)), min(self.page, int(asked.query.get("pageSize", 50)))
        more: dict[str, Any] = {"nextPageToken": str(start + count)} if start + count < len(MODELS) else {}
        return Script(body={"models": MODELS[start : start + count], **more})


@functools.lru_cache(maxsize=64)
def success(ratio: str, size: str, kilobytes: int) -> bytes:
    """The body of a success, made once."""
    data = base64.b64encode(painted(*pixels(ratio, size), kilobytes=kilobytes)).decode()
    return json.dumps(
        answer([{"text": "Here you go"}, {"inlineData": {"mimeType": "image/png", "data": data}}])
    ).encode()


def pixels(ratio: str, size: str = "1K") -> tuple[int, int]:
    """Sides of a picture of that ratio and size, on a grid of 32."""
    wide, tall = (int(part) for part in ratio.split(":"))
    side = PIXELS[size] / math.sqrt(wide * tall)
    return round(wide * side / 32) * 32, round(tall * side / 32) * 32


def answer(parts: list[dict[str, Any]], finish: str = "STOP", **more: Any) -> dict[str, Any]:
    """An answer with these parts."""
    usage = {
        "promptTokenCount": 20, "candidatesTokenCount": 1130, "thoughtsTokenCount": 200, "totalTokenCount": 1350,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
        "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1120}, {"modality": "TEXT", "tokenCount": 10}],
    }  # fmt: skip
    content = {"content": {"role": "model", "parts": parts}} if parts else {}
    return {
        "candidates": [{"index": 0, **content, "finishReason": finish}], "usageMetadata": usage,
        "modelVersion": "gemini-nano-banana-2.1", "responseId": "resp-1", **more,
    }  # fmt: skip


def error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    """The envelope of a failure."""
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


if __name__ == "__main__":
    run(FakeGemini)
