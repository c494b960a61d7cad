"""Take the pictures of this folder again, of a studio that is made up for them: `make pictures`; needs Chromium.

With the address of a site it takes those of that one, and makes up nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))  # for the crowd

from benchmarks import charts  # noqa: E402
from benchmarks.crowd import __main__ as studio  # noqa: E402
from benchmarks.crowd import seeding  # noqa: E402
from limner.runtime.config import Config  # noqa: E402
from limner.runtime.opening import open_database  # noqa: E402
from limner.runtime.storage import open_storage  # noqa: E402
from limner.runtime.vault import Vault  # noqa: E402
from limner.sql import proxies, seeds  # noqa: E402

PEOPLE, ENTRIES = 400, 4000
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
THEMES = ("light", "dark")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PAGE = ROOT / "docs/reference/admin-screens.md"
INTRODUCTION = """# The admin's screens

Every room of the admin, and one of what lies in it, in a studio that is made up: light on the left, dark on the right. The
pictures and this page are made by `make pictures`. What the bot shows stands in [the bot's menus](bot.md)."""
PATIENCE = 120
QUALITY = 40


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
        await page.wait_for_selector("figure img.arrive", timeout=PATIENCE * 1000)


async def looker(browser: Browser, who: str, device: str, theme: str) -> Page:
    """Somebody's browser. One for many pages: it fetches fonts and styles once."""
    context = await browser.new_context(viewport=VIEWS[device], color_scheme=theme, device_scale_factor=1)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE * 1000)
    await context.add_cookies(COOKIES[who])  # type: ignore[arg-type]
    return await context.new_page()


async def look(page: Page, url: str) -> bytes:
    await page.goto(url)
    await page.evaluate("document.fonts.ready")
    await page.wait_for_timeout(300)
    return await page.screenshot(type="png", animations="disabled")


async def shoot(browser: Browser, site: str, who: str, places: dict[str, str], devices: tuple[str, ...]) -> None:
    for device in devices:
        for theme in THEMES:
            page = await looker(browser, who, device, theme)
            for name, path in places.items():
                keep(await look(page, site + path), HERE / f"{name}-{device}-{theme}.jpg", quality=82)
            await page.context.close()


def keep(taken: bytes, file: Path, quality: int) -> None:
    file.parent.mkdir(exist_ok=True)
    Image.open(io.BytesIO(taken)).convert("RGB").save(file, quality=quality)


async def rooms(page: Page, site: str) -> dict[str, str]:
    """Title to path, as the admin's own rail has them, and behind each list one of what lies in it."""
    await page.goto(f"{site}/admin")
    found: dict[str, str] = {}
    links = page.locator("nav.rail a.rail-link")
    rail = [(await link.inner_text(), await link.get_attribute("href")) for link in await links.all()]
    for title, path in rail:
        found[title.strip()] = str(path)
        await page.goto(f"{site}{path}")
        inside = [str(await link.get_attribute("href")) for link in await page.locator("main a[href^='/admin/']").all()]
        one = next((each for each in inside if re.fullmatch(rf"{path}/(rules/)?[\w-]+", each)), None)
        if one is not None and path != "/admin":
            found[f"{title.strip()}: one of them"] = one
    return found


async def shoot_admin(browser: Browser, site: str, found: dict[str, str]) -> None:
    """Every room at the desk, in both themes, and the page that shows them."""
    shutil.rmtree(HERE / "admin", ignore_errors=True)
    names = {title: re.sub(r"\W+", "-", title.lower()).removesuffix("-of-them") for title in found}
    for theme in THEMES:
        page = await looker(browser, "carol", "desktop", theme)
        for title, path in found.items():
            keep(await look(page, site + path), HERE / f"admin/{names[title]}-{theme}.webp", QUALITY)
        await page.context.close()
    parts = [INTRODUCTION]
    for title, name in names.items():
        shown = " | ".join(f"![{title}, {theme}](../images/admin/{name}-{theme}.webp)" for theme in THEMES)
        parts.append(f"## {title}\n\n| light | dark |\n|---|---|\n| {shown} |")
    PAGE.write_text("\n\n".join(parts) + "\n")


COOKIES: dict[str, list[dict[str, object]]] = {}


async def take_all(site: str, only: str) -> None:
    async with async_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        if only != "admin":
            await take_users(browser, site)
        page = await come_in(browser, site, "carol")
        if only != "users":
            await shoot(browser, site, "carol", {"admin": "/admin", "admin-keys": "/admin/keys"}, ("phone",))
            await shoot_admin(browser, site, await rooms(page, site))
        await browser.close()


async def take_users(browser: Browser, site: str) -> None:
    page = await come_in(browser, site, "alice")
    await paint_some(page, site)
    thread = page.url.removeprefix(site).partition("#")[0]
    seen = {"studio": thread, "gallery": "/gallery", "dashboard": "/dashboard", "security": "/account/security"}
    await shoot(browser, site, "alice", seen, ("desktop", "phone"))
    page = await come_in(browser, site, "bob")
    await page.goto(f"{site}/plans")
    await page.click("form[action^='/plans/'] button")
    await page.wait_for_selector("a[href*='/sandbox/']")
    checkout = (await page.get_attribute("a[href*='/sandbox/']", "href") or "").removeprefix(site)
    seen = {"invoice": page.url.removeprefix(site), "checkout": checkout}
    await shoot(browser, site, "bob", seen, ("desktop", "phone"))


async def come_in(browser: Browser, site: str, who: str) -> Page:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE * 1000)
    page = await context.new_page()
    await enter(page, site, who)
    COOKIES[who] = await context.cookies()  # type: ignore[assignment]
    return page


async def furnish(config: Config) -> None:
    """A small crowd with a year behind it."""
    await studio._arrival(config)
    await seeds.migrate_and_sow(config)
    async with (
        open_database(config.dsn, role="crowd", pool=4, patience=studio.PATIENCE) as db,
        open_storage(config) as storage,
    ):
        vault = Vault.from_config(config)
        await seeding.seed(db, vault, storage, PEOPLE, ENTRIES, studio._say)
        await proxies.add(db, vault, "Frankfurt", "socks5://limner:secret@192.0.2.7:1080", actor="carol@example.com")
        await charts._put_down(db)


@contextlib.contextmanager
def made_up() -> Iterator[str]:
    """The address of a studio in a folder of its own, until the block ends."""
    with studio._folder(None) as folder:
        config = studio._settings(folder)
        with studio._postgres():
            asyncio.run(furnish(config))
        os.environ["LIMNER_SHARING"] = "wall"
        with subprocess.Popen([sys.executable, "-P", "-m", "limner.runtime.cli", "up"], cwd=folder) as process:
            try:
                asyncio.run(until_up(config.public_url))
                yield config.public_url
            finally:
                process.send_signal(signal.SIGTERM)


async def until_up(site: str) -> None:
    async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as client:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                async with client.get(f"{site}/health/ready") as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", nargs="?", help="of a studio that is there already, such as http://127.0.0.1:8080")
    parser.add_argument("--only", choices=("admin", "users"), default="", help="half of them")
    chosen = parser.parse_args()
    with contextlib.nullcontext(chosen.site) if chosen.site else made_up() as address:
        asyncio.run(take_all(address, chosen.only))


if __name__ == "__main__":
    main()
