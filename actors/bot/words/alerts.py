"""What the menu of alerts says."""

from __future__ import annotations

WORDS = {
    "menu": ("⚠️ Alerts", "⚠️ Тревоги", "⚠️ 警报"),
    "title": ("<b>What is wrong</b>: {n}", "<b>Что не так</b>: {n}", "<b>当前问题</b>：{n}"),
    "none": ("✅ Nothing is wrong.", "✅ Всё в порядке.", "✅ 一切正常。"),
    "one": (
        "{sign} {words}\n<i>It lasts {lasted:duration}.</i>",
        "{sign} {words}\n<i>Длится {lasted:duration}.</i>",
        "{sign} {words}\n<i>已持续 {lasted:duration}。</i>",
    ),
    "came_back": (
        "It came back {n} {n:time|times}.",
        "За это время повторилось {n} {n:раз|раза|раз}.",
        "期间再次出现 {n} 次。",
    ),
    "sleeps": (
        "🔕 Silent until <b>{until}</b>. Its end is told all the same.",
        "🔕 Отложено до <b>{until}</b>. О конце сообщим всё равно.",
        "🔕 暂停提醒至 <b>{until}</b>。恢复时仍会通知。",
    ),
    "what_to_do": ("📖 What to do: {page}", "📖 Что делать: {page}", "📖 处理办法：{page}"),
    "fix": ("🔧 Where to mend it", "🔧 Где исправить", "🔧 前往处理"),
    "ask": (
        "Say nothing of it for how long?",
        "На сколько отложить?",
        "暂停提醒多久？",
    ),
    "hours": ("🔕 {n} h", "🔕 {n} ч", "🔕 {n} 小时"),
    "morning": ("🔕 Till tomorrow morning", "🔕 До завтрашнего утра", "🔕 到明天早上"),
    "wake": ("🔔 Wake it up", "🔔 Снова сообщать", "🔔 恢复提醒"),
    "slept": ("Silent until {until}.", "Отложено до {until}.", "暂停提醒至 {until}。"),
    "woken": ("It is told of again.", "О ней снова сообщаем.", "已恢复提醒。"),
    "over": (
        "✅ It is over: {words}",
        "✅ Всё закончилось: {words}",
        "✅ 已结束：{words}",
    ),
    "gone": ("There is no such alert any more.", "Такой тревоги больше нет.", "此警报已不存在。"),
}
