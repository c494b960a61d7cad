"""A database knows the keys that it is sealed with: whoever comes with others is told so before a secret fails to open."""

from __future__ import annotations

import asyncio
import base64

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from limner.runtime.cli import commands as cli
from limner.runtime.vault import Vault, generate_key
from limner.sql import keys, seeds, vaults
from tests.conftest import VAULT_KEYS

OTHER = "k1:" + base64.b64encode(b"another-test-key-0123456789abcde").decode()
CANARY = OTHER.partition(":")[2]


async def limner(config, *words: str, vault_keys: str) -> Result:
    environment = {
        "LIMNER_DATABASE_URL": config.dsn, "LIMNER_DATA_DIR": str(config.data_dir), "LIMNER_VAULT_KEYS": vault_keys,
        "LIMNER_SECRET_KEY": "s" * 40,
    }  # fmt: skip
    return await asyncio.to_thread(CliRunner(env=environment).invoke, cli.main, list(words), "sk-a-new-key")


@pytest.mark.parametrize(
    "words", [["migrate"], ["web"], ["worker"], ["bot"], ["key", "add", "--provider", "openai", "--label", "x"]]
)
async def test_a_process_with_another_key_ends_with_78_and_one_clear_line(config, words):
    done = await limner(config, *words, vault_keys=OTHER)
    mine, theirs = Vault.parse(OTHER).fingerprint, Vault.parse(VAULT_KEYS).fingerprint
    assert done.exit_code == 78, done.output
    said = [line for line in done.output.splitlines() if line.startswith("limner: ")]
    assert said == [
        f"limner: LIMNER_VAULT_KEYS has k1 ({mine}), but this database is sealed with k1 ({theirs}): give it that key"
    ]
    assert CANARY not in done.output


async def test_the_right_key_beside_a_new_one_is_welcome_and_the_new_one_is_recorded(db, config):
    both = config.model_copy(update={"vault_keys": SecretStr(f"{generate_key('k2')},{VAULT_KEYS}")})
    await seeds.migrate_and_sow(both)
    assert {key.name for key in await vaults.known(db, "vault")} == {"k1", "k2"}


async def test_a_database_in_which_nothing_is_sealed_takes_any_key(db, config):
    await db.execute("delete from provider_key")
    other = config.model_copy(update={"vault_keys": SecretStr(OTHER)})
    presence = await vaults.enlist(db, other, "worker")
    assert presence.holds[0] == f"vault:{Vault.parse(OTHER).fingerprint}"
    await keys.add(db, Vault.parse(OTHER), "openai", "first", "sk-live-1", actor="test")
    await vaults.enlist(db, other, "worker")


async def test_before_the_first_record_the_keys_are_tried_on_what_is_sealed(db, config):
    """A database from before there were fingerprints."""
    await db.execute("delete from fingerprint")
    with pytest.raises(vaults.WrongKeys, match="none of them opens"):
        await vaults.admit(db, config.model_copy(update={"vault_keys": SecretStr(OTHER)}))
    assert await vaults.known(db, "vault") == []
    await vaults.admit(db, config)
    assert [key.digits for key in await vaults.known(db, "vault")] == [Vault.parse(VAULT_KEYS).fingerprint]


async def test_another_key_under_a_known_id_is_never_recorded(db, config):
    fresh = generate_key("k2")
    mixed = config.model_copy(update={"vault_keys": SecretStr(f"{fresh},{VAULT_KEYS}")})
    await vaults.admit(db, mixed)
    await vaults.admit(db, config.model_copy(update={"vault_keys": SecretStr(f"{fresh},{OTHER}")}))
    assert Vault.parse(OTHER).fingerprint not in {key.digits for key in await vaults.known(db, "vault")}


async def test_a_living_process_says_which_keys_it_holds(db, config):
    presence = await vaults.enlist(db, config, "worker")
    await presence.beat()
    (holder,) = await vaults.holders(db, 60)
    assert holder.keys("vault") == [Vault.parse(VAULT_KEYS).fingerprint]
    assert len(holder.keys("session")) == 1
    await presence.leave()
    assert await vaults.holders(db, 60) == []
