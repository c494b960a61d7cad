"""The studio as people use it: with the mouse, with the keyboard alone, and without JavaScript."""

from __future__ import annotations

from playwright.async_api import Page

from tests.http.conftest import available, drawn

START = "/studio?size=512x512"

PASTE = """data => {
    const box = new DataTransfer();
    box.items.add(new File([new Uint8Array(data)], "pasted.png", { type: "image/png" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: box, bubbles: true, cancelable: true }));
}"""
DROP = """data => {
    const box = new DataTransfer();
    box.items.add(new File([new Uint8Array(data)], "dropped.png", { type: "image/png" }));
    document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: box, bubbles: true, cancelable: true }));
}"""


async def painted(page: Page) -> int:
    """Wait until the picture hangs; returns its width in pixels."""
    picture = page.locator("img.arrive").last
    await picture.wait_for()
    await picture.evaluate("image => image.decode()")
    return await picture.evaluate("image => image.naturalWidth")


async def test_a_picture_grows_before_ones_eyes_and_the_page_is_never_reloaded(desk, cast, db):
    async with desk.sit(cast.alice) as screen:
        page = await screen.open(START)
        await page.get_by_label("What should be painted?").fill("a fox in the snow")
        await page.get_by_role("button", name="Paint").click()
        await page.wait_for_url("**/studio/*")
        await page.evaluate("window.sameDocument = true")
        await page.locator("img.preview").wait_for()
        assert await painted(page) == 512
        assert await page.evaluate("window.sameDocument") is True
        assert await page.get_by_role("button", name="Cancel").count() == 0
    assert await available(db, cast.alice) == 99


async def test_without_javascript_the_picture_comes_by_reload(desk, cast):
    async with desk.sit(cast.alice, java_script_enabled=False) as screen:
        page = await screen.open(START)
        await page.locator("#prompt").fill("a fox in the snow")
        await page.locator(".composer-act").click()
        await page.wait_for_url("**/studio/*")
        await page.locator("img.arrive").wait_for()
        assert await page.locator('meta[http-equiv="refresh"]').count() == 0


async def test_the_keyboard_alone_is_enough(desk, cast, db):
    async with desk.sit(cast.alice) as screen:
        page = await screen.open(START)
        await page.keyboard.type("two boats")
        focused = "document.activeElement.textContent.trim().replace(/\\s+/g, ' ')"
        for _ in range(20):
            await page.keyboard.press("Tab")
            if "pictures at once" in await page.evaluate(focused):
                break
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.press("ArrowRight")
        await page.keyboard.press("Escape")
        for _ in range(20):
            await page.keyboard.press("Tab")
            if "Paint" in await page.evaluate(focused):
                break
        assert "2 credits" in await page.evaluate(focused)
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/studio/*")
        await page.locator("img.arrive").nth(1).wait_for()
    assert await available(db, cast.alice) == 98


async def test_enter_sends_and_shift_enter_begins_a_line(desk, cast, db):
    async with desk.sit(cast.alice) as screen:
        page = await screen.open(START)
        await page.wait_for_function("document.activeElement.id === 'prompt'")  # focused without a click
        await page.keyboard.type("a barn")
        await page.keyboard.press("Shift+Enter")
        await page.keyboard.type("by night")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/studio/*")
        await painted(page)
    assert await db.fetchval("select prompt from generation") == "a barn\nby night"


async def test_references_are_pasted_dropped_and_chosen(desk, cast, db):
    picture = list(drawn())
    async with desk.sit(cast.alice) as screen:
        page = await screen.open(START)
        await page.evaluate(PASTE, picture)
        await page.evaluate(DROP, picture)
        chosen = {"name": "chosen.png", "mimeType": "image/png", "buffer": drawn()}
        await page.locator('input[name="reference"]').set_input_files(chosen)
        assert await page.locator(".reference[data-file]").count() == 3
        await page.get_by_role("button", name="Remove dropped.png").click()
        await page.locator("#prompt").fill("in these colours")
        await page.get_by_role("button", name="Paint").click()
        await page.wait_for_url("**/studio/*")
        assert await page.locator(".generation .reference img").count() == 2
        await painted(page)
    assert await db.fetchval("select count(*) from upload") == 2


async def test_a_refusal_keeps_what_was_typed(desk, cast, db):
    async with desk.sit(cast.alice) as screen:
        page = await screen.open(START)
        await db.execute("update subscription set period_end = now()")
        await page.locator("#prompt").fill("a lighthouse")
        await page.get_by_role("button", name="Paint").click()
        await screen.says("Your plan has ended")
        assert await page.locator("#prompt").input_value() == "a lighthouse"
        assert [trouble for trouble in screen.troubles if "402" not in trouble] == []
        screen.troubles.clear()


async def test_a_running_picture_can_be_canceled(desk, cast, db):
    await db.execute("update provider_key set switch = 'pace=60'")
    async with desk.sit(cast.alice) as screen:
        page = await screen.open(START)
        await page.locator("#prompt").fill("a cathedral")
        await page.get_by_role("button", name="Paint").click()
        await page.locator("img.preview").wait_for()
        await page.get_by_role("button", name="Cancel").click()
        await screen.says("canceled while it was painted")
    assert await available(db, cast.alice) == 100
