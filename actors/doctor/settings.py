"""The settings: whether they are right, whether they are in force, and whether they are meant for business."""

from __future__ import annotations

import difflib
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from limner.actors.doctor.check import Finding, check, trouble, warning, well
from limner.actors.doctor.patient import Patient, Skip
from limner.runtime.config import PREFIX, Config, ConfigError, secret_fields, setting_name
from limner.runtime.installation import EXAMPLE

PLACEHOLDER = re.compile(
    r"change[-_]?me|replace[-_]?me|fill[-_]?me|your[-_]?(secret|password|token|key|domain)|\bexample\.(com|org|net)\b|^<.*>$|^x{3,}$",
    re.IGNORECASE,
)
GENERAL = frozenset(
    {"COMPOSE_PROFILES", "COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PARALLEL_LIMIT", "TZ", "ENV_FILE"}
)
"""Names that Compose or the system know by themselves."""


@check(
    "settings.valid", "fail", means="every setting can be read and fits the others",
    cause="A typing error, a value out of range, or something that production needs is missing.",
    fix="Correct what is named; docs/reference/settings.md has them all, `limner config` shows what is in force.",
)  # fmt: skip
async def valid(patient: Patient) -> Finding:
    if isinstance(patient.settings, ConfigError):
        return trouble("; ".join(patient.settings.mistakes))
    return well(f"{len(Config.model_fields)} settings")


@check(
    "settings.unknown", "warn", means="every name in .env is known to Limner or to docker-compose.yml",
    cause="A typing error, or a name of another release: what it was meant to change stays as it was.",
    fix="Correct or delete the line.",
)  # fmt: skip
async def unknown(patient: Patient) -> Finding:
    known = set(_names()) | patient.compose.variables | _exemplary(patient.folder) | GENERAL
    found = []
    for name in _env(patient):
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            found.append(name + (f" (did you mean {near[0]}?)" if near else ""))
    return trouble(f"unknown in .env: {', '.join(found)}") if found else well(f"{len(patient.env_file)} names in .env")


@check(
    "settings.placeholders", "fail", means="nothing was left as an example had it",
    cause="A line was copied and not filled in.", fix="Put your own value in.",
)  # fmt: skip
async def placeholders(patient: Patient) -> Finding:
    names = [*_names(), "DOMAIN", "TLS", "ACME_CA", *patient.env_file]
    found = [name for name in dict.fromkeys(names) if PLACEHOLDER.search(patient.said.get(name, ""))]
    found += [path.name for path in _secret_files(patient) if PLACEHOLDER.search(_text(path))]
    return trouble(f"placeholders in {', '.join(found)}") if found else well("no placeholders")


@check(
    "settings.env_mode", "warn", means="only its owner reads .env",
    cause="It was made with an editor or copied.", fix="`chmod 600 .env`",
)  # fmt: skip
async def env_mode(patient: Patient) -> Finding:
    _env(patient)
    mode = stat.S_IMODE((patient.folder / ".env").stat().st_mode)
    return trouble(f".env has mode {mode:04o}") if mode & 0o077 else well(f".env has mode {mode:04o}")


@check(
    "settings.secrets_mode", "fail", means="nobody else gets to the files of secrets",
    cause="The folder was made by hand, or copied without its modes.",
    fix="`chmod 700 secrets`; a file in it may be readable, since the folder is closed, but never writable for others.",
)  # fmt: skip
async def secrets_mode(patient: Patient) -> Finding:
    folders = _secret_folders(patient)
    if not folders:
        raise Skip("there is no folder of secrets here")
    found = [f"{folder} {mode:04o}" for folder in folders if (mode := _mode(folder)) & 0o077]
    found += [f"{path.name} {mode:04o}" for path in _secret_files(patient) if (mode := _mode(path)) & 0o022]
    return trouble(f"open to others: {', '.join(found)}") if found else well(", ".join(map(str, folders)))


@check(
    "settings.drift", "warn", means="what .env says is in force",
    cause="It was edited after the start; a restart alone does not read it again.", fix="`docker compose up -d --wait`",
)  # fmt: skip
async def drift(patient: Patient) -> Finding:
    chosen = {name: value for name, value in _env(patient).items() if name.startswith(PREFIX)}
    if not any(name in patient.environ for name in chosen):
        raise Skip("this process was not started with that .env")
    found = [name for name, value in chosen.items() if value != patient.environ.get(name, "")]
    return (
        trouble(f"not in force: {', '.join(found)}") if found else well(f"{len(chosen)} settings of .env are in force")
    )


