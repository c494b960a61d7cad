"""Every page, in both lights, on the phone and on the desk: readable for everybody, and never running what was typed."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from limner.runtime.vault import Vault
from limner.sql import (
    accounts,
    billing,
    checkouts,
    codes,
    factors,
    invoices,
    keys,
    notices,
    pauses,
    plans,
    proxies,
    redemptions,
    referrals,
    reports,
    sandbox,
    sessions,
    shares,
    takedowns,
    tickets,
    tokens,
    uploads,
    walls,
)
from limner.sql.codes import Promo
from limner.sql.tokens import Caps
from tests.browser.conftest import Desk, Screen
from tests.conftest import Cast, held
from tests.http.conftest import Site, drawn, hang, serving
from tests.http.painting import take_up

pytestmark = pytest.mark.timeout(300)  # there are many pages

AXE = Path(__file__).parents[2] / "node_modules" / "axe-core" / "axe.min.js"
CANARY = "\"'><img src=/canary onerror=alert(1)><script src=/canary.js></script><svg onload=alert(2)>{{7*7}}${7*7}"
LONG = "Supercalifragilisticexpialidocious" * 4
"""A word that fits no phone."""

OPEN = ("/", "/login", "/register", "/reset", "/nothing/here", "/api", "/wall", "/s/{share}")
MEMBERS = (
    "/dashboard", "/account", "/account/deletion", "/plans", "/invoices", "/invoices/{invoice}", "/invoices/{paid}", "/studio",
    "/studio/{thread}", "/studio/{failed}", "/studio/{running}", "/gallery", "/pictures/{picture}",
    "/pictures/{waiting}", "/pictures/{down}", "/sandbox/{payment}",
    "/account/tokens", "/account/security", "/account/security/totp", "/account/proof",
    "/codes", "/account/referrals", "/invoices/{gift}",
)  # fmt: skip
STAFF = (
    "/admin", "/admin/users", "/admin/users/{alice}", "/admin/users/{bob}", "/admin/generations", "/admin/generations/{failed}",
    "/admin/keys", "/admin/audit", "/admin/keys/1", "/admin/proxies", "/admin/providers", "/admin/models", "/admin/models/demo",
    "/admin/margins", "/admin/mails", "/admin/invoices", "/admin/invoices/{paid}", "/admin/invoices/{paid}/refunds",
    "/admin/subscriptions", "/admin/subscriptions/{held}", "/admin/ledger", "/admin/ledger/1", "/admin/sessions",
    "/admin/sessions/{session}", "/admin/proxies/1", "/admin/providers/simulator",
    "/admin/notices", "/admin/notices/{notice}", "/admin/plans",
    "/admin/plans/monthly", "/admin/users?q=alice&role=user&sort=email&file=1", "/admin/wall", "/admin/wall?state=shown",
    "/admin/wall?state=taken_off", "/admin/reports", "/admin/reports?state=settled", "/admin/reports?state=down",
    "/admin/pictures/{picture}", "/admin/pictures/{down}",
    "/admin/codes", "/admin/codes/{code}", "/admin/alerts", "/admin/alerts/1", "/admin/alerts/rules/failure_rate",
    "/admin/charts", "/admin/charts/revenue", "/admin/health", "/admin/settings",
)  # fmt: skip

OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
RUN_AXE = """(rules) => axe.run(document, { resultTypes: ["violations"], ...rules }).then(found => found.violations
    .filter(each => ["serious", "critical"].includes(each.impact))
    .map(each => `${each.id}: ${each.nodes.slice(0, 3).map(node => node.target.join(" ")).join(" | ")}`))"""
COLOURS_ALONE = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""Of the two lights, only the colours differ."""


@pytest.fixture
async def world(dsn, tmp_path, db, cast: Cast):
    """The site without a worker, full of things, each with a canary in it; by name, the ids of things."""
    async with held(serving(dsn, tmp_path, db, trial_credits=5, referral_credits=10)) as site:
        yield site, await furnish(site, cast)


async def furnish(site: Site, cast: Cast) -> dict[str, str]:
    db, alice = site.db, await site.browser(cast.alice)
    ids = {"alice": str(cast.alice.id), "bob": str(cast.bob.id)}
    for name in ("thread", "failed", "running"):
        answer = await alice.order(prompt=f"{name} {CANARY}", count="2" if name == "thread" else "1")
        ids[name] = answer.location.partition("#")[0].rpartition("/")[2]
    await _paint(site, ids)
    await hang(site, cast.alice, 45)
    upload = uuid4()
    kept = await site.storage.put(f"uploads/{upload}.png", drawn(), "image/png")
    await uploads.keep(db, upload, cast.alice.id, kept.key, kept.sha256, "image/png", 64, 48, kept.size)
    await db.execute(
        "insert into generation_reference (generation_id, position, upload_id) values ($1, 1, $2)",
        ids["thread"],
        upload,
    )
    await _bill(site, cast, ids)
    await _hand_out(site, cast, ids)
    await _show(site, cast, ids)
    await _administer(site, cast, ids)
    caps = Caps(credits_per_day=5, networks=tokens.networks("192.0.2.0/24"))
    await tokens.create(db, cast.alice, CANARY[:80], caps, actor="test")
    await sessions.start(db, cast.alice.id, ip="192.0.2.7", agent=CANARY)
    await factors.begin(db, Vault.from_config(site.config), cast.alice.id)
    return ids


