"""What the menu of orders says."""

from __future__ import annotations

WORDS = {
    "menu": ("🖼 Orders", "🖼 Заказы", "🖼 订单"),
    "title_failed": ("<b>Orders that failed</b>", "<b>Неудавшиеся заказы</b>", "<b>失败的订单</b>"),
    "title_all": ("<b>Orders</b> · the newest", "<b>Заказы</b> · самые новые", "<b>订单</b> · 最新"),
    "title_of": ("<b>Orders</b> of {email}", "<b>Заказы</b> {email}", "<b>订单</b> · {email}"),
    "none": ("Nothing here.", "Здесь пусто.", "暂无内容。"),
    "none_of": ("{email} has ordered nothing.", "{email} ничего не заказывал.", "{email} 没有订单。"),
    "all": ("All", "Все", "全部"),
    "failed": ("Failed ones", "Неудавшиеся", "失败的"),
    "find": ("🔎 Find", "🔎 Найти", "🔎 查找"),
    "ask_find": (
        "Write the number of an order, or whose it is: the address, or a part of it.",
        "Напишите номер заказа или чей он: адрес или его часть.",
        "请输入订单编号，或所属用户的地址（或其一部分）。",
    ),
    "nobody": ("Nobody is called “{typed}”.", "Никого с «{typed}» нет.", "没有名为“{typed}”的用户。"),
    "whose": (
        "More than one address has “{typed}” in it: write more of it.",
        "«{typed}» есть в нескольких адресах: напишите больше.",
        "多个地址包含“{typed}”：请输入更多。",
    ),
    "gone": ("There is no such order any more.", "Такого заказа больше нет.", "此订单已不存在。"),
    "no_picture": ("There is no such picture any more.", "Такой картины больше нет.", "此图片已不存在。"),
    "name": ("{light} <b>{email}</b> · {at}", "{light} <b>{email}</b> · {at}", "{light} <b>{email}</b> · {at}"),
    "prompt": ("<i>{prompt}</i>", "<i>{prompt}</i>", "<i>{prompt}</i>"),
    "what": (
        "{model}, {size}, pictures: {n} · {state}",
        "{model}, {size}, картин: {n} · {state}",
        "{model}，{size}，{n} 张 · {state}",
    ),
    "job": ("{n}. {state}: {why}", "{n}. {state}: {why}", "{n}. {state}：{why}"),
    "why": ("❓ Why", "❓ Почему", "❓ 原因"),
    "why_title": (
        "<b>What was tried</b> for the order of {at}",
        "<b>Что пробовали</b> для заказа от {at}",
        "<b>尝试记录</b> · {at} 的订单",
    ),
    "why_job": ("<b>Picture {n}</b>: {state}", "<b>Картина {n}</b>: {state}", "<b>第 {n} 张</b>：{state}"),
    "why_try": (
        "{n}. {name}: {outcome} <i>{detail}</i>",
        "{n}. {name}: {outcome} <i>{detail}</i>",
        "{n}. {name}：{outcome} <i>{detail}</i>",
    ),
    "why_never": ("No key was asked.", "Ни один ключ не спросили.", "未请求任何密钥。"),
    "why_waited": ("It waited for a key: {n} looks.", "Ждали ключ: взглядов {n}.", "等待密钥：查看 {n} 次。"),
    "why_passed": ("· not {name}: {why}", "· не {name}: {why}", "· 未用 {name}：{why}"),
    "retry": ("🎨 Paint again", "🎨 Нарисовать снова", "🎨 重新绘制"),
    "sure_retry": (
        "Paint what failed again, on the house?\n\nPictures: {n}, for <b>{email}</b>: <i>{prompt}</i>\n\n"
        "Their own credits stay as they are. It can be done once.",
        "Нарисовать неудавшееся снова, за счёт студии?\n\nКартин: {n}, для <b>{email}</b>: <i>{prompt}</i>\n\n"
        "Свои кредиты у них не уменьшатся. Это можно сделать один раз.",
        "由工作室承担费用，重新绘制失败的图片？\n\n{n} 张，<b>{email}</b>：<i>{prompt}</i>\n\n用户自己的点数不变。仅可操作一次。",
    ),
    "yes_retry": ("Yes, paint again", "Да, нарисовать", "是的，重新绘制"),
    "retried": ("It is ordered again.", "Заказано снова.", "已重新下单。"),
    "pictures": ("🚫 Take down…", "🚫 Снять…", "🚫 下架…"),
    "pictures_title": ("<b>Its pictures</b>", "<b>Картины заказа</b>", "<b>订单图片</b>"),
    "no_pictures": ("No picture of it is left.", "Картин не осталось.", "没有剩余图片。"),
    "down": ("🚫 Take down picture {n}", "🚫 Снять картину {n}", "🚫 下架第 {n} 张"),
    "back": ("↩️ Give back picture {n}", "↩️ Вернуть картину {n}", "↩️ 恢复第 {n} 张"),
    "ask_down": (
        "Why is picture {n} taken down? Its owner reads it.",
        "Почему снимается картина {n}? Это прочтёт владелец.",
        "为何下架第 {n} 张？其所有者会看到理由。",
    ),
    "ask_back": (
        "Why is picture {n} given back?",
        "Почему картина {n} возвращается?",
        "为何恢复第 {n} 张？",
    ),
    "sure_down": (
        "Take picture {n} down, from everywhere?\n\nWhy: {why}",
        "Снять картину {n} отовсюду?\n\nПочему: {why}",
        "从所有位置下架第 {n} 张？\n\n原因：{why}",
    ),
    "sure_back": (
        "Give picture {n} back?\n\nWhy: {why}",
        "Вернуть картину {n}?\n\nПочему: {why}",
        "恢复第 {n} 张？\n\n原因：{why}",
    ),
    "yes_down": ("Yes, take down", "Да, снять", "是的，下架"),
    "yes_back": ("Yes, give back", "Да, вернуть", "是的，恢复"),
}
