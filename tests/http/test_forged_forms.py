"""No change without our own form: every unsafe route refuses a forged one, and nothing has changed afterwards."""

from __future__ import annotations

import pytest

from limner.http.middleware import UNGUARDED
from tests.http.conftest import Browser, Site
from tests.http.sitemap import Place, places

TABLES = (
    "account", "invoice", "subscription", "ledger_entry", "balance", "generation", "job", "image", "upload",
    "provider_key", "audit", "sandbox_payment", "message", "throttle", "notice",
    "second_factor", "recovery_code", "pending_sign_in", "linked_sign_in", "spent_answer",
    "alert", "alert_rule", "alert_times",
    "code", "redemption", "trial", "referral", "referral_link", "broadcast", "broadcast_recipient",
    "backup_wish", "retry", "share", "wall_offer", "report", "takedown",
)  # fmt: skip


async def forged(browser: Browser) -> dict[str, dict[str, object]]:
    """Each way in which a form may come from somewhere else."""
    token, ours = await browser.csrf(), browser.site.url
    good = {"csrf": token}
    return {
        "without a token": {"data": {"prompt": "x"}},
        "with an empty token": {"data": {"csrf": ""}},
        "with a made-up token": {"data": {"csrf": "0" * 64}},
        "with a token that is no text": {"data": {"csrf": "ü"}},
        "with a made-up header": {"data": good | {"csrf": "x"}, "headers": {"X-CSRF-Token": "\udcff"}},
        "from a foreign origin": {"data": good, "headers": {"Origin": "https://evil.test"}},
        "from no origin": {"data": good, "headers": {"Origin": "null"}},
        "from a broken origin": {"data": good, "headers": {"Origin": "http://["}},
        "from a look-alike": {"data": good, "headers": {"Origin": ours + ".evil.test"}},
        "across sites": {"data": good, "headers": {"Sec-Fetch-Site": "cross-site"}},
        "from a sister site": {"data": good, "headers": {"Sec-Fetch-Site": "same-site"}},
        "as plain text": {"data": f"csrf={token}", "headers": {"Content-Type": "text/plain"}},
        "as JSON": {"json": good},
        "without a body": {},
    }


async def fingerprint(site: Site) -> dict[str, str]:
    """The content of every table that a form may change."""
    return {
        table: await site.db.fetchval(f"select md5(string_agg(t::text, '|' order by t::text)) from {table} as t")
        for table in TABLES
    }


def guarded(sitemap: list[Place]) -> list[Place]:
    unsafe = [place for place in sitemap if place.method not in ("GET", "HEAD", "OPTIONS")]
    return [place for place in unsafe if not place.path.startswith(UNGUARDED)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("who", ["a visitor", "alice", "carol"])
async def test_no_forged_form_changes_anything(site, cast, alice, carol, stranger, who):
    sitemap = guarded(await places(site, cast, alice))
    assert len(sitemap) > 12
    browser = {"a visitor": stranger, "alice": alice, "carol": carol}[who]
    ways, before, wrong = await forged(browser), await fingerprint(site), []
    for place in sitemap:
        for how, options in ways.items():
            page = await browser.send(place.method, place.path, **options)
            if page.status != 403:
                wrong.append(f"{place.name} {how}: {page.status}")
    assert wrong == []
    assert await fingerprint(site) == before
    assert who == "a visitor" or (await browser.get("/dashboard")).status == 200


async def test_somebody_elses_token_is_no_token(alice, bob, site):
    page = await alice.send("POST", "/generations", data={"csrf": await bob.csrf(), "prompt": "x"})
    assert page.status == 403


async def test_a_visitors_token_ends_with_the_login(stranger, site, cast):
    token = await stranger.csrf()
    await stranger.sign_in(cast.alice)
    assert (await stranger.send("POST", "/logout", data={"csrf": token})).status == 403


async def test_the_token_may_come_in_a_header(alice, site):
    page = await alice.send("POST", "/logout", headers={"X-CSRF-Token": await alice.csrf()})
    assert page.status == 303


async def test_a_browser_that_says_nothing_of_itself_is_let_in_with_its_token(alice):
    page = await alice.send("POST", "/account/sessions/deletion", data={"csrf": await alice.csrf()})
    assert page.status == 303


@pytest.mark.timeout(300)
async def test_looking_changes_nothing(site, cast, alice, carol):
    sitemap = [place for place in await places(site, cast, alice) if place.method == "GET"]
    before = await fingerprint(site)
    for place in sitemap:
        if place.pattern.endswith(".csv") and place.pattern.startswith("/admin/"):
            continue  # that somebody took a file of people along is written down
        if place.pattern not in ("/threads/{id}/live", "/account/export"):  # the one never ends, the other is counted
            for method in ("GET", "HEAD"):
                await alice.send(method, place.path)
                await carol.send(method, place.path)
    assert await fingerprint(site) == before
