"""Courses as arithmetic: however payments, changes, wishes and pauses interleave, nobody loses what was paid for."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limner.sql import changes
from limner.sql.invoices import Invoice
from limner.sql.periods import Period, months_after
from limner.sql.plans import Plan
from limner.sql.subscriptions import Course, Subscription, bought, changed

FULL = os.environ.get("FAULT_FULL") == "1"
"""FAULT_FULL=1 for the long forms."""
EXAMPLES = 2000 if FULL else 100

pytestmark = pytest.mark.timeout(900 if FULL else 60)
NOBODY = UUID(int=0)


def plan(number: int, cents: int, credits: int) -> Plan:
    return Plan(
        number, f"plan-{number}", f"Plan {number}", cents, "USD", "USDT", credits, 2, 0, None, None, 900, False, True,
        credits_per_day=None, credits_per_month=None,
    )  # fmt: skip


PLANS = (plan(1, 499, 40), plan(2, 999, 100), plan(3, 999, 90), plan(4, 2999, 400), plan(5, 9999, 300))


def invoice(of: Plan, purpose: str, now: datetime, cents: int, credits: int, **details: object) -> Invoice:
    known = {
        "id": NOBODY, "account_id": NOBODY, "plan": of, "processor": "sandbox", "processor_ref": None, "checkout_url": None,
        "amount_cents": cents, "currency": "USD", "credits": credits, "state": "paid", "created_at": now, "expires_at": now,
        "paid_at": now, "purpose": purpose, "discount_cents": 0, "details": details,
        "received_cents": cents, "is_late": False, "ways": [], "trouble": "", "trouble_words": "", "frozen_credits": 0,
        "paid_by": "", "has_run_out": False,
    }  # fmt: skip
    return Invoice(**known)


class Life:
    """A subscription in memory, to which the rules of sql/subscriptions.py are applied as the statements do."""

    def __init__(self, now: datetime) -> None:
        period = Period.begun(now)
        self.held = Subscription(
            NOBODY, NOBODY, "active", PLANS[1], period.anchor, 1, period.start, period.end, 100, None, None, None, None,
            True, True, 1, now,
        )  # fmt: skip
        self.change: Invoice | None = None

    def let_pass(self, span: timedelta) -> None:
        now = self.held.now + span
        held = replace(self.held, now=now, runs=self.held.period.end > now)
        if held.changes_at is not None and held.changes_at <= now and held.next_plan:
            held = replace(held, plan=held.next_plan, next_plan=None, changes_at=None)
        self.held = held

    def follow(self, course: Course) -> None:
        period = course.period
        self.held = replace(
            self.held, plan=course.plan, next_plan=course.next_plan, changes_at=course.changes_at, anchored_at=period.anchor,
            cycles=period.cycles, period_start=period.start, period_end=period.end, cycle_credits=course.credits, runs=True,
        )  # fmt: skip

    def price_at(self, moment: datetime) -> int:
        """What one has at that moment, by its price; nothing after the end."""
        held = self.held
        if moment >= held.period.end:
            return 0
        is_later = held.changes_at is not None and moment >= held.changes_at
        return held.next_plan.price_cents if is_later and held.next_plan else held.plan.price_cents

    def prices(self, until: datetime) -> list[tuple[datetime, int]]:
        """At many moments from now on, those around every edge among them."""
        edges = [self.held.now, self.held.period.end, until, *([self.held.changes_at] if self.held.changes_at else [])]
        moments = [edge + timedelta(microseconds=by) for edge in edges for by in (-1, 0, 1)]
        span = until - self.held.now
        moments += [self.held.now + span * part / 7 for part in range(8)]
        return [(moment, self.price_at(moment)) for moment in moments if moment >= self.held.now]


steps = st.lists(
    st.tuples(
        st.timedeltas(timedelta(0), timedelta(days=45)),
        st.sampled_from(["buy", "buy", "ask", "pay the change", "wish", "moved"]),
        st.sampled_from(PLANS),
        st.timedeltas(timedelta(0), timedelta(days=20)),
    ),
    min_size=1,
    max_size=20,
)


@settings(max_examples=EXAMPLES)
@given(start=st.integers(0, 20 * 365 * 86400), life=steps)
def test_no_payment_takes_anything_from_what_was_paid_before(start, life):
    alice = Life(datetime(2020, 1, 1, tzinfo=UTC) + timedelta(seconds=start))
    for wait, what, of, by in life:
        alice.let_pass(wait)
        held = alice.held
        horizon = months_after(max(held.period.end, held.now), 2)
        before = alice.prices(horizon)
        if what == "buy":
            paid = invoice(of, "plan", held.now, of.price_cents, of.credits_per_cycle)
            course = bought(held, paid)
            alice.follow(course)
            since = held.period.end if held.runs else held.now
            assert course.since == since and months_after(since, 1) - course.period.end <= timedelta(days=3)
            assert alice.price_at(since) >= of.price_cents
            assert alice.price_at(alice.held.period.end - timedelta(microseconds=1)) >= of.price_cents
        elif what == "ask" and held.runs:
            offer = changes.offer(held, of)
            assert offer.cents >= 0 and offer.credits >= 0
            if offer.kind == "up":
                left = held.period.left(held.now)
                assert offer.cents <= (of.price_cents - held.plan.price_cents) * left
                assert offer.credits <= max(1, (of.credits_per_cycle - held.plan.credits_per_cycle) * left)
                alice.change = invoice(
                    of, "change", held.now, offer.cents, offer.credits, until=held.period.end.isoformat()
                )
        elif what == "pay the change" and alice.change:
            paid, alice.change = alice.change, None
            alice.follow(changed(held, paid))
            assert alice.held.period.end >= held.period.end
            assert alice.price_at(held.now) >= min(paid.plan.price_cents, alice.held.plan.price_cents)
        elif what == "wish" and held.runs and held.changes_at is None:
            alice.held = replace(held, next_plan=of if of.id != held.plan.id else None)
        elif what == "moved" and held.runs:
            period = held.period.moved(by)
            changes_at = held.changes_at + by if held.changes_at else None
            alice.held = replace(
                held, period_end=period.end, anchored_at=period.anchor, cycles=period.cycles, changes_at=changes_at
            )
            before = []
        for moment, price in before:
            assert alice.price_at(moment) >= price, (what, of.code, moment)
        assert alice.held.cycle_credits >= 0
        assert alice.held.changes_at is None or alice.held.next_plan is not None
        assert not alice.held.runs or alice.held.changes_at is None or alice.held.changes_at <= alice.held.period.end
