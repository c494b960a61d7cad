"""What an operator does with an installation: set it up, look it over, back it up, bring it up to date."""

from __future__ import annotations

from pathlib import Path

import click

from limner.runtime.cli.calling import call, run


@click.command()
@click.argument("domain")
@click.option("--tls", required=True, help="Your e-mail address, for Let's Encrypt; or internal.")
@click.option(
    "--folder", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="A clone.  [default: here]"
)
def init(domain: str, tls: str, folder: Path) -> None:
    """Write .env and secrets/ for an installation with Compose under DOMAIN. What is there already stays as it is."""
    for line in run(lambda: call("limner.runtime.installation", "init", folder, domain, tls)):
        click.echo(line)


COMMANDS = (init,)
