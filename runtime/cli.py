"""`limner ROLE|COMMAND`: parses, then hands over by name, so it imports no room."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from limner.runtime import log
from limner.runtime.config import Config, ConfigError
from limner.runtime.errors import WRONG_SETTINGS, LimnerError

ROLES = {"web": "limner.http.app", "worker": "limner.actors.worker", "bot": "limner.actors.bot.role"}


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Limner: a paid image studio that one person can run on one server.

    \b
    On a developer's machine    limner up, limner demo
    The roles of the image      limner migrate, web, worker, bot
    For the operator            limner init, config, health, actors, drain, resume, ledger, key, pair, user

    Settings come from the environment (LIMNER_…); `limner config` shows them all. Secrets may stand in files:
    LIMNER_SECRET_KEY_FILE=/run/secrets/secret_key.
    """


def _settings() -> Config:
    try:
        config = Config.load()
        log.set_up("cli", config.log_format, "error")  # what a command answers is not mixed with events
        return config
    except ConfigError as error:
        for mistake in error.mistakes:
            click.echo(f"limner: {mistake}", err=True)
        sys.exit(WRONG_SETTINGS)


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run it; what Limner foresaw ends in one clear line and its exit code."""
    try:
        return asyncio.run(work)
    except ConfigError as error:
        work.close()
        for mistake in error.mistakes:
            click.echo(f"limner: {mistake}", err=True)
        sys.exit(WRONG_SETTINGS)
    except (LimnerError, OSError) as error:
        click.echo(f"limner: {error}", err=True)
        sys.exit(getattr(error, "exit_code", 1))
    except KeyboardInterrupt:
        sys.exit(130)


def _play(role: str) -> None:
    config = _settings()
    log.set_up(role, config.log_format, config.log_level)
    sys.exit(_run(importlib.import_module(ROLES[role]).run(config)))


@main.command()
def web() -> None:
    """Serve the site: pages, payments' webhooks, admin. Any number of processes may share the port."""
    _play("web")


@main.command()
def worker() -> None:
    """Paint, bill, tidy up: the actors. Any number of replicas."""
    _play("worker")


@main.command()
def bot() -> None:
    """Talk to admins on Telegram by long polling. Two replicas are safe: one polls, the other waits."""
    _play("bot")


@main.command()
def postgres() -> None:
    """Run the embedded Postgres of the all-in-one mode; does nothing when LIMNER_DATABASE_URL is set."""
    config = _settings()
    log.set_up("postgres", config.log_format, config.log_level)
    sys.exit(_call("limner.runtime.embedded", "main", config))


@main.command()
def migrate() -> None:
    """Bring the database up to this version, and sow what a fresh studio needs. Safe to run any number of times."""
    config = _settings()
    log.set_up("migrate", config.log_format, config.log_level)
    before, after = _run(_call("limner.sql.seeds", "migrate_and_sow", config))
    click.echo(f"schema {before} -> {after}" if before != after else f"schema {after}: nothing to do")


@main.command()
@click.argument("domain")
@click.option("--tls", required=True, help="Your e-mail address, for Let's Encrypt; or internal.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="A clone.  [default: here]"
)
def init(domain: str, tls: str, folder: Path) -> None:
    """Write .env and secrets/ for an installation with Compose under DOMAIN. What is there already stays as it is."""
    try:
        said = _call("limner.runtime.installation", "init", folder, domain, tls)
    except (LimnerError, OSError) as error:
        click.echo(f"limner: {error}", err=True)
        sys.exit(1)
    for line in said:
        click.echo(line)


@main.command()
def config() -> None:
    """Print every setting with its value; secrets are masked. Exit 78 when something is wrong, with every mistake."""
    for name, value in _settings().redacted().items():
        click.echo(f"{name}={value}")


@main.command()
def up() -> None:
    """Start everything on this machine under supervisord, and stay until Ctrl-C."""
    config = _settings()
    log.set_up("up", config.log_format, config.log_level)
    sys.exit(_call("limner.actors.visitor", "stay", config))


@main.command()
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
    config = _settings()
    log.set_up("demo", config.log_format, config.log_level)
    wish = {"prompt": prompt, "out": out, "size": size}
    if url:
        sys.exit(_run(_call("limner.actors.visitor", "visit", url, insecure=insecure, **wish)))
    sys.exit(_run(_call("limner.actors.visitor", "demonstrate", config, once=once, **wish)))


@main.command()
@click.argument("role", type=click.Choice(["web", "worker", "bot"]))
def health(role: str) -> None:
    """Exit 0 when a ROLE on this machine works: it answers, beats, and reaches the database."""
    config = _settings()
    problems = _run(_call("limner.sql.checkup", "problems", config, role))
    for problem in problems:
        click.echo(f"{role}: {problem}", err=True)
    if problems:
        sys.exit(1)
    click.echo(f"{role}: healthy" + (", polls every second" if config.direct_dsn is None else ""))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for programs.")
