"""How alerts are said, in every language: one line for what is to be told of each."""

from __future__ import annotations

from collections.abc import Container, Sequence

from limner.actors.watch.tongues import told
from limner.runtime.phrases import LANGUAGES, filled
from limner.sql.alerts import Alert

ROOM = 3400
"""Characters for the lines of one message: Telegram takes 4096, and some stand around them."""
LONGEST_LINE = 1000

WORDS = {
    "new": ("⚠️ {words}", "⚠️ {words}", "⚠️ {words}"),
    "back": ("⚠️ Came back {times}: {words}", "⚠️ Повторилось {times}: {words}", "⚠️ 再次出现 {times}：{words}"),
    "still": (
        "⚠️ Still so after {lasted:duration}: {words}",
        "⚠️ Продолжается уже {lasted:duration}: {words}",
        "⚠️ 已持续 {lasted:duration}：{words}",
    ),
    "fine": (
        "✅ Fine again after {lasted:duration}.{back} It was: {words}",
        "✅ Снова в порядке через {lasted:duration}.{back} Было так: {words}",
        "✅ {lasted:duration}后恢复正常。{back}原问题：{words}",
    ),
    "settled": (
        "✅ Settled by hand after {lasted:duration}.{back} It was: {words}",
        "✅ Улажено вручную через {lasted:duration}.{back} Было так: {words}",
        "✅ {lasted:duration}后已人工处理。{back}原问题：{words}",
    ),
    "and_back": (" It came back {times}.", " За это время повторилось {times}.", "期间再次出现 {times}。"),
    "fine_once_more": (
        "✅ Came back {times}, and is fine again. It was: {words}",
        "✅ Повторилось {times} и снова в порядке. Было так: {words}",
        "✅ 再次出现 {times}，现已恢复正常。原问题：{words}",
    ),
    "lasted": (
        "✅ Lasted {lasted:duration}, and is fine again. It was: {words}",
        "✅ Продолжалось {lasted:duration}, теперь снова в порядке. Было так: {words}",
        "✅ 持续了 {lasted:duration}，现已恢复正常。原问题：{words}",
    ),
    "lasted_and_back": (
        "✅ Lasted {lasted:duration} and came back {times}, and is fine again. It was: {words}",
        "✅ Продолжалось {lasted:duration}, повторилось {times}, теперь снова в порядке. Было так: {words}",
        "✅ 持续了 {lasted:duration}，再次出现 {times}，现已恢复正常。原问题：{words}",
    ),
    "times": ("{n} times", "{n} {n:раз|раза|раз}", "{n} 次"),
    "more": ("… and {n} more.", "… и ещё {n}.", "……另有 {n} 条。"),
    "quiet": ("🌙 In the quiet hours:", "🌙 За тихие часы:", "🌙 免打扰时段内："),
    "what_to_do": ("What to do: {page}", "Что делать: {page}", "处理办法：{page}"),
    "keys": ("🔑 Look at the keys", "🔑 Посмотреть ключи", "🔑 查看密钥"),
    "generations": ("🖼 Look at the pictures", "🖼 Посмотреть картинки", "🖼 查看图片"),
    "payments": ("💰 Look at the payments", "💰 Посмотреть платежи", "💰 查看付款"),
    "system": ("🩺 Look at the system", "🩺 Посмотреть систему", "🩺 查看系统"),
    "studio": ("📊 Look at the studio", "📊 Посмотреть студию", "📊 查看工作室"),
    "admin": ("🌐 Open the admin", "🌐 Открыть админку", "🌐 打开管理后台"),
    "runbook": ("📖 What to do", "📖 Что делать", "📖 处理办法"),
    "snooze": ("🔕 Snooze", "🔕 Отложить", "🔕 暂停提醒"),
    "yesterday": ("☀️ Yesterday, {day:weekday}", "☀️ Вчера, {day:weekday}", "☀️ 昨天，{day:weekday}"),
    "pictures": (
        "🖼 {delivered} delivered, {failed} failed, of {orders} orders",
        "🖼 {delivered} {delivered:картинка готова|картинки готовы|картинок готово}, {failed} не"
        " {failed:удалась|удались|удалось}, из {orders} {orders:заказа|заказов|заказов}",
        "🖼 交付 {delivered} 张，失败 {failed} 张，共 {orders} 个订单",
    ),
    "money": (
        "💰 {sums} from {paid} {paid:payment|payments}",
        "💰 {sums}, {paid} {paid:платёж|платежа|платежей}",
        "💰 {sums}，共 {paid} 笔付款",
    ),
    "accounts": (
        "👤 {n} new {n:account|accounts}",
        "👤 {n} {n:новый аккаунт|новых аккаунта|новых аккаунтов}",
        "👤 新账户 {n} 个",
    ),
    "fault": (
        "🔧 Most frequent fault: {fault}, {times}",
        "🔧 Самая частая ошибка: {fault}, {times}",
        "🔧 最常见的错误：{fault}，{times}",
    ),
    "open": ("⚠️ {words} ({lasted:duration})", "⚠️ {words} ({lasted:duration})", "⚠️ {words}（{lasted:duration}）"),
    "all_well": ("✅ Nothing is wrong.", "✅ Всё в порядке.", "✅ 一切正常。"),
}
"""Each in the languages in their order."""


def say(language: str, key: str, **values: object) -> str:
    return filled(language, WORDS[key][LANGUAGES.index(language)], values)


def line(alert: Alert, language: str, put_aside: Container[str] = ()) -> str:
    """What is to be told of it now. ``put_aside``: the causes that somebody settled by hand."""
    words = told(language, alert.phrase)
    if alert.ended_at is not None:
        return _over(alert, language, words, is_settled=alert.cause in put_aside)
    if alert.told == "":
        return say(language, "new", words=words)
    if alert.news:
        return say(language, "back", times=times(language, alert.news), words=words)
    return say(language, "still", lasted=alert.seconds, words=words)


def _over(alert: Alert, language: str, words: str, *, is_settled: bool) -> str:
    if alert.told == "open":
        back = say(language, "and_back", times=times(language, alert.news)) if alert.news else ""
        return say(language, "settled" if is_settled else "fine", lasted=alert.seconds, back=back, words=words)
    if alert.told == "over":
        return say(language, "fine_once_more", times=times(language, alert.news), words=words)
    if alert.returns:
        often = times(language, alert.returns)
        return say(language, "lasted_and_back", lasted=alert.seconds, times=often, words=words)
    return say(language, "lasted", lasted=alert.seconds, words=words)


def gathered(lines: Sequence[str], most: int, language: str) -> str:
    """As many of these lines as one message takes, and how many more there are."""
    shown, room = list[str](), ROOM
    for each in lines[:most]:
        clipped = each if len(each) <= LONGEST_LINE else f"{each[: LONGEST_LINE - 1]}…"
        room -= len(clipped) + 1
        if room < 0:
            break
        shown.append(clipped)
    left_out = len(lines) - len(shown)
    return "\n".join([*shown, *([say(language, "more", n=left_out)] if left_out else [])])


def times(language: str, count: int) -> str:
    """Once, twice, 3 times."""
    if language == "en" and count in (1, 2):
        return ("once", "twice")[count - 1]
    return say(language, "times", n=count)
