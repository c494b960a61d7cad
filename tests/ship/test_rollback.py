"""Rollback: how far back, how fast, and what it says when the schema does not allow it."""

from __future__ import annotations

import asyncpg
import pytest

from limner.actors.shipwright import releases
from limner.actors.shipwright.fleet import Images
from limner.runtime.errors import Refused
from limner.sql import schema
from tests.ship.fleet import harbour, image, running_images, set_of

pytestmark = pytest.mark.timeout(240)


async def test_a_schema_that_has_moved_on_too_far_is_refused_with_the_way_by_the_backup(dsn, tmp_path):
    connection = await asyncpg.connect(dsn)
    await connection.execute("update schema_window set min_image_head = $1", schema.head())
    await connection.close()
    async with harbour(dsn, tmp_path, sails=False) as here:
        earlier = image(tmp_path / "earlier", without=1)
        book = here.book().take(set_of(earlier), schema.head() - 1, "ann@art")
        book.take(set_of(here.before), schema.head(), "ann@art", "20261123-120000-1a2b3c")
        said = await here.rollback()
    assert said.code == 1
    assert (
        f"carries schema {schema.head() - 1}, and schema {schema.head()} takes images from {schema.head()} on"
        in said.err
    )
    assert f"{here.before}/bin/limner restore 20261123-120000-1a2b3c --yes" in said.err
    assert "limner rollback --to 1" in said.err


async def test_an_older_image_runs_on_a_newer_schema_as_long_as_the_window_is_open(dsn, tmp_path):
    async with harbour(dsn, tmp_path) as here:
        earlier = image(tmp_path / "earlier", without=1)
        here.book().take(set_of(earlier), schema.head() - 1, "ann@art").take(
            set_of(here.before), schema.head(), "ann@art"
        )
        said = await here.rollback()
        assert said.code == 0, said.out + said.err
        assert running_images(here) == {str(earlier)}


async def test_without_a_former_set_it_says_so(dsn, tmp_path):
    async with harbour(dsn, tmp_path, sails=False) as here:
        said = await here.rollback()
        unknown = await here.rollback("--to", "7")
    assert (said.code, unknown.code) == (1, 1)
    assert said.err.startswith("limner: there is no former set")
    assert unknown.err.startswith("limner: --to: there is no set 7; recorded are: none at all")


def test_five_sets_are_kept_and_the_way_back_leads_down(tmp_path):
    book = releases.read(tmp_path)
    for number in range(7):
        book = book.take(Images(f"limner:{number}"), number, "ann@art", f"backup-{number}")
    assert [each.number for each in book] == [3, 4, 5, 6, 7]
    assert book.before.number == 6
    back = book.put_back(book.find(5))
    assert (back.in_service.number, back.before.number) == (5, 4)
    assert back.backup_after(back.find(5)) == "backup-5"  # taken before set 6 came
    assert releases.read(tmp_path) == back
    assert back.take(Images("limner:8"), 8, "ann@art").current == 8


def test_a_book_that_was_tampered_with_is_told_as_such(tmp_path):
    releases.read(tmp_path).take(Images("limner:1"), 1, "ann@art").path.write_text('{"current": 1}')
    with pytest.raises(Refused, match=r"sets\.json cannot be read"):
        releases.read(tmp_path)
