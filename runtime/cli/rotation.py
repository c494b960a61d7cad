"""What an operator does with secrets, and the way from the all-in-one mode to the split deployment."""

from __future__ import annotations

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from limner.runtime.cli.calling import call, json_option, settings, tell
from limner.runtime.report import Say

KEYS = ("vault", "session")
FROM_OUTSIDE = ("bot", "s3")
WORK = {"vault": ("keyring", "rotate"), "session": ("keyring", "rotate"), "database": ("password", "rotate")}
"""The module and function; all others are functions of outside."""


@click.group()
def secrets() -> None:
    """The studio's secrets: look them over, and replace them while it runs."""


@secrets.command()
@json_option
def check(as_json: bool) -> None:
    """Are they long enough, distinct, well kept, and does every sealed secret open? Changes nothing, shows none."""
    config = settings()
    tell(lambda say: call("limner.actors.rotation.checks", "check", config, say), as_json=as_json)


@secrets.command()
@click.argument("what", type=click.Choice([*KEYS, "database", "sandbox", *FROM_OUTSIDE]))
@click.option(
    "--folder",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    default=None,
    help="Where the files of the secrets lie.  [default: as the settings say]",
)
@click.option("--again", is_flag=True, help="vault, session: begin though a rotation has just ended.")
@click.option("--now", is_flag=True, help="session: do not wait for forms that people opened before.")
@json_option
def rotate(what: str, folder: Path | None, again: bool, now: bool, as_json: bool) -> None:
    """Replace a secret while the studio runs. Safe to break off and to run again.

    vault and session take several runs, with restarts between them: exit 1 means that one is due, exit 0 that the
    rotation is complete. bot and s3 read the new secret from standard input and try it out first.
    """
    config = settings()
    handed = [sys.stdin.read().strip()] if what in FROM_OUTSIDE else []
    options: dict[str, Any] = {"folder": folder} | ({"again": again, "now": now} if what in KEYS else {})
    where, function = WORK.get(what, ("outside", what))
    about = [what] if what in KEYS else []

    def work(say: Say) -> Coroutine[Any, Any, Any]:
        done: Coroutine[Any, Any, Any] = call(
            f"limner.actors.rotation.{where}", function, config, *about, say, *handed, **options
        )
        return done

    tell(work, as_json=as_json)


@click.command()
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="A folder that is not there yet.")
@click.option("--pictures", is_flag=True, help="Take the pictures along.")
@click.option("--online", is_flag=True, help="Though the studio runs: what it does meanwhile may be missing.")
@json_option
def export(folder: Path, pictures: bool, online: bool, as_json: bool) -> None:
    """Pack the all-in-one's database, secrets and pictures for an installation with Compose."""
    config = settings()
    tell(
        lambda say: call("limner.actors.exporter", "export", config, folder, say, pictures=pictures, online=online),
        as_json=as_json,
    )


COMMANDS = (secrets, export)
