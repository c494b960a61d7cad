"""The authorisation matrix: every route, every kind of person. A route that is not listed fails."""

from __future__ import annotations

from uuid import UUID

import pytest

from limner.http.state import csrf_for
from limner.sql import accounts
from tests.http.conftest import Browser
from tests.http.sitemap import Place, patterns, places

OPEN = {
    "GET /unsubscribe/{secret}", "POST /unsubscribe/{secret}",
    "GET /verify/{secret}", "POST /verify/{secret}", "GET /reset", "POST /reset", "GET /reset/{secret}",
    "POST /reset/{secret}", "GET /email/{secret}", "POST /email/{secret}",
    "GET /", "GET /register", "POST /register", "GET /login", "POST /login", "POST /logout",
    "GET /login/code", "POST /login/code",
    "GET /sandbox/{id}", "POST /sandbox/{id}",
    "GET /status", "GET /status.json", "GET /health/live", "GET /health/ready", "GET /static/{hash}/{path}",
    "GET /v1/openapi.json", "GET /api", "GET /r/{code}",
    "GET /wall", "GET /s/{secret}", "GET /s/{secret}/picture", "GET /s/{secret}/thumbnail", "POST /s/{secret}/reports",
}  # fmt: skip
"""For everybody. The sandbox plays an outsider: whoever knows a payment's id may pay it."""
MACHINES = {
    "POST /hooks/sandbox", "POST /hooks/btcpay", "POST /hooks/stripe", "POST /sandbox/api/payments", "GET /sandbox/api/payments",
    "GET /sandbox/api/payments/{id}", "POST /sandbox/api/payments/{id}/cancellation", "POST /sandbox/api/payments/{id}/refunds",
}  # fmt: skip
"""Proved by a signature or a key, never by a session."""
PROGRAMS = {
    "GET /v1/models", "GET /v1/models/{id}", "POST /v1/images/generations", "POST /v1/images/generations/async",
    "POST /v1/images/edits", "POST /v1/images/edits/async",
    "GET /v1/images/tasks/{id}", "DELETE /v1/images/tasks/{id}",
}  # fmt: skip
"""Let in by an API token alone: a session means nothing to them."""
HOLDERS = {"GET /v1/files/{id}"}
"""For whoever has a signed link; without the signature it leads to nothing."""
SHUT = {
    "GET /login/oidc", "GET /login/oidc/return", "GET /login/telegram", "GET /login/telegram/return",
    "POST /login/telegram/return", "GET /account/security/oidc", "GET /account/security/telegram",
}  # fmt: skip
"""Doors that no setting opens here: not there for anybody."""
MEMBERS = {
    "GET /dashboard", "GET /account", "POST /account/password", "POST /account/sessions/deletion",
    "POST /account/email", "POST /account/verification", "POST /account/locale", "POST /account/news",
    "GET /account/export", "GET /account/deletion", "POST /account/deletion",
    "GET /plans", "POST /plans/{code}/invoices", "GET /invoices", "GET /studio", "POST /generations", "GET /gallery",
    "GET /account/tokens", "POST /account/tokens",
    "GET /account/security", "POST /account/security/totp", "GET /account/security/totp",
    "POST /account/security/totp/confirmation", "POST /account/security/totp/removal", "POST /account/security/codes",
    "POST /account/security/links/{code}/removal",
    "GET /account/proof", "POST /account/proof",
    "GET /account/statement", "GET /account/statement.csv",
    "GET /codes", "POST /codes", "POST /gifts", "POST /trial",
    "GET /account/referrals", "POST /account/referrals",
    "GET /account/subscription", "POST /account/subscription/plan", "POST /account/subscription/cancellation",
    "POST /account/subscription/continuation",
    "POST /visit/end", "POST /account/security/mails",
}  # fmt: skip
OWNERS = {
    "GET /invoices/{id}", "GET /invoices/{id}/status", "POST /invoices/{id}/check", "POST /invoices/{id}/cancellation",
    "GET /studio/{id}", "POST /generations/{id}/cancellation", "GET /threads/{id}/live",
    "GET /jobs/{id}/preview", "GET /uploads/{id}",
    "GET /pictures/{id}", "GET /pictures/{id}/file", "GET /pictures/{id}/thumbnail", "POST /pictures/{id}/deletion",
    "POST /pictures/{id}/share", "POST /pictures/{id}/share/revocation", "POST /pictures/{id}/wall",
    "POST /pictures/{id}/wall/withdrawal",
    "POST /account/tokens/{id}/revocation", "POST /account/sessions/{id}/deletion",
}  # fmt: skip
STAFF = {
    "GET /admin", "GET /admin/users", "GET /admin/users/{id}", "GET /admin/generations", "GET /admin/generations/{id}",
    "GET /admin/keys", "GET /admin/audit", "GET /admin/generations/{id}/explain", "GET /admin/keys/{id}",
    "GET /admin/proxies", "GET /admin/providers", "GET /admin/models", "GET /admin/models/{code}", "GET /admin/margins",
    "GET /admin/invitations", "GET /admin/charts", "GET /admin/charts/{code}", "GET /admin/charts/{code}.csv",
    "GET /admin/health",
    "GET /admin/invoices", "GET /admin/invoices/{id}",
    "GET /admin/codes", "GET /admin/codes/{id}",
    "GET /admin/subscriptions", "GET /admin/subscriptions/{id}",
    "GET /admin/ledger", "GET /admin/ledger/{id}", "GET /admin/sessions",
    "GET /admin/plans", "GET /admin/plans/{code}",
    "GET /admin/broadcasts", "GET /admin/broadcasts/{id}",
    "GET /admin/sessions/{id}", "GET /admin/proxies/{id}", "GET /admin/providers/{code}",
    "GET /admin/alerts", "GET /admin/alerts/{id}", "GET /admin/alerts/rules/{code}",
    "GET /admin/wall", "GET /admin/reports", "GET /admin/pictures/{id}", "GET /admin/pictures/{id}/file",
    "GET /admin/pictures/{id}/thumbnail",
}  # fmt: skip
ADMINS = {
    "POST /admin/alerts/times",
    "POST /admin/alerts/{id}/snooze",
    "POST /admin/alerts/rules/{code}/terms",
    "GET /admin/users.csv",
    "GET /admin/subscriptions.csv",
    "GET /admin/invoices.csv",
    "GET /admin/ledger.csv",
    "GET /admin/generations.csv",
    "GET /admin/keys.csv",
    "GET /admin/providers.csv",
    "GET /admin/proxies.csv",
    "GET /admin/models.csv",
    "GET /admin/plans.csv",
    "GET /admin/codes.csv",
    "GET /admin/notices.csv",
    "GET /admin/mails.csv",
    "GET /admin/audit.csv",
    "GET /admin/sessions.csv",
    "GET /admin/invitations.csv",
    "GET /admin/broadcasts.csv",
    "GET /admin/alerts.csv",
    "GET /admin/reports.csv",
    "GET /admin/wall.csv",
    "GET /admin/notices",
    "GET /admin/notices/{id}",
    "POST /admin/notices/{id}/retries",
    "POST /admin/notices/{id}/dismissal",
    "POST /admin/sessions/end",
    "POST /admin/keys/acts",
    "POST /admin/codes/acts",
    "POST /admin/mails/acts",
    "POST /admin/plans",
    "POST /admin/plans/{code}/terms",
    "GET /admin/settings",
    "POST /admin/health/backups",
    "POST /admin/health/processes/{id}/pause",
    "POST /admin/users/acts",
    "POST /admin/users/{id}/reset-links",
    "POST /admin/models/acts",
    "POST /admin/generations/{id}/retries",
    "POST /admin/health/letters/{id}/retry",
    "POST /admin/wall/decisions",
    "POST /admin/reports/decisions",
    "POST /admin/pictures/{id}/decision",
    "POST /admin/broadcasts",
    "POST /admin/broadcasts/{id}/words",
    "POST /admin/broadcasts/{id}/removal",
    "POST /admin/broadcasts/{id}/trial",
    "GET /admin/broadcasts/{id}/beginning",
    "POST /admin/broadcasts/{id}/beginning",
    "POST /admin/broadcasts/{id}/stop",
    "POST /admin/broadcasts/{id}/continuation",
    "GET /admin/mails",
    "POST /admin/mails/{id}/link",
    "POST /admin/users/{id}/grants",
    "POST /admin/users/{id}/ban",
    "POST /admin/users/{id}/verification",
    "POST /admin/users/{id}/deletion",
    "POST /admin/users/{id}/role",
    "POST /admin/users/{id}/visits",
    "POST /admin/invitations",
    "POST /admin/invitations/{id}/revocation",
    "POST /admin/users/{id}/subscription",
    "GET /admin/invoices/{id}/refunds",
    "POST /admin/invoices/{id}/refunds",
    "POST /admin/invoices/{id}/payment",
    "POST /admin/invoices/{id}/check",
    "POST /admin/invoices/{id}/decision",
    "POST /admin/keys",
    "POST /admin/keys/{id}/state",
    "POST /admin/keys/{id}/terms",
    "POST /admin/keys/{id}/probe",
    "POST /admin/proxies",
    "POST /admin/proxies/{id}/terms",
    "POST /admin/proxies/{id}/state",
    "POST /admin/proxies/{id}/test",
    "POST /admin/proxies/{id}/removal",
    "POST /admin/providers",
    "POST /admin/providers/{code}/terms",
    "POST /admin/providers/{code}/models",
    "POST /admin/providers/{code}/funds",
    "POST /admin/models",
    "POST /admin/models/{code}/terms",
    "POST /admin/codes",
    "POST /admin/codes/batches",
    "POST /admin/codes/{id}/stop",
}
LISTED = (OPEN, MACHINES, PROGRAMS, HOLDERS, SHUT, MEMBERS, OWNERS, STAFF, ADMINS)

