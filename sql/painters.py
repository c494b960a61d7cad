"""Painters as far as a provider's row names them: their kinds, where each is reached, and which settings it reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from limner.runtime.addresses import may_be_public
from limner.runtime.errors import Refused
from limner.sql import switches
from limner.sql.switches import Settings

OWN_HEADERS = frozenset(
    [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "host",
        "proxy-authorization",
        "transfer-encoding",
    ]
)
OWN_FIELDS = frozenset(["model", "prompt", "messages", "n", "stream", "partial_images"])
HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}")

SIZES = ("aspect_ratio", "image_size", "pixels", "size", "none")
""""aspect_ratio": "3:2"; "image_size": {"width", "height"}; "width" and "height"; "size": "1536x1024"; not at all."""
FAL_PLATFORM = "https://api.fal.ai/v1"
MOST_WAIT = 60
"""Seconds for which Replicate holds an answer back."""
PIXELS = {"512": 512, "1K": 1024, "2K": 2048, "4K": 4096}
"""Gemini's sizes: the side of a square."""
SAFETY = ("BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF")


@dataclass(frozen=True)
class RelaySettings:
    """The switches of one relay.

    ``path``: "images" or "chat". ``sizes``: what is accepted, the nearest is asked for; empty: any. ``honours_n``: n may
    be sent. ``response_format``: "b64_json" or "url" where it may be sent. ``parameters``: further names that pass.
    ``balance``: "openrouter" where the key can read what is left.
    """

    path: str = "images"
    has_edits: bool = True
    has_streaming: bool = False
    sizes: tuple[tuple[int, int], ...] = ()
    honours_n: bool = True
    response_format: str = ""
    modalities: tuple[str, ...] = ("image", "text")
    parameters: tuple[str, ...] = ()
    balance: str = ""
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    extra_json: Mapping[str, object] = field(default_factory=dict)


def relay(settings: Settings) -> RelaySettings:
    """The switches with their types. Raises Refused that names the one at fault."""
    switches.only(settings, RelaySettings.__dataclass_fields__)
    return RelaySettings(
        path=switches.choice(settings, "path", ("images", "chat")),
        has_edits=switches.flag(settings, "has_edits", True),
        has_streaming=switches.flag(settings, "has_streaming", False),
        sizes=switches.sizes(settings, "sizes"),
        honours_n=switches.flag(settings, "honours_n", True),
        response_format=switches.choice(settings, "response_format", ("", "b64_json", "url")),
        modalities=switches.texts(settings, "modalities", ("image", "text")),
        parameters=switches.texts(settings, "parameters"),
        balance=switches.choice(settings, "balance", ("", "openrouter")),
        extra_headers=_extra_headers(settings),
        extra_json=_extra_json(settings),
    )


@dataclass(frozen=True)
class Shape:
    """How one family of a market's models wants its input. ``size``: one of SIZES. ``references``, ``mask``: names of
    fields, empty: takes none.

    ``many``: the references are a list. ``edit``: the model that takes references, or what is put behind the other's
    name. ``fixed``: sent with each order. ``parameters``: names that this family knows beyond its painter's.
    """

    size: str = "aspect_ratio"
    references: str = ""
    many: bool = False
    mask: str = ""
    seed: bool = True
    edit: str = ""
    fixed: Mapping[str, object] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class FalSettings:
    """``models``: shapes by the beginnings of model names. ``platform_url``: where prices, models and credits are told."""

    models: Mapping[str, Shape]
    platform_url: str = FAL_PLATFORM


def fal(settings: Settings) -> FalSettings:
    """The settings with their types. Raises Refused that names the one at fault."""
    switches.only(settings, FalSettings.__dataclass_fields__)
    return FalSettings(_shapes(settings, "models"), switches.address(settings, "platform_url", FAL_PLATFORM))


@dataclass(frozen=True)
class ReplicateSettings:
    """``models``: shapes by the beginnings of model names. ``wait``: seconds for which the first answer is held back.

    A worker that is killed within ``wait`` does not know the prediction's name yet, and orders anew: so 0 by default.
    """

    models: Mapping[str, Shape]
    wait: int = 0


def replicate(settings: Settings) -> ReplicateSettings:
    """The settings with their types. Raises Refused that names the one at fault."""
    switches.only(settings, ReplicateSettings.__dataclass_fields__)
    return ReplicateSettings(_shapes(settings, "models"), switches.number(settings, "wait", 0, 0, MOST_WAIT))


def gemini(settings: Settings) -> None:
    """Raises Refused that names the setting at fault."""
    switches.only(settings, ("safety", "instruction", "image_sizes"))
    switches.choice(settings, "safety", ("", *SAFETY))
    switches.text(settings, "instruction")
    told = switches.mapping(settings, "image_sizes")
    for model in told:
        if wrong := sorted(set(switches.texts(told, model)) - set(PIXELS)):
            switches.refuse("image_sizes", f"must hold {', '.join(PIXELS)}, not {wrong[0]!r}")


