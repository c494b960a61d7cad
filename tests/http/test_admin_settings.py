"""The settings on a page: each of them, where it comes from, and never a secret's text."""

from __future__ import annotations

import base64
import re

import pytest

from limner.http.admin.settings import REST, groups
from limner.runtime.config import Config, secret_fields, setting_name
from tests.conftest import Cast, held
from tests.http.conftest import serving

VAULT = "k9:" + base64.b64encode(b"canary-vault-0123456789abcdefghi").decode()
SECRETS = {
    name: f"canary-{name}-0123456789abcdefghijklmnopqrstuv"
    for name in secret_fields()
    if name not in ("database_url", "database_direct_url", "vault_keys", "telegram_proxy")
} | {"telegram_proxy": "socks5://me:canary-telegram-proxy@192.0.2.1:1080"}
OTHERS = {
    "backup_after": "rclone --password canary-of-a-command copy",
    "otlp_url": "http://me:canary-of-an-address@127.0.0.1:4318",
}


@pytest.fixture
async def told(dsn, tmp_path, db):
    """A site of which every secret is set."""
    async with held(serving(dsn, tmp_path, db, **SECRETS, **OTHERS)) as served:
        yield served


async def test_no_secret_is_on_the_page_only_that_it_is_set(told, cast: Cast):
    carol = await told.browser(cast.carol)
    page = await carol.get("/admin/settings")
    assert page.status == 200
    assert "canary" not in page.text
    for secret in [*SECRETS, "vault_keys", "database_url"]:
        said = re.search(rf"<code>{setting_name(secret)}</code></th>\s*<td[^>]*>(.*?)</td>", page.text, re.DOTALL)
        assert said and re.sub(r"<[^>]+>", "", said[1]).strip() == "set", secret
    parts = [told.config.dsn.partition("//")[2].partition("?")[0].rpartition("@")[0], "limner-test-key"]
    assert not [part for part in parts if part and f"{part}@" in page.text]
    assert "http://…@127.0.0.1:4318" in page.text


async def test_every_setting_stands_there_once_under_a_title(config):
    shown = [(title, each.name) for title, settings in groups(config) for each in settings]
    assert sorted(name for _, name in shown) == sorted(map(setting_name, Config.model_fields))
    assert not [name for title, name in shown if title == REST], "give it a title in GROUPS"


def test_each_setting_says_where_it_comes_from(tmp_path, monkeypatch):
    (tmp_path / "token").write_text("1:from-a-file")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "sandbox_secret").write_text("kept in the data folder")
    monkeypatch.setenv("LIMNER_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("LIMNER_WORKER_SLOTS", "3")
    monkeypatch.setenv("LIMNER_BOT_TOKEN_FILE", str(tmp_path / "token"))
    config = Config.load(vault_keys=VAULT, secret_key="s" * 40)
    origins = {each.name: each.origin for _, settings in groups(config) for each in settings}
    assert origins["LIMNER_WORKER_SLOTS"] == "environment"
    assert origins["LIMNER_BOT_TOKEN"] == "file of LIMNER_BOT_TOKEN_FILE"
    assert origins["LIMNER_SANDBOX_SECRET"] == "data folder"
    assert origins["LIMNER_LEASE"] == "default"
    assert origins["LIMNER_SECRET_KEY"] == "given at the start"


async def test_support_does_not_see_them_nor_the_way_there(site, cast, db):
    await db.execute("update account set role = 'support' where id = $1", cast.bob.id)
    bob = await site.browser(cast.bob)
    assert (await bob.get("/admin/settings")).status == 403
    assert "/admin/settings" not in (await bob.get("/admin")).text
