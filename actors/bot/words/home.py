"""What the dashboard says."""

from __future__ import annotations

WORDS = {
    "title": ("<b>Limner</b> · {at}", "<b>Limner</b> · {at}", "<b>Limner</b> · {at}"),
    "alert": ("⚠️ {words} <i>({ago})</i>", "⚠️ {words} <i>({ago})</i>", "⚠️ {words} <i>（{ago}）</i>"),
    "more_alerts": ("⚠️ and {n} more", "⚠️ и ещё {n}", "⚠️ 另有 {n} 条"),
    "revenue": (
        "💰 <b>{day}</b> came in today · {week} in 7 days · {month} in 30",
        "💰 сегодня <b>{day}</b> · за 7 дней {week} · за 30 {month}",
        "💰 今日收入 <b>{day}</b> · 7 天 {week} · 30 天 {month}",
    ),
    "doubtful": (
        "❓ {sum} in doubt, not counted",
        "❓ под вопросом, не учтено: {sum}",
        "❓ 存疑未计入：{sum}",
    ),
    "margin": (
        "📈 margin {day} · {week} · {month}",
        "📈 маржа {day} · {week} · {month}",
        "📈 利润 {day} · {week} · {month}",
    ),
    "people": (
        "👤 {accounts} accounts · {subscribed} subscribed",
        "👤 аккаунтов: {accounts} · с подпиской: {subscribed}",
        "👤 账户 {accounts} · 订阅 {subscribed}",
    ),
    "pictures": (
        "🖼 <b>{delivered}</b> delivered · {failed} failed today",
        "🖼 сегодня готово: <b>{delivered}</b> · не вышло: {failed}",
        "🖼 今日交付 <b>{delivered}</b> · 失败 {failed}",
    ),
    "faults": ("❗ {faults}", "❗ {faults}", "❗ {faults}"),
    "queue": (
        "⏳ {waiting} waiting, the eldest for {oldest} · {running} running",
        "⏳ в очереди: {waiting}, дольше всех {oldest} · в работе: {running}",
        "⏳ 等待 {waiting}，最久 {oldest} · 进行中 {running}",
    ),
    "p95": (
        "⏱ 19 of 20 pictures within {p95}",
        "⏱ 19 из 20 картинок за {p95}",
        "⏱ 20 张中有 19 张在 {p95} 内完成",
    ),
    "keys": (
        "🔑 {ready} ready · {resting} resting · {lost} lost · {free} of {slots} slots free",
        "🔑 готовы: {ready} · отдыхают: {resting} · выбыли: {lost} · свободно мест: {free} из {slots}",
        "🔑 可用 {ready} · 休息 {resting} · 失效 {lost} · 空闲 {free} / {slots}",
    ),
    "copies": (
        "💾 backup {backup} · drill {drill}",
        "💾 копия: {backup} · проверка: {drill}",
        "💾 备份 {backup} · 演练 {drill}",
    ),
    "disk": ("🗄 {free}% of the disk free", "🗄 на диске свободно {free}%", "🗄 磁盘剩余 {free}%"),
    "processes": ("⚙️ processes alive: {n}", "⚙️ работает процессов: {n}", "⚙️ 存活进程 {n}"),
    "no_worker": ("⚙️ <b>no worker is alive</b>", "⚙️ <b>нет живых воркеров</b>", "⚙️ <b>没有存活的 worker</b>"),
}