NOBODY, MEMBER, OWNER, SUPPORTER, ADMIN = "nobody", "member", "owner", "supporter", "admin"
PASSES = {
    "open": (NOBODY, MEMBER, OWNER, SUPPORTER, ADMIN),
    "members": (MEMBER, OWNER, SUPPORTER, ADMIN),
    "owners": (OWNER,),
    "staff": (SUPPORTER, ADMIN),
    "admins": (ADMIN,),
    "machines": (),
    "programs": (),
    "holders": (),
    "shut": (),
}


def kind(place: Place) -> str:
    names = ("open", "machines", "programs", "holders", "shut", "members", "owners", "staff", "admins")
    return next(name for name, listed in zip(names, LISTED, strict=True) if place.name in listed)


def may(place: Place, who: str) -> set[int] | str:
    """The statuses that are right for this person here; "through": whatever the handler itself says."""
    group = kind(place)
    if who in PASSES[group]:
        return "through"
    if group in ("machines", "programs"):
        return {401, 503} if place.pattern in ("/hooks/btcpay", "/hooks/stripe") else {401}  # they are not set up here
    if group in ("holders", "shut"):
        return {404}
    if who == NOBODY:
        return {303} if place.method == "GET" else {401}
    return {403} if (group, who) == ("admins", SUPPORTER) else {404}


