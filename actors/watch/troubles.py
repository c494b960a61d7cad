"""What is wrong at this moment: for each rule how that is read, one trouble for each cause. Here: pictures, keys and money."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

from limner.actors.watch import machines
from limner.actors.watch.circumstances import Circumstances, Reader, Seen
from limner.runtime.log import redact
from limner.runtime.phrases import Phrase, phrase
from limner.sql import books_checks, funds, payments, sightings, worries
from limner.sql.alert_rules import Rule
from limner.sql.worries import Cooled, LostKey

LOST = {
    "out_of_funds": "Key {label} {last_four} ({provider}) is out of funds: {why}.",
    "manual_review": "Key {label} {last_four} ({provider}) needs a look: {why}.",
    "disabled": "Key {label} {last_four} ({provider}) was disabled: {why}.",
}


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


async def _model_retiring(now: Circumstances, rule: Rule) -> AsyncIterator[Seen]:
    for old in await worries.retiring(now.db, rule.bound()):
        words = phrase("{model} retires on {on:day}: nothing takes its place yet.", model=old.name, on=old.retires_at)
        if old.replacement:
            replaced = "{model} retires on {on:day}: {replacement} takes over."
            words = phrase(replaced, model=old.name, on=old.retires_at, replacement=old.replacement)
        yield Seen(f"retiring {old.id}", words, f"/admin/models/{old.id}")


READERS: Mapping[str, Reader] = {
    "no_worker": machines.no_worker,
    "no_web": machines.no_web,
    "no_bot": machines.no_bot,
    "bot_deaf": machines.bot_deaf,
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
    "disk_full": machines.disk_full,
    "backup_old": machines.backup_old,
    "drill_old": machines.drill_old,
    "certificate": machines.certificate,
    "clock_off": machines.clock_off,
    "schema_pending": machines.schema_pending,
    "bot_conflict": machines.bot_conflict,
    "model_retiring": _model_retiring,
    "mails_wait": machines.mails_wait,
    "mails_refused": machines.mails_refused,
}
"""By the code of the rule."""
