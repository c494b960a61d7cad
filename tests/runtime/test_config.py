"""Settings: every mistake at once, secrets by file, nothing shown that must not be."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from limner.runtime.config import Config, ConfigError


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("LIMNER_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("LIMNER_DATA_DIR", str(tmp_path))


def mistakes() -> list[str]:
    with pytest.raises(ConfigError) as error:
        Config.load()
    return error.value.mistakes


def test_every_mistake_is_reported_at_once(monkeypatch):
    monkeypatch.setenv("LIMNER_HTTP_PORT", "eighty")
    monkeypatch.setenv("LIMNER_STORAGE", "tape")
    monkeypatch.setenv("LIMNER_PUBLIC_URL", "limner.example")
    monkeypatch.setenv("LIMNER_HTTP_PROT", "80")
    found = mistakes()
    assert len(found) == 4
    assert found[0] == "LIMNER_HTTP_PROT is not a setting; did you mean LIMNER_HTTP_PORT?"
    for name, value in (
        ("LIMNER_HTTP_PORT", "eighty"),
        ("LIMNER_STORAGE", "tape"),
        ("LIMNER_PUBLIC_URL", "limner.example"),
    ):
        assert any(line.startswith(f"{name}: ") and repr(value) in line for line in found)


def test_mistakes_that_hang_together_are_reported_together(monkeypatch):
    monkeypatch.setenv("LIMNER_ENV", "production")
    monkeypatch.setenv("LIMNER_STORAGE", "s3")
    found = mistakes()
    assert {line.split(" ")[0] for line in found} == {
        "LIMNER_S3_ACCESS_KEY", "LIMNER_DATABASE_URL", "LIMNER_PUBLIC_URL", "LIMNER_VAULT_KEYS", "LIMNER_SECRET_KEY",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"SMTP_HOST": "mail.example.com"}, "LIMNER_MAIL_FROM is needed with LIMNER_SMTP_HOST"),
        (
            {"SMTP_HOST": "smtp://mail.example.com:25"},
            "LIMNER_SMTP_HOST: must be the name or the address of a server alone",
        ),
        ({"SMTP_PORT": "0"}, "LIMNER_SMTP_PORT: "),
        ({"SMTP_TLS": "maybe"}, "LIMNER_SMTP_TLS: "),
        ({"SMTP_TIMEOUT": "0"}, "LIMNER_SMTP_TIMEOUT: "),
        ({"SMTP_HOST": "mail", "MAIL_FROM": "a@b.c", "SMTP_USER": "u"}, "LIMNER_SMTP_USER and LIMNER_SMTP_PASSWORD"),
        (
            {"SMTP_HOST": "mail", "MAIL_FROM": "a@b.c", "SMTP_PASSWORD": "p"},
            "LIMNER_SMTP_USER and LIMNER_SMTP_PASSWORD",
        ),
        ({"MAIL_FROM": "studio"}, "LIMNER_MAIL_FROM: must be an e-mail address"),
        ({"MAIL_FROM": "Studio <a@b.c>\r\nBcc: eve@evil.example"}, "LIMNER_MAIL_FROM: must be an e-mail address"),
        ({"MAIL_FROM": "a@b.c, eve@evil.example"}, "LIMNER_MAIL_FROM: must be an e-mail address"),
    ],
)
def test_what_no_mail_could_be_sent_with_is_named(monkeypatch, settings, said):
    for name, value in settings.items():
        monkeypatch.setenv(f"LIMNER_{name}", value)
    assert [line for line in mistakes() if line.startswith(said)]


@pytest.mark.parametrize("sender", ["studio@example.com", "<a@b.example>", "Студия на углу <studio@example.com>", ""])
def test_whom_mails_may_come_from(monkeypatch, sender):
    monkeypatch.setenv("LIMNER_MAIL_FROM", sender)
    assert Config.load().mail_from == (sender or None)


def test_in_production_no_password_crosses_the_net_in_the_clear(monkeypatch):
    for name, value in {"ENV": "production", "SMTP_HOST": "mail", "MAIL_FROM": "a@b.c", "SMTP_TLS": "none"}.items():
        monkeypatch.setenv(f"LIMNER_{name}", value)
    said = "LIMNER_SMTP_TLS must not be none in production: it would show the password"
    assert said not in mistakes()
    monkeypatch.setenv("LIMNER_SMTP_USER", "studio")
    monkeypatch.setenv("LIMNER_SMTP_PASSWORD", "hunter2")
    assert said in mistakes() and "hunter2" not in "".join(mistakes())


def test_a_secret_may_stand_in_a_file(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("123:abc\n")
    monkeypatch.setenv("LIMNER_BOT_TOKEN_FILE", str(tmp_path / "token"))
    token = Config.load().bot_token
    assert token is not None
    assert token.get_secret_value() == "123:abc"


def test_a_secret_file_that_cannot_be_read_is_a_mistake(monkeypatch):
    monkeypatch.setenv("LIMNER_BOT_TOKEN_FILE", "/nowhere/at/all")
    assert mistakes() == ["LIMNER_BOT_TOKEN_FILE: cannot read '/nowhere/at/all': No such file or directory"]


def test_a_secret_given_twice_is_a_mistake(monkeypatch, tmp_path):
    (tmp_path / "token").write_text("123:abc")
    monkeypatch.setenv("LIMNER_BOT_TOKEN_FILE", str(tmp_path / "token"))
    monkeypatch.setenv("LIMNER_BOT_TOKEN", "456:def")
    assert mistakes() == ["LIMNER_BOT_TOKEN and LIMNER_BOT_TOKEN_FILE are both set: keep one"]


def test_no_secret_is_shown_by_repr_redacted_or_a_mistake(monkeypatch):
    monkeypatch.setenv("LIMNER_DATABASE_URL", "mysql://limner:canary@host/db")
    assert "canary" not in "\n".join(mistakes())
    monkeypatch.setenv("LIMNER_DATABASE_URL", "postgresql://limner:canary@host/db")
    config = Config.load()
    assert "canary" not in repr(config) + str(config.redacted())
    assert config.redacted()["LIMNER_DATABASE_URL"] == "********"


def test_an_empty_setting_counts_as_not_set(monkeypatch):
    monkeypatch.setenv("LIMNER_BOT_TOKEN", "")
    monkeypatch.setenv("LIMNER_DEMO_PAINTER", "")
    assert Config.load().bot_token is None
    assert Config.load().has_demo_painter


def test_around_a_pooler_leads_only_a_direct_address(monkeypatch):
    monkeypatch.setenv("LIMNER_DATABASE_URL", "postgresql://limner@pooler/limner")
    assert Config.load().direct_dsn == "postgresql://limner@pooler/limner"
    monkeypatch.setenv("LIMNER_DATABASE_POOLED", "true")
    assert Config.load().direct_dsn is None
    monkeypatch.setenv("LIMNER_DATABASE_DIRECT_URL", "postgresql://limner@postgres/limner")
    assert Config.load().direct_dsn == Config.load().migration_dsn == "postgresql://limner@postgres/limner"


def test_nobody_migrates_through_a_pooler(monkeypatch):
    monkeypatch.setenv("LIMNER_DATABASE_URL", "postgresql://limner@pooler/limner")
    monkeypatch.setenv("LIMNER_DATABASE_POOLED", "true")
    with pytest.raises(ConfigError, match="LIMNER_DATABASE_DIRECT_URL is needed to migrate"):
        _ = Config.load().migration_dsn


def test_a_pooler_without_an_address_is_a_mistake(monkeypatch):
    monkeypatch.setenv("LIMNER_DATABASE_POOLED", "true")
    assert mistakes() == ["LIMNER_DATABASE_URL is needed with LIMNER_DATABASE_POOLED or LIMNER_DATABASE_DIRECT_URL"]


def test_the_command_line_says_every_mistake_in_a_line_and_exits_78():
    environment = os.environ | {"LIMNER_HTTP_PORT": "eighty", "LIMNER_LEASE": "0"}
    command = [sys.executable, "-P", "-m", "limner.runtime.cli", "config"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == ["LIMNER_HTTP_PORT", "LIMNER_LEASE"]


@pytest.mark.parametrize(
    "given, setting",
    [
        ({"OIDC_ISSUER": "https://id.example"}, "LIMNER_OIDC_CLIENT_ID"),
        ({"OIDC_ISSUER": "https://id.example", "OIDC_CLIENT_ID": "x", "OIDC_SCOPES": "email"}, "LIMNER_OIDC_SCOPES"),
        ({"OIDC_ISSUER": "id.example"}, "LIMNER_OIDC_ISSUER:"),
        ({"TELEGRAM_LOGIN": "limner_bot"}, "LIMNER_BOT_TOKEN"),
        ({"TELEGRAM_LOGIN": "https://t.me/x", "BOT_TOKEN": "1:a"}, "LIMNER_TELEGRAM_LOGIN:"),
    ],
)
def test_half_a_door_is_a_mistake(monkeypatch, given, setting):
    for name, value in given.items():
        monkeypatch.setenv(f"LIMNER_{name}", value)
    assert [line.split(" ")[0] for line in mistakes()] == [setting]


def test_an_issuer_is_kept_sign_by_sign_and_is_encrypted_in_production(monkeypatch):
    monkeypatch.setenv("LIMNER_OIDC_CLIENT_ID", "x")
    monkeypatch.setenv("LIMNER_OIDC_ISSUER", "https://id.example/")
    assert Config.load().oidc_issuer == "https://id.example/"
    monkeypatch.setenv("LIMNER_ENV", "production")
    monkeypatch.setenv("LIMNER_OIDC_ISSUER", "http://id.example")
    assert "LIMNER_OIDC_ISSUER must begin with https:// in production, not 'http://id.example'" in mistakes()


@pytest.mark.parametrize(
    "env, given, forced",
    [
        ("development", "", False),
        ("production", "", True),
        ("development", "true", True),
        ("production", "false", False),
    ],
)
def test_admins_need_a_second_factor_in_production_unless_told_otherwise(monkeypatch, env, given, forced):
    monkeypatch.setenv("LIMNER_ADMIN_TOTP", given)
    more = {
        "env": env, "public_url": "https://x.example", "secret_key": "s" * 40, "vault_keys": "k1:x",
        "database_url": "postgresql://x/y",
    }  # fmt: skip
    assert Config.load(**more).forces_totp is forced
