"""`limner health ROLE`: the bot is well when Telegram has answered it lately, and says what is wrong otherwise."""

from __future__ import annotations

import pytest

from limner.runtime.presence import Presence
from limner.sql import checkup
from tests.conftest import settings


@pytest.mark.parametrize(
    ("state", "found"),
    [
        ("polling", []),
        ("waiting", []),
        ("no token", []),
        ("deaf", ["poller is deaf: no answer"]),
        ("conflict", ["poller is conflict: no answer"]),
    ],
)
async def test_a_bot_is_well_as_long_as_telegram_answers_it(db, dsn, tmp_path, state, found):
    config = settings(dsn, tmp_path)
    bot = Presence(db, "bot", lease=config.lease)
    bot.children = lambda: [{"name": "poller", "state": state, "last_ok": None, "last_error": "no answer"}]
    await bot.beat()
    assert await checkup.problems(config, "bot") == found
