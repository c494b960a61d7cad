"""Erasure: what becomes of everything when an account is deleted for good."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from limner.runtime import mailbox
from limner.runtime.database import Db, Transaction
from limner.runtime.errors import NotFound, Refused
from limner.runtime.log import logger
from limner.sql import accounts, audit, generations, notices
from limner.sql.accounts import Account
from limner.sql.billing import CancelInvoice

log = logger(__name__)

# Banned, too: images of before know nothing of deleted_at.
MARK = f"""
update account set deleted_at = now(), banned_at = coalesce(banned_at, now()), ban_reason = 'deleted', password_hash = ''
where id = $1 and deleted_at is null and role <> 'admin' returning {accounts.COLUMNS}
"""


async def erase(db: Db, account_id: UUID, *, actor: str, why: str, ip: str = "") -> None:
    """For good: whoever they were cannot be told afterwards, and the books still add up. ``actor``: an address, or "cli".

    Sessions, tokens and links end, what is being painted is canceled uncharged, the subscription ends; prompts go, pictures
    are wiped by the janitor. Invoices, ledger and audit stay, without the name. Raises NotFound, Refused for an admin.
    """
    async with db.transaction() as tx:
        row = await tx.fetchrow(MARK, account_id)
        if row is None:
            raise await _why_not(tx, account_id)
        account = Account(**row)
        name = await tx.fetchval(NAME, account.id)
        await _end_access(tx, account)
        await _stop_painting(tx, account.id)
        await _stop_asking(tx, account.id)
        await _forget_content(tx, account.id)
        about = {"at": datetime.now(UTC).isoformat(timespec="seconds")}
        await notices.mail(tx, account.email, "account_deleted", locale=account.locale, details=about)
        by = name if actor == account.email else actor
        await _take_the_name_out(tx, account)
        await audit.record(tx, by, "account.delete", name, None, {"why": why}, ip="" if by == name else ip)
    log.info("account_deleted", account=str(account.id))


async def _why_not(tx: Transaction, account_id: UUID) -> Refused:
    account = await accounts.get(tx, account_id)
    if account.is_admin:
        return Refused("An admin cannot be deleted: take the role away first.", field="form")
    return NotFound("This account is deleted already.")


NAME = "select anonymous_name($1)"
END_ACCESS = (
    "delete from session where account_id = $1",
    "delete from sign_in where account_id = $1",
    "delete from visit where account_id = $1",
    "delete from known_place where account_id = $1",
    "delete from notice where ticket_id in (select id from ticket where account_id = $1)",
    "delete from ticket where account_id = $1",
    "delete from notice where id in (select notice_id from broadcast_recipient where account_id = $1)",
    "delete from broadcast_recipient where account_id = $1",
    "delete from second_factor where account_id = $1",
    "delete from pending_sign_in where account_id = $1",
    "delete from linked_sign_in where account_id = $1",
    "update report set account_id = null, address = '' where account_id = $1",
    "update trial set address = '', subnet = '' where account_id = $1",
    "update referral set address = '' where account_id = $1 or referrer_id = $1",
    "update invoice set details = details - 'to' - 'message' where account_id = $1 and purpose = 'gift'",
    """
    update api_token set revoked_at = coalesce(revoked_at, now()), name = 'deleted', last_used_ip = '', networks = null
    where account_id = $1
    """,
    "update subscription set state = 'canceled' where account_id = $1 and state in ('active', 'past_due')",
    # One that never began has no period, and cannot be canceled: it is a wish, and goes.
    """
    update invoice set subscription_id = null
    where subscription_id in (select id from subscription where account_id = $1 and state = 'pending_activation')
    """,
    "delete from subscription where account_id = $1 and state = 'pending_activation'",
)
FORGET_THROTTLES = "delete from throttle where key = any($1::text[])"


async def _end_access(tx: Transaction, account: Account) -> None:
    for statement in END_ACCESS:
        await tx.execute(statement, account.id)
    keys = [f"{what} {name}" for what in ("login", "reset") for name in (account.email.lower(), str(account.id))]
    await tx.execute(FORGET_THROTTLES, keys)


UNFINISHED = """
select id from generation where account_id = $1 and state in ('queued', 'running') order by id for update
"""
STOP = """
update job set state = 'canceled', finished_at = now(), line = '', percent = null, waits_until = null, reason = $2
where generation_id = $1 and state in ('queued', 'running') returning id
"""


async def _stop_painting(tx: Transaction, account_id: UUID) -> None:
    """Without their messages, whoever paints them finds the fence lost: nothing arrives, and nothing is charged."""
    for row in await tx.fetch(UNFINISHED, account_id):
        stopped = [job["id"] for job in await tx.fetch(STOP, row["id"], "the account was deleted")]
        await generations.release_all(tx, stopped, "the account was deleted")
        await generations.settle_state(tx, row["id"])


UNPAID = "select id from invoice where account_id = $1 and state = 'pending'"


async def _stop_asking(tx: Transaction, account_id: UUID) -> None:
    """The processors take no money for what nobody would get any more; the cashier tells them."""
    for row in await tx.fetch(UNPAID, account_id):
        await mailbox.send(tx, CancelInvoice(row["id"]), key=f"cancel {row['id']}", max_attempts=20)


FORGET_CONTENT = (
    "update generation set prompt = 'deleted', parameters = '{}', idempotency_key = null where account_id = $1",
    """
    update attempt set detail = '', categories = null
    where (detail <> '' or categories is not null) and job_id in (select id from job where account_id = $1)
    """,
    "delete from preview where job_id in (select id from job where account_id = $1)",
    "delete from partial where job_id in (select id from job where account_id = $1)",
    "update image set deleted_at = now() where account_id = $1 and deleted_at is null",
    "update upload set deleted_at = now() where account_id = $1 and deleted_at is null",
)


async def _forget_content(tx: Transaction, account_id: UUID) -> None:
    for statement in FORGET_CONTENT:
        await tx.execute(statement, account_id)


# Of what only grows, the schema lets exactly this be changed, and only so (V0022).
ERASING = "select set_config('limner.erasing', $1, true)"
TAKE_OUT_OF_LEDGER = "update ledger_entry set why = 'a picture' where account_id = $1 and kind = 'reserve'"
NAMES = "select email, since, until from account_names($1)"
TAKE_OUT_OF_AUDIT = """
update audit as x set actor = y.actor, subject = y.subject, before = y.before, after = y.after, ip = y.ip
from audit as z
cross join lateral jsonb_to_record(audit_anonymised(to_jsonb(z), $1, anonymous_name($2)))
    as y (actor text, subject text, before jsonb, after jsonb, ip text)
