"""What an operator does with what is sold: the plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from limner.runtime.cli.pool import COUNTER, _cents, _say

TERMS = (
    click.option("--credits", "credits_per_cycle", type=click.IntRange(1), default=None, help="Pictures of a cycle."),
    click.option("--currency", "price_currency", default=None, help="Of the price.  [default: USD]"),
    click.option("--billing", "billing_currency", default=None, help="What it is paid in.  [default: USDT]"),
    click.option(
        "--per-day", "credits_per_day", type=click.IntRange(0), default=None, help="Credits a day; 0: no cap."
    ),
    click.option(
        "--per-month", "credits_per_month", type=click.IntRange(0), default=None, help="Credits a month; 0: no cap."
    ),
    click.option("--concurrency", type=click.IntRange(1, 100), default=None, help="Painted at the same time."),
    click.option("--priority", type=click.IntRange(-10, 10), default=None, help="Higher ones are painted first."),
    click.option("--retention", "retention_days", type=click.IntRange(0), default=None, help="In days; 0: for ever."),
    click.option("--wait", "longest_wait_seconds", type=click.IntRange(5, 86400), default=None, help="In seconds."),
    click.option("--model", "allowed_models", multiple=True, help='Again for more; "all": every one. Replaces them.'),
    click.option("--exact/--buckets", "shows_exact_quota", default=None, help="How what is left is shown."),
    click.option("--on/--off", "active", default=None, help="Is it sold?"),
    click.option("--sort", type=click.IntRange(-1000, 1000), default=None, help="Its place among the plans."),
)


def _terms(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a plan, for adding one as for changing one."""
    for option in reversed(TERMS):
        command = option(command)
    return command


@click.group()
def plan() -> None:
    """What is sold: price, credits and limits."""


@plan.command("list")
def plan_list() -> None:
    """Every plan with its price, its limits, and how many have it."""
    _say(COUNTER, "list_plans")


@plan.command("add")
@click.argument("code")
@click.option("--name", required=True)
@click.option("--price", callback=_cents, required=True, help="For a month.")
@_terms
def plan_add(code: str, **terms: Any) -> None:
    """Sell one plan more. What is not named is as for the default plan."""
    _say(COUNTER, "add_plan", code, **terms)


@plan.command("set")
@click.argument("code")
@click.option("--name", default=None)
@click.option("--price", callback=_cents, default=None, help="For a month.")
@_terms
def plan_set(code: str, **terms: Any) -> None:
    """Change a plan. What is not named stays; invoices and running periods keep what they say."""
    _say(COUNTER, "set_plan", code, **terms)


COMMANDS = (plan,)
