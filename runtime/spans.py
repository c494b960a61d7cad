"""Spans of time as people say them."""

from __future__ import annotations

UNITS = {
    "en": ("{} s", "{} min", "{} h", "{} days"),
    "ru": ("{} с", "{} мин", "{} ч", "{} дн."),
    "zh": ("{} 秒", "{} 分钟", "{} 小时", "{} 天"),
}


def duration(seconds: float, language: str = "en") -> str:
    """40 s, 14 min, 3 h 5 min, 2 days 4 h."""
    in_seconds, in_minutes, in_hours, in_days = UNITS[language]
    minutes = round(seconds / 60)
    if seconds < 90:
        return in_seconds.format(round(seconds))
    if minutes < 90:
        return in_minutes.format(minutes)
    if minutes < 48 * 60:
        return _both(in_hours, minutes // 60, in_minutes, minutes % 60)
    return _both(in_days, minutes // 1440, in_hours, minutes % 1440 // 60)


def _both(large: str, many: int, small: str, few: int) -> str:
    return f"{large.format(many)} {small.format(few)}" if few else large.format(many)
