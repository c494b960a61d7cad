"""The mutation table: which guard is taken away, how, and which test must go red then.

A guard in the schema is taken away by ``sql`` in the test's own database; one in the code by ``swap``: for an attribute, by
name, something else in its place, made from what was there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from limner.http.api.errors import ApiError

LEDGER = "tests/sql/test_ledger.py::"
GUARDS = "tests/ledger/test_guards.py::"
PAYING = "tests/http/test_paying.py::"


@dataclass(frozen=True)
class Mutant:
    guard: str
    test: str
    sql: str = ""
    swap: tuple[str, Callable[[Any], Any]] | None = None


def without(text: str, instead: str = "") -> Callable[[str], str]:
    """A statement without a part of it."""

    def cut(statement: str) -> str:
        assert text in statement, f"{text!r} is not in it any more: mend the table"
        return statement.replace(text, instead)

    return cut


def function_without(name: str, text: str, instead: str) -> str:
    """The SQL that takes a part out of a function of the schema."""
    quoted = text.replace("'", "''"), instead.replace("'", "''")
    return f"""
    do $do$
    declare
        before text := pg_get_functiondef('{name}'::regproc);
        after text := replace(before, '{quoted[0]}', '{quoted[1]}');
    begin
        if before = after then
            raise exception 'the function {name} has no such part any more: mend the table';
        end if;
        execute after;
    end $do$
    """


def always(answer: Any) -> Callable[[Any], Any]:
    """A function that looks at nothing."""
    return lambda _: lambda *args, **options: answer


def stepwise_after_all(at_once: Any) -> Any:
    async def order(*args: Any) -> Any:
        try:
            return await at_once(*args)
        except ApiError:
            return None

    return order


def asking_nobody(_: Any) -> Any:
    async def take(*args: Any, **options: Any) -> None:
        return None

    return take


def of_anybody(get: Any) -> Any:
    return lambda db, invoice_id, account_id=None: get(db, invoice_id)


TABLE = [
    Mutant(
        "an account never spends what is not there",
        GUARDS + "test_of_two_hundred_orders_at_once_with_ten_credits_ten_are_accepted_every_time",
        sql="alter table balance drop constraint balance_covers_it",
    ),
    Mutant(
        "one entry of a kind for a job",
        LEDGER + "test_what_was_charged_comes_back_once",
        sql="alter table ledger_entry drop constraint ledger_entry_job_id_kind_key",
    ),
    Mutant(
        "charged or released, never both",
        LEDGER + "test_settle_and_release_exclude_each_other[settle]",
        sql="drop index ledger_settled_or_released",
    ),
    Mutant(
        "what is settled was reserved, over the same credits",
        LEDGER + "test_settling_needs_a_reserve_of_the_same_credits",
        sql=function_without("ledger_apply", "needed is not null", "false"),
    ),
    Mutant(
        "no charge for a failure, no release of a delivery",
        GUARDS + "test_a_picture_is_charged_as_it_ended",
        sql=function_without("ledger_apply", "ended in ('failed', 'canceled')", "false"),
    ),
    Mutant(
        "entries are never changed",
        LEDGER + "test_the_books_are_append_only[update ledger_entry set credits = 9]",
        sql="drop trigger ledger_append_only on ledger_entry",
    ),
    Mutant(
        "the ledger is never emptied",
        LEDGER + "test_the_books_are_append_only[truncate ledger_entry cascade]",
        sql="drop trigger ledger_never_truncated on ledger_entry",
    ),
    Mutant(
        "a lost fence delivers nothing",
        GUARDS + "test_a_worker_whose_fence_is_lost_delivers_and_charges_nothing",
        sql=function_without("pictures_hand_over", "and m.owner = p.owner and m.attempts = p.fence", ""),
    ),
    Mutant(
        "one name, one order",
        GUARDS + "test_a_hundred_orders_of_one_name_are_one_job_and_one_charge",
        sql=function_without("order_place", "o.idempotency_key,", "null::text,"),
    ),
    Mutant(
        "one grant for an invoice",
        GUARDS + "test_an_invoice_is_credited_once_whoever_says_it_is_paid",
        sql="drop index ledger_granted_once",
    ),
    Mutant(
        "only a paid invoice is credited",
        GUARDS + "test_only_a_paid_invoice_is_credited_for_its_payer_over_its_credits",
        sql=function_without("ledger_apply", "new.kind = 'grant' and new.invoice_id is not null", "false"),
    ),
    Mutant(
        "a paid invoice is not paid again",
        GUARDS + "test_an_invoice_that_is_paid_already_is_not_paid_again",
        swap=("limner.sql.invoices.SETTLE", without("and state <> 'paid'")),
    ),
    Mutant(
        "the signature of a webhook",
        PAYING + "test_every_signature_but_the_right_one_is_refused",
        swap=("limner.http.hooks.is_signed", always(True)),
    ),
    Mutant(
        "what was paid is compared with what was asked",
        PAYING + "test_a_settled_payment_over_something_else_pays_nothing[998-USD]",
        swap=("limner.actors.settlement.differences", always([])),
    ),
    Mutant(
        "somebody else's picture",
        GUARDS + "test_somebody_elses_picture_is_not_there",
        swap=("limner.sql.studio.WHOLE", without("i.account_id = $2", "$2::uuid is not null")),
    ),
    Mutant(
        "somebody else's invoice",
        GUARDS + "test_somebody_elses_invoice_is_not_there",
        swap=("limner.sql.invoices.get", of_anybody),
    ),
    Mutant(
        "a link is used once",
        "tests/sql/test_tickets.py::test_a_link_is_used_once_even_by_ten_at_a_time",
        swap=("limner.sql.tickets.USE", without("and used_at is null")),
    ),
    Mutant(
        "an order of which nobody knows is not sent once more",
        "tests/api/test_waiting.py::test_an_order_whose_answer_is_lost_on_its_way_is_not_ordered_again",
        swap=("limner.http.api.ordering.at_once", stepwise_after_all),
    ),
    Mutant(
        "the plan's cap of a day",
        "tests/sql/test_plans.py::test_forty_at_once_with_a_cap_of_seven_give_seven",
        sql=function_without("reserve_allowed", "today > a_day", "false"),
    ),
    Mutant(
        "no reserve after the period",
        "tests/sql/test_plans.py::test_a_period_that_ends_under_an_order_is_refused_by_the_schema_itself",
        sql=function_without("reserve_allowed", "if not found then", "if false then"),
    ),
    Mutant(
        "the cap of a token",
        "tests/api/test_tokens.py::test_an_order_that_does_not_fit_into_the_cap_takes_nothing",
        sql="drop trigger api_token_spend on ledger_entry",
    ),
    Mutant(
        "guessing passwords has an end",
        "tests/http/test_signing_in.py::test_five_wrong_passwords_close_the_account_even_to_the_right_one",
        swap=("limner.sql.throttles.take", asking_nobody),
    ),
    Mutant(
        "forms carry a token of their session",
        "tests/http/test_forged_forms.py::test_somebody_elses_token_is_no_token",
        swap=("limner.http.middleware.csrf_holds", always(True)),
    ),
    Mutant(
        "cells that are no formulas",
        "tests/http/test_statement.py::test_no_cell_of_a_whole_file_begins_like_a_formula",
        swap=("limner.sql.cells.safe", lambda _: lambda text: text),
    ),
]
