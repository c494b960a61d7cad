"""Charts in a real browser: drawn under the site's own content policy, read with keys, in both lights, at every width."""

from __future__ import annotations

import pytest

from limner.sql import closings
from tests.browser.test_every_page import OVERFLOW
from tests.figures.history import History

STANDS_AT = "place => document.querySelector('[role=slider]').getAttribute('aria-valuenow') === String(place)"
CANVASES = "document.querySelectorAll('.plot.is-drawn canvas').length"
INK = """() => { const canvas = document.querySelector('.plot canvas'); const { width, height } = canvas;
    return new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, width, height).data.buffer)).size }"""


@pytest.fixture
async def history(db):
    history = History(db, 7)
    await history.begin()
    await history.live(60)
    await closings.close(db)
    return history


@pytest.mark.parametrize("width", [360, 1280])
async def test_every_chart_is_drawn_and_nothing_sticks_out(desk, cast, history, width):
    async with desk.sit(cast.carol, width=width) as screen:
        page = await screen.open("/admin/charts?range=7")
        charts = await page.locator("[data-plot]").count()
        await page.wait_for_function(f"{CANVASES} === {charts}")
        assert charts >= 7
        assert await page.evaluate(INK) > 5, "the canvas is empty"
        assert await page.evaluate(OVERFLOW) == 0
        await page.set_viewport_size({"width": 700, "height": 800})
        await page.wait_for_function(
            "[...document.querySelectorAll('.plot-box')].every(box => Math.abs(box.clientWidth - box.firstChild.clientWidth) < 2)"
        )


async def test_arrow_keys_read_it_value_by_value(desk, cast, history):
    async with desk.sit(cast.carol) as screen:
        page = await screen.open("/admin/charts/delivered?range=7")
        chart = page.get_by_role("slider")
        await chart.focus()
        cells = await page.locator("tbody tr").evaluate_all(
            "rows => rows.map(row => [...row.cells].map(cell => cell.textContent))"
        )
        assert await chart.get_attribute("aria-valuenow") == "6"
        for steps in (1, 2):
            await page.keyboard.press("ArrowLeft")
            await page.wait_for_function(STANDS_AT, arg=6 - steps)
            day, delivered, failed = cells[steps]
            said = await chart.get_attribute("aria-valuetext")
            assert said.endswith(f": Delivered {delivered}, Could not be painted {failed}"), said
            assert said.split(":")[0].split() == [day.split()[0].lstrip("0"), *day.split()[1:]]
        await page.keyboard.press("Home")
        await page.wait_for_function(STANDS_AT, arg=0)


async def test_the_other_light_draws_it_in_other_colours(desk, cast, history):
    colour = "getComputedStyle(document.querySelector('.plot')).getPropertyValue('--ink-words')"
    picture = "document.querySelector('.plot canvas').toDataURL()"
    async with desk.sit(cast.carol, color_scheme="light") as screen:
        page = await screen.open("/admin/charts/delivered?range=7")
        before, light = await page.evaluate(picture), await page.evaluate(colour)
        await page.evaluate("document.documentElement.dataset.theme = 'limner-dark'")
        await page.wait_for_function(f"{picture} !== {before!r}")
        assert await page.evaluate(colour) != light


async def test_without_javascript_the_lines_and_the_table_are_there(desk, cast, history):
    async with desk.sit(cast.carol, java_script_enabled=False) as screen:
        page = await screen.open("/admin/charts/delivered?range=7")
        assert await page.locator(".plot-lines").is_visible()
        await page.get_by_text("The numbers as a table").click()
        assert await page.locator("tbody tr").count() == 7
        await page.get_by_label("Model").select_option(history.models[0])
        await page.get_by_role("button", name="Show").click()
        assert f"model={history.models[0]}" in page.url
        async with page.expect_download() as coming:
            await page.get_by_role("link", name="CSV").click()
        assert (await coming.value).suggested_filename.startswith("delivered-")
