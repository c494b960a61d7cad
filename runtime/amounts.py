"""Amounts: how a number with digits behind the point is read, kept in its smallest unit, and put into words again; and counts."""

from __future__ import annotations

import re

from limner.runtime.errors import Refused

MOST = 10**7
"""Whole units that any amount has at the most."""
NUMBER = re.compile(r"(?P<minus>[-−]?)(?P<whole>\d{1,12})(?:\.(?P<part>\d+)|,(?P<few>\d{1,2}))?", re.ASCII)
"""12, 12.5, and 12,50 as half of the world writes it; 1,000 is none, since it may be a thousand or one."""
MICROS = 1_000_000
WORDS = {2: "two", 6: "six"}


def cents(typed: str, *, field: str, name: str = "An amount", like: str = "9.99") -> int:
    """In hundredths, from none to MOST. Raises Refused that names the field and what was typed."""
    return _units(typed, 2, False, field, name, like)


def micros(typed: str, *, field: str, name: str = "An amount", like: str = "25 or 0.034") -> int:
    """In millionths, less than none as well. Raises Refused that names the field and what was typed."""
    return _units(typed, 6, True, field, name, like)


def _units(typed: str, places: int, may_be_negative: bool, field: str, name: str, like: str) -> int:
    found = NUMBER.fullmatch(typed.strip())
    if found is None or (found["minus"] and not may_be_negative):
        raise Refused(f"{name} looks like {like}, not {typed[:60]!r}.", field=field)
    part = found["part"] or found["few"] or ""  # 1.500 cents may be a thousand and a half, as 1,000 may
    if len(part) > places:
        raise Refused(f"{name} has at most {WORDS[places]} digits behind the point, not {typed[:60]!r}.", field=field)
    amount = int(found["whole"] + part.ljust(places, "0"))
    if amount > MOST * 10**places:
        raise Refused(f"{name} is at most {MOST:,}, not {typed[:60]!r}.", field=field)
    return -amount if found["minus"] else amount


def counted(number: int, noun: str) -> str:
    """1 credit, 2 credits."""
    return f"{number} {plural(number, noun)}"


def plural(number: int, noun: str) -> str:
    return noun if number == 1 else f"{noun}s"


def plain(cents: int) -> str:
    """999 as 9.99, for fields, files and programs: what ``cents`` reads."""
    return _sign(cents, "-") + f"{abs(cents) // 100}.{abs(cents) % 100:02d}"


def said(cents: int, currency: str) -> str:
    """123456 hundredths as 1,234.56 USD, for people."""
    return _sign(cents, "−") + f"{abs(cents) // 100:,}.{abs(cents) % 100:02d} {currency}"


def plain_micros(micros: int) -> str:
    """34000 as 0.034, 25000000 as 25: what ``micros`` reads."""
    whole, part = divmod(abs(micros), MICROS)
    return _sign(micros, "-") + f"{whole}.{part:06d}".rstrip("0").rstrip(".")


def said_micros(micros: int, currency: str = "USD") -> str:
    """12500000 millionths as 12.50 USD; what is less than a whole one to its last digit, 34000 as 0.034 USD."""
    return exact_micros(micros if abs(micros) < MICROS else round(micros, -4), currency)


def exact_micros(micros: int, currency: str = "USD") -> str:
    """As it is booked, to its last digit: 12500000 millionths as 12.50 USD, 1234567 as 1.234567 USD."""
    whole, part = divmod(abs(micros), MICROS)
    digits = f"{part:06d}".rstrip("0").ljust(2, "0")
    return _sign(micros, "−") + f"{whole:,}.{digits} {currency}"


def rounded_micros(micros: int, currency: str = "USD") -> str:
    """A sum of millionths to the hundredth: 857142 as 0.86 USD."""
    return said(round(micros / 10_000), currency)


def _sign(number: int, minus: str) -> str:
    return minus if number < 0 else ""
