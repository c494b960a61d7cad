"""Every menu, in the order in which the dashboard offers them; by the first word of what their buttons carry."""

from __future__ import annotations

from limner.actors.bot.menus import keys, language, system

MENUS = {menu.name: menu for menu in (keys.MENU, system.MENU, language.MENU)}
