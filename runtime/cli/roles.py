"""The roles of the image, and what a developer starts them all with."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import click

from limner.runtime import tracing
from limner.runtime.cli.calling import call, run, settings

ROLES = {
    "web": "limner.http.app",
    "worker": "limner.actors.worker",
    "bot": "limner.actors.bot.role",
    "archivist": "limner.actors.archivist.role",
}


BUSY = ("web", "worker")
"""A fifth of their processor time goes with asyncio's own loop, as python -m benchmarks.gateway measures it."""


def _play(role: str) -> None:
    config = settings(role)
    with tracing.on(role, config.otlp_url):
        module = importlib.import_module(ROLES[role])
        _spare_the_collector()
        code = run(module.run(config), _fast_loop() if role in BUSY else None)
    sys.exit(code)


def _spare_the_collector() -> None:
    """Modules live for ever, and of what a request makes hardly anything is a cycle: a hundredth of all processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop  # a tenth of a second, which no other command has to pay

    return uvloop.new_event_loop


@click.command()
def web() -> None:
    """Serve the site: pages, payments' webhooks, admin. Any number of processes may share the port."""
    _play("web")


@click.command()
def worker() -> None:
    """Paint, bill, tidy up: the actors. Any number of replicas."""
    _play("worker")


@click.command()
def bot() -> None:
    """Talk to admins on Telegram by long polling. Two replicas are safe: one polls, the other waits."""
    _play("bot")


@click.command()
def archivist() -> None:
    """Make a backup every day and try one out every week. Two replicas are safe: one works, the other waits."""
    _play("archivist")


@click.command()
def postgres() -> None:
    """Run the embedded Postgres of the all-in-one mode; does nothing when LIMNER_DATABASE_URL is set."""
    config = settings("postgres")
    sys.exit(call("limner.runtime.embedded", "main", config))


@click.command()
def migrate() -> None:
    """Bring the database up to this version, and sow what a fresh studio needs. Safe to run any number of times."""
    config = settings("migrate")
    before, after = run(call("limner.sql.seeds", "migrate_and_sow", config))
    click.echo(f"schema {before} -> {after}" if before != after else f"schema {after}: nothing to do")


@click.command()
def up() -> None:
    """Start everything on this machine under supervisord, and stay until Ctrl-C."""
    run(lambda: call("limner.runtime.allinone", "check_environment"))
    config = settings("up")
    sys.exit(call("limner.actors.visitor", "stay", config))


@click.command()
@click.option("--prompt", default="a fox in the snow", show_default=True, help="What to paint.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=None,
    help="Where to put it.  [default: by its words]",
)
@click.option("--size", default="1024x1024", show_default=True, help="WIDTHxHEIGHT, one that the model offers.")
@click.option("--once", is_flag=True, help="Stop everything afterwards.")
@click.option("--url", default=None, help="Use the studio at this address instead of starting one.")
@click.option("--insecure", is_flag=True, help="With --url: do not check the certificate.")
def demo(prompt: str, out: Path | None, size: str, once: bool, url: str | None, insecure: bool) -> None:
    """Start everything, then act as a user over HTTP: register, buy a plan, order a picture, download it."""
    if not url:
        run(lambda: call("limner.runtime.allinone", "check_environment"))
    config = settings("demo")
    wish = {"prompt": prompt, "out": out, "size": size}
    if url:
        sys.exit(run(call("limner.actors.visitor", "visit", url, insecure=insecure, **wish)))
    sys.exit(run(call("limner.actors.visitor", "demonstrate", config, once=once, **wish)))


COMMANDS = (web, worker, bot, archivist, postgres, migrate, up, demo)
