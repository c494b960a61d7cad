"""What an operator does with promo and gift codes."""

from __future__ import annotations

from typing import Any

import click

from limner.runtime.cli.calling import call, run, settings
from limner.runtime.cli.pool import _cents

KIOSK = "limner.sql.kiosk"
GIVES = ("percent", "amount", "days", "credits")

until_option = click.option(
    "--until", type=click.DateTime(["%Y-%m-%d"]), help="The last day, in UTC.  [default: no end]"
)
note_option = click.option("--note", default="", help="For you alone.")


def _say(function: str, *args: Any, **options: Any) -> None:
    found = run(call(KIOSK, function, settings(), *args, **options))
    for line in [found] if isinstance(found, str) else found:
        click.echo(line)


@click.group()
def code() -> None:
    """Promo codes, which take something off or add to a plan, and gift codes, which are worth money."""


@code.command("create")
@click.argument("word", required=False)
@click.option("--percent", type=click.IntRange(1, 100), help="Per cent off.")
@click.option("--amount", callback=_cents, metavar="AMOUNT", help="Off the price, such as 4.99.")
@click.option("--days", type=click.IntRange(1, 366), help="More days.")
@click.option("--credits", type=click.IntRange(1, 100_000), help="More credits; of a gift: what it gives.")
@click.option("--gifts", type=click.IntRange(1, 1000), help="Make so many gift codes, and print them this once.")
@click.option("--plan", "plan_codes", multiple=True, help="For this plan alone; of gifts: a month of it.")
@click.option("--currency", default="USD", show_default=True, help="Of the amount.")
@click.option("--uses", "most_uses", type=click.IntRange(1), help="In all.  [default: any number]")
@click.option("--per-account", "most_per_account", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--first-order", "first_order_only", is_flag=True, help="For a first order only.")
@until_option
@note_option
def code_create(
    word: str | None, gifts: int | None, amount: int | None, credits: int | None, plan_codes: tuple[str, ...],
    until: Any, note: str, **rest: Any,
) -> None:  # fmt: skip
    """Make the promo code WORD, or --gifts."""
    promised = {"percent": rest.pop("percent"), "amount": amount, "days": rest.pop("days"), "credits": credits}
    given = {name: value for name, value in promised.items() if value is not None}
    if gifts:
        if word or set(given) - {"credits"} or len(plan_codes) + len(given) != 1:
            raise click.UsageError("Gifts give --credits or a month of one --plan, and are called nothing.")
        plan_code = plan_codes[0] if plan_codes else None
        return _say("make_gifts", gifts, plan_code, credits or 0, until=until, note=note)
    if word is None or len(given) != 1:
        raise click.UsageError("A promo code is a word and one of --percent, --amount, --days, --credits.")
    ((gives, value),) = given.items()
    return _say("create", word, gives, value, plan_codes=plan_codes, until=until, note=note, **rest)


@code.command("list")
@click.option("--kind", type=click.Choice(["promo", "gift"]), default=None)
@click.option("--count", type=click.IntRange(1, 10_000), default=100, show_default=True)
def code_list(kind: str | None, count: int) -> None:
    """The newest codes with their uses; of a gift the last four characters."""
    _say("listing", kind or "", count)


@code.command("stop")
@click.argument("named", metavar="CODE")
@click.option("--reason", default="by hand", show_default=True)
def code_stop(named: str, reason: str) -> None:
    """Let nobody use a code any more: a promo code by its word, any by its id. Invoices that were made with it hold."""
    _say("stop", named, reason)


COMMANDS = (code,)
