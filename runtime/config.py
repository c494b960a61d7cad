"""One frozen Config from the environment; every mistake is reported at once."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from limner.runtime import coherence
from limner.runtime.cron import Calendar

PREFIX = "LIMNER_"
SENDER = re.compile(r"(?:[^<>\x00-\x1f\x7f\"\\@]+ )?<[^\s<>@,;\"]+@[\w.-]+>|[^\s<>@,;\"]+@[\w.-]+")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ConfigError(Exception):
    """The settings are wrong; ``mistakes`` has one line for each."""

    def __init__(self, mistakes: list[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = mistakes


class Config(BaseSettings):
    """All settings. Each is read from ``LIMNER_<NAME>``; a secret also from the file that ``LIMNER_<NAME>_FILE`` names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", validate_default=True)

    env: Literal["development", "production"] = Field(
        "development", description="production insists on https, on secrets and on a database of its own"
    )
    data_dir: Path = Field(
        Path("var"), description="where the all-in-one mode keeps its database, pictures, secrets and logs"
    )
    database_url: SecretStr | None = Field(
        None, description="postgresql://user:password@host/database; empty: the embedded Postgres"
    )
    database_pool: int = Field(8, ge=2, le=200, description="connections per process at the most")
    database_pooled: bool = Field(
        False, description="true: the database's address leads through a pooler in transaction mode, such as PgBouncer"
    )
    database_direct_url: SecretStr | None = Field(
        None, description="the same database around that pooler, for LISTEN and migrations; empty: poll every second"
    )
    pg_bin: Path | None = Field(
        None, description="folder with postgres and initdb; empty: the packaged ones, then the system's"
    )

    http_host: str = Field("127.0.0.1", description="the address that web listens on")
    http_port: int = Field(8080, ge=1, le=65535, description="the port that web listens on")
    public_url: str = Field(
        "", description="the address people type, from which links are built; empty: where web listens"
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (), description="addresses or networks, comma-separated, whose last X-Forwarded-For entry is believed"
    )

    docs_url: str | None = Field(
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

    storage: Literal["folder", "s3"] = Field("folder", description="where pictures are kept")
    storage_folder: Path | None = Field(
        None, description="the folder for storage=folder; empty: pictures in the data folder"
    )
    s3_endpoint: str | None = Field(None, description="an S3 address, when it is not Amazon's")
    s3_bucket: str = Field("limner", description="the bucket for storage=s3")
    s3_region: str = Field("us-east-1", description="the region for storage=s3")
    s3_access_key: SecretStr | None = Field(None, description="the access key for storage=s3")
    s3_secret_key: SecretStr | None = Field(None, description="the secret key for storage=s3")

    backup_folder: Path | None = Field(
        None, description="where backups are kept, unless a bucket is named; empty: backups in the data folder"
    )
    backup_s3_bucket: str | None = Field(None, description="the bucket for backups, and for nothing else")
    backup_s3_endpoint: str | None = Field(None, description="its S3 address, when it is not Amazon's")
    backup_s3_region: str = Field("us-east-1", description="its region")
    backup_s3_access_key: SecretStr | None = Field(None, description="its access key; better not the pictures' own")
    backup_s3_secret_key: SecretStr | None = Field(None, description="its secret key")
    backup_keep: str = Field("7,4,6", description="of how many days, weeks and months the newest backup is kept")
    backup_at: str = Field("17 3 * * *", description="when the archivist makes a backup: a cron expression, in UTC")
    backup_drill_at: str = Field("17 4 * * sun", description="when it tries the newest one out: the same")
    backup_after: str | None = Field(
        None, description="a command for the shell after each backup, to carry a copy off this machine"
    )
    pitr_folder: Path | None = Field(
        None, description="where a recovery to a moment finds its bases and the log; empty: pitr in the data folder"
    )

    sandbox_payments: bool | None = Field(
        None, description="offer the sandbox processor, which takes no money; empty: only in development"
    )
    sandbox_secret: SecretStr = Field(SecretStr(""), description="signs the sandbox processor's webhooks")
    sandbox_url: str | None = Field(None, description="where the sandbox processor lives; empty: this very site")

    btcpay_url: str | None = Field(
        None, description="the address of your BTCPay Server; empty: it takes no payments here"
    )
    btcpay_store: str = Field("", description="the id of the store there, as in the address of its settings")
    btcpay_api_key: SecretStr | None = Field(None, description="an API key for that store alone")
    btcpay_webhook_secret: SecretStr | None = Field(
        None, description="signs its webhooks; empty: they are refused, and payments are found by asking"
    )
    btcpay_methods: str = Field(
        "", description="payment methods to offer, comma-separated, such as BTC-CHAIN,BTC-LN; empty: all of the store"
    )
    btcpay_speed: Literal["HighSpeed", "MediumSpeed", "LowMediumSpeed", "LowSpeed"] = Field(
        "MediumSpeed", description="confirmations until a payment is final: 0, 1, 2 or 6"
    )
    btcpay_tolerance: float = Field(
        0, ge=0, le=100, description="per cent of the amount that may be missing, for fees that wallets take off"
    )
    btcpay_minutes: int = Field(30, ge=5, le=1440, description="minutes until an unpaid invoice runs out there")

    stripe_url: str = Field("https://api.stripe.com", description="the base of Stripe's API")
    stripe_api_key: SecretStr | None = Field(
        None, description="Stripe's secret or restricted key; empty: it takes no payments here"
    )
    stripe_webhook_secret: SecretStr | None = Field(
        None, description="signs its webhooks; empty: they are refused, and payments are found by asking"
    )

    trial_credits: int = Field(
        0, ge=0, le=1000, description="credits with which a new account may try the studio once; 0: no trial"
    )
    trial_days: int = Field(7, ge=1, le=90, description="days that a trial lasts")
    trial_per_address: int = Field(1, ge=1, le=1000, description="trials from one address (IPv6: /64) in a month")
    trial_per_subnet: int = Field(5, ge=1, le=10_000, description="trials from one network (IPv4: /24) in a month")
    trial_per_day: int = Field(50, ge=1, le=100_000, description="trials in a day, of all together")
    referral_credits: int = Field(
        0,
        ge=0,
        le=1000,
        description="credits for whoever's link brought somebody who paid a first order; 0: nobody is thanked",
    )

    demo_painter: bool | None = Field(
        None, description="seed the demo painter with a pool of demo keys; empty: only in development"
    )
    openai_url: str = Field("https://api.openai.com/v1", description="the base of OpenAI's API, or of a compatible one")

    key_probe_seconds: float = Field(
        1800,
        ge=1,
        le=86400,
        description="a key without funds, or that fell out, is looked at after one to two times that",
    )
    key_most_failures: int = Field(
        10, ge=1, le=1000, description="failures of a key in a row after which somebody should look at it"
    )
    exit_address_url: str | None = Field(
        "https://api.ipify.org",
        description="answers with the caller's address as plain text, to test proxies; empty: proxies are not tested",
    )

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

    bot_token: SecretStr | None = Field(None, description="the Telegram bot's token; empty: the bot waits quietly")
    telegram_url: str = Field("https://api.telegram.org", description="the base of the Telegram Bot API")
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
    telegram_login_url: str = Field(
        "https://oauth.telegram.org/auth", description="the page of Telegram's where people agree to it"
    )

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

    otlp_url: str | None = Field(
        None,
        description="where an OpenTelemetry collector takes OTLP over HTTP; needs the extra otel; empty: no traces",
    )
    log_format: Literal["text", "json"] = Field("text", description="json: one object a line")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="the least important level that is written"
    )

    @field_validator(
        "database_url",
        "database_direct_url",
        "bot_token",
        "telegram_proxy",
        "smtp_host",
        "smtp_user",
        "smtp_password",
        "mail_from",
        "s3_access_key",
        "s3_secret_key",
        "pg_bin",
        "storage_folder",
        "s3_endpoint",
        "backup_folder",
        "backup_s3_bucket",
        "backup_s3_endpoint",
        "backup_s3_access_key",
        "backup_s3_secret_key",
        "backup_after",
        "pitr_folder",
        "sandbox_url",
        "btcpay_url",
        "btcpay_api_key",
        "btcpay_webhook_secret",
        "stripe_api_key",
        "stripe_webhook_secret",
        "exit_address_url",
        "otlp_url",
        "docs_url",
        "sandbox_payments",
        "demo_painter",
        "admin_totp",
        "oidc_issuer",
        "oidc_client_secret",
        "telegram_login",
        mode="before",
    )
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return None if isinstance(value, str) and not value.strip() else value

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
        return value

    @field_validator("blocked_email_domains", mode="before")
    @classmethod
    def _domains(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = tuple(part.strip().lower().lstrip("@.") for part in value.split(",") if part.strip())
            for domain in value:
                if not re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", domain):
                    raise ValueError(f"must be domains such as example.com, and {domain!r} is none")
        return value

    @field_validator("backup_keep")
    @classmethod
    def _three_counts(cls, value: str) -> str:
        if not re.fullmatch(r"\d{1,3},\d{1,3},\d{1,3}", value) or not any(map(int, value.split(","))):
            raise ValueError("must be three numbers such as 7,4,6: days, weeks, months")
        return value

    @field_validator("backup_at", "backup_drill_at")
    @classmethod
    def _is_cron(cls, value: str) -> str:
        Calendar.parse(value)
        return value

    @field_validator("database_url", "database_direct_url")
    @classmethod
    def _is_postgres(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme not in ("postgresql", "postgres"):
            raise ValueError("must begin with postgresql://")
        return value

    @field_validator("public_url", mode="before")
    @classmethod
    def _where_web_listens(cls, value: Any, info: ValidationInfo) -> Any:
        if value or not {"http_host", "http_port"} <= info.data.keys():
            return value or "http://127.0.0.1"
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(info.data["http_host"], info.data["http_host"])  # noqa: S104
        return f"http://{host}:{info.data['http_port']}"

    @field_validator(
        "public_url",
        "openai_url",
        "telegram_url",
        "s3_endpoint",
        "backup_s3_endpoint",
        "sandbox_url",
        "btcpay_url",
        "stripe_url",
        "otlp_url",
        "docs_url",
        "exit_address_url",
        "telegram_login_url",
    )
    @classmethod
    def _is_web_address(cls, value: str | None) -> str | None:
        return None if value is None else _web_address(value).rstrip("/")

    @field_validator("oidc_issuer")
    @classmethod
    def _is_issuer(cls, value: str | None) -> str | None:
        """Compared sign by sign with what tokens say: a slash at its end stays."""
        return None if value is None else _web_address(value.strip())

    @field_validator("telegram_login")
    @classmethod
    def _is_bot(cls, value: str | None) -> str | None:
        name = None if value is None else value.strip().removeprefix("@")
        if name is not None and not re.fullmatch(r"[A-Za-z0-9_]{3,32}", name):
            raise ValueError("must be the user name of a bot, such as limner_bot")
        return name

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

    @model_validator(mode="after")
    def _hangs_together(self) -> Config:
        mistakes = [*coherence.mistakes(self)]
        if mistakes:
            raise ValueError("\n".join(mistakes))
        return self

    @property
    def takes_sandbox_payments(self) -> bool:
        return self.sandbox_payments if self.sandbox_payments is not None else self.env == "development"

    @property
    def takes_btcpay_payments(self) -> bool:
        return bool(self.btcpay_url and self.btcpay_store and self.btcpay_api_key)

    @property
    def takes_stripe_payments(self) -> bool:
        return self.stripe_api_key is not None

    @property
    def has_demo_painter(self) -> bool:
        return self.demo_painter if self.demo_painter is not None else self.env == "development"

    @property
    def forces_totp(self) -> bool:
        return self.admin_totp if self.admin_totp is not None else self.env == "production"

    @property
    def secret_keys(self) -> tuple[str, ...]:
        """The first one signs, all of them hold; never empty."""
        return tuple(key.strip() for key in self.secret_key.get_secret_value().split(","))

    @property
    def is_https(self) -> bool:
        return self.public_url.startswith("https://")

    @property
    def is_embedded(self) -> bool:
        """True when the database is the embedded one of the all-in-one mode."""
        return self.database_url is None

    @property
    def dsn(self) -> str:
        """Where the database is: the one that was set, else the embedded one of the data folder."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        from limner.runtime import embedded

        return (
            f"postgresql://limner@/limner?host={quote(str(embedded.socket_folder(self.data_dir)), safe='')}&port=5432"
        )

    @property
    def direct_dsn(self) -> str | None:
        """Where a session of one's own can be had, for LISTEN and migrations. None: there is only a pooler."""
        if self.database_direct_url is not None:
            return self.database_direct_url.get_secret_value()
        return None if self.database_pooled else self.dsn

    @property
    def migration_dsn(self) -> str:
        """Where migrations are applied: they hold a lock for as long as a session. Raises ConfigError."""
        if self.direct_dsn is None:
            raise ConfigError(["LIMNER_DATABASE_DIRECT_URL is needed to migrate: a pooler in transaction mode cannot"])
        return self.direct_dsn

    @property
    def pictures_folder(self) -> Path:
        return self.storage_folder or self.data_dir / "pictures"

    @property
    def backups_folder(self) -> Path:
        return self.backup_folder or self.data_dir / "backups"

    @property
    def pitr_base(self) -> Path:
        return self.pitr_folder or self.data_dir / "pitr"

    @property
    def backups_kept(self) -> tuple[int, int, int]:
        """Of how many days, weeks and months."""
        days, weeks, months = map(int, self.backup_keep.split(","))
        return days, weeks, months

    @classmethod
    def load(cls, **overrides: Any) -> Config:
        """Read the environment. Raises ConfigError with every mistake in it."""
        mistakes = _unknown_settings(cls)
        config = None
        try:
            config = cls(**overrides)
        except ValidationError as error:
            mistakes += [line for problem in error.errors() for line in _explain(problem)]
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
        return init_settings, env_settings, _SecretFiles(settings_cls)

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


class _SecretFiles(PydanticBaseSettingsSource):
    """Secrets from ``LIMNER_<NAME>_FILE``, else from ``secrets/<name>`` in the data folder of the all-in-one mode."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        mistakes = []
        kept = Path(self.current_state.get("data_dir") or "var") / "secrets"
        for name in secret_fields(self.settings_cls):
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


def _web_address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an address that begins with http:// or https://")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or a fragment")
    return value


def setting_name(field: str) -> str:
    return PREFIX + field.upper()


def secret_fields(config: type[BaseSettings] = Config) -> list[str]:
    return [name for name, field in config.model_fields.items() if "SecretStr" in str(field.annotation)]


def _unknown_settings(config: type[Config]) -> list[str]:
    known = [setting_name(name) for name in config.model_fields]
    known += [setting_name(name) + "_FILE" for name in secret_fields(config)]
    mistakes = []
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            near = difflib.get_close_matches(name, known, 1)
            mistakes.append(f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else ""))
    return mistakes


def _explain(problem: Any) -> list[str]:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message.split("\n")
    field = str(problem["loc"][0])
    shown = "" if field in secret_fields() else f", not {problem.get('input')!r}"
    return [f"{setting_name(field)}: {message[0].lower()}{message[1:]}{shown}"]
