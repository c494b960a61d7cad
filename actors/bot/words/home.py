"""What the dashboard says."""

from __future__ import annotations

WORDS = {
    "title": ("<b>Limner</b>", "<b>Limner</b>", "<b>Limner</b>"),
    "refresh": ("🔄 Refresh", "🔄 Обновить", "🔄 刷新"),
    "alert": ("⚠️ {words} <i>({ago})</i>", "⚠️ {words} <i>({ago})</i>", "⚠️ {words} <i>（{ago}）</i>"),
    "more_alerts": ("⚠️ and {n} more", "⚠️ и ещё {n}", "⚠️ 另有 {n} 条"),
    "money": (
        "💰 <b>{today}</b> today · {month} in 30 days",
        "💰 <b>{today}</b> за сутки · {month} за 30 дней",
        "💰 今日 <b>{today}</b> · 30 天 {month}",
    ),
    "people": (
        "👤 {accounts} accounts · {subscribed} subscribed",
        "👤 аккаунтов: {accounts} · с подпиской: {subscribed}",
        "👤 账户 {accounts} · 订阅 {subscribed}",
    ),
    "pictures": (
        "🖼 <b>{delivered}</b> delivered · {failed} failed today",
        "🖼 за сутки готово: <b>{delivered}</b> · не вышло: {failed}",
        "🖼 今日交付 <b>{delivered}</b> · 失败 {failed}",
    ),
    "queue": (
        "⏳ {waiting} waiting, the eldest for {oldest} · {running} running",
        "⏳ в очереди: {waiting}, дольше всех {oldest} · в работе: {running}",
        "⏳ 等待 {waiting}，最久 {oldest} · 进行中 {running}",
    ),
    "keys": (
        "🔑 {ready} ready · {resting} resting · {lost} lost",
        "🔑 готовы: {ready} · отдыхают: {resting} · выбыли: {lost}",
        "🔑 可用 {ready} · 休息 {resting} · 失效 {lost}",
    ),
    "processes": ("⚙️ {n} processes alive", "⚙️ работает процессов: {n}", "⚙️ 存活进程 {n}"),
    "no_worker": ("⚙️ <b>no worker is alive</b>", "⚙️ <b>нет живых воркеров</b>", "⚙️ <b>没有存活的 worker</b>"),
}
