"""Pictures out of a chat: how they are asked for, and the many places of a message in which they come."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

import orjson

from limner.actors.providers import parcels
from limner.actors.providers.base import Access, Fault, Order, UpstreamError, Value
from limner.actors.providers.discretion import JUDGED, caller, secrets, without
from limner.actors.providers.parameters import Kind, refuse
from limner.actors.providers.rules import Rule
from limner.actors.providers.verdicts import Answer, verdict

RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
PARAMETERS: dict[str, Kind] = {"aspect_ratio": list(RATIOS), "image_size": ["1K", "2K", "4K"]}
"""Beyond prompt and size, as parts of ``image_config``; the ratio follows from the size unless it is given."""

WITHHELD = re.compile(r"content_filter|safety|prohibited|recitation|blocklist|spii", re.IGNORECASE)
"""Why a message ended, where the content rules ended it."""
LINKED = re.compile(
    r"!\[[^\[\]]*\]\(\s*(data:image/[^)\s]+|https?://[^)\s]+)|(data:image/[a-z+]+;base64,[A-Za-z0-9+/=]+)"
)
"""A picture in a text: as Markdown, or a bare data URL. What is read from one place is never read again from the next: a caller
may have a model say anything, at any length."""
REFUSING = re.compile(r"\b(?:can(?:no|')?t|cannot|can not|unable to|won't|not able to|decline)\b.{0,80}"
    r"\b(?:generat|creat|produc|edit|draw|mak|fulfil|assist|help)", re.IGNORECASE | re.DOTALL)  # fmt: skip
TOPICS = re.compile(
    r"polic|guideline|safety|unsafe|sexual|violen|minor|hate|harm|real person|copyright|trademark", re.IGNORECASE
)
"""A text that both refuses and names a topic of content rules is a refusal; one alone may be anything."""


def question(order: Order, modalities: tuple[str, ...], extra: dict[str, Value]) -> dict[str, object]:
    """The body of a request. ``extra``: parameters that go into ``image_config``. Raises UpstreamError for a mask."""
    if order.mask:
        refuse("mask", "is not known to this painter")
    content: object = order.prompt
    if order.references:
        pictures = [{"type": "image_url", "image_url": {"url": parcels.data_url(each)}} for each in order.references]
        content = [{"type": "text", "text": order.prompt}, *pictures]
    return {
        "model": order.model,
        "messages": [{"role": "user", "content": content}],
        "modalities": list(modalities),
        "image_config": {"aspect_ratio": ratio(order.width, order.height), **extra},
        "stream": False,
    }


def ratio(width: int, height: int) -> str:
    """The nearest of RATIOS."""
    asked = math.log(width / height)

    def distance(name: str) -> float:
        wide, tall = name.split(":")
        return abs(math.log(int(wide) / int(tall)) - asked)

    return min(RATIOS, key=distance)


def picture(answer: Answer, access: Access, rules: tuple[Rule, ...]) -> str:
    """The URL of the first picture, which may carry it. Raises UpstreamError."""
    choices = parcels.facts(answer.body).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if answer.status != 200 or not isinstance(first, dict):
        raise verdict(answer, secrets(access), rules=rules, caller=caller(access))
    message = first.get("message")
    message = message if isinstance(message, dict) else {}
    for url in _urls(message):
        return url
    raise _without(first, message, answer, access, rules)


def _without(
    choice: dict[str, object],
    message: dict[str, object],
    answer: Answer,
    access: Access,
    rules: tuple[Rule, ...],
) -> UpstreamError:
    """Why a choice has no picture."""
    if error := choice.get("error"):
        inner = Answer(200, answer.headers, orjson.dumps({"error": error}))
        return verdict(inner, secrets(access), rules=rules, caller=caller(access))
    ended = f"{choice.get('native_finish_reason') or ''} {choice.get('finish_reason') or ''}".strip()
    text = (str(message.get("refusal") or "") or _text(message))[:JUDGED]
    refused = message.get("refusal") or WITHHELD.search(ended) or (REFUSING.search(text) and TOPICS.search(text))
    fault = Fault.MODERATION_OUTPUT if refused else Fault.NO_IMAGE
    told = without(text, secrets(access))[:300]
    detail = f"a message without a picture ({ended or 'no reason'}): {told}"
    return UpstreamError(fault, detail, secrets=secrets(access))


def _urls(message: dict[str, object]) -> Iterator[str]:
    """Pictures of a message: in ``images``, as parts of its content, in its text."""
    yield from filter(None, map(_url, (*_parts(message.get("images")), *_parts(message.get("content")))))
    yield from (linked[1] or linked[2] for linked in LINKED.finditer(_text(message)))


def _parts(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _url(part: object) -> str:
    """{"image_url": {"url"}}, {"image_url": "…"}, {"url"}, {"b64_json"}, or Gemini's {"inlineData": {"data"}}."""
    if isinstance(part, str):
        return part if part.startswith(("data:", "http")) else ""
    if not isinstance(part, dict):
        return ""
    for name in ("image_url", "url", "inlineData", "inline_data"):
        value = part.get(name)
        if isinstance(value, dict):
            value = value.get("url") or _carried(value.get("data"))
        if isinstance(value, str) and value:
            return value
    return _carried(part.get("b64_json"))


def _carried(data: object) -> str:
    return f"data:image/png;base64,{data}" if isinstance(data, str) and data else ""


def _text(message: dict[str, object]) -> str:
    content = message.get("content")
    texts = [content] if isinstance(content, str) else [
        part["text"] for part in _parts(content) if isinstance(part, dict) and isinstance(part.get("text"), str)
    ]  # fmt: skip
    return " ".join(texts)