async def status(browser: Browser, place: Place) -> tuple[int, str]:
    """The head of the answer alone: a live stream has no end."""
    data = {"csrf": await browser.csrf()} if place.method == "POST" else None
    async with browser.client.request(
        place.method, browser.site.url + place.path, data=data, allow_redirects=False
    ) as answer:
        return answer.status, answer.headers.get("Location", "")


def test_no_route_is_listed_twice():
    assert sum(map(len, LISTED)) == len(set().union(*LISTED))


ONE_SESSION = "/account/sessions/{id}/deletion"
"""Comes before those that end all sessions."""


async def test_every_route_is_listed_and_every_listed_one_exists(site):
    assert {f"{method} {pattern}" for method, pattern in patterns(site)} == set().union(*LISTED)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", [NOBODY, "banned", "expired", MEMBER, SUPPORTER, OWNER, ADMIN])
async def test_everybody_gets_as_far_as_they_may_and_no_further(site, cast, db, alice, who):
    sitemap = await places(site, cast, alice)
    wrong = []
    for place in sorted(sitemap, key=lambda place: (place.method, place.pattern != ONE_SESSION)):
        browser = await somebody(site, cast, db, who)
        found, location = await status(browser, place)
        right = may(place, NOBODY if who in ("banned", "expired") else who)
        led_to_login = location.startswith("/login?next=")
        if right == "through":
            if found in (401, 403, 404) or found >= 500 or led_to_login:
                wrong.append(f"{place.name}: {found} {location}, should get through")
        elif found not in right or (found == 303) != led_to_login:
            wrong.append(f"{place.name}: {found} {location}, should be {right}")
    assert wrong == []


