"""What tests say of every painter that answers at once: its stand-in, a model, a key, and how a picture comes in an answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.upstreams.a1111 import CHECKPOINTS, FakeA1111
from tests.upstreams.base import Upstream
from tests.upstreams.gemini import FakeGemini, answer
from tests.upstreams.openai import FakeOpenAI, error, picture
from tests.upstreams.relay import FakeRelay
from tests.upstreams.relay import error as relayed
from tests.upstreams.stability import FakeStability


@dataclass(frozen=True)
class Cast:
    """``success``: the body of an answer with these bytes as the picture. ``refused``: one that echoes a text."""

    upstream: type[Upstream]
    model: str
    key: str
    success: Callable[[bytes], dict[str, Any]]
    refused: Callable[[str], dict[str, Any]]


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


TROUPE = {
    "gemini": Cast(
        FakeGemini,
        "gemini-nano-banana-2.1",
        "AIzaSyCanary0123456789",
        lambda data: answer([{"inlineData": {"mimeType": "image/png", "data": encoded(data)}}]),
        lambda text: {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": text}},
    ),
    "stability": Cast(
        FakeStability,
        "core",
        "sk-canary0123456789",
        lambda data: {"image": encoded(data), "finish_reason": "SUCCESS", "seed": 1},
        lambda text: {"id": "1", "name": "unauthorized", "errors": [text]},
    ),
    "a1111": Cast(
        FakeA1111,
        next(iter(CHECKPOINTS)),
        "limner:correct-horse",
        lambda data: {"images": [encoded(data)], "info": json.dumps({"seed": 1})},
        lambda text: {"error": "HTTPException", "detail": text, "body": "", "errors": text},
    ),
    "openai": Cast(
        FakeOpenAI, "gpt-image-2", "sk-proj-Canary0123456789", picture, lambda text: error("invalid_api_key", text)
    ),
    "relay": Cast(FakeRelay, "some/model", "sk-or-v1-Canary0123456789", picture, lambda text: relayed(401, text)),
}
