"""What the menu of keys says."""

from __future__ import annotations

WORDS = {
    "menu": ("🔑 Keys", "🔑 Ключи", "🔑 密钥"),
    "title": (
        "<b>Keys</b> · {ready} of {all} ready",
        "<b>Ключи</b> · готовы {ready} из {all}",
        "<b>密钥</b> · {ready} / {all} 可用",
    ),
    "gone": ("There is no such key any more.", "Такого ключа больше нет.", "此密钥已不存在。"),
    "name": (
        "{light} <b>{label}</b> {last_four} · {provider}",
        "{light} <b>{label}</b> {last_four} · {provider}",
        "{light} <b>{label}</b> {last_four} · {provider}",
    ),
    "state": (
        "{state} · {n} of {slots} slots in use",
        "{state} · занято {n} из {slots}",
        "{state} · 已用 {n} / {slots}",
    ),
    "state_active": ("paints", "рисует", "可用"),
    "state_cooldown": ("rests", "отдыхает", "休息中"),
    "state_out_of_funds": ("out of funds", "нет денег", "余额不足"),
    "state_manual_review": ("needs a look", "нужна проверка", "需要检查"),
    "state_disabled": ("disabled", "отключён", "已停用"),
    "why": ("Why: {why}", "Почему: {why}", "原因：{why}"),
    "rests": ("Rests: {why}", "Отдыхает: {why}", "休息：{why}"),
    "rests_until": ("Rests until {at}", "Отдыхает до {at}", "休息至 {at}"),
    "wake": ("☀️ Wake", "☀️ Разбудить", "☀️ 唤醒"),
    "disable": ("⛔ Disable", "⛔ Отключить", "⛔ 停用"),
    "sure_wake": (
        "Wake <b>{label}</b> {last_four} ({provider})?\n\nAt present: {now}.",
        "Разбудить <b>{label}</b> {last_four} ({provider})?\n\nСейчас: {now}.",
        "唤醒 <b>{label}</b> {last_four}（{provider}）？\n\n当前：{now}。",
    ),
    "sure_disable": (
        "Disable <b>{label}</b> {last_four} ({provider})?\n\nAt present: {now}.",
        "Отключить <b>{label}</b> {last_four} ({provider})?\n\nСейчас: {now}.",
        "停用 <b>{label}</b> {last_four}（{provider}）？\n\n当前：{now}。",
    ),
    "yes_wake": ("Yes, wake it", "Да, разбудить", "是的，唤醒"),
    "yes_disable": ("Yes, disable it", "Да, отключить", "是的，停用"),
    "rest": ("🌙 Rest", "🌙 Отдых", "🌙 休息"),
    "test": ("🔎 Test", "🔎 Проверить", "🔎 测试"),
    "balance": ("💵 Set balance", "💵 Задать баланс", "💵 设置余额"),
    "hours": ("{n} h", "{n} ч", "{n} 小时"),
    "how_long": (
        "How long shall <b>{label}</b> {last_four} ({provider}) rest?",
        "Как долго отдыхать <b>{label}</b> {last_four} ({provider})?",
        "让 <b>{label}</b> {last_four}（{provider}）休息多久？",
    ),
    "sure_rest": (
        "Let <b>{label}</b> {last_four} ({provider}) rest for {hours} h?\n\nAt present: {now}. Then it paints one on trial.",
        "Дать <b>{label}</b> {last_four} ({provider}) отдых на {hours} ч?\n\nСейчас: {now}. Потом одна пробная картинка.",
        "让 <b>{label}</b> {last_four}（{provider}）休息 {hours} 小时？\n\n当前：{now}。之后先试画一张。",
    ),
    "sure_test": (
        "Ask {provider} whether it takes <b>{label}</b> {last_four}? It costs nothing.\n\nAt present: {now}.",
        "Спросить {provider}, принимает ли он <b>{label}</b> {last_four}? Это бесплатно.\n\nСейчас: {now}.",
        "询问 {provider} 是否接受 <b>{label}</b> {last_four}？不产生费用。\n\n当前：{now}。",
    ),
    "yes_rest": ("Yes, let it rest", "Да, пусть отдохнёт", "是的，休息"),
    "yes_test": ("Yes, test it", "Да, проверить", "是的，测试"),
    "on_trial": (
        "It is being asked. Refresh in a moment.",
        "Спрашиваем. Обновите через минуту.",
        "正在询问，请稍后刷新。",
    ),
    "takes_it": ("the provider takes it", "провайдер его принимает", "服务商接受此密钥"),
    "tried": ("Tested {at}: {words}", "Проверен {at}: {words}", "{at} 测试：{words}"),
    "left": ("Balance: {left}", "Баланс: {left}", "余额：{left}"),
    "left_days": ("{text} · about {days} days", "{text} · примерно на {days} дн.", "{text} · 约 {days} 天"),
    "how_much": (
        "What is left on the account <b>{account}</b> of {label} {last_four} ({provider})?\n\n"
        "Write it in dollars, such as 12.50.",
        "Сколько осталось на счёте <b>{account}</b> ключа {label} {last_four} ({provider})?\n\n"
        "Напишите в долларах, например 12.50.",
        "{label} {last_four}（{provider}）的账户 <b>{account}</b> 还剩多少？\n\n请以美元填写，例如 12.50。",
    ),
    "no_amount": (
        "An amount in dollars looks like 12.50, not “{typed}”.",
        "Сумма в долларах выглядит как 12.50, а не «{typed}».",
        "美元金额应如 12.50，而不是“{typed}”。",
    ),
    "sure_balance": (
        "Set the balance of <b>{account}</b> to {amount}?",
        "Задать баланс <b>{account}</b>: {amount}?",
        "将 <b>{account}</b> 的余额设为 {amount}？",
    ),
}
