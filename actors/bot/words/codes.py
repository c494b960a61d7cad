"""What the menu of codes says."""

from __future__ import annotations

WORDS = {
    "menu": ("🎟 Codes", "🎟 Коды", "🎟 优惠码"),
    "title": ("<b>Codes</b> · the newest", "<b>Коды</b> · самые новые", "<b>优惠码</b> · 最新"),
    "found": ("<b>Codes</b> · “{search}”", "<b>Коды</b> · «{search}»", "<b>优惠码</b> ·「{search}」"),
    "not_found": (
        "No code has “{search}” in it.",
        "Кодов с «{search}» нет.",
        "没有包含“{search}”的优惠码。",
    ),
    "find": ("🔎 Find", "🔎 Найти", "🔎 查找"),
    "ask_find": (
        "Write the code or a part of it, of its note, or of who made it. Of a gift, the last four characters.",
        "Напишите код или его часть, слова из заметки или кто его создал. Для подарка — последние четыре знака.",
        "请输入优惠码、备注或创建者（或其一部分）。礼品码请输入最后四位。",
    ),
    "none": ("There are no codes.", "Кодов нет.", "没有优惠码。"),
    "gone": ("There is no such code any more.", "Такого кода больше нет.", "此优惠码已不存在。"),
    "name": ("{light} <b>{word}</b> · {state}", "{light} <b>{word}</b> · {state}", "{light} <b>{word}</b> · {state}"),
    "gives": ("Gives: {promise} ({kind})", "Даёт: {promise} ({kind})", "内容：{promise}（{kind}）"),
    "uses": ("Used {n}, until {until}", "Использован: {n}, до {until}", "已用 {n}，至 {until}"),
    "note": ("<i>{note}</i>", "<i>{note}</i>", "<i>{note}</i>"),
    "make": ("➕ Make one", "➕ Создать", "➕ 新建"),
    "ask": (
        "Write the code and what it gives, such as\n<code>SUMMER 20%</code>\n<code>SUMMER 4.99 USD</code>\n"
        "<code>SUMMER 10 days</code>\n<code>SUMMER 50 credits x100</code>\n\nx100: a hundred times in all.",
        "Напишите код и что он даёт, например\n<code>SUMMER 20%</code>\n<code>SUMMER 4.99 USD</code>\n"
        "<code>SUMMER 10 days</code>\n<code>SUMMER 50 credits x100</code>\n\nx100: всего сто раз.",
        "请输入优惠码及其内容，例如\n<code>SUMMER 20%</code>\n<code>SUMMER 4.99 USD</code>\n"
        "<code>SUMMER 10 days</code>\n<code>SUMMER 50 credits x100</code>\n\nx100：总共一百次。",
    ),
    "unclear": (
        "“{typed}” is not a code with what it gives, such as SUMMER 20%.",
        "«{typed}» — это не код и что он даёт, например SUMMER 20%.",
        "“{typed}”不是优惠码及其内容，例如 SUMMER 20%。",
    ),
    "times": ("{n} times in all", "всего {n} раз", "总共 {n} 次"),
    "any_times": ("any number of times", "сколько угодно раз", "次数不限"),
    "sure_make": (
        "Make the code <b>{word}</b>?\n\n{gives}, {uses}; each account once.",
        "Создать код <b>{word}</b>?\n\n{gives}, {uses}; каждому аккаунту один раз.",
        "新建优惠码 <b>{word}</b>？\n\n{gives}，{uses}；每个账户一次。",
    ),
    "yes_make": ("Yes, make it", "Да, создать", "是的，新建"),
    "stop": ("⛔ Stop", "⛔ Остановить", "⛔ 停用"),
    "sure_stop": (
        "Stop the code <b>{word}</b> ({promise})?\n\nNobody can use it any more.",
        "Остановить код <b>{word}</b> ({promise})?\n\nИспользовать его больше будет нельзя.",
        "停用优惠码 <b>{word}</b>（{promise}）？\n\n此后无人可用。",
    ),
    "yes_stop": ("Yes, stop it", "Да, остановить", "是的，停用"),
}
