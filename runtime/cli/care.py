"""What an operator looks an installation over with: doctor, checklist, support-bundle."""

from __future__ import annotations

import json
from pathlib import Path

import click

from limner.runtime import log
from limner.runtime.cli.calling import call, json_option, run, tell
from limner.runtime.config import Config, ConfigError

folder_option = click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    help="Where docker-compose.yml, .env and secrets are.  [default: here]",
)


@click.command()
@json_option
@click.option("--only", default=None, metavar="GROUP", help="One group, such as database, or one check.")
@folder_option
def doctor(as_json: bool, only: str | None, folder: Path) -> None:
    """Look everything over: a line for each check, with its evidence, and the fix where something is wrong.

    Exit 0 when all is well, 1 with warnings, 2 with failures.
    """
    settings = _settings()
    tell(lambda say: call("limner.actors.doctor.examination", "examine", settings, folder, say, only), as_json=as_json)


@click.command()
@json_option
@folder_option
def checklist(as_json: bool, folder: Path) -> None:
    """What a new installation needs, from the server to the first drill, with evidence for each line.

    Sends one harmless message, to see it handled. Exit 0 when all is there, 1 with warnings, 2 with failures.
    """
    settings = _settings()
    tell(lambda say: call("limner.actors.doctor.checklist", "walk", settings, folder, say), as_json=as_json)


@click.command("support-bundle")
@json_option
@click.option(
    "--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help="FILE.tar.gz, a new one; or -."
)
@folder_option
def support_bundle(as_json: bool, out: Path, folder: Path) -> None:
    """Collect what somebody who helps needs to know: no secrets, no prompts, no addresses, no pictures."""
    target = None if str(out) == "-" else out
    said = list(run(call("limner.actors.doctor.bundle", "bundle", _settings(), folder, target)))
    if as_json:
        click.echo(json.dumps({"file": str(out), "notes": said}), err=target is None)
    else:
        click.echo("\n".join([*said, f"made {out}: look through it before you send it"]), err=True)


COMMANDS = (doctor, checklist, support_bundle)


def _settings() -> Config | ConfigError:
    """Wrong settings are something to look at, not the end. Nothing is logged between the lines."""
    log.set_up("cli", level="critical")
    try:
        return Config.load()
    except ConfigError as error:
        return error
