"""The catalogue: names, other names, retirements that lead on, and what a provider lists."""

from __future__ import annotations

import pytest

from limner.actors import workbench
from limner.actors.pool import Pool
from limner.actors.providers import base
from limner.runtime.errors import NotFound, Refused
from limner.sql import catalogue, generations, keys, models, providers, rests
from limner.sql.models import Found, Size

GONE = "update model set retires_at = now() - interval '1 day', replacement = $2 where id = $1"


async def a_key(db, vault, provider: str) -> int:
    return await keys.add(db, vault, provider, "spare", f"sk-{provider}-0123456789", actor="test")


async def test_a_provider_without_keys_offers_nothing(db):
    assert {model.id for model in await models.on_offer(db)} == {"demo"}
    seeded = {seed.id for seed in catalogue.MODELS}
    assert seeded < {each["id"] for each in await models.listing(db)}


@pytest.mark.parametrize("name", ["gpt-image-2", " GPT-Image-2 ", "gpt-image-1", "dall-e-3", "DALL-E-3"])
async def test_a_model_is_found_by_any_of_its_names(db, vault, name):
    await a_key(db, vault, "openai")
    assert (await models.offered(db, name)).id == "gpt-image-2"


@pytest.mark.parametrize("name", ["gpt-image-99", "", "demo\x00", "simulator", "gpt-image-2"])
async def test_what_is_not_on_offer_is_refused_by_its_name(db, name):
    with pytest.raises(Refused) as caught:
        await models.offered(db, name)
    assert caught.value.field == "model"


async def test_a_retired_model_stands_for_its_replacement_and_so_do_its_other_names(db, vault):
    await a_key(db, vault, "openai")
    await db.execute(GONE, "gpt-image-2", "gpt-image-1-mini")
    await db.execute(GONE, "gpt-image-1.5", "gpt-image-2")
    for name in ("gpt-image-2", "dall-e-3", "gpt-image-1.5"):
        assert (await models.offered(db, name)).id == "gpt-image-1-mini"


async def test_models_that_replace_each_other_are_refused_and_not_followed_for_ever(db, vault):
    await a_key(db, vault, "openai")
    await db.execute(GONE, "gpt-image-2", "gpt-image-1-mini")
    await db.execute(GONE, "gpt-image-1-mini", "gpt-image-2")
    with pytest.raises(Refused):
        await models.offered(db, "gpt-image-2")


async def test_an_order_by_another_name_is_one_of_the_model(stage, db):
    await stage.key()
    await db.execute("update model set aliases = '{tester}' where id = 'simulator'")
    asked = generations.Order(stage.alice, "a fox", " Tester ", Size(512, 512))
    generation = await generations.order(db, asked, deadline=60)
    assert await db.fetchval("select model_id from generation where id = $1", generation) == "simulator"


async def test_a_model_that_every_key_finds_gone_is_not_offered_until_somebody_may_look_again(stage, db):
    key = await stage.key()
    await rests.rest(db, key, "simulator", 3600, "model_unavailable: not found")
    with pytest.raises(Refused):
        await models.offered(db, "simulator")
    await db.execute("update key_rest set until = now()")
    assert await models.offered(db, "simulator")


async def test_what_an_operator_changed_stays_when_the_seeds_are_sown_again(db, config, vault):
    entry = await models.entry(db, "gpt-image-2")
    await models.change(db, "gpt-image-2", models.replace(entry, credits=7, aliases=["mine"]), actor="test")
    await providers.change(db, "openai", actor="test", base_url="https://relay.example/v1")
    await providers.ensure_catalogue(db, config, vault)
    found = await models.entry(db, "gpt-image-2")
    assert (found.credits, found.aliases) == (7, ["mine"])
    assert {each["code"]: each["base_url"] for each in await providers.listing(db)}[
        "openai"
    ] == "https://relay.example/v1"


async def test_what_a_provider_lists_comes_in_switched_off_at_one_credit(db):
    listed = [
        Found("gpt-image-2", "known already", ("text",), ()),
        Found("DALL-E-3", "known by another name", ("text",), ()),
        Found("vendor/New Painter:v2", "New Painter", ("text", "image"), ("1024x1024", "512x512")),
        Found("demo", "another's id", ("text",), ()),
    ]
    added = await models.import_new(db, "openai", listed, actor="test")
    assert added == ["vendor.new.painter.v2", "openai.demo"]
    new = await db.fetchrow("select * from model where id = 'vendor.new.painter.v2'")
    assert (new["credits"], new["active"], new["upstream_id"]) == (1, False, "vendor/New Painter:v2")
    assert new["sizes"] == ["1024x1024", "512x512"]
    assert await models.import_new(db, "openai", listed, actor="test") == []


async def test_a_painter_is_asked_through_a_key_of_the_pool(db, config, vault):
    pool = Pool(db, config, vault)
    with pytest.raises(NotFound):
        await workbench.import_models(db, pool, "openai", actor="test")
    await a_key(db, vault, "simulator")
    with pytest.raises(Refused, match="cannot list"):
        await workbench.import_models(db, pool, "simulator", actor="test")


@pytest.mark.parametrize(
    "change, field",
    [({"sizes": []}, "sizes"), ({"sizes": ["1x1"]}, "sizes"), ({"sizes": ["large"]}, "size"), ({"credits": 0}, "credits"),
     ({"replacement": "gpt-image-2"}, "replacement"), ({"replacement": "nobody"}, "replacement")],
)  # fmt: skip
async def test_a_change_that_cannot_be_is_refused(db, change, field):
    entry = await models.entry(db, "gpt-image-2")
    with pytest.raises(Refused) as caught:
        await models.change(db, "gpt-image-2", models.replace(entry, **change), actor="test")
    assert caught.value.field == field
    assert await models.entry(db, "gpt-image-2") == entry


def test_every_seed_can_be_a_row():
    """What the schema and the pages ask of a model; painters that this release has are named by their kind."""
    for seed in catalogue.MODELS:
        assert seed.provider in catalogue.PROVIDERS
        assert seed.id == models.normal(seed.id)
        assert [str(Size.parse(size)) for size in seed.sizes] == list(seed.sizes)
        assert all(Size.parse(size).label for size in seed.sizes)
    names = [name for seed in catalogue.MODELS for name in (seed.id, *seed.aliases)]
    assert len(names) == len(set(names))
    assert {"openai", "demo", "simulator"} <= set(base.KINDS)
