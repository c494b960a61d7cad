"""What upstreams tell of the tokens that a picture took: in OpenAI's words, in a chat's, in Gemini's."""

from __future__ import annotations

from collections.abc import Mapping

from limner.sql.usages import Parts, Usage

MOST = 10**9
"""Tokens: a figure beyond that is a mistake."""

Facts = Mapping[str, object]


def openai(usage: object) -> Usage | None:
    """Of the images API or of a chat, which has other names for the same. None where it is not told, or makes no sense."""
    facts = _facts(usage)
    into, out = ("input", "output") if "input_tokens" in facts else ("prompt", "completion")
    return _usage(
        _count(facts.get(f"{into}_tokens")),
        _facts(facts.get(f"{into}_tokens_details")),
        _count(facts.get(f"{out}_tokens")),
        _facts(facts.get(f"{out}_tokens_details")),
        _count(facts.get("total_tokens")),
    )


def gemini(metadata: object) -> Usage | None:
    """The same of ``usageMetadata``: thoughts are words that come out."""
    facts = _facts(metadata)
    painted, thought = _count(facts.get("candidatesTokenCount")), _count(facts.get("thoughtsTokenCount", 0))
    return _usage(
        _count(facts.get("promptTokenCount")),
        _pictures(facts.get("promptTokensDetails")),
        None if painted is None or thought is None else painted + thought,
        _pictures(facts.get("candidatesTokensDetails")),
        _count(facts.get("totalTokenCount")),
    )


def _usage(into: int | None, of_input: Facts, out: int | None, of_output: Facts, total: int | None) -> Usage | None:
    """What goes in and is not told apart counts as text: OpenAI's form has no word for not knowing."""
    if into is None or out is None or into + out == 0:  # relays that do not count say 0
        return None
    whole = max(into + out, total or 0)
    return Usage(into, _parts(of_input, into) or Parts(into, 0), out, whole, _parts(of_output, out))


def _parts(details: Facts, whole: int) -> Parts | None:
    """None where they are not told, or are more than the whole. The one that is not told is what the other leaves."""
    text, image = _count(details.get("text_tokens")), _count(details.get("image_tokens"))
    if text is None and image is None:
        return None
    text = whole - (image or 0) if text is None else text
    image = whole - text if image is None else image
    return Parts(text, image) if min(text, image) >= 0 and text + image <= whole else None


def _pictures(details: object) -> Facts:
    """Of Gemini's list by modality, as a part of OpenAI's; the rest is text."""
    listed = [_facts(each) for each in details] if isinstance(details, list) else []
    counts = [_count(each.get("tokenCount")) for each in listed if each.get("modality") == "IMAGE"]
    return {"image_tokens": sum(filter(None, counts))} if listed else {}


def _facts(value: object) -> Facts:
    return value if isinstance(value, dict) else {}


def _count(value: object) -> int | None:
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST
    return value if is_one else None  # type: ignore[return-value]
