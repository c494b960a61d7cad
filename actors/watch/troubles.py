"""What is wrong at this moment: for each rule how that is read, one trouble for each cause."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from limner.actors.watch import certificate
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.log import redact
from limner.runtime.phrases import Phrase, phrase
from limner.sql import backups, books_checks, funds, mails, payments, sightings, worries
from limner.sql.alert_rules import Rule
from limner.sql.worries import Cooled, LostKey

LOST = {
    "out_of_funds": "Key {label} {last_four} ({provider}) is out of funds: {why}.",
    "manual_review": "Key {label} {last_four} ({provider}) needs a look: {why}.",
    "disabled": "Key {label} {last_four} ({provider}) was disabled: {why}.",
}
HEALTH = ("/admin/health", "system")
"""Where processes, machines and backups are seen: in the admin, and in the bot."""
FRESH = 3 * 86400.0
"""Seconds for which what was read outside is believed."""
KEPT = 300.0
"""Seconds between two notes that a process of a role lives."""
WAITS = 120.0
"""Seconds since a process last said that it waits for the schema, after which it waits no more."""


@dataclass(frozen=True)
class Circumstances:
    """What the readers go by. ``known``: the causes of the alerts that are open."""

    db: Db
    config: Config
    known: Collection[str]


class Seen(NamedTuple):
    """A trouble without its rule."""

    cause: str
    words: Phrase
    place: str = "/admin"
    button: str = "home"


Reader = Callable[[Circumstances, Rule], AsyncIterator[Seen]]


async def _no_worker(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if not await sightings.has_worker(now.db, max(now.config.lease, rule.bound())):
        yield Seen("no_worker", phrase("No worker is alive: nothing is painted."), *HEALTH)


async def _no_web(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if await _is_gone(now, rule, "web"):
        yield Seen("no_web", phrase("No web is alive: nobody reaches the site."), *HEALTH)


async def _no_bot(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if now.config.bot_token is not None and await _is_gone(now, rule, "bot"):
        yield Seen("no_bot", phrase("No bot is alive: nobody answers on Telegram."), *HEALTH)


async def _is_gone(now: Circumstances, rule: Rule, role: str) -> bool:
    """Whether there was a process of this role within the last days, and is none now: a worker alone misses nobody."""
    if await sightings.is_alive(now.db, role, now.config.lease, rule.bound()):
        await sightings.is_time(now.db, f"seen {role}", KEPT)
        return False
    last = (await sightings.readings(now.db)).get(f"seen {role}")
    return rule.code in now.known or (last is not None and last.age < FRESH)


async def _bot_deaf(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """That it died meanwhile does not make it hear again."""
    if now.config.bot_token is None:
        return
    is_still = "bot_deaf" in now.known and not await sightings.is_alive(now.db, "bot", now.config.lease, 0)
    if is_still or await sightings.is_bot_deaf(now.db, now.config.lease):
        words = phrase("Telegram does not answer the bot: it hears nothing of what is written or pressed.")
        yield Seen("bot_deaf", words, *HEALTH)


async def _queue_waits(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    waited = await sightings.longest_wait(now.db)
    if rule.is_bad(waited, is_open="queue_waits" in now.known):
        words = phrase("Pictures have been waiting for {waited:duration}.", waited=waited)
        yield Seen("queue_waits", words, "/admin/generations", "generations")


async def _failure_rate(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for each in await sightings.failing(now.db, rule.window(), rule.fewest()):
        cause = f"failure_rate {each.fault}"
        if rule.is_bad(each.percent, is_open=cause in now.known):
            words = phrase(
                "{percent:.0f} % of the attempts of the last {window:duration} failed with {fault}: {times} of {all}.",
                percent=each.percent, window=rule.window(), fault=each.fault, times=each.times, all=each.all,
            )  # fmt: skip
            yield Seen(cause, words, "/admin/generations", "generations")


async def _model_cooled(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for model in await worries.cooled(now.db, rule.bound()):
        words = phrase("No key can paint {model} ({provider}): none comes back by itself.", **_named(model))
        if model.back is not None:
            back = "No key can paint {model} ({provider}): the first is back at {back:clock}."
            words = phrase(back, **_named(model), back=model.back)
        yield Seen(f"model {model.id}", words, "/admin/keys", "keys")


def _named(model: Cooled) -> dict[str, str]:
    return {"model": model.name, "provider": model.provider}


async def _balance_low(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for fund in await funds.listing(now.db):
        cause = f"fund {fund.id}"
        lasts = fund.days_left is not None and rule.is_bad(fund.days_left, is_open=cause in now.known)
        if lasts or fund.is_under:
            about = {"left": f"{fund.left / 1_000_000:,.2f}", "account": fund.name, "provider": fund.provider}
            words = phrase("{left} USD is left on {account} of {provider}.", **about)
            if fund.days_left is not None:
                lasting = "{left} USD is left on {account} of {provider}, which lasts {days:.1f} days."
                words = phrase(lasting, **about, days=fund.days_left)
            yield Seen(cause, words, "/admin/providers", "keys")


async def _key_lost(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for key in await worries.lost_keys(now.db):
        if not key.by_hand:
            yield Seen(of_key(key), _lost(key), f"/admin/keys/{key.id}", f"keys:see:{key.id}")


def of_key(key: LostKey) -> str:
    """The cause that a lost key is."""
    return f"key {key.id}"


def _lost(key: LostKey) -> Phrase:
    why = redact(key.why)[:300] or phrase("nobody knows why")
    return phrase(LOST[key.state], label=key.label, last_four=key.last_four, provider=key.provider, why=why)


async def _proxy_dead(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for proxy in await worries.dead_proxies(now.db, round(rule.bound())):
        why = redact(proxy.why)[:200]
        dead = "Proxy {label} is dead, and {n} {n:key counts|keys count} on it: {why}."
        words = phrase(dead, label=proxy.label, n=proxy.keys, why=why)
        yield Seen(f"proxy {proxy.id}", words, "/admin/proxies", "keys")


async def _webhook_silence(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    config = now.config
    hooked = {
        "sandbox": config.takes_sandbox_payments and config.sandbox_secret.get_secret_value(),
        "btcpay": config.takes_btcpay_payments and config.btcpay_webhook_secret,
        "stripe": config.takes_stripe_payments and config.stripe_webhook_secret,
    }
    names = [name for name, is_hooked in hooked.items() if is_hooked]
    for name in await sightings.without_hooks(now.db, names, rule.window(), rule.fewest()):
        silent = "No webhook of {processor} comes: its last {n} payments were found by asking alone, so they came late."
        yield Seen(f"webhooks {name}", phrase(silent, processor=name, n=rule.fewest()), "/admin/invoices", "payments")


async def _unpaid_received(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for each in await sightings.received_unpaid(now.db):
        words = phrase(
            "Invoice {id}: {received} of {amount} {currency} was received, and it is still {state}.",
            id=str(each.id), received=f"{each.received_cents / 100:,.2f}", amount=f"{each.amount_cents / 100:,.2f}",
            currency=each.currency, state=each.state,
        )  # fmt: skip
        yield Seen(f"received {each.id}", words, f"/admin/invoices/{each.id}", f"payments:see:{each.id}")


async def _payment_to_decide(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for invoice in await payments.troubled(now.db):
        words = phrase("Invoice {id}: {words}", id=str(invoice.id), words=invoice.trouble_words)
        yield Seen(f"invoice {invoice.id}", words, f"/admin/invoices/{invoice.id}", f"payments:see:{invoice.id}")


async def _ledger_wrong(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    broken = [check for check in await books_checks.latest(now.db) if check.broken]
    if broken:
        worst = max(broken, key=lambda check: check.broken)
        wrong = "The books do not add up, in {n} {n:case|cases}: {case}. See `limner ledger verify`."
        words = phrase(wrong, n=worst.broken, case=worst.cases[0])
        yield Seen("ledger_wrong", words, "/admin/ledger", "payments")


async def _audit_broken(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """However old the reading is: what was tampered with does not mend itself."""
    found = (await sightings.readings(now.db)).get("audit")
    if found is not None and found.value:
        yield Seen(
            "audit_broken",
            phrase("The audit's chain does not hold: {why}. See `limner audit verify`.", why=found.words[:300]),
            "/admin/audit",
            "system",
        )


async def _disk_full(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    told = await sightings.machines(now.db, now.config.lease)
    full = [each for each in told if each.free is not None and each.bytes is not None]
    fullest = min(full, key=lambda each: each.free or 0, default=None)
    if fullest is not None and rule.is_bad(fullest.free or 0, is_open="disk_full" in now.known):
        left = (fullest.bytes or 0) * (fullest.free or 0) / 100 / 1e9
        words = phrase(
            "The disk is nearly full: {free:.0f} % is free, {left:.1f} GB, at {path} of {role}.",
            free=fullest.free, left=left, path=fullest.path, role=fullest.role,
        )  # fmt: skip
        yield Seen("disk_full", words, *HEALTH)


async def _backup_old(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """Only in production, or once somebody has begun to make backups: a studio on a developer's machine needs none."""
    longest = rule.bound() * 3600
    if now.config.env == "production" and (age := await backups.never_made(now.db, longest)) is not None:
        never = phrase("There was never a good backup, in {age:duration}: see `limner backups`.", age=age)
        yield Seen("backup_overdue", never, *HEALTH)
    elif (age := await backups.overdue(now.db, "backup", longest)) is not None:
        words = phrase("There has been no good backup for {age:duration}: see `limner backups`.", age=age)
        yield Seen("backup_overdue", words, *HEALTH)


