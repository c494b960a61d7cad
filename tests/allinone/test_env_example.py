"""`.env.example` names every setting with its default and its meaning. Write it anew by running this file."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from limner.runtime.config import Config, secret_fields, setting_name

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
HEAD = """\
# Every setting of Limner. Nothing has to be set: what is commented out is the default.
#
# Compose reads a copy named .env by itself. For the all-in-one mode: set -a; . ./.env; set +a; make up
# A setting marked "secret" can be given as NAME_FILE instead, the path of a file that holds it.
# `limner config` shows what is in force, with the secrets masked; every mistake is reported at once.
"""


def expected() -> str:
    return HEAD + "".join(_setting(name, field) for name, field in Config.model_fields.items())


def test_the_example_has_every_setting_with_its_default_and_meaning() -> None:
    assert EXAMPLE.read_text(encoding="utf-8") == expected()


def test_every_setting_says_what_it_means() -> None:
    assert [name for name, field in Config.model_fields.items() if not field.description] == []


def _setting(name: str, field: Any) -> str:
    secret = "secret: " if name in secret_fields() else ""
    meaning = textwrap.fill(secret + field.description, 118, initial_indent="# ", subsequent_indent="#   ")
    return f"\n{meaning}\n#{setting_name(name)}={_shown(field.default)}\n"


def _shown(default: Any) -> str:
    if default is None or default == ():
        return ""
    return str(default.get_secret_value() if isinstance(default, SecretStr) else default)


if __name__ == "__main__":
    EXAMPLE.write_text(expected(), encoding="utf-8")
