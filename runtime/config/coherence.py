"""Coherence: settings that are right one by one, and do not go together."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

from pydantic import SecretStr

if TYPE_CHECKING:
    from limner.runtime.config import Config

SHORTEST_SECRET = 16
"""Characters of what signs webhooks."""


def mistakes(config: Config) -> Iterator[str]:
    """A sentence for each, with the names of the settings."""
    yield from chain(_stores(config), _mail(config), _doors(config), _payments(config))
    if config.env == "production":
        yield from chain(_production(config), _production_secrets(config))


def _stores(config: Config) -> Iterator[str]:
    if config.database_url is None and (config.database_pooled or config.database_direct_url):
        yield "LIMNER_DATABASE_URL is needed with LIMNER_DATABASE_POOLED or LIMNER_DATABASE_DIRECT_URL"
    if config.storage == "s3" and not (config.s3_access_key and config.s3_secret_key):
        yield "LIMNER_S3_ACCESS_KEY and LIMNER_S3_SECRET_KEY are needed when LIMNER_STORAGE is s3"
    if config.backup_s3_bucket and not (config.backup_s3_access_key and config.backup_s3_secret_key):
        yield "LIMNER_BACKUP_S3_ACCESS_KEY and LIMNER_BACKUP_S3_SECRET_KEY are needed with its bucket"
    if config.backup_s3_bucket and config.backup_folder:
        yield "LIMNER_BACKUP_S3_BUCKET and LIMNER_BACKUP_FOLDER are both set: keep one"


def _mail(config: Config) -> Iterator[str]:
    if config.smtp_host and not config.mail_from:
        yield "LIMNER_MAIL_FROM is needed with LIMNER_SMTP_HOST"
    if config.smtp_host and (config.smtp_user is None) != (config.smtp_password is None):
        yield "LIMNER_SMTP_USER and LIMNER_SMTP_PASSWORD are needed both or neither"


def _doors(config: Config) -> Iterator[str]:
    if config.oidc_issuer and not config.oidc_client_id:
        yield "LIMNER_OIDC_CLIENT_ID is needed with LIMNER_OIDC_ISSUER"
    if config.oidc_issuer and "openid" not in config.oidc_scopes.split():
        yield f"LIMNER_OIDC_SCOPES must have openid among them, not {config.oidc_scopes!r}"
    if config.telegram_login and not config.bot_token:
        yield "LIMNER_BOT_TOKEN is needed with LIMNER_TELEGRAM_LOGIN: it proves what Telegram says"


def _payments(config: Config) -> Iterator[str]:
    if config.btcpay_url and not (config.btcpay_store and config.btcpay_api_key):
        yield "LIMNER_BTCPAY_STORE and LIMNER_BTCPAY_API_KEY are needed with LIMNER_BTCPAY_URL"


def _production(config: Config) -> Iterator[str]:
    if config.smtp_host and config.smtp_user and config.smtp_tls == "none":
        yield "LIMNER_SMTP_TLS must not be none in production: it would show the password"
    if config.oidc_issuer and not config.oidc_issuer.startswith("https://"):
        yield f"LIMNER_OIDC_ISSUER must begin with https:// in production, not {config.oidc_issuer!r}"
    if config.database_url is None:
        yield "LIMNER_DATABASE_URL is needed in production"
    if not config.public_url.startswith("https://"):
        yield f"LIMNER_PUBLIC_URL must begin with https:// in production, not {config.public_url!r}"


def _production_secrets(config: Config) -> Iterator[str]:
    if not config.vault_keys.get_secret_value():
        yield "LIMNER_VAULT_KEYS is needed in production"
    if any(len(key) < 32 for key in config.secret_keys):
        yield "LIMNER_SECRET_KEY needs at least 32 characters in production"
    if config.takes_sandbox_payments and _is_short(config.sandbox_secret):
        yield f"LIMNER_SANDBOX_SECRET needs at least {SHORTEST_SECRET} characters when LIMNER_SANDBOX_PAYMENTS is on"
    if config.btcpay_webhook_secret and _is_short(config.btcpay_webhook_secret):
        yield f"LIMNER_BTCPAY_WEBHOOK_SECRET needs at least {SHORTEST_SECRET} characters in production"
    if config.stripe_webhook_secret and _is_short(config.stripe_webhook_secret):
        yield f"LIMNER_STRIPE_WEBHOOK_SECRET needs at least {SHORTEST_SECRET} characters in production"


def _is_short(secret: SecretStr) -> bool:
    return len(secret.get_secret_value()) < SHORTEST_SECRET
