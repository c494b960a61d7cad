"""What an operator does for people: accounts, links, invitations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from limner.runtime.cli.calling import call, run, settings

DESK = "limner.sql.reception"


@click.group()
def user() -> None:
    """The people."""


@user.command("create")
@click.argument("email")
@click.option("--role", type=click.Choice(["user", "support", "admin"]), default="user", show_default=True)
@click.option(
    "--password-file",
    type=click.File("r"),
    help="Where the password stands; - is standard input.  [default: none, and a link to choose one is printed]",
)
def user_create(email: str, role: str, password_file: Any) -> None:
    """Make an account whose address counts as confirmed. Nobody has a password that others know: a link is printed."""
    password = None
    if password_file is not None:
        typed = click.prompt("Password", hide_input=True) if password_file.isatty() else password_file.readline()
        password = typed.rstrip("\r\n")
    for line in run(call(DESK, "create", settings(), email, role, password)):
        click.echo(line)


@user.command("promote")
@click.argument("email")
@click.option("--role", type=click.Choice(["user", "support", "admin"]), default="admin", show_default=True)
def user_promote(email: str, role: str) -> None:
    """Make somebody an admin, or take it away again."""
    click.echo(run(call(DESK, "promote", settings(), email, role)))


@user.command("totp-reset")
@click.argument("email")
def user_totp_reset(email: str) -> None:
    """Take the second factor from somebody who lost it, and end their sessions. Be sure who is asking."""
    click.echo(run(call("limner.sql.desk", "reset_factor", settings(), email)))


@user.command("ban")
@click.argument("email")
@click.option("--reason", required=True, help="The audit keeps it.")
def user_ban(email: str, reason: str) -> None:
    """Shut somebody out at once. Nothing is deleted."""
    click.echo(run(call(DESK, "ban", settings(), email, reason)))


@user.command("unban")
@click.argument("email")
@click.option("--reason", required=True, help="The audit keeps it.")
def user_unban(email: str, reason: str) -> None:
    """Let somebody in again."""
    click.echo(run(call(DESK, "unban", settings(), email, reason)))


@user.command("verify")
@click.argument("email")
def user_verify(email: str) -> None:
    """Confirm an address by hand, where no mail can be sent."""
    click.echo(run(call(DESK, "verify", settings(), email)))


@user.command("reset-link")
@click.argument("email")
def user_reset_link(email: str) -> None:
    """Print a link to choose a new password. It works once, within 60 minutes; a newer one replaces it."""
    click.echo(run(call(DESK, "reset_link", settings(), email)))


@user.command("list")
@click.option("--search", default="", help="A part of the address.")
@click.option("--count", type=click.IntRange(1, 10_000), default=50, show_default=True)
def user_list(search: str, count: int) -> None:
    """The newest accounts."""
    for line in run(call(DESK, "listing", settings(), search, count)):
        click.echo(line)


@user.command("show")
@click.argument("email")
def user_show(email: str) -> None:
    """What is known of an account: plan, credits, sessions, last sign-ins."""
    for line in run(call(DESK, "show", settings(), email)):
        click.echo(line)


@user.command("export")
@click.argument("email")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def user_export(email: str, file: Path) -> None:
    """Write everything that is kept about somebody into a ZIP FILE, a new one."""
    click.echo(run(call(DESK, "export", settings(), email, file)))


@user.command("delete")
@click.argument("email")
@click.option("--reason", default="asked for", show_default=True, help="The audit keeps it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def user_delete(email: str, reason: str, yes: bool) -> None:
    """Delete an account for good: pictures and prompts are wiped, the books keep their rows without the name."""
    config = settings()
    if not yes:
        click.confirm(f"Delete {email} for good?", abort=True)
    click.echo(run(call(DESK, "delete", config, email, reason)))


@click.group()
def invite() -> None:
    """Who may make an account, where LIMNER_REGISTRATION is invite."""


@invite.command("create")
@click.option("--uses", type=click.IntRange(1, 10_000), default=1, show_default=True, help="For how many accounts.")
@click.option("--days", type=click.IntRange(1, 365), default=14, show_default=True, help="For how long.")
@click.option("--note", default="", help="Whom it is for.")
@click.option("--reason", required=True, help="The audit keeps it.")
def invite_create(uses: int, days: int, note: str, reason: str) -> None:
    """Make an invitation, and print its link: it is shown this once, and then nobody knows it."""
    click.echo(run(call(DESK, "invite", settings(), uses, days, note, reason)))


@invite.command("list")
def invite_list() -> None:
    """Every invitation, how often it was used, and until when it holds."""
    for line in run(call(DESK, "list_invitations", settings())):
        click.echo(line)


@invite.command("revoke")
@click.argument("id", type=click.UUID)
@click.option("--reason", required=True, help="The audit keeps it.")
def invite_revoke(id: Any, reason: str) -> None:
    """End an invitation at once; whoever came with it stays."""
    click.echo(run(call(DESK, "revoke_invitation", settings(), id, reason)))


COMMANDS = (user, invite)
