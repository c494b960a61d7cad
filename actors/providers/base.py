"""What every painter has in common: the order, the access, the picture, and the one vocabulary of faults."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal, Protocol, TypeVar, cast, runtime_checkable

from limner.actors.providers.details import clean
from limner.runtime.errors import LimnerError, NotFound, Refused
from limner.sql.usages import Usage

T = TypeVar("T")

PREVIEW_LIMIT = 24_000

KINDS = {
    "demo": "Demo",
    "simulator": "Simulator",
    "openai": "OpenAI",
    "gemini": "Gemini",
    "stability": "Stability",
    "a1111": "A1111",
    "relay": "Relay",
    "fal": "Fal",
    "replicate": "Replicate",
}
"""Kind of provider, as in the table ``provider``: its module in this folder and its class there."""


class Fault(StrEnum):
    """The classes into which every upstream answer falls; all policy hangs on them (PROTOCOLS §0)."""

    AUTH_DEAD = "auth_dead"
    BALANCE_EXHAUSTED = "balance_exhausted"
    RATE_LIMITED = "rate_limited"
    DAILY_QUOTA = "daily_quota"
    MODEL_UNAVAILABLE = "model_unavailable"
    REGION_BLOCKED = "region_blocked"
    PROXY_FAILED = "proxy_failed"
    MODERATION_INPUT = "moderation_input"
    MODERATION_OUTPUT = "moderation_output"
    NO_IMAGE = "no_image"
    INVALID_REQUEST = "invalid_request"
    UPSTREAM_5XX = "upstream_5xx"
    TIMEOUT_UNKNOWN = "timeout_unknown"
    CANCELLED = "cancelled"


WORDS = {
    Fault.AUTH_DEAD: "The painter did not accept our key.",
    Fault.BALANCE_EXHAUSTED: "The painter's account with us ran dry.",
    Fault.RATE_LIMITED: "The painter is busy just now.",
    Fault.DAILY_QUOTA: "The painter has done enough for today.",
    Fault.MODEL_UNAVAILABLE: "This model is not available at the moment.",
    Fault.REGION_BLOCKED: "The painter does not serve our region.",
    Fault.PROXY_FAILED: "We could not reach the painter.",
    Fault.MODERATION_INPUT: "The painter refused this description because of its content rules.",
    Fault.MODERATION_OUTPUT: "The painter withheld the picture because of its content rules.",
    Fault.NO_IMAGE: "The painter answered without a picture.",
    Fault.INVALID_REQUEST: "The painter could not make sense of this order.",
    Fault.UPSTREAM_5XX: "The painter had a breakdown.",
    Fault.TIMEOUT_UNKNOWN: "The painter did not answer in time.",
    Fault.CANCELLED: "The order was canceled.",
}
"""What a user may read about each fault: never an upstream's own text, which leaks names and prices."""


Value = str | int | float | bool


@dataclass(frozen=True)
class Order:
    """One picture to paint: ``model`` is the upstream's id, sizes are pixels, ``user`` is a hash never an e-mail.

    ``parameters`` are what the caller chose beyond that (quality, background, output_format …), each among the options of
    the model in our catalogue; a painter sends every one of them or refuses the order: none is dropped in silence.
    ``mask``: a PNG as large as the first reference, transparent where to paint; with models.MARKUP among the parameters it
    is drawn over that reference instead. ``partial_images``: 0 to 3.
    """

    prompt: str
    model: str
    width: int
    height: int
    seed: int
    references: tuple[bytes, ...] = ()
    mask: bytes | None = None
    user: str = ""
    parameters: Mapping[str, Value] = field(default_factory=dict)
    partial_images: int = 0


@dataclass(frozen=True)
class Access:
    """The way in: key, address, proxy. ``switch`` steers the demo and the simulator.

    ``timeout`` is seconds in all, ``silence`` those that an answer may let us wait for its first or its next byte.
    ``prompt`` and ``texts``, what an order says beside it: the caller's own words, which are no judgement where an upstream
    quotes them.

    ``settings`` are the provider's own, as its painter's module lists them. ``is_local``: private addresses are allowed.
    """

    secret: str = field(repr=False)
    base_url: str
    proxy: str | None = field(default=None, repr=False)
    switch: str = ""
    timeout: float = 600
    settings: Mapping[str, object] = field(default_factory=dict)
    is_local: bool = False
    silence: float = 300
    prompt: str = field(default="", repr=False)
    texts: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Picture:
    """What came back: encoded bytes, their sniffed type, the upstream's id, the cost in millionths of a US dollar.

    ``usage``: the tokens that the upstream says it took; None where it counts none, or does not tell.
    """

    data: bytes = field(repr=False)
    mime: str
    upstream_id: str | None = None
    cost_micros: int = 0
    usage: Usage | None = None