async def somebody(site, cast, db, who: str) -> Browser:
    """A fresh browser of that person: the visit before may have logged out or changed the password."""
    browser = await site.browser(None if who == NOBODY else await _account(cast, db, who))
    if who == "banned":
        await db.execute("update account set banned_at = now() where id = $1", cast.bob.id)
    if who == "expired":
        await db.execute("update session set expires_at = now() where account_id = $1", cast.bob.id)
    return browser


async def _account(cast, db, who: str) -> accounts.Account:
    if who == SUPPORTER:
        await db.execute("update account set role = 'support' where id = $1", cast.bob.id)
    return {OWNER: cast.alice, ADMIN: cast.carol}.get(who, cast.bob)


async def test_a_demoted_admin_is_out_at_once(carol, cast, db):
    assert (await carol.get("/admin")).status == 200
    await accounts.set_role(db, cast.carol, "user", actor="test")
    assert (await carol.get("/admin")).status == 404


async def test_support_sees_no_form_that_it_may_not_send(site, cast, db, alice):
    await accounts.set_role(db, cast.bob, "support", actor="test")
    support = await site.browser(cast.bob)
    for path in (
        f"/admin/users/{cast.alice.id}",
        "/admin/keys",
        "/admin/proxies",
        "/admin/providers",
        "/admin/models/demo",
        "/admin/invitations",
        "/admin/codes",
        "/admin/plans",
        "/admin/plans/monthly",
        "/admin/sessions",
        f"/admin/sessions?user={cast.alice.id}",
        "/admin/ledger",
        "/admin/subscriptions",
        "/admin/wall?state=shown",
        "/admin/reports",
    ):
        assert 'method="post" action="/admin' not in (await support.get(path)).text


async def test_what_belongs_to_somebody_else_looks_like_what_is_not_there(site, cast, alice, bob):
    for place in await places(site, cast, alice):
        if place.name in OWNERS and place.method == "GET":
            theirs = await bob.get(place.path)
            missing = await bob.get(place.pattern.replace("{id}", str(UUID(int=7))))
            assert theirs.status == missing.status == 404, place.name
            assert cast.alice.email not in theirs.text
            assert "a red boat" not in theirs.text


async def test_a_machine_with_the_wrong_key_learns_nothing(site, stranger):
    for key in ("", "Bearer ", "Bearer wrong", "Basic c2FuZGJveA==", "Bearer \udcff"):
        page = await stranger.send(
            "POST", "/sandbox/api/payments", json={"amount_cents": 1}, headers={"Authorization": key}
        )
        assert page.status == 401
        assert b"sandbox-secret" not in page.body


async def test_the_token_in_the_pages_is_the_one_of_the_session(alice, site):
    assert await alice.csrf() == csrf_for(site.config, alice.session)
