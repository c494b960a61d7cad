"""Stability AI: Stable Image Core, Ultra and Stable Diffusion 3 as multipart forms (PROTOCOLS §7)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import quote

import aiohttp

from limner.actors.providers import dialects, discretion, parcels
from limner.actors.providers.base import Access, Fault, OnStep, Order, Picture, QuotaScope, Step, UpstreamError
from limner.actors.providers.egress import AGENT
from limner.actors.providers.parameters import Kind, refuse, refuse_unknown
from limner.actors.providers.rules import BEGINS, BY_STATUS, Rule, holding
from limner.actors.providers.verdicts import QUOTA_DELAY, Answer, by_whom, delay
from limner.runtime import raster

DEFAULT_URL = "https://api.stability.ai"
"""Where a provider without a base URL is reached."""

RATIOS = ("1:1", "16:9", "21:9", "2:3", "3:2", "4:5", "5:4", "9:16", "9:21")
STYLES = (
    "3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art", "isometric",
    "line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic", "pixel-art", "tile-texture",
)  # fmt: skip
PARAMETERS: dict[str, Kind] = {
    "negative_prompt": "text",
    "aspect_ratio": [*RATIOS],
    "output_format": ["png", "jpeg", "webp"],
    "style_preset": [*STYLES],
    "strength": {"min": 0, "max": 1},
    "cfg_scale": {"min": 1, "max": 10},
}
STRENGTH = 0.65
"""How much of a reference is painted over when nobody says: it must be sent with one."""
LAST_SEED = 4294967294

CREDIT = 10_000
"""Millionths of a US dollar that a credit costs."""
LEAST = 2.5
"""Credits of the cheapest picture: an account with less is as good as empty."""
PENALTY = 60.0
"""Seconds for which an account is shut out that asked too often; the answer does not say so."""


@dataclass(frozen=True)
class Form:
    """One endpoint: which parameters it takes with and without a reference, and what a picture costs in credits."""

    path: str
    takes: frozenset[str]
    credits: float
    with_reference: bool = True


_ALL = frozenset(["negative_prompt", "aspect_ratio", "output_format"])
_SD3 = _ALL | {"strength", "cfg_scale"}
FORMS = {
    "core": Form("core", _ALL | {"style_preset"}, 3, with_reference=False),
    "ultra": Form("ultra", _ALL | {"strength"}, 8),
    "sd3.5-large-turbo": Form("sd3", _SD3 - {"negative_prompt"}, 4),
    "sd3.5-large": Form("sd3", _SD3, 6.5),
    "sd3.5-medium": Form("sd3", _SD3, 3.5),
    "sd3.5-flash": Form("sd3", _SD3 - {"negative_prompt"}, 2.5),
}
"""By model id; another one that begins with "sd" is sent to sd3 and booked at 0."""
OTHER = Form("sd3", _SD3, 0)

RULES = (
    Rule(Fault.BALANCE_EXHAUSTED, (402,)),
    Rule(Fault.BALANCE_EXHAUSTED, (401, 403, 429), r"payment_required|sufficient (?:credits|balance)|enough balance"),
    Rule(
        Fault.BALANCE_EXHAUSTED,
        (400,),
        rf"^(?:payment_required|insufficient_balance)\b"
        rf"|{BEGINS}your organization does not have (?:enough|sufficient) (?:credits|balance)",
    ),
    Rule(Fault.MODERATION_INPUT, (400, 403, 422), r"content_moderation|content moderation|content_filter|flagged by"),
    Rule(Fault.REGION_BLOCKED, (403, 451), r"\bcountry\b|\bregion\b|location"),
    Rule(Fault.AUTH_DEAD, (401, 403)),
    Rule(Fault.MODEL_UNAVAILABLE, (404, 410)),
    Rule(
        Fault.MODEL_UNAVAILABLE,
        (400, 422),
        rf"{BEGINS}(?:model: |(?:the |this )?model .*(?:deprecated|not found|no longer|not available))",
    ),
    Rule(Fault.PROXY_FAILED, (407,)),
    *BY_STATUS,
)


class Stability:
    """Paints with ``access.secret`` as bearer token."""

    name = "stability"
    quota_scope: QuotaScope = "account_group"

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """One picture, at the ratio nearest to the order's. Raises UpstreamError."""
        chosen = form(order.model)
        fields = request(order, chosen)
        await on_step(Step(0.05))
        url = f"{_base(access)}/v2beta/stable-image/generate/{quote(chosen.path, safe='')}"
        answer = await dialects.call(
            access, "POST", url, headers=_headers(order, access), body=_multipart(fields, order)
        )
        picture = painted(answer, chosen, access)
        await on_step(Step(0.95))
        return picture

    async def check(self, access: Access) -> None:
        """Read the balance, which costs nothing. Raises UpstreamError for a dead key and for an empty account."""
        if await self.balance(access) < LEAST * CREDIT:
            raise UpstreamError(Fault.BALANCE_EXHAUSTED, "less is left than the cheapest picture costs")

    async def balance(self, access: Access) -> int:
        """What is left of the account's credits, in millionths of a US dollar. Raises UpstreamError."""
        answer = await dialects.call(
            access, "GET", f"{_base(access)}/v1/user/balance", headers=_bearer(access), timeout=dialects.CHECK
        )
        left = parcels.facts(answer.body).get("credits")
        if answer.status != 200 or not isinstance(left, int | float):
            raise refusal(answer, access)
        return math.floor(left * CREDIT)


