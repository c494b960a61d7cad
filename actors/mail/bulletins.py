"""Bulletins: letters whose words an admin typed for many people, each with the link that ends them."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from limner.actors.mail import letters
from limner.actors.mail.letters import Block, Letter
from limner.actors.mail.wording import language_of
from limner.runtime import prose
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.errors import Busy, Hopeless, NotFound
from limner.sql import broadcasts, news, segments
from limner.sql.broadcasts import Broadcast, Words
from limner.sql.mails import Mail

ENDS = {
    "en": "You can end these messages on your account's page: ",
    "ru": "Отказаться от таких сообщений можно на странице аккаунта: ",
    "zh": "您可以在账户页面停止接收此类消息：",
}
TRIAL = {"en": "Trial: ", "ru": "Проба: ", "zh": "试发："}


async def letter(db: Db, mail: Mail, config: Config) -> Letter:
    """Raises Busy while its broadcast is stopped, Hopeless when the person is to get none of them by now."""
    about = mail.details or {}
    try:
        found = await broadcasts.get(db, UUID(about["broadcast_id"]))
    except (KeyError, NotFound):
        raise Hopeless("the broadcast is not there any more", blame="request") from None
    account_id = UUID(about["account_id"])
    is_trial = bool(about.get("is_trial"))
    if not is_trial and found.state == "stopped":
        raise Busy("the broadcast is stopped")
    if not is_trial and (why := await segments.why_not(db, account_id)):
        raise Hopeless(f"not for them any more: {why}", blame="request")
    link = news.link(account_id, config.public_url, config.secret_keys)
    return write(found, mail.locale or "en", config.public_url, link, is_trial=is_trial)


def write(found: Broadcast, locale: str, public_url: str, link: str, *, is_trial: bool = False) -> Letter:
    """The letter in the locale's language if it has that one, else in English. ``link``: where it can be ended."""
    language = language_of(locale)
    language = language if language in found.words else "en"
    words = found.words[language]
    subject = (TRIAL[language] if is_trial else "") + prose.clean(words.subject).replace("\n", " ")
    blocks = prose.read(words.body)
    text = [Block(block.kind, tuple(prose.plain_line(line) for line in block.lines)) for block in blocks]
    marked = [Block(block.kind, tuple(prose.rendered_line(line) for line in block.lines)) for block in blocks]
    return letters.framed(language, subject, "_bulletin", link, public_url, text=text, marked=marked)


def as_telegrams(found: Broadcast, public_url: str) -> Mapping[str, Words]:
    """What is said by Telegram, by language: plain text with its last line about how to end it."""
    return {
        language: Words(
            prose.clean(words.subject),
            f"{prose.plain(prose.read(words.body))}\n\n{ENDS[language]}{public_url}/account",
        )
        for language, words in found.words.items()
    }
