"""Signed links: one picture, one hour, no session; bent in any way they lead to nothing."""

from __future__ import annotations

import time

import pytest

from limner.http.api import files
from limner.sql import accounts, studio
from tests.http.conftest import hang


@pytest.fixture
async def link(site, cast):
    picture = (await hang(site, cast.alice))[0]

    def make(image=picture, seconds=600, key=site.config.secret_keys[0]) -> str:
        expires = str(int(time.time()) + seconds)
        return f"/v1/files/{image}?expires={expires}&signature={files._sign(key, image, expires)}"

    make.picture = picture
    return make


async def test_it_needs_nothing_else(stranger, link):
    page = await stranger.get(link())
    assert (page.status, page.headers["Content-Type"]) == (200, "image/png")
    assert page.headers["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert "Set-Cookie" not in page.headers


async def test_it_ends(stranger, link):
    assert (await stranger.get(link(seconds=-1))).status == 404
    assert (await stranger.get(link(seconds=3 * 3600))).status == 404


async def test_it_is_bound_to_one_picture_and_one_moment(stranger, link, site, cast):
    other = (await hang(site, cast.bob))[0]
    good = link()
    for bent in (
        good.replace(str(link.picture), str(other)),
        good.replace("expires=1", "expires=2"),
        good[:-1] + ("0" if good[-1] != "0" else "1"),
        good.partition("&")[0],
        good.partition("?")[0],
        good.upper().replace("/V1/FILES", "/v1/files"),
        good + "0",
        link(key="another-key-of-somebody-else-entirely"),
        f"/v1/files/{link.picture}?expires=1e9&signature=x",
        f"/v1/files/{link.picture}?expires={'9' * 400}&signature=%ff",
    ):
        assert (await stranger.get(bent)).status == 404, bent


async def test_it_dies_with_its_picture(stranger, link, db, cast):
    await studio.delete_picture(db, link.picture, cast.alice.id)
    assert (await stranger.get(link())).status == 404


async def test_it_dies_with_the_ban_of_its_owner(stranger, link, db, cast):
    await accounts.ban(db, cast.alice, "spam", actor="test")
    assert (await stranger.get(link())).status == 404


async def test_a_link_of_before_a_rotation_still_holds(site, stranger, link):
    assert (await stranger.get(link(key=site.config.secret_keys[-1]))).status == 200
