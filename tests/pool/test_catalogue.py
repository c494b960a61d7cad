"""The catalogue: names, other names, retirements that lead on, and what a provider lists."""

from __future__ import annotations

from dataclasses import replace

import pytest
from click.testing import CliRunner

from limner.actors import workbench
from limner.actors.pool import Pool
from limner.actors.providers import base, parameters
from limner.runtime.cli import commands as cli
from limner.runtime.errors import NotFound, Refused
from limner.sql import catalogue, choices, entries, generations, keys, models, painters, providers, rests
from limner.sql.entries import Found
from limner.sql.models import Size
from tests.upstreams.relay import FakeRelay

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
    entry = await entries.entry(db, "gpt-image-2")
    await entries.change(db, "gpt-image-2", replace(entry, credits=7, aliases=["mine"]), actor="test")
    await providers.change(db, "openai", actor="test", base_url="https://relay.example/v1")
    await providers.ensure_catalogue(db, config, vault)
    found = await entries.entry(db, "gpt-image-2")
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
    added = await entries.import_new(db, "openai", listed, actor="test")
    assert added == ["vendor.new.painter.v2", "openai.demo"]
    new = await db.fetchrow("select * from model where id = 'vendor.new.painter.v2'")
    assert (new["credits"], new["active"], new["upstream_id"]) == (1, False, "vendor/New Painter:v2")
    assert new["sizes"] == ["1024x1024", "512x512"]
    assert await entries.import_new(db, "openai", listed, actor="test") == []


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
    entry = await entries.entry(db, "gpt-image-2")
    with pytest.raises(Refused) as caught:
        await entries.change(db, "gpt-image-2", replace(entry, **change), actor="test")
    assert caught.value.field == field
    assert await entries.entry(db, "gpt-image-2") == entry


RELAY = {"kind": "relay", "base_url": "https://relay.example/v1", "settings": {"path": "chat"}}


async def test_a_provider_of_ones_own_is_added_once_and_written_down(db):
    await providers.add(db, "my-relay", actor="test", **RELAY)
    row = await db.fetchrow("select kind, base_url, settings, is_local from provider where code = 'my-relay'")
    assert dict(row) == RELAY | {"is_local": False}
    entry = await db.fetchrow("select actor, after from audit where action = 'provider.add'")
    assert (entry["actor"], entry["after"]["settings"]) == ("test", "…")
    with pytest.raises(Refused, match="already") as caught:
        await providers.add(db, "my-relay", actor="test", **RELAY)
    assert caught.value.field == "code"


@pytest.mark.parametrize(
    "change, field, words",
    [({"code": "My Relay"}, "code", "unlike 'My Relay'"), ({"code": "-relay"}, "code", "unlike '-relay'"),
     ({"code": ""}, "code", ""), ({"kind": "canvas"}, "kind", "relay"),
     ({"base_url": ""}, "base_url", "needs a base"), ({"base_url": "ftp://x"}, "base_url", "ftp://x"),
     ({"base_url": "https://me:pw@relay.example"}, "base_url", "no user"),
     ({"base_url": "https://r.example:99999"}, "base_url", ""),
     ({"base_url": "http://10.0.0.5:3000/v1"}, "base_url", "10.0.0.5 is a private address"),
     ({"settings": {"path": "chatt"}}, "settings", "'path'"), ({"settings": {"pat": "chat"}}, "settings", "'pat'"),
     ({"kind": "openai", "settings": {"path": "chat"}}, "settings", "'path'")],
)  # fmt: skip
async def test_a_provider_that_cannot_be_is_refused_in_plain_words(db, change, field, words):
    before = await db.fetchval("select count(*) from provider")
    asked = {"code": "my-relay", **RELAY} | change
    with pytest.raises(Refused, match=words) as caught:
        await providers.add(db, asked.pop("code"), asked.pop("kind"), actor="test", **asked)
    assert caught.value.field == field
    assert await db.fetchval("select count(*) from provider") == before


