"""How processes work, stop, and tell of themselves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from limner.runtime.config.section import Section, WebAddress


class ProcessSettings(Section):
    """Slots, deadlines, logs and traces."""

    drain: int = Field(
        8, ge=0, le=3600, description="seconds that running work may take to finish when a process is told to stop"
    )
    lame_duck: float = Field(
        0, ge=0, le=60, description="seconds that web still serves when told to stop, and says that it is not ready"
    )
    worker_slots: int = Field(8, ge=1, le=500, description="pictures that one worker paints at a time")
    job_deadline: int = Field(
        900, ge=5, le=86400, description="seconds after which an unfinished picture fails, uncharged"
    )
    painter_silence: int = Field(
        300,
        ge=1,
        le=86400,
        description="seconds that a painter may say nothing until another key is tried; slow machines may need more",
    )
    retry_unknown: bool = Field(
        True,
        description="whether a picture whose painter fell silent goes to one more key, although the first may bill it",
    )
    retry_empty: bool = Field(
        True,
        description="whether a picture goes to one more key after an answer without one, although both may be billed",
    )
    lease: int = Field(15, ge=3, le=600, description="seconds without a heartbeat after which a process counts as dead")

    otlp_url: WebAddress | None = Field(
        None,
        description="where an OpenTelemetry collector takes OTLP over HTTP; needs the extra otel; empty: no traces",
    )
    log_format: Literal["text", "json"] = Field("text", description="json: one object a line")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least important level that is written"
    )
