"""The API page tries itself, and a fresh token can be copied."""

from __future__ import annotations

import re

from limner.sql import tokens
from limner.sql.tokens import Caps


async def test_a_reader_paints_from_the_page(desk, site, db, cast):
    token = await tokens.create(db, cast.alice, "x", Caps(), actor="test")
    async with desk.sit() as screen:
        page = await screen.open("/api")
        await page.get_by_label("API token").fill(token)
        await page.get_by_label("Size").fill("512x512")
        await page.get_by_role("button", name="Paint").click()
        await screen.says("Painted in")
        assert (
            await page.locator("#try-picture img").evaluate("each => each.decode().then(() => each.naturalWidth)")
            == 512
        )
        answer = await page.locator("#try-answer").inner_text()
        assert answer.startswith("200 ")
        assert len(answer) < 4000
        assert token not in page.url


async def test_a_wrong_token_is_told_in_words(desk):
    async with desk.sit() as screen:
        page = await screen.open("/api")
        await page.get_by_label("API token").fill("lim_wrong")
        await page.get_by_role("button", name="Paint").click()
        await screen.says("Incorrect API key provided")
        assert all("401" in each for each in screen.troubles)
        screen.troubles.clear()


async def test_a_token_is_made_copied_and_revoked(desk, cast):
    async with desk.sit(cast.alice, permissions=["clipboard-read", "clipboard-write"]) as screen:
        page = await screen.open("/account/tokens")
        await page.get_by_label("Name").fill("my script")
        await page.get_by_role("button", name="Make a token").click()
        await page.get_by_role("button", name="Copy").click()
        await screen.says("Copied")
        copied = await page.evaluate("navigator.clipboard.readText()")
        assert re.fullmatch(r"lim_[\w-]{43}", copied)
        await page.locator("summary", has_text="Revoke").click()
        await page.get_by_role("button", name="Revoke it for good").click()
        await screen.says("The token is revoked")
