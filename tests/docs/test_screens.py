"""Every room of the admin is shown in the documentation, in both themes; `make pictures` takes them all again."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "reference/admin-screens.md"
RAIL = DOCS.parent / "http/templates/base_admin.html"
MOST_BYTES = 4 << 20
AGAIN = "run `make pictures`"


def test_every_room_of_the_admin_is_shown_in_both_themes():
    titles = re.findall(r'\("/admin[\w/-]*", "([\w ]+)"', RAIL.read_text())
    assert len(titles) > 20
    page = PAGE.read_text()
    missing = [title for title in titles if f"## {title}\n" not in page]
    assert missing == [], AGAIN
    shown = {(PAGE.parent / each).resolve() for each in re.findall(r"\]\((\.\./images/[^)]+)\)", page)}
    taken = set((DOCS / "images/admin").glob("*.webp"))
    assert shown == taken, AGAIN
    assert {each.stem.rpartition("-")[2] for each in taken} == {"light", "dark"}
    assert len(taken) >= 2 * len(titles)


def test_all_pictures_of_the_documentation_are_small_together():
    sizes = {each: each.stat().st_size for each in DOCS.rglob("*") if each.suffix in (".jpg", ".png", ".webp", ".svg")}
    assert sum(sizes.values()) < MOST_BYTES, sorted(sizes.items(), key=lambda of: -of[1])[:5]
