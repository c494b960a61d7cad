"""A plan's own cap: the page and the API both say that it is reached, and when it opens again."""

from __future__ import annotations

from tests.api.conftest import error
from tests.http.conftest import available


async def test_the_api_says_when_it_opens_again_and_that_a_retry_is_vain(alices, db, cast):
    await db.execute("update plan set credits_per_day = 2")
    assert (await alices.order(n=2, Prefer="respond-async")).status == 202
    page = await alices.order(Prefer="respond-async")
    assert (page.status, error(page)["code"]) == (429, "insufficient_quota")
    assert "2 credits a day" in error(page)["message"]
    assert 0 < int(page.headers["Retry-After"]) <= 86400
    assert page.headers["x-should-retry"] == "false"
    assert await available(db, cast.alice) == 98


async def test_the_studio_says_it_on_the_same_page_and_nothing_typed_is_lost(site, db, cast):
    await db.execute("update plan set credits_per_month = 1")
    alice = await site.browser(cast.alice)
    page = await alice.order(prompt="a lighthouse in a storm", count="2")
    assert page.status == 429
    assert "1 credit a month" in page.text
    assert "at 00:00 UTC" in page.text
    assert "a lighthouse in a storm" in page.text
    assert int(page.headers["Retry-After"]) > 0


async def test_the_plans_page_names_the_caps(site, db, cast):
    await db.execute("update plan set credits_per_day = 20, credits_per_month = 90")
    page = await (await site.browser(cast.bob)).get("/plans")
    assert "At most 20 a day and 90 a calendar month" in page.text
