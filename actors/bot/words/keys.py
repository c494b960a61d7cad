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
    "state": ("State: {state}, {n} in use", "Состояние: {state}, в работе: {n}", "状态：{state}，使用中 {n}"),
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
}
