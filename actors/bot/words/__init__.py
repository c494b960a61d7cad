"""What the bot says, in every language; as HTML, each value that somebody typed is escaped here."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from limner.actors.bot.words import (
    alerts,
    broadcasts,
    codes,
    explained,
    frame,
    generations,
    home,
    keys,
    language,
    payments,
    refusals,
    system,
    users,
)
from limner.actors.watch import tongues
from limner.runtime import phrases
from limner.runtime.amounts import said
from limner.sql.accounts import LOCALES

Table = dict[str, tuple[str, str, str]]
TABLES: dict[str, Table] = {
    "alerts": alerts.WORDS,
    "broadcasts": broadcasts.WORDS,
    "codes": codes.WORDS,
    "frame": frame.WORDS,
    "generations": generations.WORDS,
    "home": home.WORDS,
    "keys": keys.WORDS,
    "language": language.WORDS,
    "payments": payments.WORDS,
    "system": system.WORDS,
    "users": users.WORDS,
}
"""By the first word of a key: the lines, each in the languages in their order."""
ORDER = tuple(LOCALES)
STORED: phrases.Table = {**tongues.ALL, **explained.WORDS, **refusals.WORDS}
"""What comes from elsewhere in English."""


class Html(str):
    """Text that is HTML already."""


def say(locale: str, key: str, **values: object) -> Html:
    """A line as HTML."""
    safe = {name: value if isinstance(value, Html | int) else escape(str(value)) for name, value in values.items()}
    return Html(phrases.filled(locale, _line(locale, key), safe))


def label(locale: str, key: str, **values: object) -> str:
    """A line as plain text."""
    return phrases.filled(locale, _line(locale, key), values)


def _line(locale: str, key: str) -> str:
    table, _, name = key.partition(".")
    return TABLES[table][name][ORDER.index(locale)]


def told(locale: str, words: str) -> str:
    """What was said, refused or noted elsewhere, in this language; what nobody has translated stays as it is."""
    return phrases.told(locale, words, STORED)


def spoken_by(language_code: str | None) -> str:
    """The nearest of our languages to what somebody's Telegram is in: zh-hans is zh."""
    code = (language_code or "").partition("-")[0].lower()
    return code if code in LOCALES else "en"


def sums(cents: Mapping[str, int]) -> str:
    """Of each currency its own: they are not added up."""
    return " + ".join(said(each, currency) for currency, each in cents.items() if each) or said(0, "USD")
