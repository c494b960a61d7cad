"""Whatever an admin reads in the bot is there in every language, with the same places: one that is not turns this red."""

from __future__ import annotations

import ast
import re

import pytest

from limner.actors.bot import words
from limner.actors.bot.words import explained, refusals
from limner.actors.watch import tongues
from limner.actors.watch import words as alarms
from limner.runtime import phrases
from limner.runtime.phrases import LANGUAGES, phrase, places
from limner.sql import explain
from limner.sql.accounts import LOCALES
from tests.bot.refusals import ROOT, sentences
from tests.bot.refusals import refusals as raised

ENGLISH = {"tongues.ALL": tongues.ALL, "explained": explained.WORDS, "refusals": refusals.WORDS}
LETTERS = {"ru": re.compile("[А-я]"), "zh": re.compile("[\u4e00-\u9fff]")}


def test_there_are_the_same_languages_everywhere():
    assert tuple(LOCALES) == LANGUAGES == words.ORDER


@pytest.mark.parametrize("name", ENGLISH)
def test_a_sentence_has_the_same_places_in_every_language(name):
    for english, others in ENGLISH[name].items():
        assert len(others) == len(LANGUAGES) - 1, english
        for language, other in zip(LANGUAGES[1:], others, strict=True):
            assert places(other) == places(english), english
            assert LETTERS[language].search(other) or not re.search("[a-z]{3}", re.sub("{.*?}", "", other)), other


def test_the_bots_own_words_and_those_of_the_alerts_have_the_same_places_in_every_language():
    lines = {f"{table}.{name}": line for table, found in words.TABLES.items() for name, line in found.items()}
    lines |= {f"alarms.{name}": line for name, line in alarms.WORDS.items()}
    assert len(lines) > 200
    for name, (english, *others) in lines.items():
        assert [places(other) for other in others] == [places(english)] * 2, name


def test_every_trouble_that_the_watchman_sees_is_there_in_every_language():
    readers = [ast.parse((ROOT / f"actors/watch/{name}.py").read_text()) for name in ("troubles", "machines")]
    tree = ast.Module([each for module in readers for each in module.body], [])
    known = {each.targets[0].id: each.value for each in tree.body if isinstance(each, ast.Assign)}
    calls = [each for each in ast.walk(tree) if isinstance(each, ast.Call) and ast.unparse(each.func) == "phrase"]
    strings = [each.value for each in ast.walk(tree) if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    said = {text for text in strings if text in tongues.TROUBLES}
    assert len(calls) >= 25 and len(said) >= 25
    for call in calls:
        first = call.args[0]
        if isinstance(first, ast.Constant):
            assert first.value in tongues.TROUBLES, first.value
        elif isinstance(first, ast.Name) and first.id in known:
            assert known[first.id].value in tongues.TROUBLES, first.id
    sentences_of_all = [text for text in strings if "{" in text and text.endswith((".", "}"))]
    assert [text for text in sentences_of_all if text not in tongues.TROUBLES] == []


def test_every_refusal_that_a_menu_may_meet_is_there_in_every_language():
    found = raised()
    assert len(found) > 60, "nothing is looked at any more"
    missing = {text: where for text, where in found.items() if phrases.recognized(text, words.STORED) is None}
    assert missing == {}
    for text in found:
        made = phrases.recognized(text, refusals.WORDS)
        assert made is None or len(made.values) == text.count("§"), f"{text!r} is taken for {made.template!r}"
        assert made is None or set(made.values.values()) <= {"§"}, f"{text!r} is taken for {made.template!r}"


def test_no_sentence_is_kept_that_nobody_says_any_more():
    said = {made.template for text in raised() if (made := phrases.recognized(text, refusals.WORDS))}
    own = {text for text in refusals.WORDS if "alert" in text or text in ("subject", "body")}
    assert set(refusals.WORDS) - said - own == set()


def test_what_a_payment_waits_for_is_there_in_every_language():
    """Whatever is kept with an invoice for somebody to decide."""
    for path in ("actors/settlement.py", "actors/reconciliation.py", "sql/payments.py", "sql/refunds.py"):
        tree = ast.parse((ROOT / path).read_text())
        for node in ast.walk(tree):
            is_words = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "words"
            if is_words and isinstance(node.value, ast.Constant | ast.JoinedStr):
                for text in sentences(node.value, path, tree):
                    assert phrases.recognized(text, tongues.PAYMENTS), f"{path}: {text}"


def test_why_a_key_was_passed_over_is_there_in_every_language():
    assert [why for why in explain.WORDS.values() if phrases.recognized(why, words.STORED) is None] == []


def test_a_phrase_comes_back_from_json_as_it_was_and_is_told_in_every_language():
    lost = phrase("Key {label} {last_four} ({provider}) was disabled: {why}.", label="A", last_four="…1", provider="demo",
                  why=phrase("nobody knows why"))  # fmt: skip
    back = phrases.from_data(phrases.as_data(lost))
    assert back == lost == "Key A …1 (demo) was disabled: nobody knows why."
    assert words.told("ru", back) == "Ключ A …1 (demo) отключён: причина неизвестна."
    assert words.told("zh", back) == "密钥 A …1（demo）已被停用：原因不明。"


@pytest.mark.parametrize(
    ("n", "russian"),
    [(1, "1 письмо"), (2, "2 письма"), (5, "5 писем"), (11, "11 писем"), (21, "21 письмо"), (112, "112 писем")],
)
def test_russian_counts_as_russians_do(n, russian):
    stuck = "{n} {n:mail was|mails were} refused within a day: see Mails in the admin."
    assert russian in words.told("ru", phrase(stuck, n=n))


def test_mere_text_is_recognized_and_what_stands_in_it_is_told_too():
    assert words.told("ru", "The invoice is paid; it cannot be paid back.") == (
        "Счёт в состоянии «оплачено»: вернуть деньги нельзя."
    )
    assert words.told("zh", "What nobody has translated.") == "What nobody has translated."


@pytest.mark.parametrize("name", ["admin", "plan", "user", "days", "rests", "subject"])
def test_what_somebody_named_like_a_word_of_ours_keeps_its_name(name):
    lost = phrase("Key {label} {last_four} ({provider}) was disabled: {why}.", label=name, last_four="…1", provider=name,
                  why="rests")  # fmt: skip
    assert words.told("ru", lost) == f"Ключ {name} …1 ({name}) отключён: отдыхает."
    assert words.told("zh", phrases.from_data(phrases.as_data(lost))) == f"密钥 {name} …1（{name}）已被停用：休息中。"
    assert words.told("ru", f"The certificate of {name} has run out.") == f"Сертификат {name} истёк."


def test_every_place_whose_words_are_ours_is_in_some_sentence():
    assert {place for sentence in words.STORED for place in places(sentence)} >= phrases.SAID


def test_a_refusal_fits_into_a_toast():
    for others in refusals.WORDS.values():
        assert all(len(other) <= 200 for other in others)