@check(
    "settings.production", "warn", means="a site with a name runs as production",
    cause="LIMNER_ENV was left at development: accounts with known passwords are sown, mistakes are tolerated.",
    fix="Set LIMNER_ENV=production, on a fresh database.",
)  # fmt: skip
async def production(patient: Patient) -> Finding:
    config = patient.config
    return (
        trouble(f"{config.public_url} runs as {config.env}")
        if config.is_https and config.env != "production"
        else well(config.env)
    )


@check(
    "settings.sandbox", "warn", means="in production the processor that takes no money is off",
    cause="It is on at first, so that you see a picture at once.",
    fix="LIMNER_SANDBOX_PAYMENTS=false in .env, then `docker compose up -d --wait`.",
)  # fmt: skip
async def sandbox(patient: Patient) -> Finding:
    config = patient.config
    is_on = config.takes_sandbox_payments and config.env == "production"
    return trouble("anybody gets a plan without paying") if is_on else well(f"fit for {config.env}")


@check(
    "settings.demo", "warn", means="in production the demo painter is off",
    cause="It is on at first, so that you see a picture without a key.",
    fix="LIMNER_DEMO_PAINTER=false in .env, then `docker compose up -d --wait`; disable its keys in the admin.",
)  # fmt: skip
async def demo(patient: Patient) -> Finding:
    config = patient.config
    is_on = config.has_demo_painter and config.env == "production"
    return trouble("the demo painter is offered to people who pay") if is_on else well(f"fit for {config.env}")


@check(
    "settings.address", "fail", means="the public address is https and has the name that Caddy serves",
    cause="DOMAIN and LIMNER_PUBLIC_URL were changed one without the other.",
    fix="Leave LIMNER_PUBLIC_URL empty, so that it follows DOMAIN, or give both the same name.",
)  # fmt: skip
async def address(patient: Patient) -> Finding:
    host, domain = urlsplit(patient.config.public_url).hostname or "", patient.said.get("DOMAIN", "").lower()
    if domain and host != domain:
        return trouble(f"links lead to {host}, DOMAIN is {domain}")
    return well(patient.config.public_url)


@check(
    "settings.drain", "warn", means="a worker that is told to stop may finish a picture",
    cause="LIMNER_DRAIN is very short: every upgrade throws pictures back that were half done.",
    fix="Set LIMNER_DRAIN to 60 or more for the worker, and its stop_grace_period above that.",
)  # fmt: skip
async def drain(patient: Patient) -> Finding:
    config = patient.config
    words = f"{config.drain} s"
    return warning(words) if config.env == "production" and config.drain < 5 else well(words)


CHECKS = (
    valid, unknown, placeholders, env_mode, secrets_mode, drift, production, sandbox, demo, address, drain,
)  # fmt: skip


def _names() -> Iterator[str]:
    yield from map(setting_name, Config.model_fields)
    yield from (f"{setting_name(name)}_FILE" for name in secret_fields())


def _exemplary(folder: Path) -> set[str]:
    """The names in the example that .env is made from: some are for files beside docker-compose.yml."""
    example = folder / EXAMPLE
    return set(re.findall(r"^#?([A-Z_0-9]+)=", example.read_text(), flags=re.MULTILINE)) if example.is_file() else set()


def _env(patient: Patient) -> dict[str, str]:
    if not (patient.folder / ".env").is_file():
        raise Skip(f"there is no .env in {patient.folder.resolve()}: tell --folder")
    return patient.env_file


def _secret_folders(patient: Patient) -> list[Path]:
    places = [patient.folder / "secrets"]
    if isinstance(patient.settings, Config):
        places.append(patient.settings.data_dir / "secrets")
    return [place for place in dict.fromkeys(place.resolve() for place in places) if place.is_dir()]


def _secret_files(patient: Patient) -> Iterator[Path]:
    for folder in _secret_folders(patient):
        yield from sorted(path for path in folder.iterdir() if path.is_file())


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip()


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
