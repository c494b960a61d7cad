"""The page's way off this machine, with a real restic: copied away, all of it lost here, fetched, put back, the same."""

from __future__ import annotations

import asyncio
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from limner.actors.archivist import tools
from tests.docs.pages import blocks
from tests.ship.conftest import Studio

PAGE = "docs/how-to/back-up-and-restore.md"
pytestmark = pytest.mark.skipif(
    not shutil.which("restic"), reason="NO RESTIC: nobody tried the copies elsewhere (apt-get install restic)"
)


class Elsewhere:
    """A machine far away, which is a folder here, and the words of the page with our folders in them."""

    def __init__(self, folder: Path, studio: Studio) -> None:
        self.repository, self.password = folder / "far", folder / "restic_password"
        self.password.write_text("a long word that nobody guesses")
        self.places = {
            "sftp:backup@elsewhere.example.com:/limner": self.repository,
            "/etc/limner/restic_password": self.password,
            "/var/lib/limner/restored/var/lib/limner/backups": f"{folder}/restored{studio.backups}",
            "/var/lib/limner/restored": folder / "restored",
        }
        self.studio = studio

    def printed(self, language: str, begins: str) -> str:
        """The block of the page that begins so."""
        (text,) = [b.text for b in blocks() if (b.page, b.language) == (PAGE, language) and b.text.startswith(begins)]
        for words, ours in self.places.items():
            text = text.replace(words, str(ours))
        return text

    async def shell(self, script: str) -> str:
        """What the operator types; the program `limner` is this one."""
        environment = tools.environment() | self.studio.environment()
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        done = await asyncio.to_thread(
            subprocess.run, ["sh", "-euc", script], capture_output=True, text=True, check=False, env=environment
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def settings(self) -> dict[str, str]:
        """As Compose reads the lines of `.env`."""
        lines = self.printed("ini", "RESTIC_REPOSITORY").splitlines()
        return {
            name: "".join(shlex.split(value)) if value[0] != "'" else value[1:-1]
            for name, _, value in (line.partition("=") for line in lines)
        }


@pytest.fixture
async def elsewhere(studio: Studio, tmp_path: Path) -> Elsewhere:
    found = Elsewhere(tmp_path, studio)
    await found.shell(found.printed("sh", "export RESTIC_REPOSITORY"))
    return found


async def test_all_of_it_comes_back_from_afar(studio: Studio, elsewhere: Elsewhere) -> None:
    code, states, words = await studio.report("backup", **elsewhere.settings())
    assert (code, states["backup.after"]) == (0, "ok"), words
    await studio.ask("update account set locale = 'fr'")
    code, states, words = await studio.report("backup", **elsewhere.settings())
    assert (code, states["backup.after"]) == (0, "ok"), words
    rows, objects, names = await studio.rows(), studio.objects(), studio.names()
    await lose_everything(studio)

    here = {name: value for name, value in elsewhere.settings().items() if name.startswith("RESTIC_")}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in here.items())
    said = await elsewhere.shell(exports + elsewhere.printed("sh", "restic restore"))
    assert all(name in said for name in names)
    assert await studio.rows() == rows
    assert studio.objects() == objects
    assert "no errors were found" in await elsewhere.shell(f"{exports}restic check --read-data")


async def lose_everything(studio: Studio) -> None:
    """The disk is gone: the database, the pictures, the backups."""
    shutil.rmtree(studio.backups)
    shutil.rmtree(studio.pictures)
    boss = await asyncpg.connect(tools.at_database(studio.dsn, "postgres"))
    try:
        await boss.execute(f'drop database "{tools.database_of(studio.dsn)}"')
    finally:
        await boss.close()


async def test_what_was_copied_is_thinned_out_whichever_container_copied_it(
    studio: Studio, elsewhere: Elsewhere
) -> None:
    """All of one day but the newest go, although they are of several machines by the names of their containers."""
    for _ in range(3):
        code, _, words = await studio.report("backup", **elsewhere.settings())
        assert code == 0, words
    chosen = elsewhere.settings()
    listed = await elsewhere.shell(
        f"restic -r {chosen['RESTIC_REPOSITORY']} -p {chosen['RESTIC_PASSWORD_FILE']} snapshots --json"
    )
    assert len(re.findall(r'"hostname":"limner"', listed)) == 1
    assert len(studio.names()) == 3


async def test_a_copy_that_fails_leaves_a_good_backup_and_says_what_restic_said(
    studio: Studio, elsewhere: Elsewhere
) -> None:
    shutil.rmtree(elsewhere.repository)
    code, states, words = await studio.report("backup", **elsewhere.settings())
    assert (code, states["backup.after"]) == (1, "warn")
    assert str(elsewhere.repository) in words, words
    assert len(studio.names()) == 1
    code, _, words = await studio.report("restore", "latest", "--yes")
    assert code == 0, words
