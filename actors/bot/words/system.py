"""What the menu of the system says."""

from __future__ import annotations

WORDS = {
    "menu": ("⚙️ System", "⚙️ Система", "⚙️ 系统"),
    "title": ("<b>System</b>", "<b>Система</b>", "<b>系统</b>"),
    "missing": ("🔴 {role}: none is alive", "🔴 {role}: ни одного живого", "🔴 {role}：没有存活"),
    "role": ("{light} {role}: {n}", "{light} {role}: {n}", "{light} {role}：{n}"),
    "schema": (
        "Schema {schema}, this bot knows {head}",
        "Схема {schema}, этот бот знает {head}",
        "数据库结构 {schema}，本机器人支持 {head}",
    ),
    "copies": (
        "Last backup: {backup}\nLast drill: {drill}",
        "Последняя копия: {backup}\nПоследняя проверка: {drill}",
        "上次备份：{backup}\n上次演练：{drill}",
    ),
    "failed": ("{ago}, <b>failed</b>: {why}", "{ago}, <b>не вышло</b>: {why}", "{ago}，<b>失败</b>：{why}"),
    "running": ("under way for {time}", "идёт уже {time}", "进行中，已 {time}"),
    "asked_for": ("asked for {ago}", "запрошена {ago}", "{ago}已请求"),
    "processes": ("🧩 Processes", "🧩 Процессы", "🧩 进程"),
    "alerts": ("⚠️ Alerts: {n}", "⚠️ Тревоги: {n}", "⚠️ 警报：{n}"),
    "backup": ("💾 Back up now", "💾 Сделать копию", "💾 立即备份"),
    "sure_backup": (
        "Make a backup now? The archivist begins within half a minute.",
        "Сделать резервную копию сейчас? Архивариус начнёт в течение полуминуты.",
        "现在备份？archivist 将在半分钟内开始。",
    ),
    "yes_backup": ("Yes, back up", "Да, сделать", "是的，备份"),
    "no_archivist": (
        "No archivist is alive: nobody would do it.",
        "Нет живого архивариуса: некому это сделать.",
        "没有存活的 archivist，无法执行。",
    ),
    "process": (
        "<b>{role}</b> on {host}\nRuns: {version}\nUp: {up}\nLast sign of life: {silent}",
        "<b>{role}</b> на {host}\nВерсия: {version}\nРаботает: {up}\nПоследний признак жизни: {silent}",
        "<b>{role}</b> @ {host}\n版本：{version}\n运行：{up}\n最近心跳：{silent}",
    ),
    "polled": ("Telegram answered {ago}", "Telegram отвечал {ago}", "Telegram 上次应答：{ago}"),
    "ailing": ("🔴 In trouble: {names}", "🔴 Не в порядке: {names}", "🔴 异常：{names}"),
    "drained": ("🟡 It takes nothing new.", "🟡 Новое не берёт.", "🟡 不接受新任务。"),
    "drain": ("⏸ Drain", "⏸ Остановить приём", "⏸ 停止接单"),
    "resume": ("▶ Resume", "▶ Продолжить", "▶ 恢复"),
    "sure_drain": (
        "Drain the worker on {host}? It finishes what it has in hand and takes nothing new.",
        "Остановить приём у воркера на {host}? Он закончит начатое и новое не возьмёт.",
        "停止 {host} 上的 worker 接单？它会完成手头任务，不再接新任务。",
    ),
    "sure_resume": (
        "Have the worker on {host} take work again?",
        "Снова давать работу воркеру на {host}?",
        "让 {host} 上的 worker 重新接单？",
    ),
    "yes_drain": ("Yes, drain it", "Да, остановить", "是的，停止"),
    "yes_resume": ("Yes, go on", "Да, продолжить", "是的，恢复"),
    "gone": ("That process is gone.", "Этого процесса больше нет.", "该进程已不存在。"),
}
