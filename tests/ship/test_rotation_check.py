"""`limner secrets check` names each thing that is wrong with a secret, and never the secret."""

from __future__ import annotations

import os
import time

import pytest

from limner.actors.rotation import checks
from limner.runtime.presence import Presence
from limner.runtime.report import verdict
from limner.runtime.vault import Vault, generate_key
from limner.sql import vaults
from tests.conftest import VAULT_KEYS, settings


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A folder with the secrets as `limner init` makes them, to which the settings lead."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    chosen = {"vault_keys": VAULT_KEYS, "secret_key": "s" * 40, "sandbox_secret": "sandbox-secret-for-tests"}
    for name, value in chosen.items():
        (folder / name).write_text(value)
        (folder / name).chmod(0o444)
        monkeypatch.setenv(f"LIMNER_{name.upper()}_FILE", str(folder / name))
    return folder


async def look(dsn, folder, **changes):
    """The lines that are not well, and all of them as one text."""
    lines = []
    config = settings(dsn, folder.parent, **changes)
    await checks.check(config, lines.append)
    for secret in (config.vault_keys, config.secret_key, config.sandbox_secret):
        assert not [part for part in secret.get_secret_value().split(",") if part.split(":")[-1] in str(lines)]
    assert verdict(lines) == max(
        (2 if line.state == "fail" else 1 for line in lines if line.state in ("fail", "warn")), default=0
    )
    return [(line.code, line.state) for line in lines if line.state in ("fail", "warn")], "\n".join(map(str, lines))


@pytest.fixture
async def recorded(db, config):
    await vaults.admit(db, config)


async def test_all_is_well_in_a_fresh_studio(dsn, kept, recorded):
    wrong, said = await look(dsn, kept)
    assert wrong == [], said
    assert "all 3 sealed secrets open" in said


async def test_a_short_secret(dsn, kept, recorded):
    wrong, said = await look(dsn, kept, sandbox_secret="shortish")
    assert wrong == [("secrets.length", "fail")]
    assert "LIMNER_SANDBOX_SECRET has 8 characters, 16 are needed" in said


async def test_a_short_one_of_two_session_keys(dsn, db, kept, config):
    await vaults.admit(db, settings(dsn, kept.parent, secret_key=f"{'s' * 40},{'t' * 20}"))
    wrong, _ = await look(dsn, kept, secret_key=f"{'s' * 40},{'t' * 20}")
    assert wrong == [("secrets.length", "fail")]


async def test_one_secret_for_two_things(dsn, kept, recorded):
    wrong, said = await look(dsn, kept, sandbox_secret="s" * 40)
    assert wrong == [("secrets.distinct", "fail")]
    assert "LIMNER_SECRET_KEY and LIMNER_SANDBOX_SECRET" in said


@pytest.mark.parametrize(("what", "mode"), [("secrets", 0o755), ("secret_key", 0o666)])
async def test_files_that_others_may_read_or_write(dsn, kept, recorded, what, mode):
    (kept if what == "secrets" else kept / what).chmod(mode)
    wrong, said = await look(dsn, kept)
    assert set(wrong) == {("secrets.file", "fail")}
    assert f"others may {'read' if what == 'secrets' else 'write'} it" in said


async def test_a_secret_that_does_not_open(dsn, db, kept, recorded):
    await db.execute("update provider_key set sealed_secret = $1 where id = (select min(id) from provider_key)",
                     Vault.parse(generate_key("k9")).seal("sk", bound_to="provider_key/1/sealed_secret"))  # fmt: skip
    wrong, said = await look(dsn, kept)
    assert wrong == [("secrets.sealed", "fail")]
    assert "'k9'" in said


async def test_a_rotation_that_has_not_ended(dsn, db, kept, config):
    both = f"{generate_key('k2')},{VAULT_KEYS}"
    await vaults.admit(db, settings(dsn, kept.parent, vault_keys=both))
    wrong, said = await look(dsn, kept, vault_keys=both)
    assert wrong == [("secrets.rotation", "warn")]
    assert "the old key k1; 3 secrets are sealed with it" in said


async def test_a_process_that_was_started_with_other_keys(dsn, db, kept, recorded):
    await Presence(db, "worker", lease=15, holds=["vault:0123456789abcdef"]).beat()
    wrong, said = await look(dsn, kept)
    assert wrong == [("secrets.process", "warn")]
    assert f"worker {os.getpid()}" in said


async def test_an_old_key(dsn, db, kept, recorded):
    await db.execute("update fingerprint set known_since = now() - interval '366 days' where kind = 'vault'")
    wrong, said = await look(dsn, kept)
    assert wrong == [("secrets.age", "warn")]
    assert "limner secrets rotate vault" in said


async def test_the_age_of_a_file_is_told(dsn, kept, recorded):
    os.utime(kept / "secret_key", (0, time.time() - 3 * 86400))
    assert "secret_key has mode 0444 and is 3 days old" in (await look(dsn, kept))[1]


async def test_a_key_that_the_database_has_never_seen(dsn, db, kept, recorded):
    await db.execute("delete from provider_key")
    wrong, _ = await look(dsn, kept, vault_keys=generate_key("k5"))
    assert wrong == [("secrets.age", "warn")]
