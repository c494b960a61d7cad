"""Proxies: the ways out, sealed, with their rests, backups and what a test found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from limner.runtime import mailbox
from limner.runtime.database import Db, affected
from limner.runtime.errors import NotFound, Refused
from limner.runtime.mailbox import Message
from limner.runtime.vault import Vault
from limner.sql import audit
from limner.sql.channels import KEY_CHANGED
from limner.sql.key_events import KEPT
from limner.sql.keys import proxy_bound_to

SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True)
class TryProxy(Message):
    """See where a proxy comes out, and how long that takes."""

    mailbox = "locksmith"
    proxy_id: int


def shown(url: str) -> str:
    """The address without user and password. Raises Refused when it is no address of a proxy."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in SCHEMES or not parts.hostname or not port or parts.path not in ("", "/") or parts.query:
        raise Refused(
            "A proxy's address looks like socks5://user:password@host:1080; http, https, socks5 and socks5h work.",
            field="url",
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}:{port}"


NEW = "insert into proxy (label, sealed_url, shown, backup_id) values ($1, '', $2, $3) returning id"
SEAL = "update proxy set sealed_url = $2, shown = $3 where id = $1"


async def add(
    db: Db,
    vault: Vault,
    label: str,
    url: str,
    *,
    actor: str,
    backup_id: int | None = None,
    reason: str = "",
    ip: str = "",
) -> int:
    """Keep a proxy, its address sealed and bound to its row. Raises Refused."""
    address = shown(url.strip())
    if not label.strip():
        raise Refused("A proxy needs a label.", field="label")
    async with db.transaction() as tx:
        await _check_backup(tx, None, backup_id)
        proxy_id = int(await tx.fetchval(NEW, label, address, backup_id))
        await tx.execute(SEAL, proxy_id, vault.seal(url.strip(), bound_to=proxy_bound_to(proxy_id)), address)
        await audit.record(
            tx, actor, "proxy.add", f"proxy {proxy_id} {label}", None, {"address": address}, reason=reason, ip=ip
        )
        return proxy_id


async def _check_backup(tx: Db, proxy_id: int | None, backup_id: int | None) -> None:
    if backup_id is None:
        return
    there = "select true from proxy where id = $1 and retired_at is null"
    if backup_id == proxy_id or not await tx.fetchval(there, backup_id):
        raise Refused(f"There is no other proxy {backup_id}.", field="backup")


GET = "select label, shown, state, backup_id from proxy where id = $1 and retired_at is null for update"
CHANGE = "update proxy set label = $2, backup_id = $3 where id = $1"


async def change(
    db: Db,
    vault: Vault,
    proxy_id: int,
    *,
    actor: str,
    label: str,
    backup_id: int | None,
    url: str = "",
    reason: str = "",
    ip: str = "",
) -> None:
    """Another label, backup or, when ``url`` is given, address. Raises NotFound and Refused."""
    async with db.transaction() as tx:
        before = await _get(tx, proxy_id)
        await _check_backup(tx, proxy_id, backup_id)
        await tx.execute(CHANGE, proxy_id, label, backup_id)
        after = {"label": label, "backup_id": backup_id, "shown": before["shown"]}
        if url.strip():
            after["shown"] = shown(url.strip())
            sealed = vault.seal(url.strip(), bound_to=proxy_bound_to(proxy_id))
            await tx.execute(SEAL, proxy_id, sealed, after["shown"])
        await audit.record(
            tx, actor, "proxy.change", f"proxy {proxy_id} {label}", dict(before), after, reason=reason, ip=ip
        )


async def _get(tx: Db, proxy_id: int) -> dict[str, Any]:
    row = await tx.fetchrow(GET, proxy_id)
    if row is None:
        raise NotFound("There is no such proxy.")
    return dict(row)


USED_BY = """
select (select count(*) from provider_key where proxy_id = $1) + (
    select count(*) from proxy where backup_id = $1 and retired_at is null)
"""
RETIRE = """
update proxy set retired_at = now(), state = 'disabled', why = 'removed', sealed_url = $2, backup_id = null, rests_until = null
where id = $1
"""


async def remove(db: Db, vault: Vault, proxy_id: int, *, actor: str, reason: str = "", ip: str = "") -> None:
    """Forget its address. Raises Refused while a key or another proxy counts on it: no key goes straight by that."""
    async with db.transaction() as tx:
        before = await _get(tx, proxy_id)
        if await tx.fetchval(USED_BY, proxy_id):
            raise Refused("Keys or other proxies still use it: give them another one first.", field="proxy")
        await tx.execute(RETIRE, proxy_id, vault.seal("", bound_to=proxy_bound_to(proxy_id)))
        subject = f"proxy {proxy_id} {before['label']}"
        await audit.record(tx, actor, "proxy.remove", subject, {"address": before["shown"]}, None, reason=reason, ip=ip)


