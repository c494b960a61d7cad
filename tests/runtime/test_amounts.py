"""Amounts: what is typed is read once and the same everywhere, nothing is rounded, and what is shown can be read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limner.runtime import amounts
from limner.runtime.errors import Refused

READ = [
    ("0", 0), ("9.99", 999), ("5", 500), ("5.", None), (".5", None), ("12,50", 1250), ("12,5", 1250), ("1,000", None),
    ("0.005", None), ("9.990", None), ("1.500", None), (" 7 ", 700), ("-1", None), ("+1", None), ("1e3", None), ("NaN", None),
    ("Infinity", None), ("", None), ("1_000", None), ("٣", None), ("1 000", None), ("10000000", 10**9), ("10000000.01", None),
    ("9" * 40, None),
]  # fmt: skip


@pytest.mark.parametrize(("typed", "cents"), READ)
def test_an_amount_is_what_was_typed_or_refused_by_field_and_value(typed, cents):
    if cents is not None:
        assert amounts.cents(typed, field="price") == cents
        return
    with pytest.raises(Refused) as caught:
        amounts.cents(typed, field="price", name="A price")
    assert caught.value.field == "price"
    assert str(caught.value).startswith("A price ")
    assert repr(typed[:60]) in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "micros"),
    [
        ("25", 25_000_000),
        ("0.034", 34_000),
        ("-0.5", -500_000),
        ("−2", -2_000_000),
        ("0.000001", 1),
        ("0.0000001", None),
    ],
)
def test_dollars_are_read_to_the_millionth_and_may_be_less_than_none(typed, micros):
    if micros is not None:
        assert amounts.micros(typed, field="amount") == micros
        return
    with pytest.raises(Refused, match="at most six digits behind the point"):
        amounts.micros(typed, field="amount")


@given(st.integers(0, amounts.MOST * 100))
def test_what_a_field_shows_is_read_as_the_same_amount(cents):
    assert amounts.cents(amounts.plain(cents), field="price") == cents


@given(st.integers(-amounts.MOST * amounts.MICROS, amounts.MOST * amounts.MICROS))
def test_what_a_field_shows_is_read_as_the_same_millionths(micros):
    assert amounts.micros(amounts.plain_micros(micros), field="cost") == micros


@pytest.mark.parametrize(
    ("cents", "words"), [(0, "0.00 USD"), (999, "9.99 USD"), (-1, "−0.01 USD"), (-123456, "−1,234.56 USD")]
)
def test_money_is_worded_with_its_currency_and_below_nothing_as_such(cents, words):
    assert amounts.said(cents, "USD") == words


@pytest.mark.parametrize(
    ("micros", "words"),
    [
        (0, "0.00 USD"), (34_000, "0.034 USD"), (500_000, "0.50 USD"), (1, "0.000001 USD"), (12_500_000, "12.50 USD"),
        (1_234_567_890, "1,234.57 USD"), (-2_500_000, "−2.50 USD"),
    ],
)  # fmt: skip
def test_dollars_are_worded_to_the_cent_and_what_is_less_than_one_exactly(micros, words):
    assert amounts.said_micros(micros) == words


@pytest.mark.parametrize(
    ("micros", "words"),
    [(4_000, "0.004 USD"), (25_000_000, "25.00 USD"), (1_234_567, "1.234567 USD"), (-500_000, "−0.50 USD")],
)
def test_dollars_that_are_booked_are_worded_to_the_last_digit(micros, words):
    assert amounts.exact_micros(micros) == words


@pytest.mark.parametrize(
    ("micros", "words"), [(857_142, "0.86 USD"), (4_000, "0.00 USD"), (-1_234_567_890, "−1,234.57 USD")]
)
def test_sums_of_dollars_are_worded_to_the_cent(micros, words):
    assert amounts.rounded_micros(micros) == words


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 credits"), (1, "1 credit"), (2, "2 credits"), (1234, "1234 credits")]
)
def test_one_is_one_and_all_else_are_several(number, said):
    assert amounts.counted(number, "credit") == said
