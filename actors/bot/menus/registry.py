"""Every menu, in the order in which the dashboard offers them; by the first word of what their buttons carry."""

from __future__ import annotations

from limner.actors.bot.menus import alerts, broadcasts, codes, generations, keys, language, payments, system, users

MENUS = {
    menu.name: menu
    for menu in (
        alerts.MENU, keys.MENU, generations.MENU, users.MENU, payments.MENU, codes.MENU, broadcasts.MENU, system.MENU,
        language.MENU,
    )
}  # fmt: skip