@dataclass(frozen=True)
class Step:
    """Progress: ``done`` from 0 to 1, and perhaps a small JPEG or WebP of at most PREVIEW_LIMIT bytes.

    ``ref``: the upstream's name for a job that goes on over there without us (Resumable); told as soon as it is known.
    ``partial``: an unfinished picture, whole and in any type that ``raster.sniff`` knows, for a caller that streams.
    """

    done: float
    preview: bytes | None = field(default=None, repr=False)
    ref: str | None = None
    partial: bytes | None = field(default=None, repr=False)


OnStep = Callable[[Step], Awaitable[None]]


class UpstreamError(LimnerError):
    """A painter's refusal or failure as one fault.

    ``after``: seconds until a retry makes sense, or None. ``detail``: for the operator, redacted and cut to
    details.LIMIT characters. ``words``: plain words for the user. ``secrets`` are cut out of the detail, not kept.
    ``is_daily``: a quota of the day was named, although the delay is short; who keeps count decides what several in a
    row mean. ``cost_micros``: what the upstream takes for an answer without a picture, in millionths of a US dollar.
    ``param``: the parameter that it blames, by its own name; ``categories``: of its content rules, those that it names.
    ``is_vague``: a refusal in words that nobody knows, which may be about this order as well as about the key.
    """

    def __init__(
        self,
        fault: Fault,
        detail: str = "",
        *,
        after: float | None = None,
        words: str = "",
        secrets: tuple[str, ...] = (),
        is_daily: bool = False,
        cost_micros: int = 0,
        param: str = "",
        categories: tuple[str, ...] = (),
        is_vague: bool = False,
    ) -> None:
        self.fault = fault
        self.after = after
        self.is_daily = is_daily
        self.is_vague = is_vague
        self.cost_micros = cost_micros
        self.param = clean(param, *secrets)[:80]
        self.categories = categories
        self.detail = clean(detail, *secrets)
        self.words = words or WORDS[fault]
        super().__init__(f"{fault}: {self.detail}" if self.detail else str(fault))


class JobGone(UpstreamError):
    """The upstream does not know the job (any more) that was to be resumed: what became of it cannot be known."""

    def __init__(self, detail: str = "", *, secrets: tuple[str, ...] = ()) -> None:
        super().__init__(Fault.TIMEOUT_UNKNOWN, detail, secrets=secrets)


class Provider(Protocol):
    """A painter. Both methods raise UpstreamError, and nothing else that a caller should catch."""

    name: str

    async def paint(self, order: Order, access: Access, on_step: OnStep) -> Picture:
        """Paint one picture, telling its steps on the way."""
        ...

    async def check(self, access: Access) -> None:
        """Find out for free whether the key works."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A painter whose jobs go on over there while we restart. The methods raise UpstreamError."""

    async def resume(self, ref: str, order: Order, access: Access, on_step: OnStep) -> Picture:
        """Wait for a job that an earlier process began. Raises JobGone where it cannot be found any more."""
        ...

    async def cancel(self, ref: str, access: Access) -> None:
        """Ask the upstream to stop; best effort."""
        ...


@functools.cache
def is_resumable(painter: type[Provider]) -> bool:
    """Whether its jobs go on over there: asked for each picture, and dear before Python 3.12."""
    return issubclass(painter, Resumable)


@runtime_checkable
class TellsBalance(Protocol):
    """A painter whose key can read what is left on its account."""

    async def balance(self, access: Access) -> int:
        """Millionths of a US dollar. Raises UpstreamError."""
        ...


@dataclass(frozen=True)
class Listed:
    """A model as an upstream lists it. ``sizes`` like "1024x1024"; empty where the upstream does not say."""

    id: str
    name: str
    abilities: tuple[str, ...] = ("text",)
    sizes: tuple[str, ...] = ()


@runtime_checkable
class ListsModels(Protocol):
    """A painter whose upstream tells which models a key may use."""

    async def models(self, access: Access) -> list[Listed]:
        """Raises UpstreamError."""
        ...


def provider(kind: str) -> Provider:
    """The painter of this kind, imported on first use. Raises NotFound for an unknown kind."""
    if kind not in KINDS:
        raise NotFound(f"There is no painter called {kind!r}.")
    module = importlib.import_module(f"limner.actors.providers.{kind}")
    return cast(Provider, getattr(module, KINDS[kind])())


QuotaScope = Literal["key", "account_group"]


def quota_scope(kind: str) -> QuotaScope:
    """Whose quota this kind's upstreams count: the key's own, or that of all keys of its account group together.

    A painter says so by a class attribute ``quota_scope``; who says nothing counts by key.
    """
    return cast(QuotaScope, getattr(provider(kind), "quota_scope", "key"))


def checked(check: Callable[[Mapping[str, object]], T], access: Access) -> T:
    """Raises UpstreamError(INVALID_REQUEST) for settings that make no sense: the operator's mistake, not the order's."""
    try:
        return check(access.settings)
    except Refused as error:
        raise UpstreamError(Fault.INVALID_REQUEST, str(error)) from error