async def test_a_wrong_switch_is_refused_when_it_is_typed_and_the_row_stays(db):
    with pytest.raises(Refused, match="honours_n"):
        await providers.change(db, "openrouter", actor="test", settings={"honours_n": "no"})
    with pytest.raises(Refused, match="private"):
        await providers.change(db, "openrouter", actor="test", base_url="http://192.168.1.5/v1")
    await providers.change(db, "openrouter", actor="test", base_url="http://192.168.1.5/v1", is_local=True)
    with pytest.raises(Refused, match="private"):
        await providers.change(db, "openrouter", actor="test", is_local=False)
    assert await db.fetchval("select settings ->> 'path' from provider where code = 'openrouter'") == "chat"


async def test_what_is_wrong_in_a_row_already_is_said_and_can_be_switched_off(db):
    await db.execute("update provider set settings = '{\"wait\": 99}' where code = 'replicate'")
    wrong = {each["code"]: providers.problem(each) for each in await providers.listing(db)}
    assert "'wait'" in wrong.pop("replicate")
    assert set(wrong.values()) == {""}, "the seeds are right"
    await providers.change(db, "replicate", actor="test", active=False)


async def test_the_seeds_are_reached_where_their_painters_are(db):
    for each in await providers.listing(db):
        here = each["kind"] in painters.PAINT_HERE
        assert here or painters.base_url(each["kind"], each["base_url"], "https://api.openai.com/v1").startswith("http")


def test_every_painter_has_its_rules():
    assert set(painters.KINDS) == set(base.KINDS)


async def test_a_model_of_ones_own_is_added_once_and_on_offer(db, vault):
    await providers.add(db, "my-relay", actor="test", **RELAY)
    entry = entries.Entry("Mine", "Vendor/Mine:v2", 3, 20_000, True, ["1024x1024"], [" Other "], None, None)
    await entries.add(db, "my-relay", " Mine ", entry, ["mask"], actor="test")
    await a_key(db, vault, "my-relay")
    found = await models.offered(db, "vendor/mine:v2")
    assert (found.id, found.credits, found.abilities, found.aliases) == (
        "mine",
        3,
        ["text", "image", "mask"],
        ["other"],
    )
    after = await db.fetchval("select after from audit where action = 'model.add' and subject = 'mine'")
    assert (after["provider"], after["cost_micros"]) == ("my-relay", 20_000)
    with pytest.raises(Refused, match="already") as caught:
        await entries.add(db, "my-relay", "mine", entry, ["text"], actor="test")
    assert caught.value.field == "id"
    for provider, model_id, able, field in (
        ("nobody", "new", ["text"], "provider"), ("my-relay", "no spaces", ["text"], "id"),
        ("my-relay", "new", ["smell"], "abilities"),
    ):  # fmt: skip
        with pytest.raises(Refused) as caught:
            await entries.add(db, provider, model_id, entry, able, actor="test")
        assert caught.value.field == field


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


def test_the_command_line_adds_a_provider_and_its_model_and_says_plainly_what_is_wrong(dsn, config, monkeypatch):
    for name in ("vault_keys", "secret_key", "sandbox_secret"):
        monkeypatch.setenv(f"LIMNER_{name.upper()}", getattr(config, name).get_secret_value())
    monkeypatch.setenv("LIMNER_DATABASE_URL", dsn)
    add = ["provider", "add", "my-relay", "--kind", "relay", "--base-url"]

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.main, list(words))
        return done.exit_code, done.output

    for words, why in (
        ([*add, "http://10.0.0.5/v1"], "10.0.0.5 is a private address"), ([*add, "relay.example"], "begins with http://"),
        ([*add, "https://relay.example/v1", "--settings", '{"path": "chatt"}'], "'chatt'"),
        (["provider", "add", "openai", "--kind", "openai"], "already"), (["provider", "add", "x", "--kind", "canvas"], "canvas"),
    ):  # fmt: skip
        code, said = run(*words)
        assert (code, why in said) == (1, True), said
    assert run(*add, "http://10.0.0.5/v1", "--local")[0] == 0
    asked = ("model", "add", "my-relay", "mine", "--upstream", "vendor/mine", "--credits", "2", "--cost", "0.03")
    assert run(*asked, "--from", "image", "--size", "1024x1024", "--size", "512x512")[0] == 0
    assert "already" in run(*asked)[1]
    assert "my-relay" in run("provider", "list")[1]
    assert any(line.startswith("mine ") and "0.03 USD" in line for line in run("model", "list")[1].splitlines())


