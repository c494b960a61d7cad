"""Settings: what this process runs with and where each comes from; of secrets only whether they are set."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from aiohttp import web

from limner.http import pages
from limner.http.state import CONFIG, admin
from limner.runtime.config import Config, secret_fields, setting_name
from limner.runtime.log import redact

GROUPS = (
    ("The site", ("env", "data_dir", "http_host", "http_port", "public_url", "docs_url", "trusted_proxies")),
    ("Database", ("database_", "pg_bin")),
    ("Secrets", ("secret_key", "vault_keys")),
    ("Pictures", ("storage", "s3_", "worker_slots", "job_deadline", "sharing")),
    ("Painters", ("demo_painter", "painter_", "retry_", "openai_", "key_", "exit_address_url")),
    ("Backups", ("backup_", "pitr_")),
    ("Payments", ("sandbox_", "btcpay_", "stripe_")),
    ("Trials and referrals", ("trial_", "referral_")),
    ("Accounts", ("registration", "require_verification", "blocked_", "admin_totp", "oidc_", "telegram_login")),
    ("API", ("api_",)),
    ("Telegram", ("bot_", "telegram_")),
    ("Mail", ("smtp_", "mail_")),
    ("Processes", ("drain", "lame_duck", "lease", "metrics_", "otlp_", "log_")),
)  # fmt: skip
REST = "More"
COMMANDS = ("backup_after",)
"""What a shell runs: an operator may have written a password into it."""
WHO = re.compile(r"(?<=://)[^/@\s]+@")
"""User and password in an address."""


@dataclass(frozen=True)
class Shown:
    """A setting as an admin sees it. ``value``: None for what is only said to be set or not."""

    name: str
    value: str | None
    is_set: bool
    origin: str
    words: str


async def show(request: web.Request) -> web.Response:
    admin(request)
    return pages.render(request, "admin/settings.html", groups=list(groups(request.app[CONFIG])))


def groups(config: Config) -> Iterator[tuple[str, list[Shown]]]:
    """Every setting, once, under the first title that takes it."""
    left = list(type(config).model_fields)
    for title, beginnings in (*GROUPS, (REST, ("",))):
        taken = [name for name in left if name.startswith(beginnings)]
        left = [name for name in left if name not in taken]
        if taken:
            yield title, [_shown(config, name) for name in taken]


def _shown(config: Config, field: str) -> Shown:
    name = setting_name(field)
    text = config.redacted()[name]
    is_silent = field in secret_fields() or field in COMMANDS
    value = None if is_silent else WHO.sub("…@", redact(text))
    return Shown(name, value, bool(text), config.origin(field), type(config).model_fields[field].description or "")
