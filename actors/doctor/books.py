"""The books: whether credits, money and pictures agree, and whether there is something to sell."""

from __future__ import annotations

import anyio

from limner.actors.doctor.check import Finding, check, trouble, well
from limner.actors.doctor.patient import Patient, Skip
from limner.sql import books, chain

SNAPSHOT = "set transaction isolation level repeatable read, read only"
IN_TIME = 9.0
"""Seconds for reading all the books; those of a large studio take longer."""


@check(
    "books.ledger", "fail", means="every balance, charge and delivered picture agrees with the others",
    cause="Somebody wrote into the tables by hand, or a bug: nothing that runs can do it.",
    fix="`limner ledger verify` names every case; correct with a row in the ledger, never by changing one.",
)  # fmt: skip
async def ledger(patient: Patient) -> Finding:
    db, broken = await patient.db(), list[str]()
    try:
        async with db.transaction(IN_TIME) as tx:
            await tx.execute(SNAPSHOT)
            for rule, statement in books.RULES.items():
                if cases := await tx.fetch(statement):
                    broken.append(f"not so: {rule} ({len(cases)} cases, such as {cases[0]['what']})")
    except TimeoutError:
        raise Skip(f"not read in {IN_TIME:.0f} s: `limner ledger verify` takes its time") from None
    return trouble("; ".join(broken)) if broken else well(f"{len(books.RULES)} rules hold")


@check(
    "books.audit", "fail", means="the audit is whole, and whatever guards it is in its place",
    cause="Somebody changed or removed rows by hand, with the rights of the database's owner.",
    fix="`limner audit verify` names the first row; a backup from before it has what stood there.",
)  # fmt: skip
async def audit(patient: Patient) -> Finding:
    try:
        with anyio.fail_after(IN_TIME):
            found = await chain.verify(await patient.db())
    except TimeoutError:
        raise Skip(f"not walked in {IN_TIME:.0f} s: `limner audit verify` takes its time") from None
    return well(f"{found.links} links hold, up to {str(found.head)[:24]}…") if found.is_whole else trouble(found.words)


LATE = """
select count(*) as n, coalesce(extract(epoch from now() - min(expires_at)), 0)::float8 as age from invoice
where state in ('pending', 'processing') and expires_at < now() - interval '2 hours'
"""


@check(
    "books.invoices", "warn", means="no invoice is open long after its end",
    cause="The cashier does not run, or the processor does not answer.",
    fix="See work.worker; the worker's log says what the processor answered.",
)  # fmt: skip
async def invoices(patient: Patient) -> Finding:
    row = await (await patient.db()).fetchrow(LATE)
    assert row is not None
    return trouble(f"{row['n']}, for up to {row['age'] / 3600:.0f} h") if row["n"] else well("none")


@check(
    "books.plans", "fail", means="a plan is on sale",
    cause="All were switched off, or the database was never sown.", fix="`limner migrate` makes sure of the default plan.",
)  # fmt: skip
async def plans(patient: Patient) -> Finding:
    count = await (await patient.db()).fetchval("select count(*) from plan where active")
    return well(f"{count} on sale") if count else trouble("people can buy nothing")


CHECKS = (ledger, audit, invoices, plans)
