"""One line per event with stable keys; the only file that formats logs, and the one that keeps secrets out of them."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import structlog

SECRET_KEYS = re.compile(r"(?i)(password|secret|token|authorization|cookie|api_?key|dsn)$")
SECRET_TEXT = [
    (re.compile(r"/bot\d+:[\w-]+"), "/bot***"),
    (re.compile(r"(?i)\b(bearer|basic|token)\s+[\w.~+/=-]{8,}"), r"\1 ***"),
    (re.compile(r"\b(sk|lim|key)[-_][\w-]{8,}"), r"\1-***"),
    (re.compile(r"(://[^:/@\s]*):[^@/\s]+@"), r"\1:***@"),
    # What Postgres and asyncpg quote of a row or an argument may be a prompt.
    (re.compile(r"(?ms)(Failing row contains) \(.*?\)\.$"), r"\1 (***)."),
    (re.compile(r"(?ms)(invalid input for query argument \$\d+):.*?(?= \([^()]*\)$|\Z)"), r"\1: ***"),
]


def logger(name: str) -> Any:
    """A logger: ``log.info("key_rested", key="…ab12", seconds=30)``."""
    return structlog.get_logger(name.removeprefix("limner."))


def set_up(role: str, form: str = "text", level: str = "info") -> None:
    """Send every event of this process to standard output, as text or as JSON: one object a line."""
    structlog.contextvars.bind_contextvars(role=role, pid=os.getpid())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact,
    ]
    last = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), pad_event_to=24)
    )
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)


def follow(request: str | None) -> None:
    """From here on, the events of this task are about this request, and so is what it causes; None: about none."""
    if request is None:
        structlog.contextvars.unbind_contextvars("request")
    else:
        structlog.contextvars.bind_contextvars(request=request)


def following(request: str | None) -> AbstractContextManager[Any]:
    """The same for the length of a block; None changes nothing."""
    return structlog.contextvars.bound_contextvars(**({} if request is None else {"request": request}))


def request_id() -> str | None:
    """The request that this task is about, to be kept beside what it causes."""
    return structlog.contextvars.get_contextvars().get("request")


def redact(text: str) -> str:
    """The text without bot tokens, bearer tokens, keys and passwords in addresses."""
    for pattern, put in SECRET_TEXT:
        text = pattern.sub(put, text)
    return text


def _redact(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    return {key: _clean(key, value) for key, value in event.items()}


def _clean(key: str, value: Any) -> Any:
    """Whatever it is, at any depth: what is no plain value is redacted as the text that it would be shown as."""
    if SECRET_KEYS.search(key):
        return "***"
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(name): _clean(str(name), each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean("", each) for each in value]
    return redact(str(value))


class _Forward(logging.Handler):
    """Records of foreign libraries, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        event = structlog.get_logger(record.name)
        event.log(
            record.levelno,
            "library",
            message=record.getMessage(),
            **({"exc_info": record.exc_info} if record.exc_info else {}),
        )
