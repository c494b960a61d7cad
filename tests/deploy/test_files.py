"""The rules that Dockerfile, docker-compose.yml and Caddyfile keep, whatever is added to them."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from limner.runtime.config import Config, secret_fields, setting_name
from limner.sql import schema
from tests.deploy.conftest import ROOT, SCRIPTS, caddy_command, caddy_environment

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = ("migrate", "web", "worker", "bot")
ONE_SHOTS = ("migrate",)
INSTRUCTIONS = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).split("\n")

each_service = pytest.mark.parametrize("service", SERVICES)
each_role = pytest.mark.parametrize("role", ROLES)


def caddy(verb: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    env = caddy_environment(folder, **settings)
    return subprocess.run(caddy_command(verb), env=env, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("tls", ["internal", "carol@example.com"])
def test_the_caddyfile_is_valid_with_either_certificate(tmp_path: Path, tls: str) -> None:
    done = caddy("validate", tmp_path, TLS=tls, DOMAIN="art.example.com")
    assert done.returncode == 0, done.stderr


def test_a_caddyfile_without_a_choice_of_certificate_does_not_start(tmp_path: Path) -> None:
    assert caddy("validate", tmp_path, TLS="").returncode != 0


def test_the_caddyfile_is_formatted() -> None:
    done = subprocess.run([SCRIPTS / "caddy", "fmt", "--diff", ROOT / "Caddyfile"], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([SCRIPTS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_is_for_any_builder() -> None:
    assert "# syntax" not in DOCKERFILE
    assert "<<" not in DOCKERFILE
    assert "--mount" not in DOCKERFILE


def test_both_stages_stand_on_the_same_named_python() -> None:
    assert "ARG PYTHON_IMAGE=python:3.13-slim-bookworm" in INSTRUCTIONS
    stages = [line for line in INSTRUCTIONS if line.startswith("FROM ")]
    assert stages == ["FROM ${PYTHON_IMAGE} AS builder", "FROM ${PYTHON_IMAGE}"]


def test_the_last_stage_installs_nothing_and_is_nobody() -> None:
    last = INSTRUCTIONS[max(i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM ")) :]
    assert not [line for line in last if re.search(r"apt-get|pip install|gcc", line)]
    assert [line for line in last if line.startswith("COPY")] == ["COPY --from=builder /opt/limner /opt/limner"]
    for wanted in ("USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["limner"]', 'CMD ["web"]'):
        assert wanted in last
    assert any("PYTHONSAFEPATH=1" in line and "PYTHONDONTWRITEBYTECODE=1" in line for line in last)
    assert any(re.match(r'HEALTHCHECK .*CMD \["limner", "health", "web"\]', line) for line in last)


def test_the_image_says_which_schema_it_knows_and_whom_that_shuts_out() -> None:
    """docs/explanation/schema-window.md: what a migration raises, the label says."""
    raised = [
        int(bound)
        for path in sorted((ROOT / "sql/migrations").glob("*.sql"))
        for bound in re.findall(r"min_image_head\)? (?:values \(|= )(\d+)", path.read_text())
    ]
    assert f'limner.schema.head="{schema.head()}"' in DOCKERFILE
    assert f'limner.schema.min_image_head="{raised[-1]}"' in DOCKERFILE


def test_every_room_reaches_the_image() -> None:
    mapped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    let_in = (ROOT / ".dockerignore").read_text().split()
    for folder in mapped.values():
        assert f"!{folder}" in let_in
        assert f"COPY {folder} {folder}" in INSTRUCTIONS


def test_only_caddy_publishes_ports() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["caddy"]
    assert not [name for name, service in SERVICES.items() if "network_mode" in service]


@each_service
def test_every_service_is_hardened(service: str) -> None:
    it = SERVICES[service]
    assert it["read_only"] is True
    assert it["cap_drop"] == ["ALL"]
    assert it.get("cap_add", []) == (["NET_BIND_SERVICE"] if service == "caddy" else [])
    assert it["security_opt"] == ["no-new-privileges:true"]
    assert it["pids_limit"]
    assert it["mem_limit"]
    assert it["init"] is True
    assert not {"privileged", "pid", "ipc", "devices", "container_name"} & set(it)
    assert any(mount.startswith("/tmp:") and "size=" in mount for mount in it["tmpfs"])
    assert "docker.sock" not in str(it)


@each_service
def test_every_log_is_bounded(service: str) -> None:
    assert SERVICES[service]["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


@each_service
def test_every_service_is_healthy_or_ends(service: str) -> None:
    it = SERVICES[service]
    if service in ONE_SHOTS:
        assert it["restart"] == "no"
        assert it["healthcheck"] == {"disable": True}
    else:
        assert it["restart"] == "unless-stopped"
        assert it["healthcheck"]["test"][0] == "CMD"


def test_the_database_is_asked_a_question() -> None:
    assert SERVICES["postgres"]["healthcheck"]["test"][1:] == [
        "psql", "-h", "127.0.0.1", "-U", "limner", "-d", "limner", "-Atqc", "select 1"
    ]  # fmt: skip


@pytest.mark.parametrize("role", ["web", "worker", "bot"])
def test_no_role_starts_before_the_migration_is_through(role: str) -> None:
    assert SERVICES[role]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES[role]["healthcheck"]["test"] == ["CMD", "limner", "health", role]


@each_role
def test_a_role_is_one_image_and_one_word(role: str) -> None:
    assert SERVICES[role]["command"] == [role]
    assert SERVICES[role]["image"] == SERVICES["web"]["image"]
    assert SERVICES[role]["user"] == "10001:10001"


@each_role
def test_every_setting_exists_and_every_secret_is_a_file(role: str) -> None:
    environment = SERVICES[role]["environment"]
    secrets = {setting_name(name) for name in secret_fields()}
    known = {setting_name(name) for name in Config.model_fields} - secrets
    files = {name: path for name, path in environment.items() if name.endswith("_FILE")}
    assert set(environment) - set(files) <= known
    assert {name.removesuffix("_FILE") for name in files} <= secrets
    assert {path.removeprefix("/run/secrets/") for path in files.values()} == set(SERVICES[role]["secrets"])


def test_every_secret_is_a_file_outside_the_compose_file() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"${{SECRETS_DIR:-./secrets}}/{name}"}


@pytest.mark.parametrize("role", ["web", "worker", "bot"])
def test_a_role_may_finish_what_it_drains(role: str) -> None:
    it = SERVICES[role]
    assert int(it["environment"]["LIMNER_DRAIN"]) + 10 <= int(it["stop_grace_period"].removesuffix("s"))


def test_a_drain_of_web_fits_into_caddys_patience() -> None:
    patience = re.search(r"lb_try_duration \{\$PATIENCE:(\d+)s\}", (ROOT / "Caddyfile").read_text())
    assert patience
    assert int(SERVICES["web"]["environment"]["LIMNER_DRAIN"]) + 15 <= int(patience[1])
    assert "PATIENCE" not in SERVICES["caddy"]["environment"]


def test_only_caddys_network_may_say_who_is_asking() -> None:
    edge = COMPOSE["networks"]["edge"]
    assert edge["ipam"]["config"][0]["subnet"] == SERVICES["web"]["environment"]["LIMNER_TRUSTED_PROXIES"]
    assert [name for name, service in SERVICES.items() if "edge" in service["networks"]] == ["web", "caddy"]


def test_nothing_but_those_who_must_reaches_out() -> None:
    assert COMPOSE["networks"]["data"]["internal"] is True
    assert COMPOSE["networks"]["edge"]["internal"] is True
    for name in ("postgres", "minio", "migrate"):
        assert SERVICES[name]["networks"] == ["data"]
    assert [name for name, service in SERVICES.items() if "egress" in service["networks"]] == ["worker", "bot"]


def test_the_volume_of_the_database_carries_its_major_version() -> None:
    major = re.search(r"postgres:(\d+)-", SERVICES["postgres"]["image"])
    assert major
    assert SERVICES["postgres"]["volumes"] == [f"pgdata{major[1]}:/var/lib/postgresql"]
    assert "--data-checksums" in SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


def test_the_example_names_every_choice_of_the_compose_file() -> None:
    example = (ROOT / "deploy" / "compose.env.example").read_text()
    offered = set(re.findall(r"^#?([A-Z0-9_]+)=", example, flags=re.MULTILINE))
    asked = set(re.findall(r"\$\{([A-Z0-9_]+)", (ROOT / "docker-compose.yml").read_text()))
    not_for_people = {"ENV_FILE", "SECRETS_DIR", "REVISION"}
    assert asked - not_for_people - {"LIMNER_LOG_FORMAT", "POSTGRES_CONNECTIONS"} <= offered
    settings = {setting_name(name) for name in Config.model_fields}
    assert {name for name in offered if name.startswith("LIMNER_")} <= settings
