"""Rotating what is used as it is: the sandbox's own secret, and those that others hand out, which are tried first."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from limner.actors.rotation import places
from limner.runtime.config import Config
from limner.runtime.errors import Busy, Hopeless, Refused
from limner.runtime.opening import open_database
from limner.runtime.report import Line, Say
from limner.runtime.storage import open_storage
from limner.sql import images


async def sandbox(config: Config, say: Say, *, folder: Path | None = None) -> None:
    """A fresh secret for the sandbox processor, which takes no money. Raises Refused."""
    await _write(config, {"sandbox_secret": places.word(40)}, folder)
    say(Line("rotate.sandbox", "ok", "the sandbox processor has a fresh secret"))
    say(_restart("rotate.sandbox", "web worker"))


async def bot(config: Config, say: Say, token: str, *, folder: Path | None = None) -> None:
    """Take over the token that @BotFather gave, once Telegram answers to it. Raises Refused."""
    if not token:
        raise Refused("no token came in on standard input", field="token")
    name = await _introduced(config.model_copy(update={"bot_token": SecretStr(token)}))
    say(Line("rotate.bot", "ok", f"Telegram knows the new token as @{name}"))
    await _write(config, {"bot_token": token}, folder)
    say(_restart("rotate.bot", "bot"))


async def _introduced(config: Config) -> str:
    from aiogram.methods import GetMe  # the command line starts faster without it

    from limner.actors.bot.telegram import Telegram

    try:
        telegram = Telegram(config)
        try:
            return (await telegram.send(GetMe())).username or ""
        finally:
            await telegram.close()
    except (Busy, Hopeless) as error:
        raise Refused(f"nothing was changed: Telegram does not take the new token: {error}", field="token") from None


async def s3(config: Config, say: Say, pair: str, *, folder: Path | None = None) -> None:
    """Take over an access key and a secret key, a line each, once they read and write the pictures. Raises Refused."""
    words = pair.split()
    if len(words) != 2:
        raise Refused(f"two lines are expected on standard input, access key and secret key, not {len(words)}")
    if config.storage != "s3":
        raise Refused("LIMNER_STORAGE is folder: there is no S3 to have a key for", field="storage")
    fresh = {"s3_access_key": words[0], "s3_secret_key": words[1]}
    await _try_out(config, config.model_copy(update={name: SecretStr(value) for name, value in fresh.items()}))
    say(Line("rotate.s3", "ok", f"the bucket {config.s3_bucket!r} was written, read and tidied with the new key"))
    await _write(config, fresh, folder)
    say(_restart("rotate.s3", "web worker"))


async def _try_out(config: Config, fresh: Config) -> None:
    """Opening the storage puts and deletes. A picture of ours must be there: an empty bucket of the same name is none."""
    async with open_database(config.dsn, role="rotation", pool=2, pooled=config.database_pooled) as db:
        picture = await images.some(db)
    try:
        async with open_storage(fresh) as storage:
            if picture and await storage.head(picture) is None:
                raise Refused(f"nothing was changed: with the new key {picture} is not in the bucket")
    except Busy as error:
        raise Refused(f"nothing was changed: {error}") from None


async def _write(config: Config, fresh: dict[str, str], folder: Path | None) -> None:
    paths = {name: places.path_of(config, name, folder) for name in fresh}
    with places.alone(next(iter(paths.values())).parent):
        for name, path in paths.items():
            places.replace(path, fresh[name])


def _restart(code: str, roles: str) -> Line:
    words = (
        f"{roles.replace(' ', ' and ')} still have the old one" if " " in roles else f"{roles} still has the old one"
    )
    return Line(code, "warn", words, f"restart {roles.replace(' ', ' and ')} (Compose: docker compose restart {roles})")
