"""What the menu of users says."""

from __future__ import annotations

WORDS = {
    "menu": ("👤 Users", "👤 Люди", "👤 用户"),
    "title": ("<b>Users</b> · the newest", "<b>Люди</b> · самые новые", "<b>用户</b> · 最新"),
    "found": ("<b>Users</b> · “{search}”", "<b>Люди</b> · «{search}»", "<b>用户</b> ·「{search}」"),
    "nobody": (
        "Nobody has “{search}” in the address.",
        "Никого с «{search}» в адресе нет.",
        "没有地址包含“{search}”的用户。",
    ),
    "find": ("🔎 Find", "🔎 Найти", "🔎 查找"),
    "ask_find": (
        "Write the address, or a part of it.",
        "Напишите адрес или его часть.",
        "请输入地址或其一部分。",
    ),
    "gone": ("There is no such account any more.", "Такого аккаунта больше нет.", "此账户已不存在。"),
    "name": ("<b>{email}</b> · {role}", "<b>{email}</b> · {role}", "<b>{email}</b> · {role}"),
    "is_deleted": ("⚫ Deleted for good", "⚫ Удалён навсегда", "⚫ 已永久删除"),
    "is_banned": ("⛔ Banned: {why}", "⛔ Заблокирован: {why}", "⛔ 已封禁：{why}"),
    "is_unconfirmed": ("The address is not confirmed", "Адрес не подтверждён", "地址未确认"),
    "plan": (
        "Plan: {plan}, {state}, until {until}",
        "Тариф: {plan}, {state}, до {until}",
        "套餐：{plan}，{state}，至 {until}",
    ),
    "no_plan": ("Never had a plan", "Тарифа не было", "从未有过套餐"),
    "credits": (
        "Credits: {available} left, {held} held, {spent} spent",
        "Кредиты: осталось {available}, удержано {held}, потрачено {spent}",
        "点数：剩余 {available}，冻结 {held}，已用 {spent}",
    ),
    "orders": ("🖼 Last orders", "🖼 Последние заказы", "🖼 最近订单"),
    "orders_of": ("The last orders of <b>{email}</b>", "Последние заказы <b>{email}</b>", "<b>{email}</b> 的最近订单"),
    "no_orders": (
        "<b>{email}</b> has ordered nothing",
        "<b>{email}</b> ничего не заказывал",
        "<b>{email}</b> 没有订单",
    ),
    "grant": ("🎁 Credits", "🎁 Кредиты", "🎁 点数"),
    "ask_grant": (
        "How many credits for <b>{email}</b>? They have {now}. Write a number; -5 takes five back.",
        "Сколько кредитов для <b>{email}</b>? Сейчас {now}. Напишите число; -5 заберёт пять.",
        "给 <b>{email}</b> 多少点数？现有 {now}。请输入数字；-5 表示收回五点。",
    ),
    "bad_amount": (
        "A whole number from -{most} to {most}, and not 0; not “{typed}”.",
        "Целое число от -{most} до {most}, кроме 0; не «{typed}».",
        "请输入 -{most} 到 {most} 之间的整数（不能为 0），而不是“{typed}”。",
    ),
    "sure_grant": (
        "{credits} credits for <b>{email}</b>?\n\nNow {now}, then {after}.",
        "{credits} кредитов для <b>{email}</b>?\n\nСейчас {now}, станет {after}.",
        "给 <b>{email}</b> {credits} 点数？\n\n现有 {now}，之后 {after}。",
    ),
    "yes_grant": ("Yes, {credits}", "Да, {credits}", "是的，{credits}"),
    "ban": ("⛔ Ban", "⛔ Заблокировать", "⛔ 封禁"),
    "sure_ban": (
        "Ban <b>{email}</b>?\n\nThey are signed out and cannot come in. What they paid for stays.",
        "Заблокировать <b>{email}</b>?\n\nВсе сеансы закончатся, войти будет нельзя. Оплаченное останется.",
        "封禁 <b>{email}</b>？\n\n其将被登出且无法登录。已付费内容保留。",
    ),
    "yes_ban": ("Yes, ban", "Да, заблокировать", "是的，封禁"),
    "unban": ("✅ Let in again", "✅ Впустить снова", "✅ 解除封禁"),
    "sure_unban": ("Let <b>{email}</b> in again?", "Впустить <b>{email}</b> снова?", "解除对 <b>{email}</b> 的封禁？"),
    "yes_unban": ("Yes, let in", "Да, впустить", "是的，解除"),
    "logout": ("🚪 Log out everywhere", "🚪 Выйти везде", "🚪 全部登出"),
    "sure_logout": (
        "End every session of <b>{email}</b>?",
        "Закончить все сеансы <b>{email}</b>?",
        "结束 <b>{email}</b> 的所有会话？",
    ),
    "yes_logout": ("Yes, log out", "Да, выйти", "是的，登出"),
    "logged_out": ("Sessions ended: {n}.", "Закончено сеансов: {n}.", "已结束会话：{n}。"),
    "reset": ("🔑 New password", "🔑 Новый пароль", "🔑 新密码"),
    "sure_reset": (
        "A link for a new password for <b>{email}</b>?\n\nAn older one ends.",
        "Ссылка для нового пароля для <b>{email}</b>?\n\nСтарая перестанет действовать.",
        "为 <b>{email}</b> 生成新密码链接？\n\n旧链接将失效。",
    ),
    "yes_reset": ("Yes, a link", "Да, ссылку", "是的，生成"),
    "reset_mailed": ("The link is on its way by mail.", "Ссылка отправлена письмом.", "链接已通过邮件发送。"),
    "reset_shown": (
        "No mail server is set up: pass this on to <b>{email}</b>, and to nobody else. It works once, for an hour.\n\n"
        "<code>{link}</code>",
        "Почтовый сервер не настроен: передайте это <b>{email}</b> и никому больше. Ссылка действует один раз, час.\n\n"
        "<code>{link}</code>",
        "未设置邮件服务器：请将此链接仅转交给 <b>{email}</b>。一小时内有效，仅可用一次。\n\n<code>{link}</code>",
    ),
}
