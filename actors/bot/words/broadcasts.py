"""What the menu of broadcasts says."""

from __future__ import annotations

WORDS = {
    "menu": ("📣 Broadcasts", "📣 Рассылки", "📣 群发"),
    "title": ("<b>Broadcasts</b> · the newest", "<b>Рассылки</b> · самые новые", "<b>群发</b> · 最新"),
    "none": ("Nothing was written yet.", "Ещё ничего не написано.", "尚无内容。"),
    "gone": ("There is no such broadcast any more.", "Такой рассылки больше нет.", "此群发已不存在。"),
    "new": ("✍️ Write one", "✍️ Написать", "✍️ 撰写"),
    "to_whom": (
        "To whom? Nobody gets it who is banned, has not confirmed the address, or wants none.",
        "Кому? Её не получат заблокированные, не подтвердившие адрес и те, кто отказался.",
        "发给谁？被封禁、未确认地址或不愿接收的人不会收到。",
    ),
    "to_all": ("Everybody", "Всем", "所有人"),
    "to_running": ("With a plan that runs", "С действующим тарифом", "套餐有效的用户"),
    "to_without": ("Without a plan that runs", "Без действующего тарифа", "没有有效套餐的用户"),
    "to_plan": ("With a certain plan…", "С определённым тарифом…", "指定套餐的用户…"),
    "to_never": ("Never ordered a picture", "Ничего не заказывали", "从未下单的用户"),
    "to_lapsed": ("Paid before, nothing runs now", "Платили раньше, тариф истёк", "曾付费但已过期的用户"),
    "with_plan": ("With the plan {plan}", "С тарифом {plan}", "套餐 {plan} 的用户"),
    "which_plan": ("With which plan?", "С каким тарифом?", "哪个套餐？"),
    "ask_words": (
        "To {n} people. Write it: the first line is the subject, then the text, at most {most} characters. "
        "- makes a list, **bold** and [words](https://…) are all else. Other languages are added on the web.",
        "Получателей: {n}. Напишите: первая строка — тема, дальше текст, не больше {most} знаков. "
        "- делает список, ещё есть **жирный** и [слова](https://…). Другие языки добавляются на сайте.",
        "收件人：{n}。请输入：第一行为主题，其后为正文，最多 {most} 个字符。"
        "- 为列表，另可用 **粗体** 和 [文字](https://…)。其他语言可在网页添加。",
    ),
    "no_body": (
        "The text is missing: the first line is the subject, the text comes below it.",
        "Нет текста: первая строка — тема, текст под ней.",
        "缺少正文：第一行为主题，正文在其下。",
    ),
    "name": ("{light} <b>{state}</b>", "{light} <b>{state}</b>", "{light} <b>{state}</b>"),
    "is_draft": ("Draft", "Черновик", "草稿"),
    "is_sending": ("Being sent", "Отправляется", "发送中"),
    "is_stopped": ("Stopped", "Остановлена", "已停止"),
    "is_done": ("Done", "Готово", "已完成"),
    "about": ("{to} · {pace} a minute", "{to} · {pace} в минуту", "{to} · 每分钟 {pace}"),
    "by_mail": ("By mail", "Письмом", "通过邮件"),
    "by_telegram": (
        "By Telegram to who has linked it, else by mail",
        "В Telegram, кто его привязал, иначе письмом",
        "已绑定者通过 Telegram，其余通过邮件",
    ),
    "people": (
        "It would go to {n}, {told} of them by Telegram",
        "Получателей: {n}, из них в Telegram: {told}",
        "将发给 {n} 人，其中 Telegram：{told}",
    ),
    "progress": (
        "People: {all} · sent {sent} · on the way {under_way} · to come {waiting} · failed {failed} · passed over {skipped}",
        "Всего: {all} · отправлено {sent} · в пути {under_way} · осталось {waiting} · не вышло {failed} · пропущено {skipped}",
        "共 {all} · 已发 {sent} · 途中 {under_way} · 待发 {waiting} · 失败 {failed} · 跳过 {skipped}",
    ),
    "preview": ("<b>{subject}</b>\n\n{text}", "<b>{subject}</b>\n\n{text}", "<b>{subject}</b>\n\n{text}"),
    "way_mail": ("✉️ By mail alone", "✉️ Только письмом", "✉️ 仅邮件"),
    "way_telegram": ("✈️ By Telegram, too", "✈️ И в Telegram", "✈️ 也用 Telegram"),
    "pace": ("⏱ Pace", "⏱ Темп", "⏱ 速度"),
    "ask_pace": (
        "How many a minute, from 1 to {most}? It is {now} now.",
        "Сколько в минуту, от 1 до {most}? Сейчас {now}.",
        "每分钟多少，1 到 {most}？当前 {now}。",
    ),
    "send": ("📨 Send…", "📨 Отправить…", "📨 发送…"),
    "sure_send": (
        "Send “<b>{subject}</b>” to {n} people?\n\n{to}. It takes about {minutes} min. What has gone out cannot be called back.",
        "Отправить «<b>{subject}</b>», получателей: {n}?\n\n{to}. Займёт около {minutes} мин. Отправленное не вернуть.",
        "将“<b>{subject}</b>”发给 {n} 人？\n\n{to}。约需 {minutes} 分钟。已发出的无法撤回。",
    ),
    "yes_send": ("Yes, to {n}", "Да, отправить: {n}", "是的，发给 {n} 人"),
    "away": ("🗑 Throw away", "🗑 Выбросить", "🗑 删除草稿"),
    "sure_away": (
        "Throw the draft “<b>{subject}</b>” away?",
        "Выбросить черновик «<b>{subject}</b>»?",
        "删除草稿“<b>{subject}</b>”？",
    ),
    "yes_away": ("Yes, away with it", "Да, выбросить", "是的，删除"),
    "stop": ("⛔ Stop", "⛔ Остановить", "⛔ 停止"),
    "sure_stop": (
        "Stop “<b>{subject}</b>”?\n\nNobody else gets it, but for mails that are with the mail server already.",
        "Остановить «<b>{subject}</b>»?\n\nБольше её не получит никто, кроме писем, которые уже у почтового сервера.",
        "停止“<b>{subject}</b>”？\n\n除已交给邮件服务器的以外，不再发送。",
    ),
    "yes_stop": ("Yes, stop it", "Да, остановить", "是的，停止"),
    "on": ("▶️ Go on", "▶️ Продолжить", "▶️ 继续"),
    "sure_on": (
        "Go on with “<b>{subject}</b>”, to those who have not got it?",
        "Продолжить «<b>{subject}</b>» для тех, кто её не получил?",
        "继续向尚未收到的人发送“<b>{subject}</b>”？",
    ),
    "yes_on": ("Yes, go on", "Да, продолжить", "是的，继续"),
}
