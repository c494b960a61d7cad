"""One frozen Config from the environment; every mistake is reported at once. Each section has a module of its own."""

from __future__ import annotations

import os
from typing import Any

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from limner.runtime.config import coherence
from limner.runtime.config.database import DatabaseSettings
from limner.runtime.config.doors import DoorSettings
from limner.runtime.config.messages import MessageSettings
from limner.runtime.config.money import MoneySettings
from limner.runtime.config.people import PeopleSettings
from limner.runtime.config.pool import PoolSettings
from limner.runtime.config.processes import ProcessSettings
from limner.runtime.config.reading import ConfigError, SecretFiles, explain, secrets_of, setting_name, unknown_settings
from limner.runtime.config.section import PREFIX
from limner.runtime.config.site import SiteSettings
from limner.runtime.config.stores import StoreSettings

__all__ = ["PREFIX", "Config", "ConfigError", "secret_fields", "setting_name"]


# Pydantic collects what the last base has first: so they are in the order of docs/reference/settings.md, from below.
class Config(
    ProcessSettings,
    DoorSettings,
    MessageSettings,
    PeopleSettings,
    PoolSettings,
    MoneySettings,
    StoreSettings,
    SiteSettings,
    DatabaseSettings,
):
    """All settings. Each is read from ``LIMNER_<NAME>``; a secret also from the file that ``LIMNER_<NAME>_FILE`` names."""

    model_config = SettingsConfigDict(defer_build=False)

    @model_validator(mode="after")
    def _hangs_together(self) -> Config:
        mistakes = [*coherence.mistakes(self)]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    @classmethod
    def load(cls, **overrides: Any) -> Config:
        """Read the environment. Raises ConfigError with every mistake in it."""
        mistakes = unknown_settings(cls)
        config = None
        try:
            config = cls(**overrides)
        except ValidationError as error:
            mistakes += [line for problem in error.errors() for line in explain(cls, problem)]
        except ConfigError as error:
            mistakes += error.mistakes
        if mistakes or config is None:
            raise ConfigError(mistakes)
        return config

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, SecretFiles(settings_cls)

    def origin(self, field: str) -> str:
        """Where a setting of this process comes from, in words."""
        name = setting_name(field)
        if field not in self.model_fields_set:
            return "default"
        if os.environ.get(name):
            return "environment"
        if os.environ.get(f"{name}_FILE"):
            return f"file of {name}_FILE"
        if field in secret_fields() and (self.data_dir / "secrets" / field).is_file():
            return "data folder"
        return "given at the start"

    def redacted(self) -> dict[str, str]:
        """Every setting under its environment name, with secrets masked."""
        shown = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, SecretStr):
                value = "********" if value.get_secret_value() else ""
            elif isinstance(value, tuple):
                value = ",".join(str(part) for part in value)
            shown[setting_name(name)] = "" if value is None else str(value)
        return shown


def secret_fields() -> list[str]:
    return secrets_of(Config)
