"""Google's Gemini: pictures from generateContent (PROTOCOLS §1)."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from urllib.parse import quote, urlencode

import orjson
import pybase64

from limner.actors.providers import dialects, gemini_answers, parcels, usages
from limner.actors.providers.base import Access, Listed, OnStep, Order, Picture, QuotaScope, Step
from limner.actors.providers.gemini_answers import Facts, parts
from limner.actors.providers.parameters import Kind, refuse, refuse_unknown
from limner.actors.providers.verdicts import Answer
from limner.runtime import raster
from limner.sql.painters import PIXELS

DEFAULT_URL = "https://generativelanguage.googleapis.com/v1beta"
"""Where a provider without a base URL is reached; a base that does not end in a version is taken to mean v1beta."""

RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
STEEP = ("1:4", "4:1", "1:8", "8:1")

FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "gemini-nano-banana-2.1": (("1K", "2K", "4K"), RATIOS + STEEP),
    "gemini-3.1-flash-image": (("512", "1K", "2K", "4K"), RATIOS + STEEP),
    "gemini-3.1-flash-lite-image": ((), RATIOS + STEEP),
    "gemini-3-pro-image": (("1K", "2K", "4K"), RATIOS),
    "gemini-2.5-flash-image": ((), RATIOS),
}
"""What models take as imageSize and as aspectRatio; ids fall under the longest name that they begin with. Of others
nothing is assumed: they are asked for a common ratio, and for a size when the caller or the settings say so."""

PARAMETERS: dict[str, Kind] = {
    "image_size": [*PIXELS],
    "aspect_ratio": [*RATIOS, *STEEP],
    "temperature": {"min": 0, "max": 2},
    "top_p": {"min": 0, "max": 1},
    "thinking_level": ["minimal", "low", "medium", "high"],
}

CATEGORIES = ("HARASSMENT", "HATE_SPEECH", "SEXUALLY_EXPLICIT", "DANGEROUS_CONTENT")
MOST_REFERENCES = 14
MOST_PAGES = 20
TELLING = re.compile(r"image|banana", re.IGNORECASE)


class Gemini:
    """Paints with ``access.secret`` as x-goog-api-key: in a query it would end up in logs."""

    name = "gemini"
    quota_scope: QuotaScope = "account_group"
    """Google counts by project: keys of one project share their account group."""

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """One picture, at the ratio and size nearest to the order's. Raises UpstreamError."""
        asked = request(order, access)
        await on_step(Step(0.05))
        url = f"{_base(access)}/models/{_model(order.model)}:generateContent"
        answer = await dialects.call(
            access, "POST", url, headers=_key(access) | {"Content-Type": "application/json"}, body=orjson.dumps(asked)
        )
        picture = painted(answer, order, access)
        await on_step(Step(0.95))
        return picture

    async def check(self, access: Access) -> None:
        """List a model, which costs nothing. Raises UpstreamError when the key is not accepted."""
        await _listed(access, {"pageSize": "1"})

    async def models(self, access: Access) -> list[Listed]:
        """All that generate content, those first that look like painters: their names tell, but not reliably."""
        found: list[Facts] = []
        asked = {"pageSize": "1000"}
        for _ in range(MOST_PAGES):
            page = await _listed(access, asked)
            listed = page.get("models")
            found += [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
            if not page.get("nextPageToken"):
                break
            asked["pageToken"] = str(page["nextPageToken"])
        able = [each for each in found if "generateContent" in (each.get("supportedGenerationMethods") or ())]  # type: ignore[operator]
        return [_entry(each) for each in sorted(able, key=lambda each: not _looks_like_a_painter(each))]


def request(order: Order, access: Access) -> Facts:
    """The body of generateContent. Raises UpstreamError(INVALID_REQUEST) for what Gemini does not know."""
    refuse_unknown(order, PARAMETERS)
    if order.mask is not None:
        refuse("mask", "is not known to this painter")
    if len(order.references) > MOST_REFERENCES:
        refuse("reference", f"pictures are at most {MOST_REFERENCES} for this painter, not {len(order.references)}")
    settings = access.settings
    body: Facts = {
        "contents": [{"role": "user", "parts": [{"text": order.prompt}, *map(_inline, order.references)]}],
        "generationConfig": _config(order, access),
    }
    if threshold := settings.get("safety"):
        body["safetySettings"] = [
            {"category": f"HARM_CATEGORY_{category}", "threshold": str(threshold)} for category in CATEGORIES
        ]
    if instruction := settings.get("instruction"):
        body["systemInstruction"] = {"parts": [{"text": str(instruction)}]}
    return body


def painted(answer: Answer, order: Order, access: Access) -> Picture:
    """The last picture that is no draft. Raises UpstreamError for whatever else the answer is."""
    whole = parcels.facts(answer.body)
    if answer.status != 200 or not whole or "error" in whole:
        raise gemini_answers.refusal(answer, access)
    inline = [blob for part in parts(whole) if (blob := part.get("inlineData") or part.get("inline_data"))]
    data = inline[-1].get("data") if inline and isinstance(inline[-1], dict) else None
    if not isinstance(data, str) or not data:
        raise gemini_answers.silence(whole, order.model, access)
    usage = whole.get("usageMetadata")
    spent = gemini_answers.cost(order.model, usage)
    picture = dialects.picture(data, str(whole.get("responseId") or "") or None, spent)
    return replace(picture, usage=usages.gemini(usage))


def ratio(width: int, height: int, ratios: tuple[str, ...] = RATIOS) -> str:
    """The nearest of these."""
    return dialects.nearest_ratio(width, height, ratios)


def image_size(width: int, height: int, sizes: tuple[str, ...]) -> str:
    """The nearest of these by area."""
    wanted = math.log(width * height) / 2
    return min(sizes, key=lambda each: abs(math.log(PIXELS[each]) - wanted))


def _config(order: Order, access: Access) -> Facts:
    """``imageConfig`` and ``thinkingConfig`` are objects of their own: one level higher, their fields are a 400."""
    chosen = order.parameters
    sizes, ratios = _abilities(order.model, access)
    image: Facts = {"aspectRatio": chosen.get("aspect_ratio") or ratio(order.width, order.height, ratios)}
    if sizes:
        image["imageSize"] = chosen.get("image_size") or image_size(order.width, order.height, sizes)
    elif "image_size" in chosen:
        if _family(order.model):
            refuse("image_size", "is not known to this model")
        image["imageSize"] = chosen["image_size"]
    config: Facts = {
        "responseModalities": ["TEXT", "IMAGE"],
        "imageConfig": image,
        "seed": order.seed % 2**31,
    }
    config |= {
        sent: chosen[name] for name, sent in (("temperature", "temperature"), ("top_p", "topP")) if name in chosen
    }
    if "thinking_level" in chosen:
        config["thinkingConfig"] = {"thinkingLevel": str(chosen["thinking_level"]).upper()}
    return config


def _abilities(model: str, access: Access) -> tuple[tuple[str, ...], tuple[str, ...]]:
    sizes, ratios = FAMILIES.get(_family(model), ((), RATIOS))
    told = access.settings.get("image_sizes")
    own = told.get(model) if isinstance(told, dict) else None
    return (tuple(size for size in own if size in PIXELS) if isinstance(own, list) else sizes), ratios


def _family(model: str) -> str:
    return max((name for name in FAMILIES if model.strip().lower().startswith(name)), key=len, default="")


def _inline(reference: bytes) -> Facts:
    mime = raster.sniff(reference) or "application/octet-stream"
    return {"inlineData": {"mimeType": mime, "data": pybase64.b64encode_as_string(reference)}}


async def _listed(access: Access, query: dict[str, str]) -> Facts:
    url = f"{_base(access)}/models?{urlencode(query)}"
    answer = await dialects.call(access, "GET", url, headers=_key(access), timeout=dialects.CHECK)
    whole = parcels.facts(answer.body)
    if answer.status != 200 or "models" not in whole:
        raise gemini_answers.refusal(answer, access)
    return whole


def _entry(model: Facts) -> Listed:
    name = str(model.get("name") or "").removeprefix("models/")
    sizes, _ = FAMILIES.get(_family(name), ((), RATIOS))
    squares = tuple(f"{PIXELS[size]}x{PIXELS[size]}" for size in sizes)
    abilities = ("text", "image") if _looks_like_a_painter(model) else ("text",)
    return Listed(name, str(model.get("displayName") or name), abilities, squares)


def _looks_like_a_painter(model: Facts) -> bool:
    return bool(TELLING.search(f"{model.get('name')} {model.get('displayName')}"))


def _base(access: Access) -> str:
    base = (access.base_url or DEFAULT_URL).rstrip("/")
    return base if re.search(r"/v\d\w*$", base) else f"{base}/v1beta"


def _model(model: str) -> str:
    return quote(model.strip().removeprefix("models/"), safe="")


def _key(access: Access) -> dict[str, str]:
    return {"x-goog-api-key": access.secret}