SET_STATE = "update proxy set state = $2, why = $3, rests_until = null, failures = 0 where id = $1 and state <> $2"


async def set_state(db: Db, proxy_id: int, state: str, reason: str, *, actor: str, ip: str = "") -> None:
    """By hand: "active" or "disabled". Raises Refused and NotFound."""
    if state not in ("active", "disabled"):
        raise Refused(f"A proxy can be set to active or disabled by hand, not to {state[:40]!r}.", field="state")
    async with db.transaction() as tx:
        before = await _get(tx, proxy_id)
        await tx.execute(SET_STATE, proxy_id, state, reason)
        subject, after = f"proxy {proxy_id} {before['label']}", {"state": state, "reason": reason}
        await audit.record(tx, actor, "proxy.state", subject, {"state": before["state"]}, after, ip=ip)
        tx.tell(KEY_CHANGED)


# What began before the rest did belongs to the same cycle, and counts once.
REST = """
update proxy set state = 'cooldown', why = $2, failures = failures + 1, probing_until = null,
    rests_until = clock_timestamp() + make_interval(secs => least(30 * 2 ^ least(failures, 5), 600))
where id = $1 and (state = 'active' or state = 'cooldown' and rests_until <= coalesce(
    (select started_at from attempt where id = $3), now()))
returning id
"""


async def rest(db: Db, proxy_id: int, cause: str, *, attempt_id: int | None = None) -> None:
    """The way there is broken, not the key: the proxy rests from 30 s to 10 min, growing."""
    if await db.fetchval(REST, proxy_id, cause, attempt_id):
        db.tell(KEY_CHANGED)


WAKE = """
update proxy set state = 'active', why = $2, failures = 0, rests_until = null, probing_until = null
where id = $1 and state in ('active', 'cooldown') and retired_at is null returning id
"""


async def wake(db: Db, proxy_id: int, why: str) -> None:
    """It carries again."""
    if await db.fetchval(WAKE, proxy_id, why):
        db.tell(KEY_CHANGED)


TESTED = "update proxy set exit_address = $2, latency_ms = $3, tested_at = now(), probing_until = null where id = $1"


async def note_test(db: Db, proxy_id: int, exit_address: str, latency_ms: int | None) -> None:
    """What a test found: where it comes out, or in a few words why not."""
    await db.execute(TESTED, proxy_id, exit_address[:200], latency_ms)


SEALED = "select sealed_url from proxy where id = $1 and retired_at is null"


async def sealed_url(db: Db, proxy_id: int) -> str:
    """Raises NotFound."""
    sealed = await db.fetchval(SEALED, proxy_id)
    if sealed is None:
        raise NotFound("There is no such proxy.")
    return str(sealed)


async def ask_test(db: Db, proxy_id: int) -> None:
    """Have a worker test it. Raises NotFound."""
    await sealed_url(db, proxy_id)
    await mailbox.send(db, TryProxy(proxy_id), key=f"test {proxy_id}")


LIST = """
select x.id, x.label, x.shown, x.state, x.why, x.failures, x.backup_id, b.label as backup, x.exit_address, x.latency_ms,
    x.tested_at, case when x.state = 'cooldown' then x.rests_until end as rests_until,
    (select count(*) from provider_key as k where k.proxy_id = x.id) as keys
from proxy as x left join proxy as b on b.id = x.backup_id
where x.retired_at is null order by x.id
"""


async def listing(db: Db) -> list[dict[str, Any]]:
    """All proxies, without what is secret of their addresses."""
    return [dict(row) for row in await db.fetch(LIST)]


EVENTS = """
select created_at, state_before, state_after, cause from proxy_event where proxy_id = $1 order by id desc limit 50
"""


async def events(db: Db, proxy_id: int) -> list[dict[str, Any]]:
    """What happened to it, the newest first."""
    return [dict(row) for row in await db.fetch(EVENTS, proxy_id)]


# As for keys (sql/key_events.py).
FORGET_EVENTS = f"""
delete from proxy_event where id in (
    select e.id from (select * from proxy_event order by id limit 5000 + (select count(*) from proxy)) as e
    where e.created_at < now() - interval '{KEPT}'
        and exists (select from proxy_event as v where v.proxy_id = e.proxy_id and v.id > e.id)
)
"""


async def forget_events(db: Db) -> int:
    """Those of half a year ago, but for each proxy's last one. Returns how many went."""
    return affected(await db.execute(FORGET_EVENTS))


# Its label stands in the subject, and may have been another one then.
ACTS = """
select created_at, actor, action, before, after from audit
where subject like $1 || ' %' and action like 'proxy.%' order by id desc limit 50
"""


async def acts(db: Db, proxy_id: int) -> list[dict[str, Any]]:
    """What somebody did to it, the newest first."""
    return [dict(row) for row in await db.fetch(ACTS, f"proxy {proxy_id}")]