async def _paint(site: Site, ids: dict[str, str]) -> None:
    for _ in range(2):
        ids["picture"] = str(await (await take_up(site)).deliver())
    await (await take_up(site)).fail(f"refused: {CANARY}")
    await (await take_up(site)).show(f"painting {CANARY}", 40)


async def _bill(site: Site, cast: Cast, ids: dict[str, str]) -> None:
    plan = await plans.by_code(site.db, "monthly")
    for name in ("paid", "invoice"):
        invoice = await invoices.create(site.db, cast.alice.id, plan, "sandbox")
        payment = await sandbox.open_payment(
            site.db, str(invoice.id), 999, "USD", f"Monthly {CANARY}", return_url=site.url, webhook_url=site.url
        )
        await checkouts.attach(site.db, invoice.id, str(payment.id), f"{site.url}/sandbox/{payment.id}")
        ids |= {name: str(invoice.id), "payment": str(payment.id)}
        if name == "paid":
            await invoices.settle(site.db, invoice.id, actor="test")
    await site.db.execute("update plan set name = $1", f"Monthly {CANARY}"[:80])


async def _hand_out(site: Site, cast: Cast, ids: dict[str, str]) -> None:
    db, plan = site.db, await plans.by_code(site.db, "monthly")
    code = await codes.create(db, Promo(CANARY[:40], "credits", 5, note=CANARY), actor=CANARY)
    await redemptions.redeem(db, cast.alice, CANARY[:40])
    keys_ = site.config.secret_keys
    gift = await billing.buy_gift(db, cast.alice, plan, "sandbox", keys_, to="d@example.com", message=CANARY)
    await invoices.settle(db, gift.id, actor="test")
    await referrals.make_link(db, cast.alice.id)
    await referrals.note(db, cast.bob, await referrals.link(db, cast.alice.id) or "", "192.0.2.1", 10)
    ids |= {"code": str(code.id), "gift": str(gift.id)}


async def _show(site: Site, cast: Cast, ids: dict[str, str]) -> None:
    """One on the wall and reported, one that waits for it, one taken down."""
    db, words = site.db, {"shows_prompt": True, "caption": CANARY}
    waiting, down = await hang(site, cast.alice, 2)
    for picture in (UUID(ids["picture"]), waiting, down):
        share = await shares.make(db, picture, cast.alice.id, **words)
        await walls.offer(db, picture, cast.alice.id, CANARY[:40])
        if picture != waiting:
            offer = await db.fetchval("select max(id) from wall_offer")
            await walls.decide(db, offer, "shown", actor=CANARY)
        for kind in ("other", "hate"):
            await reports.file(db, picture, kind, CANARY, address=kind)
        ids |= {"share": share.code} if str(picture) == ids["picture"] else {}
    await takedowns.take_down(db, down, CANARY, actor=CANARY)
    ids |= {"waiting": str(waiting), "down": str(down)}


async def _administer(site: Site, cast: Cast, ids: dict[str, str]) -> None:
    carol = await site.browser(cast.carol)
    await carol.act(f"/admin/users/{cast.alice.id}/grants", {"credits": "5", "reason": CANARY})
    await accounts.ban(site.db, cast.bob, CANARY, actor=CANARY, ip=CANARY)
    key = {"label": CANARY[:80], "secret": "canary-secret-1234", "actor": "test"}
    added = await keys.add(site.db, Vault.from_config(site.config), "simulator", **key)
    await keys.set_state(site.db, added, "disabled", CANARY, actor="test")
    ticket = await tickets.issue(site.db, cast.alice.id, "reset", minutes=60)
    await notices.mail(site.db, f"{CANARY}@example.com", "reset_password", details={"minutes": 60}, ticket_id=ticket)
    await site.db.execute("update notice set error = $1, attempts = 1", CANARY)
    ids["session"] = str(await site.db.fetchval("select id from session where account_id = $1", cast.carol.id))
    await proxies.add(
        site.db, Vault.from_config(site.config), CANARY[:80], "socks5://me:pw@192.0.2.1:1080", actor=CANARY[:60]
    )
    ids["notice"] = str(await site.db.fetchval("select max(id) from notice"))
    ids["held"] = str(
        await site.db.fetchval("select id from subscription where account_id = $1 and state = 'active'", cast.alice.id)
    )
    await pauses.pause(site.db, cast.alice.id, CANARY, actor=CANARY)
    await pauses.resume(site.db, cast.alice.id, CANARY, actor=CANARY)
    await site.db.execute("insert into alert (cause, words) values ('canary', $1)", CANARY)
    await site.db.execute("insert into worker (id, role, host, pid) values ($1, 'worker', $2, 7)", uuid4(), CANARY[:60])


