"""Who is told of an alert, when, and by what way: once, whatever dies half-way, since all of it is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import groupby

from limner.actors.watch.tongues import told
from limner.actors.watch.words import gathered, line, say
from limner.runtime.config import Config
from limner.runtime.database import Db
from limner.runtime.log import logger
from limner.runtime.phrases import LANGUAGES
from limner.sql import alert_news, alert_times, notices, telegram
from limner.sql.alert_news import Lately
from limner.sql.alert_rules import KINDS, is_money
from limner.sql.alerts import Alert
from limner.sql.notices import Buttons, Untaken
from limner.sql.telegram import Admin

log = logger(__name__)

MOST_IN_AN_HOUR = 4
"""Messages of one rule; what comes beyond is gathered until the first of them is an hour old."""
GATHERED = 300.0
"""Seconds for which what is urgent is gathered instead."""
MOST_LINES = 12
"""Of one message."""
RUNBOOKS = "docs/how-to/alerts"
DOORS = ("keys", "generations", "payments", "system")
"""The menus of the bot that a button has words of its own for."""
InLanguage = Callable[[str], str]
"""A text, once somebody says in which language."""


@dataclass(frozen=True)
class News:
    """One message. ``key``: the same for the same one; ``place``: where it is mended; ``page``: its runbook, or nothing.

    ``template`` and ``details``: of the mail, where it says more than the text. ``moneyless``: what those who see no money are
    told in its place; None: the same as everybody; what is empty is not said. ``snooze``: what the button carries that
    silences it. ``by_mail``: it goes by mail as well, whoever is paired.
    """

    key: str
    text: InLanguage
    place: str = "/admin"
    button: str = "home"
    page: str = ""
    template: str = "alert"
    details: Callable[[str], Mapping[str, object]] = lambda language: {}
    moneyless: News | None = None
    snooze: str = ""
    by_mail: bool = False


async def tell_what_is_due(db: Db, config: Config, put_aside: Collection[str]) -> None:
    """What has changed since the last look, in as few messages as will do."""
    due = await alert_news.due(db)
    if not due:
        return
    quiet = (await alert_times.get(db)).is_quiet
    held = [alert for alert in due if alert.severity != "urgent"] if quiet else []
    await alert_news.hold(db, [alert for alert in held if not alert.is_held])
    free = [alert for alert in due if alert not in held]
    waited = [alert for alert in free if alert.is_held]
    lately = await alert_news.told_lately(db)
    now = [alert for alert in free if not alert.is_held and _has_room(alert, lately)]
    if waited:
        await _tell(db, config, waited, put_aside, is_late=True)
    for _, group in groupby(sorted(now, key=_together), key=_together):
        await _tell(db, config, list(group), put_aside)


def _has_room(alert: Alert, lately: Mapping[str, Lately]) -> bool:
    told = lately.get(alert.rule)
    if alert.ended_at is not None or told is None or told.messages < MOST_IN_AN_HOUR:
        return True
    return alert.severity == "urgent" and told.seconds >= GATHERED


def _together(alert: Alert) -> tuple[str, bool]:
    """What goes out in one message: a rule's troubles, and apart from them their ends."""
    return alert.rule, alert.ended_at is not None


async def _tell(
    db: Db, config: Config, found: Sequence[Alert], put_aside: Collection[str], *, is_late: bool = False
) -> None:
    key = f"alert {found[0].id} {found[0].messages + 1}"
    moneyless = _news(key, [alert for alert in found if not is_money(alert.rule)], put_aside, is_late)
    await alert_news.told(db, found)
    await send(db, config, [replace(_news(key, found, put_aside, is_late), moneyless=moneyless)])


def _news(key: str, found: Sequence[Alert], put_aside: Collection[str], is_late: bool) -> News:
    """Of these alerts, with the way to where they are mended, when that is one and the same."""
    place = _common({alert.place for alert in found}, "/admin/alerts")
    button = _common(
        {alert.button for alert in found},
        "keys" if all(alert.cause.startswith("key ") for alert in found) else "home",
    )
    ailing = [alert for alert in found if alert.ended_at is None]
    page = _common({KINDS[alert.rule].page for alert in ailing if alert.rule in KINDS}, "")
    snooze = f"alerts:see:{ailing[0].id}" if len(ailing) == 1 else "alerts" if ailing else ""
    by_mail = any(KINDS[alert.rule].by_mail for alert in found if alert.rule in KINDS)
    text = partial(_text, found, put_aside, is_late)
    return News(key, text, place, button, page, snooze=snooze, by_mail=by_mail)


