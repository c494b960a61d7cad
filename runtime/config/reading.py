"""How settings are read: their names, secrets from files, and mistakes in the words of whoever made them."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from limner.runtime.config.section import PREFIX


class ConfigError(Exception):
    """The settings are wrong; ``mistakes`` has one line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


def setting_name(field: str) -> str:
    return PREFIX + field.upper()


def secrets_of(config: type[BaseSettings]) -> list[str]:
    return [name for name, field in config.model_fields.items() if "SecretStr" in str(field.annotation)]


class SecretFiles(PydanticBaseSettingsSource):
    """Secrets from ``LIMNER_<NAME>_FILE``, else from ``secrets/<name>`` in the data folder of the all-in-one mode."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        mistakes = []
        kept = Path(self.current_state.get("data_dir") or "var") / "secrets"
        for name in secrets_of(self.settings_cls):
            variable = setting_name(name) + "_FILE"
            if path := os.environ.get(variable):
                if os.environ.get(setting_name(name)):
                    mistakes.append(f"{setting_name(name)} and {variable} are both set: keep one")
                try:
                    found[name] = Path(path).read_text(encoding="utf-8").strip()
                except (OSError, UnicodeDecodeError) as error:
                    mistakes.append(f"{variable}: cannot read {path!r}: {getattr(error, 'strerror', None) or error}")
            elif self.current_state.get("env") != "production" and os.access(kept / name, os.R_OK):
                found[name] = (kept / name).read_text(encoding="utf-8").strip()
        if mistakes:
            raise ConfigError(mistakes)
        return found


def unknown_settings(config: type[BaseSettings]) -> list[str]:
    known = [setting_name(name) for name in config.model_fields]
    known += [setting_name(name) + "_FILE" for name in secrets_of(config)]
    mistakes = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            mistakes.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return mistakes


def explain(config: type[BaseSettings], problem: Any) -> list[str]:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message.split("\n")
    field = str(problem["loc"][0])
    shown = "" if field in secrets_of(config) else f", not {problem.get('input')!r}"
    return [f"{setting_name(field)}: {message[0].lower()}{message[1:]}{shown}"]
