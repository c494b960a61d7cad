"""Trials: a few credits for a new account, once; and what stands between them and those who collect accounts."""

from __future__ import annotations

from dataclasses import dataclass

import asyncpg

from limner.runtime.config import Config
from limner.runtime.database import Db, Transaction
from limner.runtime.errors import Refused
from limner.sql import admission, audit, ledger, referrals, subscriptions
from limner.sql.accounts import Account
from limner.sql.places import household, mail_hash, subnet


class TrialRefused(Refused):
    """Somebody may not try for free; the words say why."""

    def __init__(self, words: str) -> None:
        super().__init__(words, field="trial", code="trial_refused")


OFF = "There is no trial here."
UNVERIFIED = "Please confirm your e-mail address first: the link is in the mail that we sent you."
HAD_IT = "You have had your trial: it comes once."
SAME_MAIL = "A trial was taken with this mail address in another spelling."
HAD_A_PLAN = "The trial is for new accounts, and you have had a plan."
FROM_HERE = "Too many trials were begun from your address. Please choose a plan, or try again next month."
FROM_AROUND = "Too many trials were begun from your network. Please choose a plan, or try again next month."
TODAY = "All trials of today are taken. Please come back tomorrow."


@dataclass(frozen=True)
class Offer:
    """What somebody could try."""

    credits: int
    days: int
    is_verified: bool


OPEN_TO = """
select not exists (select from trial where account_id = $1) and not exists (
    select from subscription where account_id = $1 and state <> 'pending_activation'
)
"""


async def offer(db: Db, account: Account, config: Config) -> Offer | None:
    """The trial that a page may offer; None when there is none for this account."""
    if config.trial_credits and await db.fetchval(OPEN_TO, account.id):
        return Offer(config.trial_credits, config.trial_days, account.verified_at is not None)
    return None


LOCK = "select pg_advisory_xact_lock(hashtextextended('trial', 0))"
FORGET = "update trial set address = '', subnet = '' where claimed_at < now() - interval '30 days' and address <> ''"
SEEN = """
select
    exists (select from trial where account_id = $1) as had_it,
    exists (select from trial where mail_hash = $2) as same_mail,
    exists (select from subscription where account_id = $1 and state <> 'pending_activation') as had_a_plan,
    (select count(*) from trial where address = $3) as from_here,
    (select count(*) from trial where subnet = $4) as from_around,
    (select count(*) from trial where claimed_at > now() - interval '1 day') as today
"""


async def claim(db: Db, account: Account, address: str, config: Config) -> None:
    """Begin the trial: a plan of a few days with a few credits. Raises TrialRefused, in words, and ThrowawayAddress.

    One after another, so that the limits hold whoever comes together; one per account and mail by constraint.
    """
    if not config.trial_credits:
        raise TrialRefused(OFF)
    if account.verified_at is None:
        raise TrialRefused(UNVERIFIED)
    admission.check_domain(config, account.email)
    home, net = household(address), subnet(address)
    async with db.transaction() as tx:
        await tx.execute(LOCK)
        await tx.execute("select 1 from account where id = $1 for update", account.id)
        await tx.execute(FORGET)
        seen = await tx.fetchrow(SEEN, account.id, mail_hash(account.email), home, net)
        assert seen is not None
        for is_so, words in (
            (seen["had_it"], HAD_IT),
            (seen["same_mail"], SAME_MAIL),
            (seen["had_a_plan"], HAD_A_PLAN),
            (seen["from_here"] >= config.trial_per_address, FROM_HERE),
            (seen["from_around"] >= config.trial_per_subnet, FROM_AROUND),
            (seen["today"] >= config.trial_per_day, TODAY),
        ):
            if is_so:
                raise TrialRefused(words)
        await _begin(tx, account, home, net, config)


# What an operator changed about the plan stays, but for its credits, which are a setting.
PLAN = """
insert into plan (code, name, price_cents, credits_per_cycle, concurrency, priority, active)
values ('trial', 'Trial', 0, $1, 1, -1, false)
on conflict (code) do update set credits_per_cycle = excluded.credits_per_cycle
returning id
"""
KEEP = """
insert into trial (account_id, mail_hash, address, subnet, credits, entry_id) values ($1, $2, $3, $4, $5, $6)
"""


async def _begin(tx: Transaction, account: Account, home: str, net: str, config: Config) -> None:
    plan_id: int = await tx.fetchval(PLAN, config.trial_credits)
    until = await subscriptions.begin_days(tx, account.id, plan_id, config.trial_days, config.trial_credits)
    await ledger.reset(tx, account.id, "what was there before the trial")
    entry_id = await ledger.grant(tx, account.id, config.trial_credits, "Trial")
    try:
        await tx.execute(KEEP, account.id, mail_hash(account.email), home, net, config.trial_credits, entry_id)
    except asyncpg.UniqueViolationError as error:
        raise TrialRefused(HAD_IT) from error
    await referrals.pay_due(tx, account.id)
    after = {"credits": config.trial_credits, "until": until.isoformat()}
    await audit.record(tx, account.email, "trial.begun", account.email, None, after, ip=home)
