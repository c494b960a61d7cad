"""The painters and their keys."""

from __future__ import annotations

from pydantic import Field

from limner.runtime.config.section import Section, WebAddress


class PoolSettings(Section):
    """Those that come without being added, and how keys are looked after."""

    demo_painter: bool | None = Field(
        None, description="seed the demo painter with a pool of demo keys; empty: only in development"
    )
    openai_url: WebAddress = Field(
        "https://api.openai.com/v1", description="the base of OpenAI's API, or of a compatible one"
    )

    key_probe_seconds: float = Field(
        1800,
        ge=1,
        le=86400,
        description="a key without funds, or that fell out, is looked at after one to two times that",
    )
    key_most_failures: int = Field(
        10, ge=1, le=1000, description="failures of a key in a row after which somebody should look at it"
    )
    exit_address_url: WebAddress | None = Field(
        "https://api.ipify.org",
        description="answers with the caller's address as plain text, to test proxies; empty: proxies are not tested",
    )

    @property
    def has_demo_painter(self) -> bool:
        return self.demo_painter if self.demo_painter is not None else self.env == "development"
