"""Every route of the application with a real address: what the tests that walk the whole site share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import uuid4

from limner.runtime.vault import Vault
from limner.sql import (
    alerts,
    broadcasts,
    checkouts,
    codes,
    invitations,
    invoices,
    news,
    notices,
    plans,
    proxies,
    sandbox,
    sessions,
    shares,
    tickets,
    tokens,
    uploads,
    walls,
)
from tests.conftest import Cast
from tests.http.conftest import Browser, Site, drawn, hang


@dataclass(frozen=True)
class Place:
    """A route: its method, its pattern, and an address that exists."""

    method: str
    pattern: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.pattern}"


def patterns(site: Site) -> Iterator[tuple[str, str]]:
    """Method and pattern of every route that the application answers; HEAD follows from GET."""
    for route in site.app.router.routes():
        assert route.resource is not None
        if route.method != "HEAD":
            yield route.method, route.resource.canonical


async def places(site: Site, cast: Cast, alice: Browser) -> list[Place]:
    """The whole sitemap, filled with things of Alice's, and with Bob for the admin's screens."""
    ids = await _things(site, cast, alice)
    return [Place(method, pattern, _filled(pattern, ids)) for method, pattern in patterns(site)]


def _filled(pattern: str, ids: dict[str, str]) -> str:
    if "{" not in pattern:
        return pattern
    found = max((prefix for prefix in ids if pattern.startswith(prefix)), key=len)
    return (
        pattern.replace("{id}", ids[found])
        .replace("{secret}", ids[found])
        .replace("{code}", ids[found])
        .replace("{hash}/{path}", ids[found])
    )


LINKS = {"verify": "verify", "reset": "reset", "email": "change_email"}


async def _link(site: Site, cast: Cast, path: str, purpose: str) -> str:
    """The secret of a link in a mail to Alice."""
    about = {"email": "alice@new.example" if path == "email" else cast.alice.email}
    ticket_id = await tickets.issue(site.db, cast.alice.id, purpose, minutes=60, details=about)
    return tickets.secret(ticket_id, site.config.secret_keys)


async def _things(site: Site, cast: Cast, alice: Browser) -> dict[str, str]:
    db = site.db
    generation = (await alice.order()).location.partition("#")[0].rpartition("/")[2]
    job = await db.fetchval("select id from job where generation_id = $1", generation)
    await db.execute("insert into preview (job_id, step, mime, data) values ($1, 1, 'image/png', $2)", job, drawn())
    upload = uuid4()
    kept = await site.storage.put(f"uploads/{upload}.png", drawn(), "image/png")
    await uploads.keep(db, upload, cast.alice.id, kept.key, kept.sha256, "image/png", 64, 48, kept.size)
    plan = await plans.by_code(db, "monthly")
    for account in (cast.carol, cast.bob, cast.alice):  # who buys again then finds an invoice that can be paid already
        invoice = await invoices.create(db, account.id, plan, "sandbox")
        payment = await sandbox.open_payment(
            db, str(invoice.id), 999, "USD", "Monthly", return_url=site.url, webhook_url=f"{site.url}/hooks/sandbox"
        )
        await checkouts.attach(db, invoice.id, str(payment.id), f"{site.url}/sandbox/{payment.id}")
    await invitations.create(db, reason="guests", actor="test")
    await sessions.start(db, cast.alice.id, ip="192.0.2.9", agent="another device")
    await tokens.create(db, cast.alice, "a program", tokens.Caps(), actor="test")
    promo = await codes.create(db, codes.Promo("SITEMAP", "days", 3), actor="test")
    draft = broadcasts.Draft({"en": broadcasts.Words("News", "Hello.")})
    broadcast = await broadcasts.write(db, draft, actor="test")
    picture = (await hang(site, cast.alice))[0]
    proxy = await proxies.add(
        db, Vault.from_config(site.config), "way out", "socks5://me:pw@192.0.2.1:1080", actor="test"
    )
    await alerts.see(db, [alerts.Trouble("queue_waits", "Pictures have been waiting for 3 min.", "queue_waits")])
    share = await shares.make(db, picture, cast.alice.id, shows_prompt=True, caption="a pie")
    await walls.offer(db, picture, cast.alice.id, "Al")
    await walls.decide(db, await db.fetchval("select max(id) from wall_offer"), "shown", actor="test")
    ticket = await tickets.issue(db, cast.bob.id, "verify", minutes=60)
    await notices.mail(db, cast.bob.email, "verify_email", details={"hours": 1}, ticket_id=ticket)
    await db.execute(
        "insert into dead_letter (id, mailbox, kind, partition, attempts, reason, payload, created_at) "
        "values (7, 'billing', 'CheckOpenInvoices', '', 5, 'tired', '{}', now())"
    )
    return {
        **{f"/{path}/": await _link(site, cast, path, purpose) for path, purpose in LINKS.items()},
        "/admin/invitations/": str(await db.fetchval("select id from invitation")),
        "/account/sessions/": str(await db.fetchval("select id from session where agent = 'another device'")),
        "/pictures/": str(picture),
        "/s/": share.code,
        "/admin/pictures/": str(picture),
        "/studio/": generation,
        "/generations/": generation,
        "/threads/": generation,
        "/jobs/": str(job),
        "/uploads/": str(upload),
        "/invoices/": str(invoice.id),
        "/plans/": "monthly",
        "/admin/invoices/": str(invoice.id),
        "/sandbox/": str(payment.id),
        "/sandbox/api/payments/": str(payment.id),
        "/r/": "abcdefghjk",
        "/admin/charts/": "revenue",
        "/admin/health/letters/": "7",
        "/admin/health/processes/": str(uuid4()),
        "/admin/codes/": str(promo.id),
        "/admin/broadcasts/": str(broadcast),
        "/unsubscribe/": news.link(cast.bob.id, "", site.config.secret_keys).removeprefix(news.PATH),
        "/admin/users/": str(cast.bob.id),
        "/admin/generations/": generation,
        "/admin/proxies/": str(proxy),
        "/admin/providers/": "demo",
        "/admin/models/": "demo",
        "/admin/plans/": "monthly",
        "/admin/ledger/": str(await db.fetchval("select min(id) from ledger_entry")),
        "/admin/keys/": str(await db.fetchval("select min(id) from provider_key")),
        "/admin/alerts/rules/": "queue_waits",
        "/admin/alerts/": str(await db.fetchval("select max(id) from alert")),
        "/admin/mails/": str(await db.fetchval("select max(id) from notice")),
        "/admin/subscriptions/": str(await db.fetchval("select id from subscription limit 1")),
        "/admin/sessions/": str(await db.fetchval("select id from session where agent = 'another device'")),
        "/admin/notices/": str(await db.fetchval("select max(id) from notice")),
        "/account/security/links/": "telegram",
        "/account/tokens/": str(await db.fetchval("select id from api_token")),
        "/v1/models/": "demo",
        "/v1/images/tasks/": generation,
        "/v1/files/": str(picture),
        "/static/": "0123456789ab/limner.css",
    }
