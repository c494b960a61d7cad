"""What an operator asks of a running studio: its processes, its books, its keys."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from limner.runtime.cli.calling import call, json_option, run, settings


@click.command()
def config() -> None:
    """Print every setting with its value; secrets are masked. Exit 78 when something is wrong, with every mistake."""
    for name, value in settings().redacted().items():
        click.echo(f"{name}={value}")


@click.command()
@click.argument("role", type=click.Choice(["web", "worker", "bot", "archivist"]))
def health(role: str) -> None:
    """Exit 0 when a ROLE on this machine works: it answers, beats, and reaches the database."""
    config = settings()
    problems = run(call("limner.sql.checkup", "problems", config, role))
    for problem in problems:
        click.echo(f"{role}: {problem}", err=True)
    if problems:
        sys.exit(1)
    click.echo(f"{role}: healthy" + (", polls every second" if config.direct_dsn is None else ""))


@click.command()
@json_option
def actors(as_json: bool) -> None:
    """Every living process with its children, and how full and how busy the mailboxes are."""
    if as_json:
        return click.echo(json.dumps(run(call("limner.sql.desk", "census", settings()))))
    for line in run(call("limner.sql.desk", "tree", settings())):
        click.echo(line)


@click.command()
@click.argument("worker")
def drain(worker: str) -> None:
    """Have a WORKER take nothing new: "all", or the beginning of its id. What it has in hand it finishes."""
    click.echo(run(call("limner.sql.desk", "pause", settings(), worker, paused=True)))


@click.command()
@click.argument("worker")
def resume(worker: str) -> None:
    """Have a drained WORKER go on: "all", or the beginning of its id."""
    click.echo(run(call("limner.sql.desk", "pause", settings(), worker, paused=False)))


@click.group()
def ledger() -> None:
    """The credits and what they were spent on."""


@ledger.command("verify")
@click.option("--deep", is_flag=True, help="Read every picture, and compare it with what was delivered.")
@json_option
def ledger_verify(deep: bool, as_json: bool) -> None:
    """Check every balance, charge and picture against the rules. Exit 1 when one is broken. Changes nothing."""
    findings = run(call("limner.sql.desk", "verify_books", settings(), deep=deep))
    if as_json:
        click.echo(json.dumps([vars(finding) for finding in findings]))
    for finding in [] if as_json else findings:
        click.echo(
            f"{'ok    ' if not finding.broken else 'BROKEN'}  {finding.rule}"
            + (f": {finding.broken}" if finding.broken else "")
        )
        for case in finding.cases:
            click.echo(f"        {case}")
    sys.exit(any(finding.broken for finding in findings))


@click.group()
def audit() -> None:
    """Who did what: every act that changed money, access or keys."""


@audit.command("verify")
@click.option("--since", metavar="ANCHOR", help="Walk only what came after: quicker, where the rest was walked before.")
@click.option("--expect", metavar="ANCHOR", multiple=True, help="A head that was printed once; any number of them.")
@json_option
def audit_verify(since: str | None, expect: tuple[str, ...], as_json: bool) -> None:
    """Walk the chain of the audit, and name the first row that was changed, removed, put in or moved. Changes nothing.

    Prints its head. Keep that elsewhere: given as ANCHOR later, it tells when the end was cut off, or all of it made anew.
    Exit 1 when something is broken.
    """
    found = run(call("limner.sql.desk", "verify_audit", settings(), since, expect))
    if as_json:
        click.echo(json.dumps(found))
    elif found["whole"]:
        erased = f", {found['erased']} of them of names that were erased since" if found["erased"] else ""
        click.echo(f"ok      {found['links']} links{erased}\nhead    {found['head']}")
    else:
        troubles = [found["broken"] or "", *found["guards"]]
        click.echo("\n".join(f"BROKEN  {trouble}" for trouble in troubles if trouble))
        click.echo(f"{found['links']} links were walked")
    sys.exit(not found["whole"])


@click.group()
def key() -> None:
    """The pool of provider keys."""


@key.command("add")
@click.option("--provider", required=True, help="The code of a provider: openai, gemini, demo …")
@click.option("--label", required=True, help="How people call it.")
@click.option(
    "--secret-file", type=click.File("r"), default="-", help="Where the key stands.  [default: standard input]"
)
@click.option("--group", "account_group", default="", help="The billing account it belongs to.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=2, show_default=True)
@click.option("--switch", default="", help="For the simulator and the demo painter: how to behave.")
def key_add(provider: str, label: str, secret_file: Any, **options: Any) -> None:
    """Put a key into the pool. It is read from standard input, so that no shell history keeps it."""
    secret = click.prompt("Key", hide_input=True) if secret_file.isatty() else secret_file.read().strip()
    shown = run(call("limner.sql.desk", "add_key", settings(), provider, label, secret, **options))
    click.echo(shown)


@key.command("list")
def key_list() -> None:
    """Every key with its state; never a secret."""
    for line in run(call("limner.sql.desk", "list_keys", settings())):
        click.echo(line)


reason_option = click.option("--reason", required=True, help="Why; it stands in the audit.")


@click.group()
def subscription() -> None:
    """Who has which plan, and until when."""


@subscription.command("show")
@click.argument("email")
def subscription_show(email: str) -> None:
    """What runs until when, what comes next, and what was paid and done."""
    for line in run(call("limner.sql.subscribers", "show", settings(), email)):
        click.echo(line)


@subscription.command("pause")
@click.argument("email")
@reason_option
def subscription_pause(email: str, reason: str) -> None:
    """Stop the clock: nobody orders, and the rest of the period is kept."""
    click.echo(run(call("limner.sql.subscribers", "pause", settings(), email, reason)))


@subscription.command("resume")
@click.argument("email")
@reason_option
def subscription_resume(email: str, reason: str) -> None:
    """Let a paused one go on: its end is as much later as the pause was long."""
    click.echo(run(call("limner.sql.subscribers", "resume", settings(), email, reason)))


@subscription.command("cancel")
@click.argument("email")
@reason_option
def subscription_cancel(email: str, reason: str) -> None:
    """End it with the period that is paid; no further invoice is made."""
    click.echo(run(call("limner.sql.subscribers", "cancel", settings(), email, reason)))


@click.group()
def token() -> None:
    """The tokens with which programs order in somebody's name."""


