"""What carries messages to people: Telegram and mail."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from limner.runtime.config.section import Section, WebAddress

SENDER = re.compile(r"(?:[^<>\x00-\x1f\x7f\"\\@]+ )?<[^\s<>@,;\"]+@[\w.-]+>|[^\s<>@,;\"]+@[\w.-]+")


class MessageSettings(Section):
    """The bot and the mail server."""

    bot_token: SecretStr | None = Field(None, description="the Telegram bot's token; empty: the bot waits quietly")
    telegram_url: WebAddress = Field("https://api.telegram.org", description="the base of the Telegram Bot API")
    telegram_proxy: SecretStr | None = Field(None, description="http:// or socks5:// proxy for Telegram alone")

    smtp_host: str | None = Field(
        None, description="the server that takes mails; empty: none is sent, and admins pass the links on"
    )
    smtp_port: int = Field(587, ge=1, le=65535, description="its port: 587 for starttls, 465 for tls, mostly")
    smtp_tls: Literal["starttls", "tls", "none"] = Field(
        "starttls",
        description="none: everybody on the way can read along; only for a server on the same machine or network",
    )
    smtp_user: str | None = Field(None, description="who signs in there; empty: nobody has to")
    smtp_password: SecretStr | None = Field(None, description="that user's password")
    smtp_timeout: float = Field(20, ge=1, le=120, description="seconds that the server may take for each answer")
    mail_from: str | None = Field(
        None, description="whom mails come from: studio@example.com, or Studio <studio@example.com>"
    )

    @field_validator("smtp_host")
    @classmethod
    def _is_host(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w.-]+|[0-9a-fA-F:]+", value, re.ASCII):
            raise ValueError("must be the name or the address of a server alone, without a port")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_sender(cls, value: str | None) -> str | None:
        if value is not None and not SENDER.fullmatch(value):
            raise ValueError("must be an e-mail address, or a name and one: Studio <studio@example.com>")
        return value
