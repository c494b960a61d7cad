"""What an operator asks of the mails: does one go out, what waits, and which link has to be passed on."""

from __future__ import annotations

import click

from limner.runtime.cli.calling import call, run, settings


@click.group()
def mail() -> None:
    """The mails, and their links while there is no mail server."""


@mail.command("test")
@click.argument("address")
@click.option("--template", default="test", show_default=True, help="Another one of the mails, with made-up details.")
@click.option("--language", type=click.Choice(["en", "ru", "zh"]), default="en", show_default=True)
def mail_test(address: str, template: str, language: str) -> None:
    """Send a mail to an ADDRESS at once, and say what the mail server says to it."""
    click.echo(run(call("limner.actors.mail.desk", "test", settings(), address, template, language)))


@mail.command("list")
@click.option("--state", type=click.Choice(["waiting", "sent", "failed"]), default=None, help="Only these.")
@click.option("--count", type=click.IntRange(1, 10_000), default=50, show_default=True)
def mail_list(state: str | None, count: int) -> None:
    """The newest mails: which went, which wait or failed, and why."""
    for line in run(call("limner.actors.mail.desk", "listing", settings(), state or "", count)):
        click.echo(line)


@mail.command("link")
@click.argument("id", type=int)
def mail_link(id: int) -> None:
    """Show the link of a mail that has not gone out, to pass it on. The audit says that it was shown."""
    click.echo(run(call("limner.actors.mail.desk", "link", settings(), id)))


@mail.command("retry")
@click.argument("id", type=int)
def mail_retry(id: int) -> None:
    """Send a mail now, also one that was given up."""
    click.echo(run(call("limner.actors.mail.desk", "retry", settings(), id)))


@mail.command("give-up")
@click.argument("id", type=int)
def mail_give_up(id: int) -> None:
    """Never send a mail that waits."""
    click.echo(run(call("limner.actors.mail.desk", "give_up", settings(), id)))


COMMANDS = (mail,)
