"""The admin's own matrix: what somebody is answered who lacks the factor, the fresh proof, or the right to know."""

from __future__ import annotations

import pytest

from limner.runtime.vault import Vault
from limner.sql import accounts, gifts, invitations, keys, proxies, tickets, tokens
from limner.sql.gifts import Batch
from tests.conftest import held
from tests.http.conftest import serving
from tests.http.sitemap import Place, places
from tests.http.test_fresh_proof import UNGUARDED
from tests.http.test_who_may_what import ADMINS, STAFF, kind, status

FILES = {
    f"GET /admin/{name}.csv"
    for name in (
        "users", "sessions", "audit", "invoices", "generations", "subscriptions", "ledger", "mails", "notices", "codes",
        "invitations", "reports", "wall",
    )
}  # fmt: skip
"""Of people: whoever takes one along shows anew who they are."""
LOOKED_AT = {name for name in ADMINS if name.startswith("GET ")} - FILES | UNGUARDED
"""For admins alone, and no act on keys, money, access or roles. All the rest of theirs asks again who they are."""

NO_FACTOR, NOT_FRESH = "without a second factor", "without a fresh proof"


def of_an_admin(place: Place, lacks: str) -> tuple[int, str] | None:
    """What an admin who lacks that is answered in the admin: the status, and where it leads. None: they get through."""
    is_act = kind(place) == "admins" and place.name not in LOOKED_AT
    if lacks == NO_FACTOR:
        return (303, "/account/security") if place.method == "GET" else (403, "")
    if not is_act:
        return None
    return (303, "/account/proof?next=") if place.method == "GET" else (401, "")


@pytest.mark.parametrize("lacks", [NO_FACTOR, NOT_FRESH])
async def test_an_admin_who_lacks_something_gets_nowhere_with_it(db, dsn, tmp_path, cast, lacks):
    """Without a second factor nothing of the admin is there; without a fresh proof nothing that acts, on any route."""
    async with held(serving(dsn, tmp_path, db, admin_totp=lacks == NO_FACTOR)) as site:
        alice, carol = await site.browser(cast.alice), await site.browser(cast.carol)
        sitemap = [each for each in await places(site, cast, alice) if kind(each) in ("staff", "admins")]
        assert {each.name for each in sitemap} == STAFF | ADMINS
        assert sum(of_an_admin(each, NOT_FRESH) is not None for each in sitemap) == len(ADMINS - LOOKED_AT)
        await db.execute("update session set proved_at = now() - interval '11 minutes'")
        wrong = []
        for place in sitemap:
            found, location = await status(carol, place)
            right = of_an_admin(place, lacks)
            if right is None and (found in (401, 403, 404) or found >= 500 or "/account/" in location):
                wrong.append(f"{place.name}: {found} {location}, should get through")
            if right is not None and (found != right[0] or not location.startswith(right[1])):
                wrong.append(f"{place.name}: {found} {location}, should be {right}")
        assert wrong == []


CANARY = "canary-of-a-secret-7f3a"


async def test_support_sees_no_secret_on_any_page(site, cast, db, alice):
    """Keys, proxies, links of mails, codes, tokens: all of them there, and on no page that is open to support."""
    ids = await places(site, cast, alice)
    vault, secrets = Vault.from_config(site.config), [CANARY]
    await keys.add(db, vault, "demo", "a key", CANARY, actor="test")
    await proxies.add(db, vault, "another way", f"socks5://{CANARY}:{CANARY}@192.0.2.2:1080", actor="test")
    secrets.append(await invitations.create(db, reason="guests", actor="test"))
    secrets += await gifts.make(db, Batch(2, None, 5), actor="test")
    secrets.append(await tokens.create(db, cast.alice, "a program", tokens.Caps(), actor="test"))
    for row in await db.fetch("select id from ticket"):
        secrets.append(tickets.secret(row["id"], site.config.secret_keys))
    await db.execute(
        "insert into refund (invoice_id, kind, amount_cents, currency, credits_taken, reason, actor, state, claim_url, ended_at) "
        "select id, 'whole', 5, 'USD', 0, 'x', 'test', 'sent', $1, now() from invoice", f"https://pay.example/{CANARY}"
    )  # fmt: skip
    await accounts.set_role(db, cast.bob, "support", actor="test")
    support = await site.browser(cast.bob)
    for place in ids:
        if kind(place) == "staff":
            said = (await support.get(place.path)).body
            assert [secret for secret in secrets if secret.encode() in said] == [], place.name
            assert b'method="post" action="/admin' not in said, place.name
