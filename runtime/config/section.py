"""What all sections of the settings have: the first two of them, and the kinds of values that occur in many."""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "LIMNER_"


def web_address(value: str) -> str:
    """Raises ValueError."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address that begins with http:// or https://")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or a fragment")
    return value


def postgres_address(value: SecretStr) -> SecretStr:
    """Raises ValueError."""
    if urlsplit(value.get_secret_value()).scheme not in ("postgresql", "postgres"):
        raise ValueError("must begin with postgresql://")
    return value


WebAddress = Annotated[str, AfterValidator(web_address), AfterValidator(lambda value: value.rstrip("/"))]
"""One that paths are put behind."""
PostgresAddress = Annotated[SecretStr, AfterValidator(postgres_address)]


class Section(BaseSettings):
    """Settings that belong together, each read from ``LIMNER_<NAME>``."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True, defer_build=True
    )

    env: Literal["development", "production"] = Field(
        "development", description="production insists on https, on secrets and on a database of its own"
    )
    data_dir: Path = Field(
        Path("var"), description="where the all-in-one mode keeps its database, pictures, secrets and logs"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any, info: ValidationInfo) -> Any:
        """Where nothing at all is a value, too."""
        may_be_unset = NoneType in get_args(cls.model_fields[info.field_name or ""].annotation)
        return None if may_be_unset and isinstance(value, str) and not value.strip() else value
