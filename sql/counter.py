"""The counter: what the command line does to keys, proxies, providers, models, plans and funds."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from limner.runtime.amounts import exact_micros, said, said_micros
from limner.runtime.config import Config
from limner.runtime.opening import open_briefly
from limner.runtime.vault import Vault
from limner.sql import (
    choices,
    entries,
    funds,
    keys,
    margins,
    models,
    plans,
    providers,
    proxies,
    vaults,
)
from limner.sql.entries import Entry
from limner.sql.key_events import events

ME = "cli"


async def set_key(config: Config, key_id: int, **changes: object) -> str:
    """``changes`` are fields of keys.Terms; a proxy or an rpm of 0 means none."""
    async with open_briefly(config) as db:
        known = await keys.terms(db, key_id)
        wanted = {name: value for name, value in changes.items() if value is not None}
        wanted |= {name: None for name in ("proxy_id", "rpm") if wanted.get(name) == 0}
        await keys.change(db, key_id, replace(known, **wanted), actor=ME)  # type: ignore[arg-type]
        return f"key {key_id} is used so from now on"


async def set_key_state(config: Config, key_id: int, state: str, reason: str) -> str:
    async with open_briefly(config) as db:
        await keys.set_state(db, key_id, state, reason, actor=ME)
        return f"key {key_id} is {state} now"


async def probe_key(config: Config, key_id: int) -> str:
    async with open_briefly(config) as db:
        await keys.probe_now(db, key_id, actor=ME)
        return f"key {key_id} will be probed at once; `limner key events {key_id}` tells what came of it"


async def key_events(config: Config, key_id: int | None) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each['created_at']:%Y-%m-%d %H:%M:%S}  {each['key_id']:>4} {each['last4']:<6} "
            f"{each['state_before']} → {each['state_after']}"
            + (f" for {each['model_id']}" if each["model_id"] else "")
            + f": {each['cause']}"
            for each in await events(db, key_id)
        ] or ["nothing has happened yet"]


async def add_proxy(config: Config, label: str, url: str, backup_id: int | None) -> str:
    async with open_briefly(config) as db:
        await vaults.admit(db, config)
        proxy_id = await proxies.add(db, Vault.from_config(config), label, url, actor=ME, backup_id=backup_id)
        return f"proxy {proxy_id} is there; `limner proxy test {proxy_id}` tells where it comes out"


async def list_proxies(config: Config) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each['id']:>4}  {each['state']:<9} {each['shown']:<36} {each['keys']} keys  {each['label']}"
            + (f"  backup {each['backup_id']}" if each["backup_id"] else "")
            + (f"  {each['exit_address']} {each['latency_ms'] or '–'} ms" if each["tested_at"] else "")
            for each in await proxies.listing(db)
        ] or ["there is none: every key goes straight"]


async def set_proxy(config: Config, proxy_id: int, label: str | None, url: str, backup_id: int | None) -> str:
    """A backup of 0 means none."""
    async with open_briefly(config) as db:
        await vaults.admit(db, config)
        known = {each["id"]: each for each in await proxies.listing(db)}.get(proxy_id, {})
        backup = known.get("backup_id") if backup_id is None else backup_id or None
        label = label or known.get("label") or ""
        vault = Vault.from_config(config)
        await proxies.change(db, vault, proxy_id, actor=ME, label=label, backup_id=backup, url=url)
        return f"proxy {proxy_id} is changed"


async def set_proxy_state(config: Config, proxy_id: int, state: str, reason: str) -> str:
    async with open_briefly(config) as db:
        await proxies.set_state(db, proxy_id, state, reason, actor=ME)
        return f"proxy {proxy_id} is {state} now"


async def remove_proxy(config: Config, proxy_id: int) -> str:
    async with open_briefly(config) as db:
        await proxies.remove(db, Vault.from_config(config), proxy_id, actor=ME)
        return f"proxy {proxy_id} is gone"


async def list_models(config: Config) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each['id']:<30} {each['provider']:<12} {'on ' if each['active'] else 'off'} {each['credits']:>3} credits  "
            f"{said_micros(each['cost_micros'])}  {each['keys']} keys"
            + (f"  retires {each['retires_at']:%Y-%m-%d}" if each["retires_at"] else "")
            + (f" → {each['replacement']}" if each["replacement"] else "")
            + (f"  also {', '.join(each['aliases'])}" if each["aliases"] else "")
            for each in await models.listing(db)
        ]


async def set_model(
    config: Config,
    model_id: str,
    *,
    cost: int | None,
    aliases: tuple[str, ...],
    sizes: tuple[str, ...],
    abilities: tuple[str, ...],
    options: tuple[str, ...],
    retires: datetime | None,
    **changes: object,
) -> str:
    async with open_briefly(config) as db:
        known = await entries.entry(db, models.normal(model_id))
        wanted = {name: value for name, value in changes.items() if value is not None}
        wanted |= {"cost_micros": cost} if cost is not None else {}
        wanted |= {"aliases": list(aliases)} if aliases else {}
        wanted |= {"sizes": list(sizes)} if sizes else {}
        wanted |= {"abilities": list(abilities)} if abilities else {}
        wanted |= {"options": choices.read("\n".join(options))} if options else {}
        wanted |= {"retires_at": retires} if retires is not None else {}
        await entries.change(db, models.normal(model_id), replace(known, **wanted), actor=ME)  # type: ignore[arg-type]
        return f"{model_id} is changed"


async def list_plans(config: Config) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each['code']:<20} {'on ' if each['active'] else 'off'} {said(each['price_cents'], each['price_currency']):>13}  "
            f"{each['credits_per_cycle']:>6} credits  {each['subscribers']:>5} have it  " + _limits(each)
            for each in await plans.listing(db)
        ]


def _limits(plan: dict[str, Any]) -> str:
    says = {
        "credits_per_day": "{} a day", "credits_per_month": "{} a month", "retention_days": "kept {} days",
    }  # fmt: skip
    limits = [words.format(plan[name]) for name, words in says.items() if plan[name] is not None]
    models_ = ", ".join(plan["allowed_models"]) if plan["allowed_models"] else "every model"
    return ", ".join([f"{plan['concurrency']} at once", f"priority {plan['priority']}", *limits, models_])


async def add_plan(config: Config, code: str, **terms: object) -> str:
    async with open_briefly(config) as db:
        await plans.add(db, code, plans.Entry(**_of_a_plan(terms)), actor=ME)
        return f"plan {code} is on sale" if terms.get("active") is not False else f"plan {code} is there, and not sold"


async def set_plan(config: Config, code: str, **terms: object) -> str:
    async with open_briefly(config) as db, db.transaction() as tx:
        await plans.change(tx, code, replace(await plans.entry(tx, code), **_of_a_plan(terms)), actor=ME)
        return f"plan {code} is sold so from now on; invoices and running periods keep what they say"


def _of_a_plan(terms: dict[str, Any]) -> dict[str, Any]:
    """What was named. A cap or a retention of 0 means none, and the model "all" means every one."""
    named = {name: value for name, value in terms.items() if value is not None and value != ()}
    named |= {name: None for name in ("credits_per_day", "credits_per_month", "retention_days") if named.get(name) == 0}
    if "price" in named:
        named["price_cents"] = named.pop("price")
    if "allowed_models" in named:
        chosen = [models.normal(each) for each in named["allowed_models"]]
        named["allowed_models"] = None if chosen == ["all"] else chosen
    return named


async def add_model(
    config: Config,
    provider: str,
    model_id: str,
    *,
    name: str,
    upstream: str,
    cost: int,
    abilities: tuple[str, ...],
    sizes: tuple[str, ...],
    aliases: tuple[str, ...],
    options: tuple[str, ...],
    credits: int,
    active: bool,
) -> str:
    entry = Entry(
        name or model_id,
        upstream,
        credits,
        cost,
        active,
        list(sizes),
        list(aliases),
        retires_at=None,
        replacement=None,
        options=choices.read("\n".join(options)),
    )
    async with open_briefly(config) as db:
        await entries.add(db, provider, model_id, entry, abilities, actor=ME)
        return f"{models.normal(model_id)} is in the catalogue" + (f", as {upstream} at {provider}" if upstream else "")


async def list_providers(config: Config) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each['code']:<12} {each['kind']:<10} {'on ' if each['active'] else 'off'} "
            f"{each['active_keys']} of {each['keys']} keys, {each['models']} models  {each['base_url']}"
            + ("  local" if each["is_local"] else "")
            + (f"  WRONG: {wrong}" if (wrong := providers.problem(each)) else "")
            for each in await providers.listing(db)
        ]


async def add_provider(
    config: Config, code: str, kind: str, base_url: str, settings: str | None, *, is_local: bool
) -> str:
    async with open_briefly(config) as db:
        chosen = None if settings is None else providers.settings_in(settings)
        await providers.add(db, code, kind, actor=ME, base_url=base_url, settings=chosen, is_local=is_local)
        return (
            f"{code} is there; `limner model add {code} …` gives it a model, `limner key add --provider {code}` a key"
        )


async def set_provider(
    config: Config, code: str, base_url: str | None, active: bool | None, settings: str | None, is_local: bool | None
) -> str:
    async with open_briefly(config) as db:
        chosen = None if settings is None else providers.settings_in(settings)
        await providers.change(
            db, code, actor=ME, base_url=base_url, active=active, settings=chosen, is_local=is_local
        )  # fmt: skip
        return f"{code} is changed"


async def list_funds(config: Config) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each.provider:<12} {each.name:<24} {said_micros(each.left):>12} {each.source:<8}"
            + (f" {each.days_left:.1f} days" if each.days_left is not None else " nothing spent this week")
            + (f"  told below {said_micros(each.alert_below)}" if each.alert_below is not None else "")
            + ("  LOW" if each.is_low else "")
            for each in await funds.listing(db)
        ] or ["none is known: `limner fund top-up` enters one"]


async def top_up(config: Config, provider: str, account: str, amount: int, note: str) -> str:
    async with open_briefly(config) as db:
        await funds.top_up(db, provider, account, amount, note, actor=ME)
        return f"{exact_micros(amount)} more for {account} of {provider}"


async def fund_alert(config: Config, provider: str, account: str, amount: int | None) -> str:
    async with open_briefly(config) as db:
        await funds.alert_below(db, provider, account, amount, actor=ME)
        return f"{account} of {provider}: " + (
            f"told below {exact_micros(amount)}" if amount is not None else "told by days only"
        )


async def list_margins(config: Config, by: str, days: int) -> list[str]:
    async with open_briefly(config) as db:
        return [
            f"{each.name:<36} {each.delivered:>6} pictures  earned {said_micros(each.earned):>10}"
            f"  cost {said_micros(each.cost):>10}  margin {said_micros(each.margin):>10}"
            + "".join(f"  and {said_micros(amount, currency)}" for currency, amount in each.elsewhere.items())
            + (f"  perhaps {said_micros(each.possible)} more" if each.possible else "")
            for each in await margins.by(db, by, days)
        ] or ["nothing yet"]
