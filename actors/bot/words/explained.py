"""What the books note in English of keys, orders and codes, in Russian and in Chinese."""

from __future__ import annotations

from limner.runtime.phrases import Table

WORDS: Table = {
    # why a key was passed over
    "tried already by this request": ("этот заказ его уже пробовал", "此请求已尝试过"),
    "waits for somebody to look at it": ("ждёт проверки", "等待人工检查"),
    "its account has no money": ("на счёте нет денег", "账户余额不足"),
    "rests": ("отдыхает", "休息中"),
    "on trial: another picture is to show whether it is well again": (
        "на испытании с другой картинкой",
        "正在用另一张图片试用",
    ),
    "rests from this model": ("отдыхает от этой модели", "暂停该模型"),
    "on trial for this model, with another picture": (
        "на испытании для этой модели, с другой картинкой",
        "正在用另一张图片试用该模型",
    ),
    "its account group rests from this model": ("его группа счетов отдыхает от этой модели", "其账户组暂停该模型"),
    "its account group is on trial for this model, with another picture": (
        "его группа счетов на испытании для этой модели, с другой картинкой",
        "其账户组正在用另一张图片试用该模型",
    ),
    "its proxy is disabled": ("его прокси отключён", "其代理已停用"),
    "its proxy is down": ("его прокси не работает", "其代理不可用"),
    "its proxy is on trial, with another picture": (
        "его прокси на испытании, с другой картинкой",
        "其代理正在用另一张图片试用",
    ),
    "not welcome where its proxy comes out": (
        "не обслуживается там, где выходит его прокси",
        "其代理出口所在地区不受支持",
    ),
    "on trial where its proxy comes out": ("на испытании там, где выходит его прокси", "正在其代理出口试用"),
    "all its slots were in use": ("все его места были заняты", "名额已满"),
    "has begun as many in this minute as it may": ("начал в эту минуту столько, сколько можно", "本分钟已达上限"),
    "free, but used more lately for its weight": (
        "свободен, но для своего веса недавно использовался чаще",
        "空闲，但按权重近期使用较多",
    ),
    "painted": ("нарисовал", "已绘制"),
    "under way": ("в работе", "进行中"),
    # what a code gives
    "{n} % off": ("скидка {n} %", "立减 {n}%"),
    "{amount} {currency} off": ("скидка {amount} {currency}", "立减 {amount} {currency}"),
    "{n} more days": ("ещё дней: {n}", "延长 {n} 天"),
    "{n} more day": ("ещё дней: {n}", "延长 {n} 天"),
    "{n} credits": ("кредитов: {n}", "{n} 点数"),
    "{n} credit": ("кредитов: {n}", "{n} 点数"),
    "a month, {credits} credits": ("месяц, кредитов: {credits}", "一个月，{credits} 点数"),
    # what a plan allows
    "Your plan allows {n} credits a {unit}: {before} are spent or held, and this would take {more}.": (
        "По тарифу можно кредитов: {n} ({unit}). Потрачено или удержано {before}, а здесь нужно {more}.",
        "套餐额度：{n} 点数（{unit}）。已用或冻结 {before}，本次需要 {more}。",
    ),
    "Your plan allows {n} credit a {unit}: {before} are spent or held, and this would take {more}.": (
        "По тарифу можно кредитов: {n} ({unit}). Потрачено или удержано {before}, а здесь нужно {more}.",
        "套餐额度：{n} 点数（{unit}）。已用或冻结 {before}，本次需要 {more}。",
    ),
    "day": ("день", "天"),
    "month": ("месяц", "月"),
    # how a picture does
    "no painter was free in time": ("ни один художник не освободился вовремя", "没有绘制者及时空闲"),
    "next in line": ("следующая в очереди", "下一个"),
    "all painters are busy": ("все художники заняты", "所有绘制者都忙"),
    "all painters are resting": ("все художники отдыхают", "所有绘制者都在休息"),
    "{line}, back in {soon}": ("{line}, вернутся через {soon}", "{line}，{soon} 后恢复"),
    "it could not be painted after several tries": (
        "нарисовать не удалось после нескольких попыток",
        "多次尝试后仍无法绘制",
    ),
    "it took too long": ("рисовалась слишком долго", "耗时过长"),
    "canceled while it was painted": ("отменена, пока рисовалась", "绘制过程中被取消"),
    "canceled before it was painted": ("отменена до рисования", "绘制前被取消"),
    "it could not be painted; the people who run this place were told": (
        "нарисовать не удалось; ведущим студии сообщено",
        "无法绘制；已通知工作室运营者",
    ),
}
