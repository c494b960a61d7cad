"""Wording: how each language says numbers, dates and amounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from limner.runtime import amounts
from limner.runtime.phrases import LANGUAGES, MONTHS, form


def language_of(locale: str) -> str:
    """The language to write in: that of the locale, such as "ru" of "ru-RU", else English."""
    wished = locale.replace("_", "-").split("-")[0].lower()
    return wished if wished in LANGUAGES else "en"


def filters(language: str) -> Mapping[str, Callable[..., str]]:
    """What templates may say of a value: ``moment``, ``money(currency)``, ``plural(forms…)``."""
    return {
        "moment": lambda told: moment(language, str(told)),
        "money": amounts.said,
        "plural": lambda number, *forms: plural(language, int(number), forms),
    }


def moment(language: str, told: str) -> str:
    """2026-12-05T14:00:00+00:00 as "5 December 2026, 14:00 UTC". Raises ValueError for what is no moment."""
    at = datetime.fromisoformat(told).astimezone(UTC)
    if language == "zh":
        return f"{at.year}年{at.month}月{at.day}日 {at:%H:%M} UTC"
    year = f"{at.year} г." if language == "ru" else f"{at.year}"
    return f"{at.day} {MONTHS[language][at.month - 1]} {year}, {at:%H:%M} UTC"


def plural(language: str, number: int, forms: tuple[str, ...]) -> str:
    """The number with the form that goes with it: English has two, Russian three, Chinese one."""
    return f"{number} {forms[form(language, number)]}"
