"""The runtime on its own: a copy of it runs the example of the documents, without any room of Limner."""

from __future__ import annotations

import ast
import contextlib
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import asyncpg
import pytest

from limner.runtime.database import Database
from limner.runtime.opening import open_database
from tests.conftest import address, held

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "sql" / "migrations"
TABLES = [MIGRATIONS / "V0007__mailboxes.sql", MIGRATIONS / "V0036__claims_that_tell.sql"]
SINCE = "alter table worker add column machine jsonb, add column about jsonb not null default '{}'"
"""What V0027 and V0033 have added to them."""
PAGE = ROOT / "docs" / "how-to" / "write-an-actor.md"
EXPLANATION = ROOT / "docs" / "explanation" / "the-runtime.md"
# Without site: its .pth files would make the rooms of the installed Limner importable.
ALONE = "import sys; sys.path[:0] = sys.argv[1:3]; del sys.argv[1:3]; exec(compile(sys.argv.pop(1), 'example', 'exec'))"


def blocks() -> list[str]:
    """The actor, the program and the test of the page."""
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def lines(code: str) -> int:
    return len([line for line in code.splitlines() if line.strip()])


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with limner/runtime and nothing else of ours."""
    folder = tmp_path_factory.mktemp("alone")
    shutil.copytree(ROOT / "runtime", folder / "limner" / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
async def bare(postgres: str) -> AsyncIterator[str]:
    """The address of a database that has the mailboxes and no other table."""
    boss = await asyncpg.connect(postgres)
    await boss.execute("create database bare")
    dsn = address(postgres, "bare")
    connection = await asyncpg.connect(dsn)
    for path in TABLES:
        await connection.execute(path.read_text(encoding="utf-8"))
    await connection.execute(SINCE)
    await connection.close()
    yield dsn
    await boss.execute("drop database bare with (force)")
    await boss.close()


@pytest.fixture
async def books(bare: str) -> AsyncIterator[Database]:
    async with held(open_database(bare, role="test", pool=2)) as opened:
        yield opened


def command(copy: Path, code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", ALONE, str(copy), sysconfig.get_path("purelib"), code]


@contextlib.contextmanager
def example(copy: Path, dsn: str):
    actor, program, _ = blocks()
    process = subprocess.Popen([*command(copy, actor + program), dsn], stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


async def counted(db: Database, process: subprocess.Popen[str]) -> dict[str, int]:
    """The words, as soon as there are any."""
    with anyio.fail_after(30):
        while True:
            assert process.poll() is None, process.stdout.read()
            with contextlib.suppress(asyncpg.UndefinedTableError):
                if words := await db.fetch("select word, times from word"):
                    return dict(words)
            await anyio.sleep(0.05)


async def test_the_example_of_the_page_runs_without_limner(copy, bare, books):
    with example(copy, bare) as process:
        assert await counted(books, process) == {"the": 2, "fox": 1, "and": 1, "snow": 1}
        assert await books.fetchval("select count(*) from message") == 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0, process.stdout.read()
    worker = await books.fetchrow("select state, children from worker")
    states = {child["name"]: child["state"] for child in worker["children"]}
    assert worker["state"] == "stopped"
    assert states == {"presence": "stopped", "bus": "stopped", "Counter": "stopped"}


async def test_the_test_on_the_page_passes(books):
    await books.execute("create table word (word text primary key, times integer not null)")
    actor, _, test = blocks()
    room: dict[str, object] = {"__name__": __name__}
    exec(compile(actor + test, "example", "exec"), room)
    await room["test_words_are_counted_once"](books)


def test_the_actor_of_the_page_is_short():
    actor, program, _ = blocks()
    assert lines(actor) <= 25
    assert lines(program) <= 30


def test_every_module_of_the_runtime_can_be_imported_without_the_rooms(copy):
    code = """
import importlib, pkgutil, sys
import limner.runtime
assert limner.runtime.__path__[0].startswith(sys.path[0]), limner.runtime.__path__
for module in pkgutil.iter_modules(limner.runtime.__path__, "limner.runtime."):
    importlib.import_module(module.name)
for room in ("sql", "actors", "http"):
    try:
        importlib.import_module("limner." + room)
    except ModuleNotFoundError:
        continue
    sys.exit(f"limner.{room} can be imported")
"""
    run = subprocess.run(command(copy, code), capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr


def test_every_proof_that_the_explanation_names_is_there():
    files = [*(ROOT / "tests").rglob("*.py")]
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in files]
    tests = {
        node.name
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)
    }
    named = set(re.findall(r"`(test_\w+)`", EXPLANATION.read_text(encoding="utf-8")))
    assert len(named) > 20
    assert named - tests == set()
