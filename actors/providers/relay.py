"""Relays that imitate OpenAI, each in its own way: switches of the provider's row say how (PROTOCOLS §3)."""

from __future__ import annotations

from collections.abc import Mapping

import aiohttp
import anyio
import orjson

from limner.actors.providers import chat, egress, images, openai, parcels, usages
from limner.actors.providers.base import Access, Fault, Listed, OnStep, Order, Picture, Step, UpstreamError, checked
from limner.actors.providers.egress import Wire, translated
from limner.actors.providers.images import bearer, url
from limner.actors.providers.openai import entries, free, nearest
from limner.actors.providers.parameters import Kind, refuse, refuse_unknown
from limner.actors.providers.rules import ANY, BEGINS, BEYOND_REQUEST, REQUEST, RULES, Rule
from limner.actors.providers.verdicts import Answer
from limner.sql import painters
from limner.sql.models import MARKUP
from limner.sql.painters import RelaySettings as Settings

PARAMETERS: dict[str, Kind] = openai.PARAMETERS | chat.PARAMETERS
"""By the path style: OpenAI's on ``images``, the chat's on ``chat``; the setting ``parameters`` adds names."""


def parameters_by(settings: Mapping[str, object]) -> dict[str, Kind]:
    """Those of its path, and the names that an operator added."""
    chosen = painters.relay(settings)
    known = chat.PARAMETERS if chosen.path == "chat" else openai.PARAMETERS
    return known | {name: "text" for name in chosen.parameters if name not in known}


RELAYED = (
    Rule(
        Fault.MODERATION_INPUT,
        ANY,
        r"input was flagged|flagged_input|sensitive_words|prompt (?:was )?(?:flagged|rejected|blocked)|敏感|违规",
    ),
    Rule(
        Fault.BALANCE_EXHAUSTED,
        ANY,
        names=r"pre_consume_token_quota_failed|insufficient_credits|insufficient_balance",
    ),
    Rule(Fault.BALANCE_EXHAUSTED, BEYOND_REQUEST, r"key limit exceeded|insufficient usd|余额不足|额度不足"),
    Rule(
        Fault.BALANCE_EXHAUSTED,
        REQUEST,
        rf"{BEGINS}(?:key limit exceeded|insufficient usd|(?:您的|你的|该|当前)?(?:用户|账户|账号|令牌)?的?(?:余额|额度)不足)",
    ),
    Rule(
        Fault.MODEL_UNAVAILABLE,
        (400,),
        rf"{BEGINS}(?:\S+ is not a valid model|no endpoints found)",
        "model_price_error",
    ),
    Rule(Fault.MODEL_UNAVAILABLE, (404,), r"not a valid model|no endpoints found|model_price_error"),
    Rule(Fault.RATE_LIMITED, (429, 500, 502, 503), r"resource_exhausted|负载已饱和|rate-limited upstream"),
    *RULES,
)
"""What relays say in other words than OpenAI's, and then OpenAI's own table."""


class Relay:
    """Paints at ``access.base_url`` with ``access.secret`` as bearer token, the way ``access.settings`` say."""

    name = "relay"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """One picture. Raises UpstreamError."""
        settings = checked(painters.relay, access)
        asked = _question(order, settings) if settings.path == "chat" else _fields(order, settings)
        wire = Wire()
        await on_step(Step(0.05))
        with translated(access, wire), anyio.fail_after(access.timeout):
            async with egress.session(access, wire) as session:
                if settings.path == "chat":
                    done = await _chatted(session, asked, access, settings)
                else:
                    tell = egress.telling(on_step, wire)
                    done = await _imaged(session, order, asked, access, settings, tell)
        await on_step(Step(0.95))
        return done

    async def check(self, access: Access) -> None:
        """Ask for something that costs nothing. Raises UpstreamError when the key is not accepted."""
        settings = checked(painters.relay, access)
        await free(access, "key" if settings.balance else "models", headers=_headers(access, settings))

    async def models(self, access: Access) -> list[Listed]:
        """Those that paint, where the relay tells; else all that it lists. Raises UpstreamError."""
        settings = checked(painters.relay, access)
        path = "models?output_modalities=image" if settings.path == "chat" else "models"
        found = entries(await free(access, path, headers=_headers(access, settings)), access)
        return sorted(filter(None, (_listed(entry, settings) for entry in found)), key=lambda each: each.id)

    async def balance(self, access: Access) -> int:
        """What is left under the key's own limit, else on the account. Raises UpstreamError."""
        settings = checked(painters.relay, access)
        if not settings.balance:
            raise UpstreamError(Fault.INVALID_REQUEST, "this relay tells no balance")
        headers = _headers(access, settings)
        left = _data(await free(access, "key", headers=headers)).get("limit_remaining")
        if left is None:
            data = _data(await _credits(access, headers))
            left = _number(data.get("total_credits")) - _number(data.get("total_usage"))
        return round(_number(left) * 1_000_000)