def routes(cast: Cast):
    """Who looks at what."""
    yield from ((None, path) for path in OPEN)
    yield from ((cast.alice, path) for path in MEMBERS)
    yield from ((cast.carol, path) for path in STAFF)


async def trouble(screen: Screen, path: str) -> list[str]:
    """What went wrong while this page was opened; its own 404 is none."""
    found, screen.troubles = screen.troubles, []
    return [each for each in found if path != "/nothing/here" or "404" not in each]


@pytest.mark.parametrize("theme, rules", [("light", {}), ("dark", COLOURS_ALONE)])
@pytest.mark.parametrize("width", [360, 1280])
async def test_each_page_is_readable_for_everybody_and_fits(world, chromium, cast, theme, rules, width):
    if not AXE.exists():
        pytest.skip(
            "LOUD: axe-core is not here, so nobody looked whether everybody can read the pages; run npm install"
        )
    site, ids = world
    axe, wrong = AXE.read_text(encoding="utf-8"), []
    for who in (None, cast.alice, cast.carol):
        async with Desk(site, chromium).sit(who, width=width, color_scheme=theme, reduced_motion="reduce") as screen:
            for path in (path for owner, path in routes(cast) if owner is who):
                page = await screen.open(path.format(**ids))
                wrong += [f"{path}: {each}" for each in await trouble(screen, path)]
                if overflow := await page.evaluate(OVERFLOW):
                    wrong.append(f"{path}: {overflow} px wider than the screen")
                await page.evaluate(axe + ";0")
                wrong += [f"{path}: {each}" for each in await page.evaluate(RUN_AXE, rules)]
    assert wrong == []


async def test_a_word_that_is_longer_than_the_phone_stays_on_it(world, chromium, cast):
    site, ids = world
    await site.db.execute("update generation set prompt = $1", f"a {LONG}")
    await site.db.execute("update job set reason = $1 where state = 'failed'", LONG)
    wrong = []
    for width in (360, 1280):
        for who in (cast.alice, cast.carol):
            async with Desk(site, chromium).sit(who, width=width) as screen:
                for path in (path for owner, path in routes(cast) if owner is who):
                    page = await screen.open(path.format(**ids))
                    if overflow := await page.evaluate(OVERFLOW):
                        wrong.append(f"{path}: {overflow} px wider than {width}")
    assert wrong == []


LARGE = """
insert into invoice (account_id, plan_id, processor, amount_cents, currency, credits, state, paid_at, expires_at)
select $1, min(id), 'sandbox', t.cents, t.currency, 100, 'paid', now(), now() from plan, (values
    (1234567890::bigint, 'EUR'), (123456789012, 'USDT')) as t (cents, currency)
group by t.cents, t.currency
"""


async def test_a_large_sum_stands_in_one_line_on_the_phone(world, chromium, cast):
    site, _ = world
    await site.db.execute(LARGE, cast.bob.id)
    async with Desk(site, chromium).sit(cast.carol, width=360) as screen:
        page = await screen.open("/admin")
        await screen.says("12,345,678.90 EUR")
        values = await page.locator(".stat dd:not(.stat-more)").all()
        heights = {round((await each.bounding_box() or {})["height"]) for each in values}
        assert len(values) >= 10 and len(heights) == 1, heights
        assert await page.evaluate(OVERFLOW) == 0


async def test_what_somebody_typed_is_shown_and_never_run(world, chromium, cast):
    site, ids = world
    shown, wrong = 0, []
    for who in (cast.alice, cast.carol):
        async with Desk(site, chromium).sit(who) as screen:
            for path in (path for owner, path in routes(cast) if owner is who):
                page = await screen.open(path.format(**ids))
                wrong += [f"{path}: {each}" for each in await trouble(screen, path)]
                shown += "<img src=/canary" in await page.locator("body").inner_text()
                if await page.locator('[src*="canary"], [onerror], [onload]').count():
                    wrong.append(f"{path}: the canary has become an element")
                assert "49" not in await page.title()
    assert wrong == []
    assert shown >= 12


async def test_the_page_that_asks_once_more_fits_the_phone_whatever_it_is_about(world, chromium, cast):
    site, _ = world
    await site.db.execute("update plan set name = $1", LONG[:80])
    async with Desk(site, chromium).sit(cast.carol, width=360) as screen:
        page = await screen.open("/admin/plans/monthly")
        await page.get_by_label("Credits a cycle").fill("900")
        await page.get_by_role("button", name="Save").click()
        await screen.says("Leave it")
        assert await page.evaluate(OVERFLOW) == 0
        box = await page.get_by_role("columnheader", name="Will be").bounding_box()
        assert box is not None and box["x"] + box["width"] <= 360
