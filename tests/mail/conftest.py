"""A studio beside a mail server that stands outside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from limner.runtime.config import Config
from tests.conftest import held, settings
from tests.upstreams.smtp import FakeMailServer, mail_server


@pytest.fixture
async def server() -> AsyncIterator[FakeMailServer]:
    async with held(mail_server()) as fake:
        yield fake


def sending(dsn: str, folder: Path, port: int, **overrides: object) -> Config:
    """The settings of a studio that sends."""
    chosen = {
        "smtp_host": "127.0.0.1", "smtp_port": port, "smtp_tls": "none", "smtp_timeout": 5,
        "mail_from": "Limner <studio@art.example>", "public_url": "https://art.example",
    }  # fmt: skip
    return settings(dsn, folder, **(chosen | overrides))


@pytest.fixture
def config(dsn: str, tmp_path: Path, server: FakeMailServer) -> Config:
    return sending(dsn, tmp_path, server.port)
