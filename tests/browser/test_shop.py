"""From the first visit to the first picture, and the light that one prefers."""

from __future__ import annotations

import pytest

from tests.http.conftest import hang


async def test_a_newcomer_registers_pays_and_stands_in_the_studio(desk):
    async with desk.sit() as screen:
        page = await screen.open("/")
        await page.get_by_role("link", name="Paint your first picture").click()
        await page.get_by_label("E-mail").fill("dora@example.com")
        await page.get_by_label("Password").fill("dora-likes-verdigris")
        await page.get_by_role("main").get_by_role("button").click()
        await screen.says("Choose a plan, and you can begin at once")
        await page.get_by_role("button", name="Choose Monthly").click()
        await page.get_by_role("link", name="Pay 9.99 USD").click()
        await screen.says("No real money moves here")
        await page.get_by_role("button", name="Pay 9.99 USD").click()
        await page.get_by_role("link", name="Open the studio").click()
        await page.wait_for_url("**/studio")
        assert await page.get_by_role("button", name="Paint").is_enabled()


async def test_an_open_invoice_notices_the_payment_by_itself(desk, cast, db):
    async with desk.sit(cast.bob) as screen, desk.sit(cast.bob) as other:
        page = await screen.open("/plans")
        await page.get_by_role("button", name="Choose Monthly").click()
        await page.get_by_role("link", name="Pay 9.99 USD").wait_for()
        await page.evaluate("window.sameDocument = true")
        await other.page.goto(await db.fetchval("select checkout_url from invoice"))
        await other.page.get_by_role("button", name="Pay 9.99 USD").click()
        await screen.says("Paid.")
        assert await page.evaluate("window.sameDocument") is True


async def test_without_javascript_one_can_buy_as_well(desk, cast):
    async with desk.sit(cast.bob, java_script_enabled=False) as screen:
        page = await screen.open("/plans")
        await page.get_by_role("button", name="Choose Monthly").click()
        await page.get_by_role("link", name="Pay 9.99 USD").click()
        await page.get_by_role("button", name="Pay 9.99 USD").click()
        await page.get_by_role("link", name="Open the studio").wait_for()


@pytest.mark.parametrize("choice, other", [("dark", "light"), ("light", "dark")])
async def test_the_chosen_light_stays_and_the_systems_is_the_default(desk, cast, choice, other):
    colour = "getComputedStyle(document.documentElement).backgroundColor"
    async with desk.sit(cast.alice, color_scheme=other) as screen:
        page = await screen.open("/dashboard")
        before = await page.evaluate(colour)
        await page.locator(f".foot [data-theme-choice={choice}]").click()
        after = await page.evaluate(colour)
        await page.reload()
        assert before != after == await page.evaluate(colour)
        await page.locator(".foot [data-theme-choice=system]").click()
        assert await page.evaluate(colour) == before


async def test_a_picture_is_deleted_after_a_question(desk, cast, site):
    picture = (await hang(site, cast.alice))[0]
    async with desk.sit(cast.alice) as screen:
        page = await screen.open(f"/pictures/{picture}")
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_role("button", name="Keep it").click()
        await page.get_by_role("button", name="Delete", exact=True).click()
        await page.get_by_role("button", name="Delete the picture").click()
        await screen.says("The picture is deleted")


async def test_the_gallery_is_walked_with_arrows(desk, cast, site):
    await hang(site, cast.alice, 6)
    async with desk.sit(cast.alice) as screen:
        page = await screen.open("/gallery")
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft"):
            await page.keyboard.press(key)
        place = "[...document.querySelectorAll('a.tile')].indexOf(document.activeElement)"
        assert await page.evaluate(place) == 1
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/pictures/*")
