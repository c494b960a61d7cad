"""docker-compose.yml and .env of an installation, read as Compose would read them, as far as the checks need it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from limner.runtime.errors import Refused

VARIABLE = re.compile(r"\$\{(\w+)(?::?([-?+])([^${}]*))?\}")
LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=\s*(.*?)\s*$")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROLES = ("web", "worker", "bot")


@dataclass(frozen=True)
class Port:
    """One published port. ``address`` is empty when it is bound everywhere."""

    service: str
    address: str
    number: str

    @property
    def is_open(self) -> bool:
        return self.address.strip("[]") not in ("127.0.0.1", "::1", "localhost")

    def __str__(self) -> str:
        return f"{self.service} on {self.address or 'every address'}:{self.number}"


@dataclass(frozen=True)
class Compose:
    """``services``: those that the chosen profiles start, with all variables filled in. ``variables``: all that it asks for."""

    services: Mapping[str, dict[str, Any]]
    volumes: Mapping[str, Any]
    variables: frozenset[str]

    @classmethod
    def read(cls, path: Path, said: Mapping[str, str]) -> Compose:
        """Raises Refused when it is no Compose file."""
        text = path.read_text(encoding="utf-8")
        try:
            whole = yaml.load(text, LOADER)  # noqa: S506 - a safe one, either way
        except yaml.YAMLError as error:
            raise Refused(f"{path} is not YAML: {str(error).splitlines()[0]}") from None
        if not isinstance(whole, dict) or not isinstance(whole.get("services"), dict):
            raise Refused(f"{path} has no services")
        profiles = {part.strip() for part in said.get("COMPOSE_PROFILES", "").split(",")}
        services = {
            name: _filled(service, said)
            for name, service in whole["services"].items()
            if not service.get("profiles") or "*" in profiles or profiles & set(service["profiles"])
        }
        return cls(services, whole.get("volumes") or {}, frozenset(re.findall(r"\$\{(\w+)", text)))

    def ports(self) -> Iterator[Port]:
        for name, service in self.services.items():
            for entry in service.get("ports") or ():
                yield _port(name, entry)

    def lasting(self) -> dict[str, dict[str, Any]]:
        """The services that are to stay up: all but those that run once."""
        return {name: service for name, service in self.services.items() if name != "migrate"}


def read_env(path: Path) -> dict[str, str]:
    """NAME=value, a line each; quotes and what follows " #" are taken off. Empty when the file cannot be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    found = (LINE.match(line) for line in text.splitlines())
    return {line[1]: _unquoted(line[2]) for line in found if line}


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return value[1:-1]
    return re.sub(r"\s+#.*$", "", value)


def _filled(value: Any, said: Mapping[str, str]) -> Any:
    """With ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?words}`` filled in, the inner ones first."""
    if isinstance(value, dict):
        return {name: _filled(each, said) for name, each in value.items()}
    if isinstance(value, list):
        return [_filled(each, said) for each in value]
    while isinstance(value, str) and (found := VARIABLE.search(value)):
        put = said.get(found[1]) or (found[3] if found[2] == "-" else "") or ""
        value = value[: found.start()] + put + value[found.end() :]
    return value


def _port(service: str, entry: Any) -> Port:
    if isinstance(entry, dict):
        return Port(service, str(entry.get("host_ip") or ""), str(entry.get("published") or entry.get("target")))
    parts = str(entry).partition("/")[0].rsplit(":", 2)
    return Port(service, parts[0] if len(parts) == 3 else "", parts[-2] if len(parts) > 1 else parts[-1])