async def _drill_old(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if (age := await backups.overdue(now.db, "drill", rule.bound() * 86400)) is not None:
        words = phrase("No backup has been proved for {age:duration}: run `limner drill`.", age=age)
        yield Seen("drill_overdue", words, *HEALTH)


async def _certificate(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """That nobody can read it any more does not make it a better one."""
    found, is_open = (await sightings.readings(now.db)).get("certificate"), "certificate" in now.known
    if found is None or found.value is None or (found.age > FRESH and not is_open):
        return
    days = found.value - found.age / 86400
    if rule.is_bad(days, is_open=is_open):
        ends = CERTIFICATES.get(found.words) or (CERTIFICATES[certificate.OVER] if days <= 0 else LASTS)
        yield Seen("certificate", phrase(ends, address=now.config.public_url, days=round(days)), *HEALTH)


LASTS = "The certificate of {address} has {days} {days:day|days} left."
CERTIFICATES = {
    certificate.OVER: "The certificate of {address} has run out.",
    certificate.NOT_OURS: "The certificate of {address} is for another name.",
}
"""By what was found wrong with it beside its days."""


async def _clock_off(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    told = [each for each in await sightings.machines(now.db, now.config.lease) if each.clock is not None]
    worst = max(told, key=lambda each: abs(each.clock or 0), default=None)
    if worst is not None and rule.is_bad(abs(worst.clock or 0), is_open="clock_off" in now.known):
        seconds = worst.clock or 0
        off = AHEAD if seconds > 0 else BEHIND
        yield Seen("clock_off", phrase(off, role=worst.role, host=worst.host, seconds=abs(seconds)), *HEALTH)


AHEAD = "The clock under {role} on {host} is {seconds:.0f} s ahead of the database's."
BEHIND = "The clock under {role} on {host} is {seconds:.0f} s behind the database's."


async def _schema_pending(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    found = (await sightings.readings(now.db)).get("schema")
    if found is not None and found.age < WAITS:
        yield Seen("schema_pending", phrase("{words}: run `limner migrate`.", words=found.words), *HEALTH)


async def _bot_conflict(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if await sightings.is_bot_contested(now.db, now.config.lease):
        words = phrase("Somebody else polls with the bot's token: one of the two must stop.")
        yield Seen("bot_conflict", words, *HEALTH)


async def _model_retiring(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for old in await worries.retiring(now.db, rule.bound()):
        words = phrase("{model} retires on {on:day}: nothing takes its place yet.", model=old.name, on=old.retires_at)
        if old.replacement:
            replaced = "{model} retires on {on:day}: {replacement} takes over."
            words = phrase(replaced, model=old.name, on=old.retires_at, replacement=old.replacement)
        yield Seen(f"retiring {old.id}", words, f"/admin/models/{old.id}")


async def _mails_wait(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    """Only with a mail server: without one mails wait for an admin, and that is how it is meant."""
    if now.config.smtp_host and (jam := await mails.jam(now.db, rule.bound() * 60)).waiting:
        stuck = (
            "{n} {n:mail does|mails do} not get out, the oldest for {oldest:duration}: see `limner doctor --only mail`."
        )
        yield Seen("mails_wait", phrase(stuck, n=jam.waiting, oldest=jam.oldest), "/admin/mails")


async def _mails_refused(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    if now.config.smtp_host and (jam := await mails.jam(now.db, 900)).refuses(rule.fewest()):
        words = phrase("{n} {n:mail was|mails were} refused within a day: see Mails in the admin.", n=jam.failed)
        yield Seen("mails_refused", words, "/admin/mails")


READERS: Mapping[str, Reader] = {
    "no_worker": _no_worker,
    "no_web": _no_web,
    "no_bot": _no_bot,
    "bot_deaf": _bot_deaf,
    "queue_waits": _queue_waits,
    "failure_rate": _failure_rate,
    "model_cooled": _model_cooled,
    "balance_low": _balance_low,
    "key_lost": _key_lost,
    "proxy_dead": _proxy_dead,
    "webhook_silence": _webhook_silence,
    "unpaid_received": _unpaid_received,
    "payment_to_decide": _payment_to_decide,
    "ledger_wrong": _ledger_wrong,
    "audit_broken": _audit_broken,
    "disk_full": _disk_full,
    "backup_old": _backup_old,
    "drill_old": _drill_old,
    "certificate": _certificate,
    "clock_off": _clock_off,
    "schema_pending": _schema_pending,
    "bot_conflict": _bot_conflict,
    "model_retiring": _model_retiring,
    "mails_wait": _mails_wait,
    "mails_refused": _mails_refused,
}
"""By the code of the rule."""
