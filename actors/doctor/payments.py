"""The payments: whether people can pay, whether each processor takes our key, and whether anybody waits for a decision."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import aiohttp

from limner.actors.doctor.check import Finding, check, trouble, well
from limner.actors.doctor.outside import is_cut_off
from limner.actors.doctor.patient import Patient, Skip
from limner.sql import billing


@check(
    "payments.ways", "warn", means="people can pay",
    cause="Neither BTCPay Server nor Stripe is set up, and the sandbox is off.",
    fix="See docs/how-to/take-payments-with-btcpay.md or take-payments-with-stripe.md.",
)  # fmt: skip
async def ways(patient: Patient) -> Finding:
    found = billing.processors(patient.config)
    return well(", ".join(found)) if found else trouble("no processor is set up")


@check(
    "payments.btcpay", "fail", means="BTCPay Server takes the key for this store",
    cause="The address, the store's id or the key is wrong, a permission is missing, or the server is down.",
    fix="Make a key for that store, put it into secrets/btcpay_api_key, and `docker compose up -d --force-recreate worker`.",
)  # fmt: skip
async def btcpay(patient: Patient) -> Finding:
    config = patient.config
    if not config.takes_btcpay_payments or config.btcpay_api_key is None:
        raise Skip("not set up")
    address = f"{config.btcpay_url}/api/v1/stores/{quote(config.btcpay_store, safe='')}/invoices?take=1"
    return await _asked(patient, address, f"token {config.btcpay_api_key.get_secret_value()}")


@check(
    "payments.stripe", "fail", means="Stripe takes the key",
    cause="The key was rolled or mistyped, or may not read Checkout Sessions.",
    fix="Make another, put it into secrets/stripe_api_key, and `docker compose up -d --force-recreate worker`.",
)  # fmt: skip
async def stripe(patient: Patient) -> Finding:
    config = patient.config
    if config.stripe_api_key is None:
        raise Skip("not set up")
    address = f"{config.stripe_url}/v1/checkout/sessions?limit=1"
    return await _asked(patient, address, f"Bearer {config.stripe_api_key.get_secret_value()}")


@check(
    "payments.webhooks", "warn", means="each processor's webhooks can be believed",
    cause="No secret is set: payments are found only by asking, up to half a minute later, and late ones up to an hour.",
    fix="Make the webhook there, and put its secret into secrets/btcpay_webhook_secret or secrets/stripe_webhook_secret.",
)  # fmt: skip
async def webhooks(patient: Patient) -> Finding:
    config = patient.config
    secrets = {
        "btcpay": (config.takes_btcpay_payments, config.btcpay_webhook_secret),
        "stripe": (config.takes_stripe_payments, config.stripe_webhook_secret),
    }
    if not any(is_on for is_on, _ in secrets.values()):
        raise Skip("no processor outside is set up")
    missing = [name for name, (is_on, secret) in secrets.items() if is_on and secret is None]
    return trouble(f"without a secret: {', '.join(missing)}") if missing else well("each has a secret")


# A refund that was ordered an hour ago is stuck.
WAITING = """
select (select count(*) from invoice where trouble <> '') as undecided,
    (select count(*) from refund where state = 'asked' and created_at < now() - interval '1 hour') as stuck
"""


@check(
    "payments.decisions", "warn", means="no payment waits for a decision, and no refund is stuck",
    cause="Somebody paid too little, too much or too late, or a processor does not answer.",
    fix="`limner invoice list --state trouble` shows them, `limner invoice show ID` says what is known.",
)  # fmt: skip
async def decisions(patient: Patient) -> Finding:
    row = await (await patient.db()).fetchrow(WAITING)
    assert row is not None
    if row["undecided"] or row["stuck"]:
        return trouble(f"{row['undecided']} to decide, {row['stuck']} refunds for more than an hour")
    return well("none")


CHECKS = (ways, btcpay, stripe, webhooks, decisions)


async def _asked(patient: Patient, address: str, key: str) -> Finding:
    """What an address says to our key, which stands in no word of it."""
    try:
        limits = aiohttp.ClientTimeout(total=8)
        connector = aiohttp.TCPConnector(ssl=patient.tls)
        async with (
            aiohttp.ClientSession(timeout=limits, connector=connector) as session,
            session.get(address, headers={"Authorization": key}, allow_redirects=False) as answer,
        ):
            said: Any = json.loads(await answer.text()) if answer.status == 200 else None
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        if is_cut_off(patient):
            raise Skip("there is no way out of here: ask the worker") from None
        return trouble(f"no answer: {type(error).__name__}")
    if said is None:
        return trouble(f"the answer was {answer.status}")
    return well("the key is good")
