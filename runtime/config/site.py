"""Where the site is, and what it signs and encrypts with."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import NoDecode

from limner.runtime.config.section import Section, WebAddress

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class SiteSettings(Section):
    """Addresses and secrets."""

    http_host: str = Field("127.0.0.1", description="the address that web listens on")
    http_port: int = Field(8080, ge=1, le=65535, description="the port that web listens on")
    public_url: WebAddress = Field(
        "", description="the address people type, from which links are built; empty: where web listens"
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="addresses or networks, comma-separated, whose last X-Forwarded-For entry is believed"
    )

    docs_url: WebAddress | None = Field(
        None,
        description="where the folder docs is read, so that alerts link to their runbooks; empty: they name the page",
    )

    metrics_host: str = Field("127.0.0.1", description="the address on which every role shows its metrics")
    metrics_port: int = Field(0, ge=0, le=65535, description="the port for it, at /metrics; 0: nowhere")

    secret_key: SecretStr = Field(
        SecretStr(""),
        description="signs forms; at least 32 characters; of several, comma-separated, the first one signs, all of them hold",
    )
    vault_keys: SecretStr = Field(
        SecretStr(""), description="id:base64 of 32 bytes, comma-separated; the first one encrypts, all of them decrypt"
    )

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
        return value

    @field_validator("public_url", mode="before")
    @classmethod
    def _where_web_listens(cls, value: Any, info: ValidationInfo) -> Any:
        if value or not {"http_host", "http_port"} <= info.data.keys():
            return value or "http://127.0.0.1"
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(info.data["http_host"], info.data["http_host"])  # noqa: S104
        return f"http://{host}:{info.data['http_port']}"

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The first one signs, all of them hold; never empty."""
        return tuple(key.strip() for key in self.secret_key.get_secret_value().split(","))

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")
