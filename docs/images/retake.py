"""Retake the screenshots of this folder: `make up` in one terminal, `.venv/bin/python docs/images/retake.py` in another."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from pathlib import Path

from playwright.async_api import Browser, Page, async_playwright

HERE = Path(__file__).parent
PROMPTS = [
    "A fox in the snow at dawn", "A lighthouse and a boat at dusk, storm clouds", "An owl in the forest in autumn",
    "A whale under the stars", "Mountains and a lake, teal and gold", "A cat in the city at night",
    "A desert castle under a huge orange moon", "Still life with flowers and apples", "A balloon over a meadow in spring",
]  # fmt: skip
SIZES = [
    "1024x1024",
    "1536x1024",
    "1024x1536",
    "1344x768",
    "1536x1024",
    "1024x1024",
    "1344x768",
    "1024x1536",
    "1536x1024",
]
VIEWS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 360, "height": 740}}
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


async def enter(page: Page, site: str, who: str) -> None:
    await page.goto(f"{site}/login")
    await page.fill("[name=email]", f"{who}@example.com")
    await page.fill("[name=password]", f"{who}-likes-vermilion")
    await page.click("form[action='/login'] button.btn-primary")
    await page.wait_for_url("**/dashboard")


async def paint_some(page: Page, site: str) -> None:
    for prompt, size in zip(PROMPTS, SIZES, strict=True):
        await page.goto(f"{site}/studio?size={size}")
        await page.fill("#prompt", prompt)
        await page.click("button.composer-act")
        await page.wait_for_selector("figure img.arrive", timeout=30_000)


async def shoot(browser: Browser, site: str, who: str, name: str, path: str) -> None:
    for device, viewport in VIEWS.items():
        for theme in ("light", "dark"):
            context = await browser.new_context(viewport=viewport, color_scheme=theme, device_scale_factor=1)
            page = await context.new_page()
            await page.context.add_cookies(COOKIES[who])
            await page.goto(site + path)
            await page.wait_for_load_state("networkidle", timeout=10_000)
            await page.wait_for_timeout(300)
            await page.screenshot(path=HERE / f"{name}-{device}-{theme}.jpg", type="jpeg", quality=82)
            await context.close()


COOKIES: dict[str, list[dict[str, object]]] = {}


async def main(site: str) -> None:
    async with async_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for who in ("alice", "bob", "carol"):
            context = await browser.new_context()
            page = await context.new_page()
            await enter(page, site, who)
            if who == "alice":
                await paint_some(page, site)
                studio = page.url.removeprefix(site).partition("#")[0]
            if who == "bob":
                await page.goto(f"{site}/plans")
                await page.click("form[action^='/plans/'] button")
                await page.wait_for_selector("a[href*='/sandbox/']")
                invoice = page.url.removeprefix(site)
                checkout = (await page.get_attribute("a[href*='/sandbox/']", "href") or "").removeprefix(site)
            COOKIES[who] = await context.cookies()  # type: ignore[assignment]
        for who, name, path in [
            ("alice", "studio", studio), ("alice", "gallery", "/gallery"), ("alice", "dashboard", "/dashboard"),
            ("bob", "invoice", invoice), ("bob", "checkout", checkout), ("carol", "admin", "/admin"),
            ("carol", "admin-keys", "/admin/keys"), ("alice", "security", "/account/security"),
        ]:  # fmt: skip
            await shoot(browser, site, who, name, path)
        await browser.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", default="http://127.0.0.1:8080")
    asyncio.run(main(parser.parse_args().site))
