"""Every fenced command of the documentation is run by a test, or it is said why not."""

from __future__ import annotations

import itertools
import re
from fnmatch import fnmatch

import pytest

from tests.docs.accounts import ACCOUNTS, SAID, TRANSCRIPT, By, account_of
from tests.docs.pages import COMMANDS, DATA, ROOT, Block, blocks

BLOCKS = [block for block in blocks() if block.page not in (TRANSCRIPT, SAID)]
NUMBERED = [
    (block, number)
    for _, found in itertools.groupby((b for b in BLOCKS if b.language in COMMANDS), key=lambda block: block.page)
    for number, block in enumerate(found)
]
PROMPT = re.compile(r"^\s*(\$ |(limner|docker|make|python|pip|kubectl|restic|psql) [a-z-])", re.MULTILINE)


@pytest.mark.parametrize(("block", "number"), NUMBERED, ids=str)
def test_somebody_runs_it(block: Block, number: int) -> None:
    entry = account_of(block, number)
    assert entry, f"{block} is in nobody's hands: add it to tests/docs/accounts.py"
    begins, account = entry
    assert block.first.startswith(begins), f"{block}: in its place tests/docs/accounts.py has {begins!r}"
    if isinstance(account, By):
        _is_there(account)


def test_nothing_is_accounted_for_that_is_gone() -> None:
    for pattern, entries in ACCOUNTS.items():
        pages = [list(found) for _, found in itertools.groupby(NUMBERED, key=lambda each: each[0].page)]
        counts = {len(found) for found in pages if fnmatch(found[0][0].page, pattern)}
        assert counts == {len(entries)}, f"{pattern} has blocks: {counts}, in tests/docs/accounts.py: {len(entries)}"


def test_every_block_says_what_it_is() -> None:
    for block in BLOCKS:
        assert block.language in COMMANDS | DATA, block
        if block.language in DATA:
            assert not PROMPT.search(block.text), f"{block} looks like commands: call it sh or console"
        if block.language == "console":
            assert block.text.startswith("$ "), block
        if block.language == "sh":
            assert not re.match(r"^[A-Z_]+=\S*$", block.first), f"{block} is a file of settings: call it ini"


def test_a_block_that_nobody_knows_is_found() -> None:
    assert account_of(Block("docs/how-to/new-page.md", 1, "sh", "limner up\n"), 0) is None
    assert account_of(Block("README.md", 99, "sh", "limner up\n"), len(ACCOUNTS["README.md"])) is None


def _is_there(account: By) -> None:
    file, _, name = account.test.partition("::")
    text = (ROOT / file).read_text(encoding="utf-8")
    assert not name or re.search(rf"^(async )?def {name}\(", text, re.MULTILINE), account.test
    assert all(word in text for word in account.words), f"{account.test} does not say {account.words}"