@token.command("create")
@click.argument("email")
@click.option("--name", required=True, help="What it is for.")
@click.option(
    "--scope", "scopes", multiple=True, help="images:write, images:read or models:read.  [default: all three]"
)
@click.option("--per-day", type=click.IntRange(1), help="Credits that it may spend in a day.")
@click.option("--per-month", type=click.IntRange(1), help="Credits that it may spend in a month.")
@click.option("--model", "models", multiple=True, help="A model that it may use.  [default: all of the plan]")
@click.option(
    "--network", "networks", multiple=True, help="From where: 203.0.113.7 or 2001:db8::/32.  [default: anywhere]"
)
@click.option("--expires", type=click.DateTime(["%Y-%m-%d"]), help="When it ends, in UTC.  [default: never]")
def token_create(email: str, name: str, **caps: Any) -> None:
    """Make a token for an account, and print it: it is shown this once, and then nobody knows it."""
    click.echo(run(call("limner.sql.desk", "create_token", settings(), email, name, **caps)))


@token.command("list")
@click.argument("email")
def token_list(email: str) -> None:
    """The tokens of an account: their last four characters, and what each has spent."""
    for line in run(call("limner.sql.desk", "list_tokens", settings(), email)):
        click.echo(line)


@token.command("revoke")
@click.argument("id", type=click.UUID)
def token_revoke(id: Any) -> None:
    """End a token at once and for ever."""
    click.echo(run(call("limner.sql.desk", "revoke_token", settings(), id)))


class _Pair(click.Group):
    """`limner pair CODE` beside `limner pair list`: what is no command is a code."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            args = ["code", *args]
        return super().resolve_command(ctx, args)


@click.group(cls=_Pair)
def pair() -> None:
    """Who may steer from Telegram: `limner pair CODE`, with the code that the bot told."""


TELEGRAM_ROLES = click.Choice(["owner", "operator", "viewer"])


@pair.command("code", hidden=True)
@click.argument("code")
@click.option(
    "--role", type=TELEGRAM_ROLES, help="What they may.  [default: owner for the first, viewer for all others]"
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def pair_code(code: str, role: str | None, yes: bool) -> None:
    """Let the person with this code in."""
    config = settings()
    name = run(call("limner.sql.desk", "who_has_code", config, code, role))
    if not yes:
        click.confirm(f"Let {name} steer this studio from Telegram?", abort=True)
    click.echo(run(call("limner.sql.desk", "pair", config, code, role)))


@pair.command("role")
@click.argument("telegram_id", type=int)
@click.argument("role", type=TELEGRAM_ROLES)
def pair_role(telegram_id: int, role: str) -> None:
    """Change what somebody may: an owner all, an operator keys and pictures but no money, a viewer looks."""
    click.echo(run(call("limner.sql.desk", "set_pair_role", settings(), telegram_id, role)))


@pair.command("list")
def pair_list() -> None:
    """Who is paired."""
    for line in run(call("limner.sql.desk", "list_paired", settings())):
        click.echo(line)


@pair.command("revoke")
@click.argument("telegram_id", type=int)
@click.option("--last", is_flag=True, help="Also when it is the last owner.")
def pair_revoke(telegram_id: int, last: bool) -> None:
    """Shut somebody out again, at once."""
    click.echo(run(call("limner.sql.desk", "unpair", settings(), telegram_id, even_the_last=last)))


@pair.command("cleanup")
def pair_cleanup() -> None:
    """Forget codes that were not used."""
    click.echo(run(call("limner.sql.desk", "forget_codes", settings())))


COMMANDS = (config, health, actors, drain, resume, ledger, audit, key, subscription, token, pair)
