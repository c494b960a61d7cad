"""What an operator begins with: an installation of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import click

from limner.runtime.cli.calling import call, json_option, run


@click.command()
@json_option
@click.argument("domain")
@click.option("--tls", default="", help="Your e-mail address, for Let's Encrypt; or internal.  [localhost: internal]")
@click.option("--image", default="", help="Limner's image in a registry.  [default: limner:local, built here]")
@click.option("--ops-image", default="", help="The archivist's.  [default: limner-ops:local, built here]")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="A clone.  [default: here]"
)
def init(as_json: bool, domain: str, tls: str, image: str, ops_image: str, folder: Path) -> None:
    """Write .env and secrets/ for an installation with Compose under DOMAIN. What is there already stays as it is."""
    written = run(lambda: call("limner.runtime.installation", "init", folder, domain, tls, image, ops_image))
    click.echo(json.dumps({"files": [vars(each) for each in written]}) if as_json else "\n".join(map(str, written)))


COMMANDS = (init,)
