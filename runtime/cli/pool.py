"""What an operator does with the pool: keys, proxies, providers, models and funds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from limner.runtime import amounts
from limner.runtime.cli.calling import call, run, settings
from limner.runtime.cli.desk import key
from limner.runtime.errors import Refused

COUNTER = "limner.sql.counter"
BENCH = "limner.actors.workbench"


def _say(module: str, function: str, *args: Any, **options: Any) -> None:
    found = run(call(module, function, settings(), *args, **options))
    for line in [found] if isinstance(found, str) else found:
        click.echo(line)


def _dollars(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """In millionths."""
    try:
        return None if value is None else amounts.micros(value, field=str(parameter.name))
    except Refused as why:
        raise click.BadParameter(str(why)) from None


def _cents(_: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    try:
        return None if value is None else amounts.cents(value, field=str(parameter.name))
    except Refused as why:
        raise click.BadParameter(str(why)) from None


def _day(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
    try:
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)
    except ValueError:
        raise click.BadParameter(f"{value!r} is no day such as 2026-12-31") from None


@key.command("set")
@click.argument("key_id", type=int)
@click.option("--label", default=None)
@click.option("--group", "account_group", default=None, help="The billing account it belongs to.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=None, help="Pictures at the same time.")
@click.option("--weight", type=click.IntRange(1, 1000), default=None, help="How much more often than the others.")
@click.option("--rpm", type=click.IntRange(0, 100000), default=None, help="Requests a minute; 0: no limit.")
@click.option("--proxy", "proxy_id", type=click.IntRange(0), default=None, help="The id of its proxy; 0: none.")
@click.option("--direct/--no-direct", "may_go_direct", default=None, help="Straight, when its proxies are down?")
@click.option("--returns/--no-returns", "returns_by_probe", default=None, help="Back by a good probe?")
def key_set(key_id: int, **changes: Any) -> None:
    """Change how a key is used. What is not named stays."""
    _say(COUNTER, "set_key", key_id, **changes)


@key.command("state")
@click.argument("key_id", type=int)
@click.argument("state", type=click.Choice(["active", "disabled"]))
@click.option("--reason", default="by hand")
def key_state(key_id: int, state: str, reason: str) -> None:
    """Wake a key from everything, or take it out until somebody wakes it."""
    _say(COUNTER, "set_key_state", key_id, state, reason)


@key.command("probe")
@click.argument("key_id", type=int)
def key_probe(key_id: int) -> None:
    """Have a worker look at a key that fell out, at once and for free."""
    _say(COUNTER, "probe_key", key_id)


@key.command("events")
@click.argument("key_id", type=int, required=False)
def key_events(key_id: int | None) -> None:
    """What happened to a key, or to all, the newest first."""
    _say(COUNTER, "key_events", key_id)


@click.group()
def proxy() -> None:
    """The ways out: http, https and socks5 proxies."""


def _url(source: Any) -> str:
    return str(click.prompt("Address", hide_input=True) if source.isatty() else source.read().strip())


@proxy.command("add")
@click.option("--label", required=True, help="How people call it.")
@click.option("--backup", "backup_id", type=int, default=None, help="The id of the one to take when it is down.")
@click.option(
    "--url-file", type=click.File("r"), default="-", help="Where its address stands.  [default: standard input]"
)
def proxy_add(label: str, backup_id: int | None, url_file: Any) -> None:
    """Keep a proxy, such as socks5://user:password@host:1080, read from standard input."""
    _say(COUNTER, "add_proxy", label, _url(url_file), backup_id)


@proxy.command("list")
def proxy_list() -> None:
    """Every proxy with its state; never its user or password."""
    _say(COUNTER, "list_proxies")


@proxy.command("test")
@click.argument("proxy_id", type=int)
def proxy_test(proxy_id: int) -> None:
    """Where a proxy comes out, and how long that takes. Exit 1: nothing came through."""
    _say(BENCH, "proxy_test", proxy_id)


@proxy.command("set")
@click.argument("proxy_id", type=int)
@click.option("--label", default=None)
@click.option("--backup", "backup_id", type=click.IntRange(0), default=None, help="0: none.")
@click.option(
    "--url-file", type=click.File("r"), default=None, help="Where its new address stands; - is standard input."
)
def proxy_set(proxy_id: int, label: str | None, backup_id: int | None, url_file: Any) -> None:
    """Change a proxy. What is not named stays."""
    _say(COUNTER, "set_proxy", proxy_id, label, _url(url_file) if url_file else "", backup_id)


@proxy.command("state")
@click.argument("proxy_id", type=int)
@click.argument("state", type=click.Choice(["active", "disabled"]))
@click.option("--reason", default="by hand")
def proxy_state(proxy_id: int, state: str, reason: str) -> None:
    """Wake a proxy, or take it out: its keys wait or go by their backup, never straight by that."""
    _say(COUNTER, "set_proxy_state", proxy_id, state, reason)


@proxy.command("remove")
@click.argument("proxy_id", type=int)
def proxy_remove(proxy_id: int) -> None:
    """Forget a proxy that nobody uses any more."""
    _say(COUNTER, "remove_proxy", proxy_id)


@click.group()
def provider() -> None:
    """Who paints."""


@provider.command("list")
def provider_list() -> None:
    """Every provider, with its keys and models."""
    _say(COUNTER, "list_providers")