where x.id = z.id and z.created_at between $3 and $4 and (
    z.actor = $1 or z.subject = $1 or starts_with(z.subject, $1 || ' ') or strpos(z.before::text, to_json($1::text)::text) > 0
    or strpos(z.after::text, to_json($1::text)::text) > 0
)
"""
# Where they stand as whoever did something, perhaps when they were an admin, or as somebody's else, by each address they had.
TAKE_OUT_OF_ROWS = (
    "update code set made_by = anonymous_name($2) where made_by = $1 and created_at between $3 and $4",
    "update invitation set created_by = anonymous_name($2) where created_by = $1 and created_at between $3 and $4",
    "update broadcast set created_by = anonymous_name($2) where created_by = $1 and created_at between $3 and $4",
    "update refund set actor = anonymous_name($2) where actor = $1 and created_at between $3 and $4",
    "update top_up set actor = anonymous_name($2) where actor = $1 and created_at between $3 and $4",
    "update invoice set paid_by = anonymous_name($2) where paid_by = $1 and paid_at between $3 and $4",
    "update alert set snoozed_by = anonymous_name($2) where snoozed_by = $1 and snoozed_until > $3 and began_at < $4",
    "update backup_wish set actor = anonymous_name($2) where actor = $1 and wished_at between $3 and $4",
    """
    update invoice set details = details - 'to' - 'message'
    where purpose = 'gift' and lower(details ->> 'to') = lower($1) and account_id <> $2 and created_at between $3 and $4
    """,
)
FORGET_GIVER = """
update notice set details = details || '{"giver": null, "message": null}'
where template = 'gift_code' and details ->> 'giver' = $1 and created_at between $2 and $3
"""
FORGET_MAILS = (
    "delete from notice where channel = 'mail' and recipient = $1 and template is distinct from 'account_deleted'"
)
FORGET_NAMES = "delete from former_address where account_id = $1"
RENAME = "update account set email = anonymous_name(id), invitation_id = null where id = $1"


async def _take_the_name_out(tx: Transaction, account: Account) -> None:
    await tx.execute(ERASING, str(account.id))
    await tx.execute(TAKE_OUT_OF_LEDGER, account.id)
    for name in await tx.fetch(NAMES, account.id):
        await tx.execute(TAKE_OUT_OF_AUDIT, name["email"], account.id, name["since"], name["until"])
        for statement in TAKE_OUT_OF_ROWS:
            await tx.execute(statement, name["email"], account.id, name["since"], name["until"])
        await tx.execute(FORGET_GIVER, name["email"], name["since"], name["until"])
        await tx.execute(FORGET_MAILS, name["email"])
    await tx.execute(ERASING, "")
    await tx.execute(FORGET_NAMES, account.id)
    await tx.execute(RENAME, account.id)


# The last mail still has to go out; then nothing names the address any more.
FORGET_FAREWELLS = """
delete from notice where template = 'account_deleted' and coalesce(sent_at, failed_at) < now() - interval '1 hour'
"""


async def forget_farewells(db: Db) -> None:
    await db.execute(FORGET_FAREWELLS)