def actors(as_json: bool) -> None:
    """Every living process with its children, and how full and how busy the mailboxes are."""
    if as_json:
        return click.echo(json.dumps(_run(_call("limner.sql.desk", "census", _settings()))))
    for line in _run(_call("limner.sql.desk", "tree", _settings())):
        click.echo(line)


@main.command()
@click.argument("worker")
def drain(worker: str) -> None:
    """Have a WORKER take nothing new: "all", or the beginning of its id. What it has in hand it finishes."""
    click.echo(_run(_call("limner.sql.desk", "pause", _settings(), worker, paused=True)))


@main.command()
@click.argument("worker")
def resume(worker: str) -> None:
    """Have a drained WORKER go on: "all", or the beginning of its id."""
    click.echo(_run(_call("limner.sql.desk", "pause", _settings(), worker, paused=False)))


@main.group()
def ledger() -> None:
    """The credits and what they were spent on."""


@ledger.command("verify")
@click.option("--deep", is_flag=True, help="Read every picture, and compare it with what was delivered.")
@click.option("--json", "as_json", is_flag=True, help="One JSON array, for programs.")
def ledger_verify(deep: bool, as_json: bool) -> None:
    """Check every balance, charge and picture against the rules. Exit 1 when one is broken. Changes nothing."""
    findings = _run(_call("limner.sql.desk", "verify_books", _settings(), deep=deep))
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings]))
    for finding in [] if as_json else findings:
        click.echo(
            f"{'ok    ' if not finding.broken else 'BROKEN'}  {finding.rule}"
            + (f": {finding.broken}" if finding.broken else "")
        )
        for case in finding.cases:
            click.echo(f"        {case}")
    sys.exit(any(finding.broken for finding in findings))


@main.group()
def key() -> None:
    """The pool of provider keys."""


@key.command("add")
@click.option("--provider", required=True, help="openai, demo or simulator.")
@click.option("--label", required=True, help="How people call it.")
@click.option(
    "--secret-file", type=click.File("r"), default="-", help="Where the key stands.  [default: standard input]"
)
@click.option("--group", "account_group", default="", help="The billing account it belongs to.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=2, show_default=True)
@click.option("--switch", default="", help="For the simulator and the demo painter: how to behave.")
def key_add(provider: str, label: str, secret_file: Any, **options: Any) -> None:
    """Put a key into the pool. It is read from standard input, so that no shell history keeps it."""
    secret = click.prompt("Key", hide_input=True) if secret_file.isatty() else secret_file.read().strip()
    shown = _run(_call("limner.sql.desk", "add_key", _settings(), provider, label, secret, **options))
    click.echo(shown)


@key.command("list")
def key_list() -> None:
    """Every key with its state; never a secret."""
    for line in _run(_call("limner.sql.desk", "list_keys", _settings())):
        click.echo(line)


@main.group()
def user() -> None:
    """The people."""


@user.command("promote")
@click.argument("email")
@click.option("--role", type=click.Choice(["user", "support", "admin"]), default="admin", show_default=True)
def user_promote(email: str, role: str) -> None:
    """Make somebody an admin, or take it away again."""
    click.echo(_run(_call("limner.sql.desk", "promote", _settings(), email, role)))


class _Pair(click.Group):
    """`limner pair CODE` beside `limner pair list`: what is no command is a code."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            args = ["code", *args]
        return super().resolve_command(ctx, args)


@main.group(cls=_Pair)
def pair() -> None:
    """Who may steer from Telegram: `limner pair CODE`, with the code that the bot told."""


@pair.command("code", hidden=True)
@click.argument("code")
@click.option("--yes", is_flag=True, help="Do not ask.")
def pair_code(code: str, yes: bool) -> None:
    """Let the person with this code in."""
    config = _settings()
    name = _run(_call("limner.sql.desk", "who_has_code", config, code))
    if not yes:
        click.confirm(f"Let {name} steer this studio from Telegram?", abort=True)
    click.echo(_run(_call("limner.sql.desk", "pair", config, code)))


@pair.command("list")
def pair_list() -> None:
    """Who is paired."""
    for line in _run(_call("limner.sql.desk", "list_paired", _settings())):
        click.echo(line)


@pair.command("revoke")
@click.argument("telegram_id", type=int)
def pair_revoke(telegram_id: int) -> None:
    """Shut somebody out again, at once."""
    click.echo(_run(_call("limner.sql.desk", "unpair", _settings(), telegram_id)))


@pair.command("cleanup")
def pair_cleanup() -> None:
    """Forget codes that were not used."""
    click.echo(_run(_call("limner.sql.desk", "forget_codes", _settings())))


def _call(module: str, function: str, *args: Any, **options: Any) -> Any:
    return getattr(importlib.import_module(module), function)(*args, **options)


if __name__ == "__main__":
    main()
