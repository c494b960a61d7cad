"""What the menu of payments says."""

from __future__ import annotations

WORDS = {
    "menu": ("💳 Payments", "💳 Платежи", "💳 付款"),
    "title_stuck": ("<b>To be decided</b>: {n}", "<b>Нужно решить</b>: {n}", "<b>待处理</b>：{n}"),
    "title_open": (
        "<b>Open</b> · to be decided: {n}",
        "<b>Открытые</b> · нужно решить: {n}",
        "<b>待付款</b> · 待处理：{n}",
    ),
    "title_coming": (
        "<b>Being confirmed</b> · to be decided: {n}",
        "<b>Подтверждаются</b> · нужно решить: {n}",
        "<b>确认中</b> · 待处理：{n}",
    ),
    "title_paid": (
        "<b>Paid</b> · to be decided: {n}",
        "<b>Оплаченные</b> · нужно решить: {n}",
        "<b>已付款</b> · 待处理：{n}",
    ),
    "found": ("<b>Payments</b> · “{search}”", "<b>Платежи</b> · «{search}»", "<b>付款</b> ·「{search}」"),
    "none": ("{text}\n\nNothing here.", "{text}\n\nЗдесь пусто.", "{text}\n\n暂无内容。"),
    "stuck": ("⚠️ To decide", "⚠️ Решить", "⚠️ 待处理"),
    "open": ("Open", "Открытые", "待付款"),
    "list_paid": ("Paid", "Оплаченные", "已付款"),
    "coming": ("Being confirmed", "Подтверждаются", "确认中"),
    "find": ("🔎 Find", "🔎 Найти", "🔎 查找"),
    "ask_find": (
        "Write whose payment it is: the address, or a part of it; or the invoice's number, here or at the processor.",
        "Напишите, чей это платёж: адрес или его часть; или номер счёта, здесь или у платёжной системы.",
        "请输入用户地址（或其一部分），或账单编号（本站或支付方）。",
    ),
    "gone": ("There is no such invoice any more.", "Такого счёта больше нет.", "此账单已不存在。"),
    "name": (
        "{light} <b>{amount}</b> · {state}",
        "{light} <b>{amount}</b> · {state}",
        "{light} <b>{amount}</b> · {state}",
    ),
    "for": ("{email} · {plan} ({purpose})", "{email} · {plan} ({purpose})", "{email} · {plan}（{purpose}）"),
    "through": (
        "Through {processor}, received {received}",
        "Через {processor}, получено {received}",
        "经 {processor}，已收 {received}",
    ),
    "made": ("Made {at}", "Создан {at}", "创建于 {at}"),
    "trouble": ("⚠️ {words}", "⚠️ {words}", "⚠️ {words}"),
    "refund": ("↩️ {amount}: {state}", "↩️ {amount}: {state}", "↩️ {amount}：{state}"),
    "number": ("<code>{id}</code>", "<code>{id}</code>", "<code>{id}</code>"),
    "paid": ("✅ Mark paid", "✅ Отметить оплаченным", "✅ 标记为已付"),
    "check": ("🔄 Ask the processor", "🔄 Спросить систему", "🔄 询问支付方"),
    "decided": ("👌 Decided", "👌 Решено", "👌 已处理"),
    "whole": ("↩️ Give back {amount}", "↩️ Вернуть {amount}", "↩️ 退还 {amount}"),
    "surplus": ("↩️ The surplus {amount}", "↩️ Излишек {amount}", "↩️ 退还多付 {amount}"),
    "asked": ("It is being asked.", "Спрашиваем.", "正在询问。"),
    "sure_paid": (
        "Mark {amount} of <b>{email}</b> for {plan} as paid?\n\nIt is {state} now. {words}\n\n"
        "The plan begins and its credits are given.",
        "Отметить {amount} от <b>{email}</b> за {plan} оплаченным?\n\nСейчас: {state}. {words}\n\n"
        "Тариф начнётся, кредиты будут выданы.",
        "将 <b>{email}</b> 的 {plan} {amount} 标记为已付？\n\n当前：{state}。{words}\n\n套餐开始，点数发放。",
    ),
    "sure_holds": (
        "Does the payment of {amount} by <b>{email}</b> for {plan} hold after all?\n\n{words}\n\n"
        "It was credited before, and is not again: the {credits} credits that were frozen are there again.",
        "Платёж {amount} от <b>{email}</b> за {plan} всё-таки действителен?\n\n{words}\n\n"
        "Кредиты по нему уже были выданы, повторно их не будет: разморозим {credits}.",
        "<b>{email}</b> 为 {plan} 支付的 {amount} 确实有效吗？\n\n{words}\n\n"
        "此前已发放点数，不会重复发放：将解冻 {credits} 点数。",
    ),
    "doubted_now": (
        "It was paid meanwhile, and is in doubt: look again.",
        "Платёж уже прошёл и теперь под сомнением: посмотрите снова.",
        "此账单期间已付款且存疑：请重新查看。",
    ),
    "yes_holds": ("Yes, it holds", "Да, действителен", "是的，有效"),
    "holds": ("✅ It holds", "✅ Действителен", "✅ 确认有效"),
    "yes_paid": ("Yes, it is paid", "Да, оплачено", "是的，已付"),
    "sure_decided": (
        "Is this decided? {amount} of <b>{email}</b> for {plan}, {state}.\n\n{words}",
        "Это решено? {amount} от <b>{email}</b> за {plan}, {state}.\n\n{words}",
        "此事已处理？<b>{email}</b> 的 {plan} {amount}，{state}。\n\n{words}",
    ),
    "yes_decided": ("Yes, decided", "Да, решено", "是的，已处理"),
    "ask_refund": (
        "Why do {amount} go back? Whoever paid reads it.",
        "Почему возвращается {amount}? Это прочтёт плательщик.",
        "为何退还 {amount}？付款人会看到理由。",
    ),
    "long_reason": (
        "A reason has at most 200 characters, not {n}.",
        "Причина — не больше 200 знаков, а не {n}.",
        "理由最多 200 个字符，而不是 {n}。",
    ),
    "sure_whole": (
        "Give {amount} back to <b>{email}</b> through {processor}? It cannot be called back.\n\n"
        "Credits taken for it: {credits}.\nWhy: {why}",
        "Вернуть {amount} <b>{email}</b> через {processor}? Отменить это нельзя.\n\n"
        "Кредитов будет снято: {credits}.\nПочему: {why}",
        "经 {processor} 向 <b>{email}</b> 退还 {amount}？无法撤回。\n\n收回点数：{credits}。\n原因：{why}",
    ),
    "sure_surplus": (
        "Give the surplus of {amount} back to <b>{email}</b> through {processor}? It cannot be called back.\n\n"
        "The plan stays, and so do its {credits} credits.\nWhy: {why}",
        "Вернуть излишек {amount} <b>{email}</b> через {processor}? Отменить это нельзя.\n\n"
        "Тариф остаётся, и его кредиты ({credits}) тоже.\nПочему: {why}",
        "经 {processor} 向 <b>{email}</b> 退还多付的 {amount}？无法撤回。\n\n套餐保留，{credits} 点数也保留。\n原因：{why}",
    ),
    "sure_gift": (
        "Give the surplus of {amount} back to <b>{email}</b> through {processor}? It cannot be called back.\n\n"
        "The gift stays.\nWhy: {why}",
        "Вернуть излишек {amount} <b>{email}</b> через {processor}? Отменить это нельзя.\n\n"
        "Подарок остаётся.\nПочему: {why}",
        "经 {processor} 向 <b>{email}</b> 退还多付的 {amount}？无法撤回。\n\n礼品保留。\n原因：{why}",
    ),
    "sure_rest": (
        "Give {amount} back to <b>{email}</b> through {processor}? It cannot be called back.\n\n"
        "All else that came went back, or is about to; no credits are taken.\nWhy: {why}",
        "Вернуть {amount} <b>{email}</b> через {processor}? Отменить это нельзя.\n\n"
        "Всё остальное уже возвращено или возвращается; кредиты не снимаются.\nПочему: {why}",
        "经 {processor} 向 <b>{email}</b> 退还 {amount}？无法撤回。\n\n其余款项已退还或正在退还，不收回点数。\n原因：{why}",
    ),
    "yes_refund": ("Yes, give back {amount}", "Да, вернуть {amount}", "是的，退还 {amount}"),
    "nothing_owed": ("There is nothing to give back.", "Возвращать нечего.", "没有可退款项。"),
    "other_amount": (
        "What could go back is another amount by now: look again.",
        "Сумма возврата уже другая: посмотрите снова.",
        "可退金额已改变：请重新查看。",
    ),
}
