"""`limner init`: complete, closed, harmless when it is run again, and clear about what cannot be."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from click.testing import CliRunner

from limner.runtime.cli import commands as cli
from limner.runtime.errors import Refused
from limner.runtime.installation import EXAMPLE, init
from limner.runtime.vault import Vault
from tests.conftest import settings

ROOT = Path(__file__).parents[2]
SECRETS = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["secrets"])


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "deploy").mkdir()
    (tmp_path / EXAMPLE).write_text((ROOT / EXAMPLE).read_text())
    return tmp_path


def contents(clone: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in [clone / ".env", *(clone / "secrets").iterdir()]}


def test_all_that_compose_takes_is_made_and_closed(clone):
    said = init(clone, "Art.Example.com", "you@example.com")
    assert len(said) == len(SECRETS) + 1
    made = contents(clone)
    assert set(made) == SECRETS | {".env"}
    assert "\nDOMAIN=art.example.com\n" in made[".env"]
    assert "\nTLS=you@example.com\n" in made[".env"]
    assert stat.S_IMODE((clone / ".env").stat().st_mode) == 0o600
    assert stat.S_IMODE((clone / "secrets").stat().st_mode) == 0o700


def test_a_site_of_ones_own_needs_no_more_than_its_name(clone):
    init(clone, "localhost")
    assert "\nTLS=internal\n" in contents(clone)[".env"]


def test_a_site_of_the_world_is_asked_for_a_certificate(clone):
    with pytest.raises(Refused, match=r"--tls: your e-mail address, .* or the word internal"):
        init(clone, "art.example.com")
    assert not (clone / ".env").exists()


def test_images_of_a_registry_are_chosen_at_once(clone):
    init(clone, "localhost", image="ghcr.io/limner/limner:1.4", ops_image="ghcr.io/limner/limner-ops:1.4")
    lines = contents(clone)[".env"].splitlines()
    assert [line for line in lines if "APP_IMAGE=" in line] == ["APP_IMAGE=ghcr.io/limner/limner:1.4"]
    assert [line for line in lines if "OPS_IMAGE=" in line] == ["OPS_IMAGE=ghcr.io/limner/limner-ops:1.4"]


def test_what_is_no_image_is_refused(clone):
    with pytest.raises(Refused, match="--ops-image: 'two words' is no name"):
        init(clone, "localhost", ops_image="two words")


OUTSIDE = {
    "bot_token", "smtp_password", "btcpay_api_key", "btcpay_webhook_secret", "stripe_api_key", "stripe_webhook_secret",
}  # fmt: skip
"""Given by somebody else: empty until the operator fills them in."""


def test_secrets_are_plain_long_and_work(clone, tmp_path):
    init(clone, "localhost", "internal")
    made = contents(clone)
    for name in SECRETS - OUTSIDE - {"database_url", "vault_keys"}:
        assert re.fullmatch(r"[A-Za-z0-9]{20,}", made[name]), name
    assert urlsplit(made["database_url"]).password == made["postgres_password"]
    vault = Vault.from_config(settings("postgresql://x@y/z", tmp_path, vault_keys=made["vault_keys"]))
    assert vault is not None
    assert {made[name] for name in OUTSIDE} == {""}


def test_a_second_run_changes_nothing(clone):
    init(clone, "art.example.com", "internal")
    before = contents(clone)
    said = init(clone, "other.example.com", "internal")
    assert contents(clone) == before
    assert {each.state for each in said} == {"kept"}


def test_a_run_that_was_cut_short_is_completed_and_fits_what_is_there(clone):
    init(clone, "art.example.com", "internal")
    before = contents(clone)
    for name in ("postgres_password", "secret_key"):
        (clone / "secrets" / name).unlink()
    init(clone, "art.example.com", "internal")
    after = contents(clone)
    assert after["postgres_password"] == before["postgres_password"]
    assert after["secret_key"] != before["secret_key"]
    assert {path.name for path in (clone / "secrets").iterdir()} == SECRETS, "and no draft is left"


@pytest.mark.parametrize(
    ("domain", "tls", "said"),
    [
        ("https://art.example.com", "internal", "DOMAIN: 'https://art.example.com'"),
        ("art example", "internal", "DOMAIN: 'art example'"),
        ("art.example.com", "me", "--tls: 'me'"),
        ("art.example.com", "a@b.c$(x)", "--tls: "),
    ],
)
def test_what_cannot_be_is_named_and_nothing_is_written(clone, domain, tls, said):
    with pytest.raises(Refused) as refused:
        init(clone, domain, tls)
    assert str(refused.value).startswith(said)
    assert not (clone / ".env").exists()


def test_a_program_reads_what_became_of_each_file(clone):
    made, kept = (_as_json(clone) for _ in range(2))
    assert {each["state"] for each in made} == {"made"}
    assert {each["state"] for each in kept} == {"kept"}
    assert {Path(each["path"]).name for each in made} == SECRETS | {".env"}


def _as_json(clone: Path) -> list[dict[str, str]]:
    asked = ["init", "art.example.com", "--tls", "internal", "--folder", str(clone), "--json"]
    done = CliRunner().invoke(cli.main, asked)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["files"]


def test_elsewhere_than_in_a_clone_it_says_so(tmp_path):
    done = CliRunner().invoke(cli.main, ["init", "art.example.com", "--tls", "internal", "--folder", str(tmp_path)])
    assert done.exit_code == 1
    assert "is no clone of Limner" in done.output
