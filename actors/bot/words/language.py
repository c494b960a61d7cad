"""What the menu of languages says."""

from __future__ import annotations

WORDS = {
    "menu": ("🌐 Language", "🌐 Язык", "🌐 语言"),
    "title": ("In which language shall I speak?", "На каком языке говорить?", "我用哪种语言？"),
}
