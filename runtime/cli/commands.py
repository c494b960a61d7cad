"""`limner ROLE|COMMAND`: parses, then hands over by name, so it imports no room."""

from __future__ import annotations

import click

from limner.runtime.cli import (
    archive,
    care,
    codes,
    desk,
    installation,
    mail,
    people,
    pool,
    roles,
    rotation,
    shop,
    till,
    upgrade,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Limner: a paid image studio that one person can run on one server.

    \b
    On a developer's machine    limner up, limner demo
    The roles of the image      limner migrate, web, worker, bot, archivist
    For the operator            limner init, config, health, actors, drain, resume, ledger, audit, key, pair, user,
                                subscription, invite, token, mail, proxy, provider, model, plan, fund,
                                margin, invoice, code,
                                doctor, checklist, support-bundle,
                                backup, backups, restore, drill, pitr,
                                secrets, export, preflight, upgrade, rollback, releases, bundle

    Settings come from the environment (LIMNER_…); `limner config` shows them all. Secrets may stand in files:
    LIMNER_SECRET_KEY_FILE=/run/secrets/secret_key.
    """


for part in (roles, installation, desk, codes, till, people, mail, pool, shop, archive, care, rotation, upgrade):
    for command in part.COMMANDS:
        main.add_command(command)
