"""Forms: what a browser sent, read safely, field by field."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from uuid import UUID

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage
from multidict import MultiDictProxy

from limner.runtime import amounts
from limner.runtime.errors import Refused

LARGEST_FILE = 12 * 1024 * 1024
LARGEST_UPLOAD = 50 * 1024 * 1024
"""Bytes: four reference pictures and a prompt."""
MOST_FIELDS = 60

TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")

Form = MultiDictProxy[str | bytearray | web.FileField | bytes]


MEANT = web.RequestKey("meant", MultiDictProxy)
"""The form that was sent before somebody had to show who they are: it takes the place of the one with the proof."""


async def read(request: web.Request) -> Form:
    """The form of a request. aiohttp raises all sorts of things for a malformed one: here they become a 400."""
    meant: Form | None = request.get(MEANT)
    if meant is not None:
        return meant
    if request.content_type not in TYPES:
        raise web.HTTPUnsupportedMediaType(reason="Please send a form.")
    try:
        form = await request.post()
    except (ValueError, AssertionError, BadHttpMessage, LookupError) as error:
        raise web.HTTPBadRequest(reason="The form could not be read.") from error
    if len(form) > MOST_FIELDS:
        raise web.HTTPBadRequest(reason="The form has too many fields.")
    return form


async def raw(request: web.Request, most: int) -> bytes:
    """A body that is no form. Raises web.HTTPRequestEntityTooLarge for more than ``most`` bytes, announced or not."""
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > most:
            raise web.HTTPRequestEntityTooLarge(max_size=most)
    return bytes(body)


def text(form: Form, name: str, *, most: int = 4000, needed: bool = False, label: str | None = None) -> str:
    """A field as text, trimmed, lines ended by a newline alone. Raises Refused that names the field."""
    value = form.get(name, "")
    if not isinstance(value, str):
        raise Refused(f"{label or name.capitalize()} must be text.", field=name)
    value = value.strip().replace("\r\n", "\n")  # a browser sends both, but counts one
    if clean(value) != value:
        raise Refused(f"{label or name.capitalize()} has characters that are not text.", field=name)
    if len(value) > most:
        raise Refused(f"{label or name.capitalize()} has at most {most} characters, not {len(value)}.", field=name)
    if needed and not value:
        raise Refused(f"{label or name.capitalize()} is missing.", field=name)
    return value


def whole(form: Form, name: str, *, least: int, most: int, default: int | None = None) -> int:
    """A field as a whole number within bounds. Raises Refused that names the field and the value."""
    value = text(form, name, most=20)
    if not value and default is not None:
        return default
    digits = value.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or not least <= int(value) <= most:
        raise Refused(f"{name.capitalize()} must be a whole number from {least} to {most}, not {value!r}.", field=name)
    return int(value)


def cents(form: Form, name: str, *, label: str = "An amount", like: str = "9.99") -> int:
    """A field as money, in hundredths. Raises Refused that names the field and the value."""
    return amounts.cents(text(form, name, most=20, needed=True), field=name, name=label, like=like)


def micros(form: Form, name: str) -> int | None:
    """A field as US dollars such as 25 or -0.5, in millionths; None for nothing. Raises Refused."""
    typed = text(form, name, most=20)
    return amounts.micros(typed, field=name) if typed else None


def day(typed: str, field: str, label: str = "A day") -> date | None:
    """A day as a browser sends it; None for nothing. Raises Refused that names the field and the value."""
    if not typed:
        return None
    try:
        found = date.fromisoformat(typed)
    except ValueError:
        found = date.min
    if not 2000 <= found.year <= 2999:
        raise Refused(f"{label} looks like 2027-01-31, not {typed[:60]!r}.", field=field)
    return found


def end_of_day(typed: str, field: str) -> datetime | None:
    """The last moment of a day in UTC; None for nothing. Raises Refused."""
    found = day(typed, field)
    return None if found is None else datetime.combine(found, time.max, UTC)


def clean(value: str) -> str:
    """Without NULs and lone surrogates, which neither Postgres nor UTF-8 takes."""
    return "".join(char for char in value if char != "\x00" and not "\ud800" <= char <= "\udfff")


def kept(form: Form, *names: str) -> dict[str, str]:
    """What was typed into these fields, to be shown again beside what is wrong with it."""
    typed = {name: form.get(name, "") for name in names}
    return {name: clean(value) if isinstance(value, str) else "" for name, value in typed.items()}


def ids(form: Form, name: str, *, most: int = 8) -> tuple[UUID, ...]:
    """A repeatable field of ids, empty ones left out. Raises Refused."""
    found = [value for value in form.getall(name, []) if value]
    if len(found) > most:
        raise Refused(f"At most {most} of {name}.", field=name)
    try:
        return tuple(UUID(str(value)) for value in found)
    except ValueError:
        raise Refused(f"{name.capitalize()} is not an id.", field=name) from None


def numbers(form: Form, name: str, *, most: int = 50) -> tuple[int, ...]:
    """A repeatable field of numbers that count rows. Raises Refused."""
    found = [value for value in form.getall(name, []) if value]
    if len(found) > most:
        raise Refused(f"At most {most} of {name}.", field=name)
    if not all(isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 18 for value in found):
        raise Refused(f"{name.capitalize()} is not a number.", field=name)
    return tuple(int(str(value)) for value in found)


def files(form: Form, name: str) -> list[bytes]:
    """The files of a field that have bytes in them. Raises Refused for one that is too large."""
    found = []
    for field in form.getall(name, []):
        if isinstance(field, web.FileField):
            data = field.file.read(LARGEST_FILE + 1)
            if len(data) > LARGEST_FILE:
                raise Refused(f"A file has at most {LARGEST_FILE // 1024 // 1024} MB.", field=name)
            if data:
                found.append(data)
    return found
