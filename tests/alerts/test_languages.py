"""Each admin is told in the language that they read: on the phone that which they chose, in mails that of their account."""

from __future__ import annotations

import re

import pytest

from limner.sql import alerts, notices
from limner.sql.alerts import Trouble
from tests.alerts.conftest import CAROL
from tests.alerts.drills import DRILLS
from tests.alerts.test_telling import away, key_ids, lose, mails, quiet_now

NO_WORKER = {
    "en": "No worker is alive: nothing is painted.",
    "ru": "Нет ни одного живого воркера: картинки не рисуются.",
    "zh": "没有存活的 worker：无法绘制图片。",
}
PHONES = {"en": "7", "ru": "8", "zh": "9"}


@pytest.fixture
async def three(watched):
    """Carol, 7, reads English; 8 chose Russian; the Telegram of 9 is in Chinese."""
    row = "insert into telegram_admin (telegram_id, name, role, locale, spoken) values ($1, 'admin', 'owner', $2, $3)"
    await watched.db.execute(row, 8, "ru", "en")
    await watched.db.execute(row, 9, None, "zh")
    return watched


async def told(watched) -> dict[str, list[str]]:
    """What each phone was told, by its language."""
    found = "select array_agg(body order by id) from notice where recipient = $1 and channel = 'telegram'"
    return {language: await watched.db.fetchval(found, phone) for language, phone in PHONES.items()}


async def test_a_trouble_and_its_end_are_told_to_each_in_their_own_language(three):
    await away(three)
    await three.look()
    await three.later(14 * 60)
    await three.worker.beat()
    await three.look()
    assert await told(three) == {
        "en": [f"⚠️ {NO_WORKER['en']}", f"✅ Fine again after 14 min. It was: {NO_WORKER['en']}"],
        "ru": [f"⚠️ {NO_WORKER['ru']}", f"✅ Снова в порядке через 14 мин. Было так: {NO_WORKER['ru']}"],
        "zh": [f"⚠️ {NO_WORKER['zh']}", f"✅ 14 分钟后恢复正常。原问题：{NO_WORKER['zh']}"],
    }


async def test_what_came_back_and_what_lasts_is_told_in_each_language(three):
    await away(three)
    await three.look()
    await three.later(4 * 3600 + 1)
    await three.look()
    by_language = await told(three)
    assert by_language["ru"][1] == f"⚠️ Продолжается уже 4 ч: {NO_WORKER['ru']}"
    assert by_language["zh"][1] == f"⚠️ 已持续 4 小时：{NO_WORKER['zh']}"


async def test_the_buttons_speak_the_language_of_who_presses_them(three):
    await away(three)
    await three.look()
    of = "select buttons from notice where recipient = $1"
    buttons = await three.db.fetchval(of, PHONES["ru"])
    assert [each["text"] for row in buttons for each in row] == [
        "🩺 Посмотреть систему", "🔕 Отложить", "🌐 Открыть админку", "📖 Что делать",
    ]  # fmt: skip
    buttons = await three.db.fetchval(of, PHONES["zh"])
    assert [each["text"] for row in buttons for each in row] == [
        "🩺 查看系统",
        "🔕 暂停提醒",
        "🌐 打开管理后台",
        "📖 处理办法",
    ]


async def test_what_gathered_in_the_quiet_hours_is_told_in_each_language(three):
    await three.rule("model_cooled", is_on=False)
    await quiet_now(three)
    await lose(three, (await key_ids(three))[0])
    await three.look()
    await quiet_now(three, on=False)
    await three.look()
    by_language = await told(three)
    assert by_language["ru"][0].startswith("🌙 За тихие часы:\n⚠️ Ключ Demo brush 1 …sh-1 (demo) отключён: 401")
    assert by_language["zh"][0].startswith("🌙 免打扰时段内：\n⚠️ 密钥 Demo brush 1 …sh-1（demo）已被停用：401")


async def test_the_morning_speaks_every_language(three):
    await away(three)
    await three.look()
    await three.db.execute("update alert_times set digest_on = current_date - 1, digest_at = '00:00'")
    await three.look()
    by_language = await told(three)
    assert re.match(r"☀️ Вчера, [а-я]+, \d+ [а-я]+\n🖼 0 картинок готово, 0 не удалось", by_language["ru"][1])
    assert f"⚠️ {NO_WORKER['ru']} (" in by_language["ru"][1]
    assert re.match(r"☀️ 昨天，\d+月\d+日星期.\n🖼 交付 0 张", by_language["zh"][1])


