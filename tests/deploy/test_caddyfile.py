"""The Caddyfile is valid in each of its ways, and says of each what it should."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.conftest import ROOT, SCRIPTS, caddy_command, caddy_environment


def caddy(verb: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    env = caddy_environment(folder, **settings)
    return subprocess.run(caddy_command(verb), env=env, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("tls", ["internal", "carol@example.com"])
@pytest.mark.parametrize("webs", ["one", "two"])
def test_the_caddyfile_is_valid_with_either_certificate_and_one_web_or_two(tmp_path: Path, tls: str, webs: str) -> None:
    done = caddy("validate", tmp_path, TLS=tls, WEBS=webs, DOMAIN="art.example.com")
    assert done.returncode == 0, done.stderr


def test_two_webs_are_asked_whether_they_are_ready_and_one_is_not(tmp_path: Path) -> None:
    one, two = (str(json.loads(caddy("adapt", tmp_path, WEBS=webs).stdout)) for webs in ("one", "two"))
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert "health_checks" not in one
    assert "web-b" not in one
    assert "/health/ready" in two
    for name in ("web", "web-b"):
        assert f"'dial': '{name}:8080'" in two
        assert name in services
    assert {"WEBS", "UPSTREAM", "UPSTREAM_B"} & set(services["caddy"]["environment"]) == {"WEBS"}


def test_behind_a_proxy_is_valid_too(tmp_path: Path) -> None:
    done = caddy("validate", tmp_path, FRONT="deploy/caddy/behind-a-proxy.caddy", PROXIES="private_ranges")
    assert done.returncode == 0, done.stderr


def test_a_caddyfile_without_a_choice_of_certificate_does_not_start(tmp_path: Path) -> None:
    assert caddy("validate", tmp_path, TLS="").returncode != 0


@pytest.mark.parametrize("file", ["Caddyfile", "deploy/caddy/behind-a-proxy.caddy"])
def test_the_caddyfile_is_formatted(file: str) -> None:
    done = subprocess.run([SCRIPTS / "caddy", "fmt", "--diff", ROOT / file], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()
