"""The Compose file as Compose itself reads it, with every profile and every override; no engine is needed for that."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

import pytest

from tests.deploy.conftest import ROOT, SCRIPTS

COMPOSE = SCRIPTS / "docker-compose"
EXAMPLE = "deploy/compose.env.example"
CORE = {"postgres", "migrate", "web", "worker", "bot", "caddy"}
CHOICES = {"DOMAIN": "art.example.com", "TLS": "internal", "ENV_FILE": EXAMPLE, "CERTIFICATES": "/srv/tls"}

pytestmark = pytest.mark.skipif(not COMPOSE.exists(), reason="docker-compose is not installed")


def compose(*arguments: str, **env: str) -> str:
    """What it says; it has to agree, and to have no warnings."""
    clean = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "ENV_FILE": EXAMPLE} | env
    command = [COMPOSE, *arguments]
    done = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def services(*profiles: str, file: str = "docker-compose.yml", **choices: str) -> dict[str, dict[str, Any]]:
    env = CHOICES | {"COMPOSE_FILE": file, "COMPOSE_PROFILES": ",".join(profiles)} | choices
    found: dict[str, dict[str, Any]] = json.loads(compose("config", "--format", "json", **env))["services"]
    return found


@pytest.mark.parametrize(
    ("profiles", "more"),
    [
        ((), set()),
        (("backup",), {"archivist"}),
        (("ha",), {"web-b"}),
        (("obs",), {"prometheus", "grafana"}),
        (("backup", "ha", "minio", "obs"), {"archivist", "web-b", "minio", "prometheus", "grafana"}),
    ],
)
def test_a_profile_adds_its_services(profiles: tuple[str, ...], more: set[str]) -> None:
    assert set(services(*profiles)) == CORE | more


def test_with_the_choices_of_the_example_backups_are_made() -> None:
    assert set(compose("--env-file", EXAMPLE, "config", "--services").split()) == CORE | {"archivist"}


@pytest.mark.parametrize("missing", ["DOMAIN", "TLS"])
def test_without_a_name_or_a_certificate_nothing_starts(missing: str) -> None:
    with pytest.raises(AssertionError, match=missing):
        services(**{missing: ""})


def test_your_own_certificate_comes_from_a_folder_of_the_server() -> None:
    caddy = services(file="docker-compose.yml:deploy/caddy/own-certificate.yml")["caddy"]
    mount = next(each for each in caddy["volumes"] if each["source"] == "/srv/tls")
    assert mount["read_only"]
    assert caddy["environment"]["TLS"] == f"{mount['target']}/fullchain.pem {mount['target']}/privkey.pem"
    assert {port["published"] for port in caddy["ports"]} == {"80", "443"}


def test_behind_a_proxy_only_this_machine_is_listened_to() -> None:
    caddy = services(file="docker-compose.yml:deploy/caddy/behind-a-proxy.yml")["caddy"]
    published = [(port["host_ip"], port["published"], port["target"]) for port in caddy["ports"]]
    assert published == [("127.0.0.1", "8080", 80)]
    mount = next(each for each in caddy["volumes"] if each["target"] == f"/etc/caddy/{caddy['environment']['FRONT']}")
    assert os.path.samefile(mount["source"], ROOT / "deploy/caddy/behind-a-proxy.caddy")


def test_two_webs_are_one_word_for_caddy() -> None:
    assert services("ha", WEBS="two")["caddy"]["environment"]["WEBS"] == "two"
    assert services()["caddy"]["environment"]["WEBS"] == "one"


def test_every_file_that_is_mounted_is_there() -> None:
    everything = services("backup", "ha", "minio", "obs").values()
    mounts = [mount["source"] for it in everything for mount in it.get("volumes", []) if mount["type"] == "bind"]
    assert len(mounts) == 4
    assert all(os.path.exists(source) for source in mounts)
