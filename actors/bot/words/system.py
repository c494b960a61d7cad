"""What the menu of the system says."""

from __future__ import annotations

WORDS = {
    "menu": ("⚙️ System", "⚙️ Система", "⚙️ 系统"),
    "title": ("<b>System</b>", "<b>Система</b>", "<b>系统</b>"),
    "process": ("{role} on {host}: {state}", "{role} на {host}: {state}", "{role} @ {host}：{state}"),
}
