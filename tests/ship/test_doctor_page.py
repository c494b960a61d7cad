"""docs/reference/doctor.md says of every check what the code says. `python tests/ship/test_doctor_page.py` rewrites it."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from limner.actors.doctor import examination
from limner.actors.doctor.check import Check
from limner.actors.doctor.examination import CHECKS
from limner.runtime.cli import commands as cli

DOCS = Path(__file__).parents[2] / "docs"
PAGE, HOW_TO = DOCS / "reference/doctor.md", DOCS / "how-to/look-a-studio-over.md"
MARK = "<!-- Below here: made from the code by tests/ship/test_doctor_page.py -->\n"
HEAD = "| code | worst | well when | usual cause | fix |\n|---|---|---|---|---|\n"


def tables() -> str:
    return "".join(
        f"\n## {group}\n\n{HEAD}{''.join(map(row, checks))}"
        for group, checks in itertools.groupby(CHECKS, key=lambda check: check.group)
    )


def row(check: Check) -> str:
    cells = (f"`{check.code}`", check.severity, check.means, check.cause, check.fix)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


def test_the_page_has_every_check_as_it_is() -> None:
    assert PAGE.read_text(encoding="utf-8").partition(MARK)[2] == tables()


def test_no_text_of_a_check_breaks_the_table_or_says_nothing() -> None:
    for check in CHECKS:
        texts = (check.means, check.cause, check.fix)
        assert all(text.strip() and "\n" not in text for text in texts), check.code


def commands() -> Iterator[list[str]]:
    """What the page has somebody say to limner."""
    for block in re.findall(
        r"^```console\n(.*?)^```", HOW_TO.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    ):
        for line in block.splitlines():
            if found := re.search(
                r"(?:limner|limner:local) ((?:doctor|checklist|support-bundle)\b.*?)(?: > .*)?$", line
            ):
                yield shlex.split(found[1])


def test_the_commands_of_the_how_to_are_such_as_there_are() -> None:
    said = list(commands())
    assert {words[0] for words in said} == {"doctor", "checklist", "support-bundle"}
    for name, *words in said:
        context = cli.main.commands[name].make_context(name, list(words))
        if only := context.params.get("only"):
            assert examination.choose(only)


if __name__ == "__main__":
    head = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    PAGE.write_text(head + MARK + tables(), encoding="utf-8")