@provider.command("add")
@click.argument("code")
@click.option("--kind", required=True, help="Its painter: openai, gemini, relay, fal, replicate, stability or a1111.")
@click.option("--base-url", default="", help="Where it is reached.  [default: where its kind is by itself]")
@click.option("--settings", "given", default=None, help="What its painter wants to know, as a JSON object.")
@click.option("--local", "is_local", is_flag=True, help="A machine of your own, at a private address.")
def provider_add(code: str, kind: str, base_url: str, given: str | None, is_local: bool) -> None:
    """Add somebody who paints, under a CODE of your own."""
    _say(COUNTER, "add_provider", code, kind, base_url, given, is_local=is_local)


@provider.command("set")
@click.argument("code")
@click.option("--base-url", default=None, help="Where it is reached; empty: its own.")
@click.option("--on/--off", "active", default=None)
@click.option("--settings", "given", default=None, help="What its painter wants to know, as a JSON object.")
@click.option("--local/--public", "is_local", default=None, help="A machine of your own, at a private address?")
def provider_set(
    code: str, base_url: str | None, active: bool | None, given: str | None, is_local: bool | None
) -> None:
    """Change a provider. What is not named stays."""
    _say(COUNTER, "set_provider", code, base_url, active, given, is_local)


@click.group()
def model() -> None:
    """The catalogue: what is painted with, and for how much."""


@model.command("list")
def model_list() -> None:
    """Every model with its price, its cost and its other names."""
    _say(COUNTER, "list_models")


@model.command("import")
@click.argument("provider_code", metavar="PROVIDER")
def model_import(provider_code: str) -> None:
    """Take in what a provider lists and the catalogue lacks: switched off, at one credit."""
    _say(BENCH, "models_import", provider_code)


@model.command("add")
@click.argument("provider_code", metavar="PROVIDER")
@click.argument("model_id", metavar="ID")
@click.option("--upstream", required=True, help="Its id over there.")
@click.option("--credits", type=click.IntRange(1, 100000), required=True, help="What a picture costs the user.")
@click.option("--cost", callback=_dollars, required=True, help="What a picture costs you, in US dollars.")
@click.option("--name", default="", help="How people call it.  [default: its id]")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    default=["1024x1024"],
    show_default=True,
    help="Such as 1536x1024; again for more.",
)
@click.option(
    "--from",
    "abilities",
    type=click.Choice(["text", "image", "mask"]),
    multiple=True,
    default=["text"],
    help="What it paints from: words, reference pictures, a mask; again for more.  [default: text]",
)
@click.option("--option", "options", multiple=True, help="Such as 'quality: low, high'; again for more.")
@click.option("--alias", "aliases", multiple=True, help="Another name; again for more.")
@click.option("--on/--off", "active", default=True, help="Offered?  [default: on]")
def model_add(provider_code: str, model_id: str, **about: Any) -> None:
    """Put a model of a PROVIDER into the catalogue, under an ID of your own."""
    _say(COUNTER, "add_model", provider_code, model_id, **about)


@model.command("set")
@click.argument("model_id")
@click.option("--name", default=None)
@click.option("--upstream", "upstream_id", default=None, help="Its id over there.")
@click.option("--credits", type=click.IntRange(1, 100000), default=None, help="What a picture costs the user.")
@click.option("--cost", callback=_dollars, default=None, help="What a picture costs you, in US dollars.")
@click.option("--on/--off", "active", default=None)
@click.option("--size", "sizes", multiple=True, help="Such as 1024x1024; again for more. Replaces the list.")
@click.option("--alias", "aliases", multiple=True, help="Another name; again for more. Replaces the list.")
@click.option(
    "--from",
    "abilities",
    type=click.Choice(["text", "image", "mask"]),
    multiple=True,
    help="What it paints from; again for more. Replaces the list.",
)
@click.option("--option", "options", multiple=True, help="Such as 'quality: low, high'; again for more. Replaces all.")
@click.option("--retires", callback=_day, default=None, help="From this day on it is not offered: 2026-12-31.")
@click.option("--replacement", default=None, help="The model that its name stands for from then on.")
def model_set(model_id: str, **changes: Any) -> None:
    """Change a model. What is not named stays."""
    _say(COUNTER, "set_model", model_id, **changes)


@click.group()
def fund() -> None:
    """What is left on the accounts over there."""


@fund.command("list")
def fund_list() -> None:
    """Every account with what is left, and how many days that lasts."""
    _say(COUNTER, "list_funds")


@fund.command("top-up")
@click.argument("provider_code", metavar="PROVIDER")
@click.argument("account")
@click.argument("amount", callback=_dollars)
@click.option("--note", default="")
def fund_top_up(provider_code: str, account: str, amount: int, note: str) -> None:
    """Note that ACCOUNT, a group or "key ID", was topped up by AMOUNT dollars; a negative one corrects."""
    _say(COUNTER, "top_up", provider_code, account, amount, note)


@fund.command("alert")
@click.argument("provider_code", metavar="PROVIDER")
@click.argument("account")
@click.argument("amount", callback=_dollars, required=False)
def fund_alert(provider_code: str, account: str, amount: int | None) -> None:
    """Be told when less than AMOUNT dollars is left; without it only when it lasts less than three days."""
    _say(COUNTER, "fund_alert", provider_code, account, amount)


@click.command()
@click.option("--by", type=click.Choice(["day", "plan", "model", "key", "user"]), default="day", show_default=True)
@click.option("--days", type=click.IntRange(1, 366), default=30, show_default=True)
def margin(by: str, days: int) -> None:
    """What pictures earned and what attempts cost."""
    _say(COUNTER, "list_margins", by, days)


COMMANDS = (proxy, provider, model, fund, margin)
