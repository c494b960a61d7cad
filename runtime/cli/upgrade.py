"""Bringing an installation up to date, and back again: preflight, upgrade, rollback, releases, bundle."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from limner.runtime import log
from limner.runtime.cli.calling import call, json_option, run, settings, tell
from limner.runtime.report import Line

folder_option = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="The installation.  [default: here]",
)
ops_option = click.option("--ops-image", default="", help="The archivist's image.  [default: the one that it has]")
patience_option = click.option(
    "--patience", type=click.IntRange(5, 3600), default=120, show_default=True,
    help="Seconds that a role may take to become healthy.",
)  # fmt: skip


@click.command()
@click.argument("image")
@ops_option
@folder_option
@json_option
def preflight(image: str, ops_image: str, folder: Path, as_json: bool) -> None:
    """What would become of an upgrade to IMAGE: schema, locks, space, settings, the way back. Changes nothing."""
    tell(
        lambda say: call("limner.actors.shipwright.preflight", "preflight", folder, image, ops_image, say),
        as_json=as_json,
    )


@click.command()
@click.argument("image")
@ops_option
@folder_option
@patience_option
@click.option("--yes", is_flag=True, help="Do not ask, whatever the preflight warns of.")
@json_option
def upgrade(image: str, ops_image: str, folder: Path, patience: int, yes: bool, as_json: bool) -> None:
    """Replace what runs by IMAGE: backup, migrations, a rehearsal, then role by role; all as before when one fails."""
    if as_json and not yes:
        raise click.UsageError("--json needs --yes: a program cannot be asked")

    def agree(lines: list[Line]) -> bool:
        return yes or click.confirm(f"Replace what runs by {image}?")

    work = ("limner.actors.shipwright.upgrade", "upgrade", folder, image, ops_image)
    tell(lambda say: call(*work, say, agree, healthy_within=patience), as_json=as_json)


@click.command()
@click.option("--to", type=click.IntRange(1), default=None, help="The number of a set.  [default: the one before]")
@folder_option
@patience_option
@json_option
def rollback(to: int | None, folder: Path, patience: int, as_json: bool) -> None:
    """Put the former set of images into service again, when the schema still takes it. No data is lost."""
    work = ("limner.actors.shipwright.rollback", "rollback", folder, to)
    tell(lambda say: call(*work, say, healthy_within=patience), as_json=as_json)


@click.command()
@folder_option
@json_option
def releases(folder: Path, as_json: bool) -> None:
    """The last five sets of images that were in service here."""
    book = run(lambda: call("limner.actors.shipwright.releases", "read", folder))
    if as_json:
        sets = [vars(each) | {"images": vars(each.images)} for each in book]
        return click.echo(json.dumps({"current": book.current, "sets": sets}))
    for each in book:
        mark = "*" if each.number == book.current else " "
        saved = f"  backup before it {each.backup}" if each.backup else ""
        click.echo(f"{mark} {each.number:>3}  {each.since}  schema {each.head}  {each.images}  by {each.by}{saved}")


@click.command()
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Where to put it.")
@folder_option
@json_option
def bundle(out: Path, folder: Path, as_json: bool) -> None:
    """Write all that an installation without a network needs into one file: images, files, checksums, what is in them."""
    tell(lambda say: call("limner.actors.shipwright.bundle", "bundle", folder, out, say), as_json=as_json)


@click.command("preflight-here", hidden=True)
def preflight_here() -> None:
    """What this image finds when it looks at the database and the settings, as JSON; the outer preflight judges it."""
    log.set_up("cli", "text", "error")  # the settings may be wrong, and that is an answer
    click.echo(json.dumps(run(call("limner.actors.shipwright.inspection", "look"))))


@click.command("deploy-guard", hidden=True)
@click.option("--who", required=True)
@click.option("--doing", required=True)
def deploy_guard(**about: Any) -> None:
    """Hold the database's lock for deployments until standard input ends."""
    config = settings()
    sys.exit(run(call("limner.actors.shipwright.guard", "guard", config, **about)))


COMMANDS = (preflight, upgrade, rollback, releases, bundle, preflight_here, deploy_guard)
