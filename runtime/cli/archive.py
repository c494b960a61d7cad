"""What an operator does with copies: make them, try them out, put them back."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

import click

from limner.runtime.cli.calling import call, json_option, run, settings, tell

DESK = "limner.actors.archivist.desk"


def _moment(_: click.Context, __: click.Parameter, value: str) -> datetime:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        raise click.BadParameter(f'{value!r} is no time such as "2026-11-23 12:00:00+00"') from None
    if found.tzinfo is None:
        raise click.BadParameter(f"{value!r} has no time zone: add +00 for UTC")
    return found


@click.command()
@json_option
def backup(as_json: bool) -> None:
    """Copy the database and the pictures to where LIMNER_BACKUP_… says, and read the copy back. Changes nothing else.

    Exit 0: there is a backup; 1: there is one, with warnings; 2: there is none.
    """
    config = settings()
    tell(lambda say: call(DESK, "backup", config, say), as_json=as_json)


@click.command()
@json_option
def backups(as_json: bool) -> None:
    """List the backups, the newest first: age, size, and whether a drill has proved them."""
    found = run(call(DESK, "listing", settings()))
    if as_json:
        return click.echo(json.dumps([call(DESK, "data", each) for each in found]))
    for each in found:
        click.echo(call(DESK, "line", each))
    if not found:
        click.echo("there is none: `limner backup` makes one")


@click.command()
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--without-pictures", is_flag=True, help="Go on when pictures are lost for good.")
@json_option
def restore(name: str, yes: bool, without_pictures: bool, as_json: bool) -> None:
    """Put a backup, by its NAME or "latest", in the place of the database, and back what the storage lacks.

    Stop all roles first. The backup is restored beside the database and looked over; only then do the two change places,
    and the old one is kept. Until then nothing changes.
    """
    config = settings()
    if not yes:
        click.confirm(f"Put the backup {name} in the place of the database?", abort=True)
    tell(lambda say: call(DESK, "put_back", config, name, say, without_pictures=without_pictures), as_json=as_json)


@click.command()
@click.argument("name", default="latest")
@json_option
def drill(name: str, as_json: bool) -> None:
    """Restore a backup, by its NAME or the newest, into a scratch Postgres of its own and look it over.

    The live database is not touched. Exit 0: the backup would serve; 2: it would not.
    """
    config = settings()
    tell(lambda say: call(DESK, "drill", config, name, say), as_json=as_json)


@click.group()
def pitr() -> None:
    """Recovery to a moment: bases, and the server's log between them."""


@pitr.command("archive")
@click.argument("path", type=click.Path(path_type=Path))
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path), required=True, help="The folder wal in LIMNER_PITR_FOLDER.")
def pitr_archive(path: Path, name: str, into: Path) -> None:
    """What the server's archive_command calls: keep the log's file PATH as NAME, durably, never over another."""
    click.echo(run(lambda: call("limner.actors.archivist.wal", "archive", path, name, into)))


@pitr.command("base")
@click.option("--whole", is_flag=True, help="All of it, not only what changed since the last one.")
@json_option
def pitr_base(whole: bool, as_json: bool) -> None:
    """Copy the server's files, or what changed since the last base, and let go of old ones."""
    config = settings()
    tell(lambda say: call(DESK, "base", config, say, whole=whole), as_json=as_json)


@pitr.command("check")
@json_option
def pitr_check(as_json: bool) -> None:
    """Whether a recovery would be possible: archiving, bases, and a log without gaps. Changes nothing."""
    config = settings()
    tell(lambda say: call(DESK, "check", config, say), as_json=as_json)


@pitr.command("restore")
@click.option("--to", required=True, callback=_moment, help='Such as "2026-11-23 12:00:00+00".')
@click.option("--into", required=True, type=click.Path(path_type=Path), help="An empty folder, or none yet.")
@json_option
def pitr_restore(to: datetime, into: Path, as_json: bool) -> None:
    """Make a folder the server's files as they were at a moment. Touches no running server."""
    config = settings()
    tell(lambda say: call(DESK, "recover", config, to, into.resolve(), say), as_json=as_json)


COMMANDS = (backup, backups, restore, drill, pitr)