async def _credits(access: Access, headers: dict[str, str]) -> Answer:
    """A key that works may still not be allowed to see the account: that is nothing to take it out for."""
    try:
        return await free(access, "credits", headers=headers)
    except UpstreamError as error:
        if error.fault not in (Fault.AUTH_DEAD, Fault.MODEL_UNAVAILABLE):
            raise
        raise UpstreamError(Fault.INVALID_REQUEST, f"this key tells no balance: {error.detail}") from error


async def _imaged(
    session: aiohttp.ClientSession,
    order: Order,
    asked: images.Fields,
    access: Access,
    settings: Settings,
    on_step: OnStep,
) -> Picture:
    reply = await images.ask(session, order, access, asked, on_step, headers=_headers(access, settings), rules=RELAYED)
    if reply.answer.status != 200 or reply.entries is None:
        raise images.refusal(reply.answer, order, access, RELAYED)
    spent = _cost(reply.usage) or openai.cost(order.model.rpartition("/")[2], reply.usage)
    with parcels.costing(spent):
        data = await images.data(reply, access)
        return parcels.picture(data, reply.answer.headers.get("x-request-id"), spent, usages.openai(reply.usage))


async def _chatted(session: aiohttp.ClientSession, asked: images.Fields, access: Access, settings: Settings) -> Picture:
    async with session.post(
        url(access, "chat/completions"),
        data=orjson.dumps(asked),
        headers=_headers(access, settings) | {"Content-Type": "application/json"},
        allow_redirects=False,
    ) as response:
        answer = await parcels.answer(response, access)
    whole = parcels.facts(answer.body)
    upstream_id = str(whole.get("id") or "")[:200] or answer.headers.get("x-request-id")
    spent = _cost(whole.get("usage"))
    with parcels.costing(spent):
        data = await parcels.fetched(chat.picture(answer, access, RELAYED), access)
        return parcels.picture(data, upstream_id, spent, usages.openai(whole.get("usage")))


def _fields(order: Order, settings: Settings) -> images.Fields:
    """A request in OpenAI's way, as far as this relay goes along. Raises UpstreamError(INVALID_REQUEST)."""
    refuse_unknown(order, [*openai.PARAMETERS, *settings.parameters, MARKUP])
    openai.check_company(order)
    if order.references and not settings.has_edits:
        refuse("reference", "is not taken by this painter")
    width, height = (
        nearest(settings.sizes, order.width, order.height) if settings.sizes else (order.width, order.height)
    )
    asked: images.Fields = {
        "model": order.model,
        "prompt": order.prompt,
        "size": f"{width}x{height}",
        **images.chosen(order),
    }
    if settings.honours_n:
        asked["n"] = 1
    if settings.response_format:
        asked["response_format"] = settings.response_format
    if order.user:
        asked["user"] = order.user
    if order.partial_images and settings.has_streaming:
        asked |= {"stream": True, "partial_images": min(order.partial_images, openai.MOST_PARTIALS)}
    return asked | dict(settings.extra_json)


def _question(order: Order, settings: Settings) -> images.Fields:
    refuse_unknown(order, [*chat.PARAMETERS, *settings.parameters])
    if order.references and not settings.has_edits:
        refuse("reference", "is not taken by this painter")
    asked = chat.question(order, settings.modalities, dict(order.parameters))
    return asked | ({"user": order.user} if order.user else {}) | dict(settings.extra_json)


def _headers(access: Access, settings: Settings) -> dict[str, str]:
    return {**settings.extra_headers, **bearer(access)}


def _listed(entry: dict[str, object], settings: Settings) -> Listed | None:
    """None for a model that says that it does not paint."""
    model = str(entry.get("id") or "")
    shape = entry.get("architecture")
    shape = shape if isinstance(shape, dict) else {}
    paints, sees = shape.get("output_modalities"), shape.get("input_modalities")
    if not model or (isinstance(paints, list) and "image" not in paints):
        return None
    takes = isinstance(sees, list) and "image" in sees  # nobody has to say so; an operator may add it
    sizes = tuple(f"{width}x{height}" for width, height in settings.sizes)
    return Listed(model, str(entry.get("name") or model), ("text", "image") if takes else ("text",), sizes)


def _data(answer: Answer) -> dict[str, object]:
    data = parcels.facts(answer.body).get("data")
    return data if isinstance(data, dict) else {}


def _cost(usage: object) -> int:
    """OpenRouter says the cost itself, in US dollars."""
    return round(max(0.0, _number(usage.get("cost"))) * 1_000_000) if isinstance(usage, dict) else 0


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
