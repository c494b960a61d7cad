"""What all menus say."""

from __future__ import annotations

WORDS = {
    "back": ("⬅ Back", "⬅ Назад", "⬅ 返回"),
    "refresh": ("🔄 Refresh", "🔄 Обновить", "🔄 刷新"),
    "ago": ("{time} ago", "{time} назад", "{time}前"),
    "never": ("never", "никогда", "从未"),
    "yes": ("Yes", "Да", "是"),
    "no": ("No", "Нет", "否"),
    "cancel": ("✖ Cancel", "✖ Отмена", "✖ 取消"),
    "done": ("Done.", "Готово.", "已完成。"),
    "may_not": ("You may look, not change.", "Вам можно смотреть, но не менять.", "您可以查看，但不能更改。"),
    "stale": ("That button is out of date.", "Эта кнопка устарела.", "此按钮已失效。"),
    "refused": ("❗ {why}", "❗ {why}", "❗ {why}"),
    "again": ("{why}\n\nTry again, or cancel.", "{why}\n\nПопробуйте ещё раз или отмените.", "{why}\n\n请重试或取消。"),
    "narrower": (
        "{text}\n\nMore than {n}: write more of it to find the others.",
        "{text}\n\nБольше {n}: напишите подробнее, чтобы найти остальные.",
        "{text}\n\n超过 {n} 个：请输入更多内容以查找其余结果。",
    ),
    "page": ("{text} · page {page} of {pages}", "{text} · стр. {page} из {pages}", "{text} · 第 {page} / {pages} 页"),
    "pairing": (
        "This bot belongs to a Limner studio, and it does not know you yet.\n\n"
        "If the studio is yours, type this on its server within {minutes} minutes:\n"
        "<pre>limner pair {code}</pre>\n"
        "Each message you write here replaces the code.",
        "Этот бот принадлежит студии Limner и пока вас не знает.\n\n"
        "Если студия ваша, наберите на её сервере в течение {minutes} минут:\n"
        "<pre>limner pair {code}</pre>\n"
        "Каждое новое сообщение заменяет код.",
        "此机器人属于一个 Limner 工作室，它还不认识您。\n\n"
        "如果工作室是您的，请在 {minutes} 分钟内在服务器上输入：\n"
        "<pre>limner pair {code}</pre>\n"
        "您在此发送的每条消息都会更换代码。",
    ),
}