def _text(found: Sequence[Alert], put_aside: Collection[str], is_late: bool, language: str) -> str:
    """One line for each; empty when there is none."""
    lines = gathered([line(alert, language, put_aside) for alert in found], MOST_LINES, language)
    return f"{say(language, 'quiet')}\n{lines}" if is_late and lines else lines


def _common(found: set[str], otherwise: str) -> str:
    return found.pop() if len(found) == 1 else otherwise


async def send(db: Db, config: Config, news: Iterable[News]) -> None:
    """One notice for each admin and each message: by Telegram, and by mail where nobody is paired or the bot itself is ill."""
    paired = await telegram.readers(db) if config.bot_token is not None else []
    for each in news:
        log.warning("alert", key=each.key, text=each.text("en"))
        for admin in paired:
            await _telegram(db, config, each, admin)
        if each.by_mail or not paired:
            await _mail(db, config, each)


async def _telegram(db: Db, config: Config, news: News, admin: Admin) -> None:
    """In the reader's language; beside it all that is needed for the mails that may have to be written instead."""
    language, theirs, key = admin.language, news, news.key
    less = None if admin.role in telegram.BOOKKEEPERS else news.moneyless
    if less is not None and not _is_for_all(news):
        theirs, key = less, notices.without_money(key)
    text = theirs.text(language)
    if not text:
        return
    if theirs.page and not config.docs_url:
        text = f"{text}\n\n{say(language, 'what_to_do', page=runbook(config, theirs.page))}"
    buttons, mail = _buttons(config, theirs, admin), _kept(news)
    await notices.queue(db, "telegram", str(admin.telegram_id), text, dedupe_key=key, buttons=buttons, details=mail)


def _kept(news: News) -> dict[str, object]:
    """What ``_again`` makes the same news of, and whether whoever reads it is told the same."""
    said = {each: news.text(each) for each in LANGUAGES}
    more = {each: dict(news.details(each)) for each in LANGUAGES}
    return {
        "said": said,
        "more": more,
        "place": news.place,
        "page": news.page,
        "template": news.template,
        "is_for_all": _is_for_all(news),
    }


def _is_for_all(news: News) -> bool:
    """Whether it tells nothing of money."""
    return news.moneyless is None or news.moneyless.text("en") == news.text("en")


def _again(untaken: Untaken) -> News:
    """The news that a notice told; less of it where a release before this one wrote the notice."""
    kept = untaken.details or {}
    more = kept.get("more", {})
    return News(
        untaken.dedupe_key, untaken.text, kept.get("place", "/admin/alerts"), page=kept.get("page", ""),
        template=kept.get("template", "alert"), details=lambda language: more.get(language, more.get("en", {})),
    )  # fmt: skip


async def _mail(db: Db, config: Config, news: News) -> None:
    """To each in the language of their account."""
    if not config.smtp_host:
        return
    for who in await alert_news.readers(db):
        details = {**news.details(who.locale), "path": news.place}
        if news.template == "alert":
            details["words"] = " · ".join(line for line in news.text(who.locale).splitlines() if line)
            details["at"], details["runbook"] = datetime.now(UTC).isoformat(), news.page and runbook(config, news.page)
        await notices.mail(db, who.email, news.template, locale=who.locale, details=details, dedupe_key=news.key)


def _buttons(config: Config, news: News, admin: Admin) -> Buttons:
    """To the place in the bot, to what silences it, to the page of the admin, and to what is to be done."""
    language = admin.language
    door = news.button.partition(":")[0]
    label = say(language, door if door in DOORS else "studio")
    first = [{"text": label, "data": news.button}]
    if news.snooze and admin.role in telegram.STAFF:
        first.append({"text": say(language, "snooze"), "data": news.snooze})
    links = [{"text": say(language, "admin"), "url": config.public_url + news.place}]
    if config.docs_url and news.page:
        links.append({"text": say(language, "runbook"), "url": runbook(config, news.page)})
    return [first, links]


def runbook(config: Config, page: str) -> str:
    """Its address, or the name of the file where the documentation has none."""
    return f"{config.docs_url or RUNBOOKS}{'/how-to/alerts' if config.docs_url else ''}/{page}.md"


async def mail_what_telegram_does_not_take(db: Db, config: Config) -> None:
    """What nobody has got by Telegram for some minutes goes by mail, if somebody reads those, and by Telegram not any more."""
    if not config.smtp_host or not await alert_news.readers(db):
        return
    minutes = (await alert_times.get(db)).mail_after_minutes
    for untaken in await notices.untaken(db, minutes):
        await notices.rerouted(db, untaken)
        await _mail(db, config, _again(untaken))


def saying(words: str) -> InLanguage:
    """A warning of these words."""
    return lambda language: say(language, "new", words=told(language, words))
