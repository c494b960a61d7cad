"""Settings, errors and exit codes of every command; the work is called by name, so that no room is imported."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

import click

from limner.runtime import log
from limner.runtime.config import Config, ConfigError
from limner.runtime.errors import WRONG_SETTINGS, LimnerError
from limner.runtime.report import Line, Say, verdict

json_option = click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")


def settings(role: str = "cli") -> Config:
    """The configuration, or exit 78 with every mistake in it."""
    try:
        config = Config.load()
    except ConfigError as error:
        _end(error)
    # What a command answers is not mixed with events; a role is all events.
    log.set_up(role, config.log_format, "error" if role == "cli" else config.log_level)
    return config


def run(
    work: Coroutine[Any, Any, Any] | Callable[[], Any], loop: Callable[[], asyncio.AbstractEventLoop] | None = None
) -> Any:
    """Run it, on a ``loop`` of that make; what Limner foresaw ends in one clear line and its exit code."""
    try:
        if callable(work):
            return work()
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(work)
    except ConfigError as error:
        if not callable(work):
            work.close()
        _end(error)
    except (LimnerError, OSError) as error:
        click.echo(f"limner: {error}", err=True)
        sys.exit(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        sys.exit(130)


def call(module: str, function: str, *args: Any, **options: Any) -> Any:
    return getattr(importlib.import_module(module), function)(*args, **options)


def tell(work: Callable[[Say], Coroutine[Any, Any, Any]], *, as_json: bool) -> None:
    """Run what reports line by line, show the lines, and exit with what they come to: 0 well, 1 warnings, 2 failures."""
    lines: list[Line] = []

    def say(line: Line) -> None:
        lines.append(line)
        if not as_json:
            click.echo(str(line))

    run(work(say))
    if as_json:
        click.echo(json.dumps({"verdict": verdict(lines), "lines": [vars(line) for line in lines]}))
    sys.exit(verdict(lines))


def _end(error: ConfigError) -> NoReturn:
    for mistake in error.mistakes:
        click.echo(f"limner: {mistake}", err=True)
    sys.exit(WRONG_SETTINGS)