def form(model: str) -> Form:
    """Where a model is painted. Raises UpstreamError(MODEL_UNAVAILABLE) for one that Stability cannot have."""
    name = model.strip().lower().removeprefix("stable-image-")
    if name not in FORMS and not name.startswith("sd"):
        raise UpstreamError(Fault.MODEL_UNAVAILABLE, f"no such model: {model}")
    return FORMS.get(name, OTHER)


def request(order: Order, chosen: Form) -> dict[str, str]:
    """The fields of the form. Raises UpstreamError(INVALID_REQUEST) for what its endpoint does not know."""
    refuse_unknown(order, PARAMETERS)
    for name in sorted(set(order.parameters) - chosen.takes):
        refuse(name, "is not known to this model")
    if order.mask is not None:
        refuse("mask", "is not known to this painter")
    if len(order.references) > 1 or (order.references and not chosen.with_reference):
        refuse("reference", "pictures are more than this model takes")
    if "strength" in order.parameters and not order.references:
        refuse("strength", "makes sense only with a reference picture")
    if "aspect_ratio" in order.parameters and order.references:
        refuse("aspect_ratio", "is that of the reference picture")
    if chosen.path == "sd3" and order.parameters.get("output_format") == "webp":
        refuse("output_format", "is png or jpeg for this model")
    fields: dict[str, str | int | float] = {"prompt": order.prompt, "output_format": "png"}
    fields["seed"] = order.seed % (LAST_SEED + 1) or LAST_SEED  # 0 would mean any
    if order.references:
        fields["strength"] = STRENGTH
    else:
        fields["aspect_ratio"] = ratio(order.width, order.height)
    if chosen.path == "sd3":
        fields["model"] = order.model.strip()
        fields["mode"] = "image-to-image" if order.references else "text-to-image"
    return {name: str(value) for name, value in (fields | dict(order.parameters)).items()}


def painted(answer: Answer, chosen: Form, access: Access) -> Picture:
    """The picture, as JSON or as it is. Raises UpstreamError for whatever else the answer is."""
    whole, spent = parcels.facts(answer.body), round(chosen.credits * CREDIT)
    if answer.status != 200:
        raise refusal(answer, access)
    finished = str(whole.get("finish_reason") or answer.headers.get("finish-reason") or "")
    if finished == "CONTENT_FILTERED":  # what comes with it is blurred, and paid for
        raise UpstreamError(Fault.MODERATION_OUTPUT, "finished: CONTENT_FILTERED", cost_micros=spent)
    request_id = answer.headers.get("x-request-id")
    if raster.sniff(answer.body):  # something in front ignores what is accepted
        return dialects.whole(answer.body, request_id, spent)
    image = whole.get("image")
    if not isinstance(image, str) or not image:
        raise refusal(answer, access)
    return dialects.picture(image, request_id, spent)


def refusal(answer: Answer, access: Access) -> UpstreamError:
    """The one error that an answer without a picture is."""
    error = parcels.facts(answer.body)
    errors = error.get("errors")
    said = [error.get("name"), *(errors if isinstance(errors, list) else []), error.get("message"), error.get("detail")]
    text = " ".join(str(each) for each in said if each) or dialects.raw(answer)
    secrets = discretion.secrets(access)
    own = discretion.without(text, secrets)
    caller = discretion.caller(access)
    rule = by_whom(holding(answer.status, own, RULES, caller), answer, error)
    fault, after = rule.fault, delay(answer.headers, own, caller)
    if fault is Fault.RATE_LIMITED:
        after = PENALTY if after is None else after
        fault = Fault.DAILY_QUOTA if after > QUOTA_DELAY else fault
    request_id = answer.headers.get("x-request-id") or error.get("id")
    detail = f"HTTP {answer.status} {own}" + (f" (request {request_id})" if request_id else "")
    return UpstreamError(fault, detail, after=after, secrets=secrets, is_vague=rule.is_vague(answer.status))


def ratio(width: int, height: int) -> str:
    """The nearest that Stability paints."""
    return dialects.nearest_ratio(width, height, RATIOS)


def _multipart(fields: dict[str, str], order: Order) -> aiohttp.FormData:
    """A form with a file is multipart by itself; one without any is made so: urlencoded ones are refused."""
    form = aiohttp.FormData(default_to_multipart=True)
    for name, value in fields.items():
        form.add_field(name, value)
    for reference in order.references:
        mime = raster.sniff(reference) or "application/octet-stream"
        form.add_field("image", reference, filename=f"image.{mime.partition('/')[2]}", content_type=mime)
    return form


def _headers(order: Order, access: Access) -> dict[str, str]:
    about = {"stability-client-id": AGENT} | ({"stability-client-user-id": order.user} if order.user else {})
    return _bearer(access) | {"Accept": "application/json"} | about


def _bearer(access: Access) -> dict[str, str]:
    return {"Authorization": f"Bearer {access.secret}"}


def _base(access: Access) -> str:
    return (access.base_url or DEFAULT_URL).rstrip("/")
