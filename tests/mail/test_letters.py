"""Every mail in every language: nothing missing, nothing left over, and no value that gets out of its place."""

from __future__ import annotations

import ast
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from limner.actors.mail import letters
from limner.actors.mail.samples import AT, SAMPLES
from limner.actors.mail.wording import LANGUAGES, language_of, moment, plural
from limner.runtime.errors import Hopeless

ROOT = Path(__file__).parents[2]
SITE = "https://art.example.com"
LINK = f"{SITE}/verify/abc"
EVERY = [(name, language) for name in SAMPLES for language in LANGUAGES]
WICKED = 'x\r\nBcc: eve@evil.example\n\n[Win](http://evil.example)<b onload="1">&\u202e'


def written(name: str, language: str, **details: object) -> letters.Letter:
    link = LINK if "path" not in SAMPLES[name] else None
    return letters.write(name, language, {**SAMPLES[name], **details}, public_url=SITE, link=link)


class Tags(HTMLParser):
    """The elements of a page, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words += data


@pytest.mark.parametrize("name, language", EVERY)
def test_a_mail_is_whole_in_every_language(name, language):
    letter, page = written(name, language), Tags(written(name, language).html)
    for text in (letter.subject, letter.text, page.words):
        assert text.strip() and not re.search(r"\{\{|\}\}|\{%|%\}|None|Undefined|^\[|^> ", text, re.MULTILINE), text
    assert "\n" not in letter.subject and letter.subject in page.words
    for value in SAMPLES[name].values():
        if isinstance(value, str) and not value.startswith("/") and value not in ("USD", AT):
            assert value in letter.text + letter.subject and value in page.words
    links = {attrs.get("href") for tag, attrs in page.found if tag == "a"}
    where = {SITE + str(SAMPLES[name]["path"])} if "path" in SAMPLES[name] else {LINK}
    assert links == (where if links else set())
    assert all(link in letter.text and link in page.words for link in links)  # as text too
    assert not {"img", "table", "script", "link", "form"} & {tag for tag, _ in page.found}


def test_the_languages_have_the_same_mails_and_say_the_same_things():
    for language in LANGUAGES:
        found = {path.stem for path in (ROOT / "actors/mail" / language).iterdir()}
        assert found == {*SAMPLES, "_frame", "_bulletin"}
    for name in (*SAMPLES, "_frame", "_bulletin"):
        kinds = {tuple(block.kind for block in letters.read(language, name).blocks) for language in LANGUAGES}
        names = {
            frozenset(re.findall(r"\{\{ ?(\w+)", (ROOT / f"actors/mail/{language}/{name}.txt").read_text("utf-8")))
            for language in LANGUAGES
        }
        assert len(kinds) == 1 and len(names) == 1, name


@pytest.mark.parametrize("language", ["ru", "zh"])
def test_no_mail_was_left_untranslated(language):
    wanted = {"ru": r"[а-яё]{3}", "zh": r"[\u4e00-\u9fff]{2}"}[language]
    for name in SAMPLES:
        for paragraph in written(name, language).text.split("\n\n"):
            if paragraph.strip(" >“”«»") not in map(str, SAMPLES[name].values()):
                assert re.search(wanted, paragraph), f"{name}: {paragraph}"


@pytest.mark.parametrize("name, language", EVERY)
def test_no_value_gets_out_of_its_place(name, language):
    wicked = {
        key: WICKED for key, value in SAMPLES[name].items()
        if isinstance(value, str) and key != "path" and value != AT
    }  # fmt: skip
    tame, letter = written(name, language), written(name, language, **wicked)
    assert "\n" not in letter.subject and "\r" not in letter.subject + letter.text and "\u202e" not in letter.text
    assert letter.text.count("\n") == tame.text.count("\n")  # and so no header, no paragraph, no button of its own
    assert [tag for tag, _ in Tags(letter.html).found] == [tag for tag, _ in Tags(tame.html).found]


@pytest.mark.parametrize("path", ["//evil.example", "https://evil.example", "account", "/a b", '/"><b>', "/a\nb", 7])
def test_a_mail_leads_to_this_site_alone(path):
    with pytest.raises(Hopeless, match="path of this site"):
        written("password_changed", "en", path=path)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_mail_that_lacks_a_detail_is_not_written(name):
    for lacking in SAMPLES[name]:
        details = {key: value for key, value in SAMPLES[name].items() if key != lacking}
        with pytest.raises(Hopeless, match=f"the mail {name} lacks {lacking}"):
            letters.write(name, "en", details, public_url=SITE, link=None)


def test_what_cannot_be_said_is_not_written():
    with pytest.raises(Hopeless, match="no mail called 'nonsense'"):
        letters.write("nonsense", "en", {}, public_url=SITE, link=None)
    with pytest.raises(Hopeless, match="cannot be written"):
        written("totp_on", "en", at="yesterday")
    with pytest.raises(Hopeless, match="cannot be written"):
        written("renewal_invoice", "ru", amount_cents="ten")


def test_what_is_not_known_is_left_out():
    letter = written("gift_code", "en", giver=None, message=None, plan=None, days=None, ends_at=None)
    assert letter.subject == "A gift for you: pictures" and "Plan" not in letter.text and "“" not in letter.text
    assert "Credits: 100" in letter.text and "<ul" in letter.html and letter.html.count("<li>") == 1


@pytest.mark.parametrize(
    "number, russian",
    [(1, "1 день"), (2, "2 дня"), (5, "5 дней"), (11, "11 дней"), (12, "12 дней"), (21, "21 день"), (104, "104 дня")],
)
def test_numbers_agree_with_their_words(number, russian):
    assert plural("ru", number, ("день", "дня", "дней")) == russian
    assert plural("en", number, ("day", "days")) == f"{number} day{'' if number == 1 else 's'}"
    assert plural("zh", number, ("天",)) == f"{number} 天"


def test_dates_are_said_in_utc_and_in_the_language():
    assert [moment(language, "2026-03-01T01:30:00+02:00") for language in LANGUAGES] == [
        "28 February 2026, 23:30 UTC", "28 февраля 2026 г., 23:30 UTC", "2026年2月28日 23:30 UTC",
    ]  # fmt: skip
    assert [language_of(locale) for locale in ("ru-RU", "zh_CN", "EN", "xx", "")] == ["ru", "zh", "en", "en", "en"]


def test_every_mail_that_is_queued_somewhere_has_a_template():
    for room in ("sql", "actors", "http"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == "notices.mail" and len(node.args) > 2:
                    name = node.args[2]
                    where = f"{path.relative_to(ROOT)}:{node.lineno}"
                    assert not isinstance(name, ast.Constant) or name.value in SAMPLES, f"{where}: {name.value}"
