"""What an operator asks of invoices: find one, mark it paid, give the money back."""

from __future__ import annotations

from typing import Any

import click

from limner.runtime.cli.calling import call, run, settings

STATES = ["pending", "processing", "paid", "expired", "canceled", "invalid", "trouble"]


@click.group()
def invoice() -> None:
    """What people were asked to pay, and what became of it."""


@invoice.command("list")
@click.option("--state", type=click.Choice(STATES), default=None, help="trouble: about which somebody has to decide.")
@click.option("--search", default="", help="A part of the e-mail address, or a number, ours or the processor's.")
@click.option("--count", type=click.IntRange(1, 10_000), default=50, show_default=True)
def invoice_list(state: str | None, search: str, count: int) -> None:
    """The newest invoices."""
    for line in run(
        call("limner.sql.till", "list_invoices", settings(), state=state or "", search=search, count=count)
    ):
        click.echo(line)


@invoice.command("show")
@click.argument("id", type=click.UUID)
def invoice_show(id: Any) -> None:
    """One invoice: what came, what went back, which webhooks were believed, who did what."""
    for line in run(call("limner.sql.till", "show", settings(), id)):
        click.echo(line)


@invoice.command("check")
@click.argument("id", type=click.UUID)
def invoice_check(id: Any) -> None:
    """Have the processor asked at once."""
    click.echo(run(call("limner.sql.till", "check", settings(), id)))


@invoice.command("paid")
@click.argument("id", type=click.UUID)
@click.option("--reason", required=True, help="How it was paid; it stands in the audit.")
@click.option("--yes", is_flag=True, help="Do not ask, also when something is to be decided about it.")
def invoice_paid(id: Any, reason: str, yes: bool) -> None:
    """Mark an invoice paid by hand, and credit it: once, like any other. What is to be decided about it is decided so."""
    config = settings()
    seen = run(call("limner.sql.till", "look", config, id))
    if seen.trouble and not yes:
        click.confirm(f"To decide: {seen.trouble_words} Mark it paid?", abort=True)
    click.echo(run(call("limner.sql.till", "mark_paid", config, id, reason, seen)))


@invoice.command("refund")
@click.argument("id", type=click.UUID)
@click.option("--reason", required=True, help="Why; whoever paid reads it.")
@click.option("--surplus", is_flag=True, help="Only what came too much; no credits are taken.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def invoice_refund(id: Any, reason: str, surplus: bool, yes: bool) -> None:
    """Give the money back through the processor, once, and take back what is left of the credits."""
    config, kind = settings(), "surplus" if surplus else "whole"
    question, seen = run(call("limner.sql.till", "ask_refund", config, id, kind))
    if not yes:
        click.confirm(question, abort=True)
    click.echo(run(call("limner.sql.till", "refund", config, id, kind, reason, None if yes else seen)))


COMMANDS = (invoice,)