@pytest.mark.parametrize("name", DRILLS)
async def test_every_trouble_of_the_drills_is_told_in_every_language(three, name):
    drill = DRILLS[name]
    async with drill.trouble(three):
        await three.look()
        await three.later(drill.after)
        (alert,) = await three.look()
        by_language = await told(three)
    russian, chinese = by_language["ru"][-1], by_language["zh"][-1]
    assert re.search("[а-я]{3}", russian) and re.search("[\u4e00-\u9fff]{2}", chinese)
    sentence = re.compile(r"\b(is|are|was|has|does|last) ")
    own = [word for word in (alert.said or {}).get("with", {}).values() if isinstance(word, str)]
    for text in (russian, chinese):
        for word in own:
            text = text.replace(word, "")
        assert "{" not in text and not sentence.search(text), text


async def test_a_mail_is_in_the_language_of_the_account_whatever_the_phones_read(three):
    await three.db.execute("update account set locale = 'ru' where id = $1", three.carol.id)
    await away(three)
    await three.look()
    await three.db.execute("update notice set created_at = created_at - interval '11 minutes'")
    await three.look()
    (mail,) = await mails(three)
    assert mail["details"]["words"] == f"⚠️ {NO_WORKER['ru']}"


async def test_where_nobody_is_paired_mails_are_in_the_language_of_the_account(watched):
    await watched.db.execute("delete from telegram_admin")
    await watched.db.execute("update account set locale = 'zh' where id = $1", watched.carol.id)
    await away(watched)
    await watched.db.execute("update alert_times set digest_on = current_date - 1, digest_at = '00:00'")
    await watched.look()
    alert, digest = await mails(watched)
    assert alert["details"]["words"] == f"⚠️ {NO_WORKER['zh']}"
    assert digest["details"]["alerts"] == NO_WORKER["zh"]


async def test_what_a_release_before_this_one_wrote_is_told_in_english(three):
    """Its words are newer than the parts of the sentence that are kept beside them."""
    await away(three)
    (alert,) = await three.look()
    assert alert.phrase.template and alert.said
    await three.db.execute("update alert set words = 'Nobody paints.'")
    (alert,) = await alerts.still_open(three.db)
    assert alert.phrase == "Nobody paints." and not hasattr(alert.phrase, "template")
    await three.db.execute("update alert set words = $1, said = null", NO_WORKER["en"])
    await three.look()
    (alert,) = await alerts.still_open(three.db)
    assert alert.said is not None, "the next look knows its parts again"


async def test_a_notice_of_a_release_before_this_one_goes_by_mail_as_it_is(watched):
    await notices.queue(watched.db, "telegram", str(CAROL), "⚠️ An old one.", dedupe_key="alert 1 1")
    await watched.db.execute("update notice set created_at = created_at - interval '11 minutes'")
    await watched.look()
    (mail,) = await mails(watched)
    assert mail["details"]["words"] == "⚠️ An old one."


async def test_who_only_looks_gets_no_button_that_silences(watched):
    await watched.db.execute("update telegram_admin set role = 'viewer'")
    await away(watched)
    await watched.look()
    assert "Snooze" not in str(await watched.db.fetchval("select buttons from notice"))


async def test_an_end_has_nothing_to_be_silenced_and_many_lead_to_the_list(watched):
    await watched.rule("model_cooled", is_on=False)
    await lose(watched, *await key_ids(watched))
    await watched.look()
    await watched.db.execute("update provider_key set state = 'active'")
    await watched.look()
    many, over = [row["buttons"] for row in await watched.db.fetch("select buttons from notice order by id")]
    assert {"text": "🔕 Snooze", "data": "alerts"} in many[0] and "Snooze" not in str(over)


async def test_words_alone_are_told_as_they_are(three):
    await alerts.see(three.db, [Trouble("odd", "Something odd.", "no_worker", "urgent")])
    assert (await alerts.still_open(three.db))[0].phrase == "Something odd."