def a1111(settings: Settings) -> None:
    """What orders that say nothing get, whether previews are shown, and seconds between two looks. Raises Refused."""
    words = ("negative_prompt", "sampler", "scheduler", "checkpoint")
    bounds = {"cfg_scale": (1, 30), "denoising_strength": (0, 1), "poll": (0.2, 60)}
    counts = {"steps": (1, 150), "mask_blur": (0, 64)}
    switches.only(settings, [*words, *bounds, *counts, "previews"])
    for name in words:
        switches.text(settings, name)
    for name, (least, most) in bounds.items():
        switches.decimal(settings, name, least, most)
    for name, (low, high) in counts.items():
        switches.number(settings, name, low, low, high)
    switches.flag(settings, "previews", True)


def nothing(settings: Settings) -> None:
    """For painters that read no setting. Raises Refused."""
    for name in sorted(settings):
        switches.refuse(name, "is not read by this painter, which knows no settings")


@dataclass(frozen=True)
class Kind:
    """``base_url``: where it is reached when its row does not say; empty: there is no such place."""

    check: Callable[[Settings], object]
    base_url: str = ""


KINDS = {
    "demo": Kind(nothing),
    "simulator": Kind(nothing),
    "openai": Kind(nothing, "https://api.openai.com/v1"),
    "gemini": Kind(gemini, "https://generativelanguage.googleapis.com/v1beta"),
    "stability": Kind(nothing, "https://api.stability.ai"),
    "a1111": Kind(a1111, "http://127.0.0.1:7860"),
    "relay": Kind(relay),
    "fal": Kind(fal, "https://queue.fal.run"),
    "replicate": Kind(replicate, "https://api.replicate.com/v1"),
}
PAINT_HERE = ("demo", "simulator")
"""These reach out to nobody."""


def base_url(kind: str, typed: str, openai_url: str) -> str:
    """Where a provider is reached: what its row says, the setting for OpenAI, or its kind's own place."""
    return typed or (openai_url if kind == "openai" else "") or (KINDS[kind].base_url if kind in KINDS else "")


def sends_unfinished(kind: str, settings: Settings) -> bool:
    """Whether this painter shows unfinished pictures, as large as they will be, to whoever streams."""
    match kind:
        case "openai":
            return True
        case "a1111":
            return settings.get("previews") is not False
        case "relay":
            return settings.get("has_streaming") is True and settings.get("path") != "chat"
    return False


def check_kind(kind: str) -> None:
    """Raises Refused when no painter is called so."""
    if kind not in KINDS:
        raise Refused(f"There is no painter of the kind {kind[:40]!r}: {', '.join(sorted(KINDS))} are.", field="kind")


def check_settings(kind: str, settings: Settings) -> None:
    """Raises Refused, in the field ``settings``, that names the switch at fault."""
    try:
        KINDS[kind].check(settings)
    except Refused as why:
        raise Refused(str(why), field="settings") from why


def check_address(kind: str, typed: str, *, is_local: bool) -> str:
    """An address as it is kept. Raises Refused for none, and for a private one of a provider that is not marked as local."""
    try:
        parts = urlsplit(typed)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        known = False
    if typed and not known:
        raise Refused(f"A base begins with http:// or https:// and a host, unlike {typed[:80]!r}.", field="base_url")
    if not typed:
        if kind not in PAINT_HERE and not KINDS[kind].base_url:
            raise Refused(f"A {kind} is reached nowhere by itself: it needs a base address.", field="base_url")
        return ""
    if parts.username or parts.password or parts.query or parts.fragment or not typed.isprintable() or " " in typed:
        raise Refused("A base has no user, password, question or space in it.", field="base_url")
    if not is_local and not may_be_public(parts.hostname or ""):
        raise Refused(
            f"{parts.hostname} is a private address: it is reached only when the provider is marked as local.",
            field="base_url",
        )
    return typed.rstrip("/")


def _shapes(settings: Settings, name: str) -> dict[str, Shape]:
    """Shapes as an operator writes them: {"owner/model": {"size": "pixels", …}}. Raises Refused."""
    found = {}
    for model, given in switches.mapping(settings, name).items():
        inside = switches.mapping({model: given}, model)
        switches.only(inside, Shape.__dataclass_fields__)
        found[model] = Shape(
            size=switches.choice(inside, "size", SIZES),
            references=switches.text(inside, "references"),
            many=switches.flag(inside, "many", False),
            mask=switches.text(inside, "mask"),
            seed=switches.flag(inside, "seed", True),
            edit=switches.text(inside, "edit"),
            fixed=switches.mapping(inside, "fixed"),
            parameters=switches.texts(inside, "parameters"),
        )
    return found


def _extra_headers(settings: Settings) -> dict[str, str]:
    found = switches.mapping(settings, "extra_headers")
    for name, value in found.items():
        if not HEADER.fullmatch(name) or name.lower() in OWN_HEADERS:
            switches.refuse("extra_headers", f"must not hold {name[:80]!r}")
        if not isinstance(value, str) or not value.isprintable():
            switches.refuse("extra_headers", f"must hold printable text under {name[:80]!r}")
    return {name: str(value) for name, value in found.items()}


def _extra_json(settings: Settings) -> dict[str, object]:
    found = switches.mapping(settings, "extra_json")
    if own := sorted(OWN_FIELDS & set(found)):
        switches.refuse("extra_json", f"must not hold {own[0]!r}")
    return found
