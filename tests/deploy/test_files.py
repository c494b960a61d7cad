"""The rules that Dockerfile and docker-compose.yml keep, whatever is added to them."""

from __future__ import annotations

import itertools
import re
import subprocess
import tomllib
from typing import Any

import pytest
import yaml

from limner.runtime.cli import commands as cli
from limner.runtime.config import Config, secret_fields, setting_name
from limner.sql import schema
from tests.deploy.conftest import ROOT, SCRIPTS

DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LONG_LIVED = ("web", "web-b", "worker", "bot", "archivist")
ROLES = ("migrate", *LONG_LIVED)
ONE_SHOTS = ("migrate", "restore")
EDITIONS = {
    "backup": ["archivist"],
    "ha": ["web-b"],
    "minio": ["minio"],
    "obs": ["prometheus", "grafana"],
    "restore": ["restore"],
}
"""What a profile adds to the core."""
INSTRUCTIONS = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)).split("\n")

each_service = pytest.mark.parametrize("service", SERVICES)
each_role = pytest.mark.parametrize("role", ROLES)


def test_hadolint_finds_nothing() -> None:
    done = subprocess.run([SCRIPTS / "hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_dockerfile_is_for_any_builder() -> None:
    assert "# syntax" not in DOCKERFILE
    assert "<<" not in DOCKERFILE
    assert "--mount" not in DOCKERFILE


def stage(name: str) -> list[str]:
    """The instructions of a stage; of the last one without a name, which is what is built by default."""
    starts = [i for i, line in enumerate(INSTRUCTIONS) if line.startswith("FROM ")] + [len(INSTRUCTIONS)]
    stages = {INSTRUCTIONS[i].partition(" AS ")[2]: INSTRUCTIONS[i:end] for i, end in itertools.pairwise(starts)}
    return stages[name]


def test_the_stages_stand_on_named_images_and_the_slim_one_is_last() -> None:
    assert "ARG PYTHON_IMAGE=python:3.13-slim-bookworm" in INSTRUCTIONS
    assert "ARG POSTGRES_IMAGE=postgres:18-bookworm" in INSTRUCTIONS
    stages = [line.removeprefix("FROM ") for line in INSTRUCTIONS if line.startswith("FROM ")]
    assert stages == [
        "${PYTHON_IMAGE} AS builder", "builder AS interpreter", "${POSTGRES_IMAGE} AS ops", "${PYTHON_IMAGE} AS base",
        "builder AS whole", "base AS allinone", "base",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "plays"), [("", "web"), ("ops", "archivist"), ("allinone", "up")])
def test_each_target_is_nobody_and_plays_its_role(name: str, plays: str) -> None:
    it = stage(name)
    for wanted in ("USER 10001:10001", "STOPSIGNAL SIGTERM", 'ENTRYPOINT ["limner"]', f'CMD ["{plays}"]'):
        assert wanted in it
    checked = "web" if plays == "up" else plays
    assert any(re.match(rf'HEALTHCHECK .*CMD \["limner", "health", "{checked}"\]', line) for line in it)
    about = it if name == "ops" else stage("base")
    assert any("PYTHONSAFEPATH=1" in line and "PYTHONDONTWRITEBYTECODE=1" in line for line in about)


def test_the_last_stage_only_carries_the_environment() -> None:
    last = stage("base") + stage("")
    assert not [line for line in last if re.search(r"apt-get|pip install|gcc", line)]
    assert [line for line in last if line.startswith("COPY")] == ["COPY --from=builder /opt/limner /opt/limner"]
    assert not [line for line in stage("ops") + stage("allinone") if re.search(r"apt-get|pip install|gcc", line)]


def test_the_tools_of_the_archivist_are_those_of_the_server() -> None:
    assert stage("ops")[0] == "FROM ${POSTGRES_IMAGE} AS ops"
    assert SERVICES["archivist"]["build"]["target"] == "ops"
    assert SERVICES["archivist"]["build"]["args"]["POSTGRES_IMAGE"] == SERVICES["postgres"]["image"]
    assert f"ARG POSTGRES_IMAGE={SERVICES['postgres']['image'].partition(':-')[2][:-1]}" in INSTRUCTIONS


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


def test_a_profile_adds_what_it_is_called_after_and_the_core_has_none() -> None:
    core = {name for name, it in SERVICES.items() if "profiles" not in it}
    assert core == {"postgres", "migrate", "web", "worker", "bot", "caddy"}
    for profile, names in EDITIONS.items():
        assert [name for name, it in SERVICES.items() if profile in it.get("profiles", [])] == names


@each_service
def test_every_service_is_hardened(service: str) -> None:
    it = SERVICES[service]
    assert it["read_only"] is True
    assert it["cap_drop"] == ["ALL"]
    assert it.get("cap_add", []) == (["NET_BIND_SERVICE"] if service == "caddy" else [])
    assert it["security_opt"] == ["no-new-privileges:true"]
    assert it["pids_limit"]
    assert it["mem_limit"]
    assert it.get("cpu_shares", 1024) in (256, 512, 1024, 2048)
    assert "cpus" not in it  # more than the server has, and Docker refuses to start it
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


@pytest.mark.parametrize("role", LONG_LIVED)
def test_no_role_starts_before_the_migration_is_through(role: str) -> None:
    assert SERVICES[role]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES[role]["healthcheck"]["test"] == ["CMD", "limner", "health", role.removesuffix("-b")]


@each_role
def test_a_role_is_one_image_and_one_word(role: str) -> None:
    assert SERVICES[role]["command"] == [role.removesuffix("-b")]
    assert role.removesuffix("-b") in cli.main.commands
    assert SERVICES[role]["user"] == "10001:10001"
    if role != "archivist":
        assert SERVICES[role]["image"] == SERVICES["web"]["image"]


def test_the_second_web_is_the_first_one_again() -> None:
    assert SERVICES["web-b"] == SERVICES["web"] | {"profiles": ["ha"]}


def test_only_a_restore_may_write_pictures_beside_web_and_worker() -> None:
    writers = {name for name, it in SERVICES.items() if "pictures:/var/lib/limner/pictures" in it.get("volumes", [])}
    assert writers == {"web", "web-b", "worker", "restore"}
    assert "pictures:/var/lib/limner/pictures:ro" in SERVICES["archivist"]["volumes"]
    own = ("profiles", "entrypoint", "command", "restart", "volumes", "networks", "healthcheck")
    assert SERVICES["restore"] == SERVICES["archivist"] | {name: SERVICES["restore"][name] for name in own}
    assert SERVICES["restore"]["entrypoint"] == ["limner", "restore"]
    assert "restore" in cli.main.commands


def test_backups_lie_in_a_volume() -> None:
    data = SERVICES["archivist"]["environment"]["LIMNER_DATA_DIR"]
    assert f"backups:{data}" in SERVICES["archivist"]["volumes"]
    assert SERVICES["archivist"]["environment"]["TMPDIR"] == data
    assert "LIMNER_BACKUP_FOLDER" not in SERVICES["archivist"]["environment"]  # so it is backups in the data folder


@each_role
def test_every_setting_exists_and_every_secret_is_a_file(role: str) -> None:
    environment = SERVICES[role]["environment"]
    secrets = {setting_name(name) for name in secret_fields()}
    known = {setting_name(name) for name in Config.model_fields} - secrets
    files = {name: path for name, path in environment.items() if name.endswith("_FILE")}
    assert set(environment) - set(files) - {"TMPDIR"} <= known
    assert {name.removesuffix("_FILE") for name in files} <= secrets
    assert {path.removeprefix("/run/secrets/") for path in files.values()} == set(SERVICES[role]["secrets"])


def test_every_secret_is_a_file_outside_the_compose_file() -> None:
    used = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    for name, secret in COMPOSE["secrets"].items():
        assert secret == {"file": f"${{SECRETS_DIR:-./secrets}}/{name}"}


@pytest.mark.parametrize("role", LONG_LIVED)
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
    assert [name for name, service in SERVICES.items() if "edge" in service["networks"]] == ["web", "web-b", "caddy"]


def test_nothing_but_those_who_must_reaches_out() -> None:
    assert COMPOSE["networks"]["data"]["internal"] is True
    assert COMPOSE["networks"]["edge"]["internal"] is True
    for name in ("postgres", "minio", "migrate"):
        assert SERVICES[name]["networks"] == ["data"]
    out = {name for name, service in SERVICES.items() if "egress" in service["networks"]}
    assert out == {"worker", "bot", "archivist", "restore"}


def test_a_dashboard_does_not_reach_the_database() -> None:
    assert COMPOSE["networks"]["watch"]["internal"] is True
    assert [name for name, service in SERVICES.items() if "watch" in service["networks"]] == ["prometheus", "grafana"]
    assert SERVICES["grafana"]["networks"] == ["watch"]


def test_what_prometheus_keeps_is_bounded_and_it_reaches_every_role() -> None:
    command = SERVICES["prometheus"]["command"]
    assert {"--storage.tsdb.retention.time=30d", "--storage.tsdb.retention.size=2GB"} <= set(command)
    asked = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    assert asked["dns_sd_configs"][0]["names"] == list(LONG_LIVED)
    assert asked["dns_sd_configs"][0]["port"] == int(SERVICES["web"]["environment"]["LIMNER_METRICS_PORT"])
    assert all(set(SERVICES[role]["networks"]) & set(SERVICES["prometheus"]["networks"]) for role in LONG_LIVED)


def test_a_dashboard_without_a_login_lets_nobody_change_anything() -> None:
    settings = SERVICES["grafana"]["environment"]
    assert settings["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert settings["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert settings["GF_AUTH_DISABLE_LOGIN_FORM"] == "true"


def test_the_volume_of_the_database_carries_its_major_version() -> None:
    major = re.search(r"postgres:(\d+)-", SERVICES["postgres"]["image"])
    assert major
    assert SERVICES["postgres"]["volumes"] == [f"pgdata{major[1]}:/var/lib/postgresql"]
    assert "--data-checksums" in SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


def test_the_example_names_every_choice_of_the_compose_file() -> None:
    example = (ROOT / "deploy" / "compose.env.example").read_text()
    offered = set(re.findall(r"^#?([A-Z0-9_]+)=", example, flags=re.MULTILINE))
    files = [ROOT / "docker-compose.yml", *(ROOT / "deploy/caddy").glob("*.yml")]
    asked = {name for file in files for name in re.findall(r"\$\{([A-Z0-9_]+)", file.read_text())}
    not_for_people = {"ENV_FILE", "SECRETS_DIR", "REVISION"}
    assert asked - not_for_people - {"LIMNER_LOG_FORMAT", "POSTGRES_CONNECTIONS"} <= offered
    settings = {setting_name(name) for name in Config.model_fields}
    assert {name for name in offered if name.startswith("LIMNER_")} <= settings
    assert "\nCOMPOSE_PROFILES=backup\n" in example
