"""Who may come, and what they may."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from limner.runtime.config.section import Section


class PeopleSettings(Section):
    """Registration, sharing, and the limits of the API."""

    registration: Literal["open", "invite", "closed"] = Field(
        "open", description="who may make an account: everybody, whoever was invited, or nobody"
    )
    require_verification: bool = Field(
        False, description="true: nobody paints before the e-mail address is confirmed; a trial needs that in any case"
    )
    blocked_email_domains: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="more domains whose addresses may not register, comma-separated, beside known throwaway ones"
    )

    sharing: Literal["wall", "links", "off"] = Field(
        "wall",
        description="wall: people share pictures by links, and offer them to the public wall, where an admin lets them in; "
        "links: by links alone; off: neither",
    )

    api_rpm: int = Field(
        600, ge=1, le=1_000_000, description="orders a minute that the programs of one account may send to the API"
    )
    api_wait: int = Field(
        570, ge=1, le=86_400,
        description="seconds that the API holds a request until its order is over, before it says where to find it; programs "
        "that give up sooner order a second time (OpenAI's after 600)",
    )  # fmt: skip
    api_queue: int = Field(
        200, ge=1, le=100_000, description="unfinished pictures of one account beyond which the API takes no more"
    )

    @field_validator("blocked_email_domains", mode="before")
    @classmethod
    def _domains(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = tuple(part.strip().lower().lstrip("@.") for part in value.split(",") if part.strip())
            for domain in value:
                if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain):
                    raise ValueError(f"must be domains such as example.com, and {domain!r} is none")
        return value