async def test_what_a_model_paints_from_and_lets_choose_is_changed_and_written_down(db, vault):
    await providers.add(db, "my-relay", actor="test", **RELAY)
    await entries.import_new(db, "my-relay", [Found("flux", "Flux", ("text",), ())], actor="test")
    entry = await entries.entry(db, "flux")
    assert (entry.abilities, entry.options) == (["text"], {})
    options = choices.read(
        "quality: low, high\nsteps: 1 to 50\nstrength: 0 to 0.5\nnegative_prompt: text\nhd: true, false"
    )
    await entries.change(db, "flux", replace(entry, active=True, abilities=["mask"], options=options), actor="test")
    await a_key(db, vault, "my-relay")
    found = await models.offered(db, "flux")
    assert found.abilities == ["text", "image", "mask"]
    assert found.options == {
        "quality": ["low", "high"], "steps": {"min": 1, "max": 50}, "strength": {"min": 0, "max": 0.5},
        "negative_prompt": "text", "hd": [True, False],
    }  # fmt: skip
    assert choices.read(choices.written(found.options)) == found.options
    told = await db.fetchrow("select before, after from audit where action = 'model.change' and subject = 'flux'")
    assert (told["before"]["options"], told["after"]["options"]) == ({}, found.options)
    assert (told["before"]["abilities"], told["after"]["abilities"]) == (["text"], ["text", "image", "mask"])


@pytest.mark.parametrize(
    "text", ["quality", "Quality: low", "steps: 9 to 1", "a: low\na: high", "a: " + "x" * 61, ": low"]
)
def test_a_choice_that_cannot_be_is_named(text):
    with pytest.raises(Refused) as caught:
        choices.read(text)
    assert caught.value.field == "options"


@pytest.mark.parametrize(
    "bounds", ["0 to 1e3", "0 to 1234567890123456", "1-50", "1 – 50", "0.1..0.9", "low to high", "0 TO 5"]
)
def test_bounds_that_cannot_be_read_are_no_list_of_one(bounds):
    with pytest.raises(Refused) as caught:
        choices.read(f"steps: {bounds}")
    assert bounds in str(caught.value) and "steps" in str(caught.value)


def test_large_bounds_are_bounds_and_words_with_dashes_are_words():
    found = choices.read("seed: 0 to 4294967295\nday: 2024-05-01\nratio: 1-2, 3-4\nstyle: photo-real")
    assert found == {
        "seed": {"min": 0, "max": 4294967295}, "day": ["2024-05-01"], "ratio": ["1-2", "3-4"], "style": ["photo-real"],
    }  # fmt: skip


@pytest.mark.parametrize("seed", [seed for seed in catalogue.MODELS if seed.options], ids=lambda seed: seed.id)
def test_every_seed_can_be_written_as_lines(seed):
    assert choices.read(choices.written(seed.options)) == dict(seed.options)


def test_an_import_offers_what_the_painter_can_send():
    assert parameters.of("stability", {})["negative_prompt"] == "text"
    assert parameters.of("relay", {"path": "chat"}).keys() == {"aspect_ratio", "image_size"}
    by_images = parameters.of("relay", {"parameters": ["negative_prompt"]})
    assert {"quality", "background", "output_format", "negative_prompt"} <= by_images.keys()
    assert parameters.of("demo", {}) == {}


async def test_an_imported_model_takes_what_its_painter_can_send(db, config, vault):
    async with FakeRelay().serve() as relay:
        about = {
            "kind": "relay",
            "base_url": relay.base_url,
            "is_local": True,
            "settings": {"parameters": ["negative_prompt"]},
        }
        await providers.add(db, "my-relay", actor="test", **about)
        await a_key(db, vault, "my-relay")
        (added, *_) = await workbench.import_models(db, Pool(db, config, vault), "my-relay", actor="test")
    entry = await entries.entry(db, added)
    assert entry.options["quality"] and entry.options["negative_prompt"] == "text"
