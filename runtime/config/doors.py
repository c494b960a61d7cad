"""How people come in, beside their password."""

from __future__ import annotations

import re

from pydantic import Field, SecretStr, field_validator

from limner.runtime.config.section import Section, WebAddress, web_address


class DoorSettings(Section):
    """Second factors, and those who vouch for somebody."""

    admin_totp: bool | None = Field(
        None, description="admins and supporters need a second factor to work here; empty: only in production"
    )
    oidc_issuer: str | None = Field(
        None,
        description="an OpenID provider's issuer address, exactly as it says it; empty: nobody signs in through one",
    )
    oidc_client_id: str = Field("", description="the client id that it knows this site by")
    oidc_client_secret: SecretStr | None = Field(
        None, description="the client secret; empty: a public client, with PKCE alone"
    )
    oidc_scopes: str = Field("openid email", description="what it is asked for")
    oidc_name: str = Field("single sign-on", description="what people call it, as on the button: Log in with …")
    telegram_login: str | None = Field(
        None, description="the bot's user name, so that people log in with Telegram; needs the bot's token; empty: off"
    )
    telegram_login_url: WebAddress = Field(
        "https://oauth.telegram.org/auth", description="the page of Telegram's where people agree to it"
    )

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, value: str | None) -> str | None:
        """Compared sign by sign with what tokens say: a slash at its end stays."""
        return None if value is None else web_address(value.strip())

    @field_validator("telegram_login")
    @classmethod
    def _is_bot(cls, value: str | None) -> str | None:
        name = None if value is None else value.strip().removeprefix("@")
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_]{3,32}", name):
            raise ValueError("must be the user name of a bot, such as limner_bot")
        return name

    @property
    def forces_totp(self) -> bool:
        return self.admin_totp if self.admin_totp is not None else self.env == "production"
