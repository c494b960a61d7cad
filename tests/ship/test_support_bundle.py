"""The support bundle: enough to help with, and no secret, prompt, address or picture in it."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from limner.actors.doctor.bundle import bundle
from limner.runtime.config import Config, secret_fields
from limner.runtime.errors import Refused
from tests.conftest import VAULT_KEYS, settings
from tests.ship.clinic import PAINTERS_KEY, PROMPT, Clinic, Studio, clinic, limner_at, studio

__all__ = ["clinic", "studio"]  # fixtures

CANARY = "kanarienvogel"
SECRETS = {
    "database_url": None,
    "database_direct_url": f"postgresql://limner:{CANARY}-direct-1@127.0.0.1:1/limner",
    "secret_key": f"{CANARY}-secret-key-0123456789-0123456789",
    "vault_keys": VAULT_KEYS,
    "s3_access_key": f"{CANARY.upper()}ACCESS",
    "s3_secret_key": f'{CANARY}-s3-"quoted"\\ü',
    "sandbox_secret": f"{CANARY}-sandbox-secret",
    "smtp_password": f"{CANARY}-smtp-password",
    "btcpay_api_key": f"{CANARY}-btcpay-api-key",
    "btcpay_webhook_secret": f"{CANARY}-btcpay-webhook",
    "stripe_api_key": f"{CANARY}-stripe-api-key",
    "stripe_webhook_secret": f"{CANARY}-stripe-webhook",
    "oidc_client_secret": f"{CANARY}-oidc-client",
    "bot_token": f"123456:{CANARY}-bot-token",
    "telegram_proxy": f"socks5://user:{CANARY}-proxy@127.0.0.1:1",
}


def opened(path: Path) -> dict[str, str]:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert all(member.isfile() and member.mode == 0o600 for member in members)
        return {member.name: archive.extractfile(member).read().decode() for member in members}  # type: ignore[union-attr]


def canaries(config: Config) -> list[str]:
    """Every secret of these settings, and the parts that would do."""
    whole = [getattr(config, name).get_secret_value() for name in secret_fields() if getattr(config, name)]
    return [value for value in whole if CANARY in value.lower()] + [
        VAULT_KEYS[3:],
        f"{CANARY}-proxy",
        f"{CANARY}-direct-1",
    ]


@pytest.fixture
def spoilt(studio: Studio) -> Config:
    """Settings in which every secret is a canary."""
    return settings(
        studio.clinic.dsn, studio.clinic.data, **{name: value for name, value in SECRETS.items() if value},
        storage_folder=studio.clinic.data / "pictures", database_pooled=True, telegram_url="http://127.0.0.1:1",
    )  # fmt: skip


async def test_no_canary_is_in_the_bundle(studio: Studio, spoilt: Config) -> None:
    assert set(secret_fields()) <= set(SECRETS) | BACKUP, "a secret setting without a canary"
    logs = studio.clinic.data / "logs"
    logs.mkdir()
    studio.stack.callback(shutil.rmtree, logs)
    spilt = " ".join([*canaries(spoilt), PAINTERS_KEY, PROMPT, "alice@example.com", "Carol"])
    (logs / "web.log").write_text(f"began\n{spilt}\nwent on\n")
    reason = f"it said: {spilt}"
    await studio.run("delete from dead_letter")
    await studio.db.execute(
        "insert into dead_letter (id, mailbox, kind, partition, attempts, reason, payload, created_at)"
        " values (1, 'painting', 'PaintPicture', '', 5, $1, jsonb_build_object('prompt', $2::text), now())", reason, PROMPT,
    )  # fmt: skip
    studio.stack.push_async_callback(studio.db.execute, "delete from dead_letter")
    await studio.db.execute("insert into alert (cause, words) values ('key 1', $1)", reason)
    studio.stack.push_async_callback(studio.db.execute, "delete from alert")
    out = studio.folder.parent / "support.tar.gz"
    await bundle(spoilt, studio.folder, out)
    files = opened(out)
    assert out.stat().st_mode & 0o777 == 0o600
    whole = "\n".join(files.values())
    private = [*canaries(spoilt), PAINTERS_KEY, PROMPT, "alice@example.com", "carol@example.com", "Carol", CANARY]
    private += [json.dumps(secret)[1:-1] for secret in canaries(spoilt)]
    private += [
        (studio.folder / "secrets" / name).read_text() for name in ("secret_key", "s3_secret_key", "postgres_password")
    ]
    assert [each for each in private if each.lower() in whole.lower()] == []
    assert "began" in files["limner-support/logs/web.log"]
    assert "it said: ***" in files["limner-support/dead-letters.json"]
    pictures = [path.read_bytes() for path in (studio.clinic.data / "pictures").rglob("*") if path.is_file()]
    assert pictures
    assert not [picture for picture in pictures if picture[:64] in out.read_bytes()]


BACKUP = {name for name in secret_fields() if name.startswith("backup_")}
"""Settings of the archivist; the canaries of test_an_unforeseen_secret_is_hidden_as_well stand for them."""


async def test_every_secret_setting_is_hidden_whatever_it_is_called(studio: Studio) -> None:
    """Also those that this test has never heard of: it asks the settings which ones are secret."""
    odd = {
        name: f"{CANARY}-{name}-0123456789"
        for name in secret_fields()
        if "url" not in name and name not in ("vault_keys", "telegram_proxy")
    }
    config = settings(studio.clinic.dsn, studio.clinic.data, **odd)
    logs = studio.clinic.data / "logs"
    logs.mkdir()
    studio.stack.callback(shutil.rmtree, logs)
    (logs / "worker.log").write_text("\n".join(odd.values()))
    out = studio.folder.parent / "odd.tar.gz"
    await bundle(config, studio.folder, out)
    assert CANARY not in "\n".join(opened(out).values())


async def test_it_holds_what_a_helper_needs(studio: Studio) -> None:
    out = studio.folder.parent / "support.tar.gz"
    said = await bundle(studio.config(), studio.folder, out)
    files = {name.partition("/")[2]: text for name, text in opened(out).items()}
    assert len(said) == len(files)
    read = {name: json.loads(text) for name, text in files.items() if name.endswith(".json")}
    assert read["settings.json"]["LIMNER_SECRET_KEY"] == "********"
    assert read["versions.json"]["packages"]["aiohttp"]
    assert "PostgreSQL" in read["postgres.json"]["version"]
    assert {line["code"] for line in read["doctor.json"]} >= {"host.disk", "books.ledger"}
    assert {process["role"] for process in read["actors.json"]["processes"]} == {"web", "worker", "bot"}
    assert read["schema.json"]["applied"][-1]["version"] == read["schema.json"]["head"]
    assert {table["table"] for table in read["counts.json"]["tables"]} >= {"image", "ledger_entry"}
    assert {run["kind"] for run in read["backups.json"]} == {"backup", "drill"}


async def test_without_a_database_it_holds_the_rest(studio: Studio) -> None:
    studio.settings["database_url"] = "postgresql://limner:a-long-password-1@127.0.0.1:1/limner"
    out = studio.folder.parent / "support.tar.gz"
    await bundle(studio.config(), studio.folder, out)
    files = opened(out)
    assert files["limner-support/database.json"] == "the database does not answer"
    assert "limner-support/doctor.json" in files
    assert "a-long-password-1" not in "".join(files.values())


async def test_what_is_there_is_never_overwritten(studio: Studio) -> None:
    out = studio.folder.parent / "mine.tar.gz"
    out.write_text("mine")
    with pytest.raises(Refused, match="is there already"):
        await bundle(studio.config(), studio.folder, out)
    assert out.read_text() == "mine"


def test_the_command_makes_it_and_says_what_is_in_it(clinic: Clinic, tmp_path: Path) -> None:
    done = limner_at(clinic, "support-bundle", "--out", str(tmp_path / "s.tar.gz"))
    assert done.returncode == 0, done.stderr
    assert "doctor.json:" in done.stderr
    assert "limner-support/README.txt" in opened(tmp_path / "s.tar.gz")
    again = limner_at(clinic, "support-bundle", "--out", str(tmp_path / "s.tar.gz"))
    assert again.returncode == 1
    assert "is there already" in again.stderr


def test_a_program_reads_what_is_in_it(clinic: Clinic, tmp_path: Path) -> None:
    done = limner_at(clinic, "support-bundle", "--json", "--out", str(tmp_path / "s.tar.gz"))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["file"] == str(tmp_path / "s.tar.gz")
    assert any(note.startswith("doctor.json:") for note in said["notes"])
