"""The Swarm stack: nothing in it that Swarm ignores, and every name, command and setting is a real one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from limner.runtime.cli import commands as cli
from limner.runtime.config import Config, secret_fields, setting_name
from tests.deploy.conftest import ROOT, SCRIPTS

FILE = ROOT / "deploy/swarm/stack.yml"
TEXT = FILE.read_text()
STACK: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = STACK["services"]
ROLES = ["migrate", "web", "worker", "bot", "archivist"]
CHOICES = {
    "APP_IMAGE": "registry.example.com/limner:1", "OPS_IMAGE": "registry.example.com/limner-ops:1", "DOMAIN": "art.example.com",
    "TLS": "internal", "S3_ENDPOINT": "https://s3.example.com", "BACKUP_S3_BUCKET": "limner-backups",
}  # fmt: skip
IGNORED = {
    "build", "cgroup_parent", "container_name", "cpu_shares", "cpus", "depends_on", "devices", "domainname", "env_file",
    "external_links", "ipc", "links", "mac_address", "mem_limit", "network_mode", "pid", "pids_limit", "privileged",
    "profiles", "restart", "security_opt", "shm_size", "tmpfs", "userns_mode",
}  # fmt: skip
"""What `docker stack deploy` ignores or refuses. (The short form of tmpfs it takes for a path, options and all.)"""

each_service = pytest.mark.parametrize("service", SERVICES)
each_role = pytest.mark.parametrize("role", ROLES)


@pytest.mark.skipif(not shutil.which("docker"), reason="there is no docker command")
def test_docker_itself_takes_it() -> None:
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"} | CHOICES
    command = ["docker", "stack", "config", "-c", FILE]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    assert "nsupported" not in done.stderr


@each_service
def test_nothing_is_asked_for_that_swarm_does_not_do(service: str) -> None:
    assert not set(SERVICES[service]) & IGNORED
    assert "name" not in STACK


@each_service
def test_every_service_is_hardened_as_far_as_swarm_can(service: str) -> None:
    it = SERVICES[service]
    assert it["read_only"] is True
    assert it["init"] is True
    assert it["cap_drop"] == ["ALL"]
    assert it.get("cap_add", []) == (["NET_BIND_SERVICE"] if service == "caddy" else [])
    assert it["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
    assert set(it["deploy"]["resources"]["limits"]) == {"memory", "pids"}
    assert any(each["type"] == "tmpfs" and each["target"] == "/tmp" and each["tmpfs"]["size"] for each in it["volumes"])


@each_role
def test_a_role_is_one_command_and_is_nobody(role: str) -> None:
    it = SERVICES[role]
    assert it["command"] == [role]
    assert role in cli.main.commands
    assert it["user"] == "10001:10001"
    if role == "migrate":
        assert it["deploy"]["restart_policy"]["condition"] == "on-failure"
    else:
        assert it["healthcheck"]["test"] == ["CMD", "limner", "health", role]
        assert int(it["environment"]["LIMNER_DRAIN"]) + 10 <= int(it["stop_grace_period"].removesuffix("s"))


@pytest.mark.parametrize("role", ["web", "worker", "bot"])
def test_an_update_starts_the_new_one_first_and_goes_back_by_itself(role: str) -> None:
    update = SERVICES[role]["deploy"]["update_config"]
    assert (update["order"], update["failure_action"]) == ("start-first", "rollback")


@each_role
def test_every_setting_exists_and_every_secret_is_a_file(role: str) -> None:
    environment = SERVICES[role]["environment"]
    secrets = {setting_name(name) for name in secret_fields()}
    known = {setting_name(name) for name in Config.model_fields} - secrets
    paths = {name: path for name, path in environment.items() if name.endswith("_FILE")}
    assert set(environment) - set(paths) - {"TMPDIR"} <= known
    assert {name.removesuffix("_FILE") for name in paths} <= secrets
    assert {path.removeprefix("/run/secrets/") for path in paths.values()} == set(SERVICES[role]["secrets"])


@each_role
def test_every_role_accepts_its_settings(role: str, tmp_path: Path) -> None:
    made = {
        "database_url": "postgresql://limner:x@db/limner", "secret_key": "s" * 48, "vault_keys": "k1:" + "A" * 43 + "=",
        "bot_token": "",
    }  # fmt: skip
    for name in STACK["secrets"]:
        (tmp_path / name).write_text(made.get(name, "x" * 40))
    found = {
        name: _filled_in(str(value)).replace("/run/secrets", str(tmp_path))
        for name, value in SERVICES[role]["environment"].items()
    }
    env = {"PATH": os.environ["PATH"]} | found
    done = subprocess.run(
        [SCRIPTS / "limner", "config"], env=env, capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "LIMNER_STORAGE=s3\n" in done.stdout


def test_every_secret_is_swarms_own_and_the_page_makes_it() -> None:
    page = (ROOT / "docs/how-to/run-on-swarm.md").read_text()
    for name, secret in STACK["secrets"].items():
        assert secret == {"external": True, "name": f"limner_{name}"}
        assert re.search(rf"\b{name}\b", page), name
    assert {name for it in SERVICES.values() for name in it.get("secrets", [])} == set(STACK["secrets"])


def test_whatever_is_named_is_there_and_needed() -> None:
    for kind in ("networks", "volumes", "configs"):
        used = {_source(each) for it in SERVICES.values() for each in it.get(kind, [])} - {None}
        assert used == set(STACK[kind]), kind
    assert (FILE.parent / STACK["configs"]["caddyfile"]["file"]).resolve() == ROOT / "Caddyfile"


def test_only_caddy_publishes_ports_and_only_its_network_may_say_who_is_asking() -> None:
    assert [name for name, it in SERVICES.items() if "ports" in it] == ["caddy"]
    assert [name for name, it in SERVICES.items() if "edge" in it["networks"]] == ["web", "caddy"]
    subnet = STACK["networks"]["edge"]["ipam"]["config"][0]["subnet"]
    assert SERVICES["web"]["environment"]["LIMNER_TRUSTED_PROXIES"] == subnet
    assert SERVICES["caddy"]["environment"]["UPSTREAM"] == f"web:{SERVICES['web']['environment']['LIMNER_HTTP_PORT']}"


def test_every_choice_has_a_default_or_says_what_is_missing() -> None:
    asked = set(re.findall(r"\$\{(\w+)", TEXT))
    page = (ROOT / "docs/how-to/run-on-swarm.md").read_text()
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert set(re.findall(r"\$\{(\w+)\}", TEXT)) <= required
    assert {name for name in required if f"{name}=" not in page} == set()
    assert required <= set(CHOICES) <= asked


def _source(each: Any) -> Any:
    if isinstance(each, str):
        return each
    return None if each.get("type") == "tmpfs" else each["source"]


def _filled_in(value: str) -> str:
    return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda found: CHOICES.get(found[1]) or found[2] or "", value)
