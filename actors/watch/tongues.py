"""What is wrong, in Russian and in Chinese: by the English sentence of each trouble, and of what stands in it."""

from __future__ import annotations

from limner.runtime import phrases
from limner.runtime.phrases import Table

TROUBLES: Table = {
    "No worker is alive: nothing is painted.": (
        "Нет ни одного живого воркера: картинки не рисуются.",
        "没有存活的 worker：无法绘制图片。",
    ),
    "No web is alive: nobody reaches the site.": (
        "Нет ни одного живого процесса web: сайт никому не открывается.",
        "没有存活的 web 进程：无人能访问网站。",
    ),
    "No bot is alive: nobody answers on Telegram.": (
        "Нет ни одного живого бота: в Telegram никто не отвечает.",
        "没有存活的 bot 进程：Telegram 上无人应答。",
    ),
    "Telegram does not answer the bot: it hears nothing of what is written or pressed.": (
        "Telegram не отвечает боту: он не слышит ни сообщений, ни нажатий.",
        "Telegram 未响应机器人：它收不到任何消息和按钮操作。",
    ),
    "Pictures have been waiting for {waited:duration}.": (
        "Картинки ждут в очереди уже {waited:duration}.",
        "图片已排队等待 {waited:duration}。",
    ),
    "{percent:.0f} % of the attempts of the last {window:duration} failed with {fault}: {times} of {all}.": (
        "{percent:.0f} % попыток за последние {window:duration} не удались из-за {fault}: {times} из {all}.",
        "最近 {window:duration}内有 {percent:.0f}% 的尝试因 {fault} 失败：{all} 次中的 {times} 次。",
    ),
    "No key can paint {model} ({provider}): none comes back by itself.": (
        "Ни один ключ не может рисовать {model} ({provider}): сам ни один не вернётся.",
        "没有密钥可以绘制 {model}（{provider}）：没有一个会自行恢复。",
    ),
    "No key can paint {model} ({provider}): the first is back at {back:clock}.": (
        "Ни один ключ не может рисовать {model} ({provider}): первый вернётся в {back:clock}.",
        "没有密钥可以绘制 {model}（{provider}）：第一个将于 {back:clock} 恢复。",
    ),
    "{left} USD is left on {account} of {provider}.": (
        "На счёте {account} у {provider} осталось {left} USD.",
        "{provider} 的账户 {account} 余额还剩 {left} USD。",
    ),
    "{left} USD is left on {account} of {provider}, which lasts {days:.1f} days.": (
        "На счёте {account} у {provider} осталось {left} USD, хватит на {days:.1f} дн.",
        "{provider} 的账户 {account} 余额还剩 {left} USD，可用 {days:.1f} 天。",
    ),
    "Key {label} {last_four} ({provider}) is out of funds: {why}.": (
        "На ключе {label} {last_four} ({provider}) кончились деньги: {why}.",
        "密钥 {label} {last_four}（{provider}）余额不足：{why}。",
    ),
    "Key {label} {last_four} ({provider}) needs a look: {why}.": (
        "Ключ {label} {last_four} ({provider}) нужно проверить: {why}.",
        "密钥 {label} {last_four}（{provider}）需要检查：{why}。",
    ),
    "Key {label} {last_four} ({provider}) was disabled: {why}.": (
        "Ключ {label} {last_four} ({provider}) отключён: {why}.",
        "密钥 {label} {last_four}（{provider}）已被停用：{why}。",
    ),
    "nobody knows why": ("причина неизвестна", "原因不明"),
    "Proxy {label} is dead, and {n} {n:key counts|keys count} on it: {why}.": (
        "Прокси {label} не работает, а через него {n:идёт|идут|идут} {n} {n:ключ|ключа|ключей}: {why}.",
        "代理 {label} 已失效，有 {n} 个密钥依赖它：{why}。",
    ),
    "No webhook of {processor} comes: its last {n} payments were found by asking alone, so they came late.": (
        "Вебхуки от {processor} не приходят: последние платежи ({n}) найдены только опросом, то есть с опозданием.",
        "收不到 {processor} 的 webhook：最近 {n} 笔付款都是主动查询才发现的，因此有延迟。",
    ),
    "Invoice {id}: {received} of {amount} {currency} was received, and it is still {state}.": (
        "Счёт {id}: получено {received} из {amount} {currency}, а он всё ещё в состоянии «{state}».",
        "账单 {id}：已收到 {received} / {amount} {currency}，但状态仍为“{state}”。",
    ),
    "Invoice {id}: {words}": ("Счёт {id}: {words}", "账单 {id}：{words}"),
    "The books do not add up, in {n} {n:case|cases}: {case}. See `limner ledger verify`.": (
        "Книги не сходятся в {n} {n:случае|случаях|случаях}: {case}. См. `limner ledger verify`.",
        "账目有 {n} 处不符：{case}。参见 `limner ledger verify`。",
    ),
    "The audit's chain does not hold: {why}. See `limner audit verify`.": (
        "Цепочка аудита нарушена: {why}. См. `limner audit verify`.",
        "审计链不完整：{why}。参见 `limner audit verify`。",
    ),
    "The disk is nearly full: {free:.0f} % is free, {left:.1f} GB, at {path} of {role}.": (
        "Диск почти полон: свободно {free:.0f} %, {left:.1f} ГБ, {path} у {role}.",
        "磁盘即将写满：{role} 的 {path} 仅剩 {free:.0f}%，即 {left:.1f} GB。",
    ),
    "There has been no good backup for {age:duration}: see `limner backups`.": (
        "Исправной резервной копии нет уже {age:duration}: см. `limner backups`.",
        "已有 {age:duration}没有可用的备份：参见 `limner backups`。",
    ),
    "There was never a good backup, in {age:duration}: see `limner backups`.": (
        "Исправной резервной копии ещё не было ни разу за {age:duration}: см. `limner backups`.",
        "{age:duration}以来从未有过可用的备份：参见 `limner backups`。",
    ),
    "No backup has been proved for {age:duration}: run `limner drill`.": (
        "Ни одна резервная копия не проверялась уже {age:duration}: запустите `limner drill`.",
        "已有 {age:duration}没有验证过备份：请运行 `limner drill`。",
    ),
    "The certificate of {address} has {days} {days:day|days} left.": (
        "Сертификат {address} действует ещё {days} {days:день|дня|дней}.",
        "{address} 的证书还有 {days} 天到期。",
    ),
    "The certificate of {address} has run out.": ("Сертификат {address} истёк.", "{address} 的证书已过期。"),
    "The certificate of {address} is for another name.": (
        "Сертификат {address} выдан на другое имя.",
        "{address} 的证书属于另一个域名。",
    ),
    "The clock under {role} on {host} is {seconds:.0f} s ahead of the database's.": (
        "Часы под {role} на {host} спешат на {seconds:.0f} с относительно базы данных.",
        "{host} 上 {role} 的时钟比数据库快 {seconds:.0f} 秒。",
    ),
    "The clock under {role} on {host} is {seconds:.0f} s behind the database's.": (
        "Часы под {role} на {host} отстают на {seconds:.0f} с от базы данных.",
        "{host} 上 {role} 的时钟比数据库慢 {seconds:.0f} 秒。",
    ),
    "{words}: run `limner migrate`.": ("{words}: запустите `limner migrate`.", "{words}：请运行 `limner migrate`。"),
    "A process on {host} waits for schema {needed}, and the database is at {found}": (
        "Процесс на {host} ждёт схему {needed}, а в базе данных схема {found}",
        "{host} 上的进程在等待 schema {needed}，而数据库为 {found}",
    ),
    "Somebody else polls with the bot's token: one of the two must stop.": (
        "С токеном бота опрашивает Telegram кто-то ещё: один из двух должен остановиться.",
        "有其他程序正在使用此机器人的令牌轮询：两者之一必须停止。",
    ),
    "{model} retires on {on:day}: nothing takes its place yet.": (
        "{model} перестаёт работать {on:day}: замены пока нет.",
        "{model} 将于 {on:day}停用：尚无替代。",
    ),
    "{model} retires on {on:day}: {replacement} takes over.": (
        "{model} перестаёт работать {on:day}: её заменит {replacement}.",
        "{model} 将于 {on:day}停用：由 {replacement} 接替。",
    ),
    "{n} {n:mail does|mails do} not get out, the oldest for {oldest:duration}: see `limner doctor --only mail`.": (
        "{n:Не уходит|Не уходят|Не уходят} {n} {n:письмо|письма|писем}, самое старое — уже {oldest:duration}:"
        " см. `limner doctor --only mail`.",
        "有 {n} 封邮件发不出去，最久的已等待 {oldest:duration}：参见 `limner doctor --only mail`。",
    ),
    "{n} {n:mail was|mails were} refused within a day: see Mails in the admin.": (
        "За сутки {n:отклонено|отклонены|отклонено} {n} {n:письмо|письма|писем}: см. раздел Mails в админке.",
        "一天内有 {n} 封邮件被拒收：参见管理后台的 Mails。",
    ),
    "Invoice {id} was paid at {processor}, and {state} here: it is credited now.": (
        "Счёт {id} был оплачен в {processor}, а здесь был в состоянии «{state}»: теперь он зачислен.",
        "账单 {id} 在 {processor} 已付款，而此处为“{state}”：现已入账。",
    ),
}
PAYMENTS: Table = {
    "The processor's payment differs in {what}.": (
        "Платёж у платёжной системы отличается: {what}.",
        "支付方的付款与账单不一致：{what}。",
    ),
    "It was paid in full after a part of it had been given back.": (
        "Счёт оплачен полностью после того, как часть была возвращена.",
        "在退还一部分之后又收到了全额付款。",
    ),
    "It was paid after its account was deleted: nothing was credited. Give the money back.": (
        "Оплачен после удаления аккаунта: ничего не зачислено. Верните деньги.",
        "付款时账户已被删除：未入账。请退款。",
    ),
    "{surplus} {currency} more than asked came: give it back, or leave it.": (
        "Пришло на {surplus} {currency} больше, чем нужно: верните излишек или оставьте.",
        "多收了 {surplus} {currency}：请退还，或保留。",
    ),
    "It was marked paid by hand, and {surplus} {currency} came at {processor} as well: give it back, or leave it.": (
        "Счёт отмечен оплаченным вручную, и ещё {surplus} {currency} пришло через {processor}: верните их или оставьте.",
        "已手动标记为已付，而 {processor} 又收到 {surplus} {currency}：请退还，或保留。",
    ),
    "It was marked paid by hand, and {surplus} {currency} was seen at {processor}, which calls it invalid: "
    "look there before you give it back.": (
        "Счёт отмечен оплаченным вручную, а в {processor} видны ещё {surplus} {currency}, и там платёж считается"
        " недействительным: проверьте там, прежде чем возвращать.",
        "已手动标记为已付，而 {processor} 处还有 {surplus} {currency}，但该处判定其无效：退款前请先在那里核实。",
    ),
    "{received} of {amount} {currency} came before it ran out: give it back, or mark it paid when the rest has come.": (
        "До истечения срока пришло {received} из {amount} {currency}:"
        " верните деньги или отметьте оплаченным, когда придёт остальное.",
        "到期前只收到 {received} / {amount} {currency}：请退款，或在余款到账后标记为已付。",
    ),
    "{received} of {amount} {currency} came before it was closed or called invalid there: give it back, or mark it paid when "
    "the rest has come.": (
        "Пришло {received} из {amount} {currency}, прежде чем платёжная система закрыла счёт или признала его недействительным:"
        " верните деньги или отметьте оплаченным, когда придёт остальное.",
        "支付方关闭账单或判定无效之前已收到 {received} / {amount} {currency}：请退款，或在余款到账后标记为已付。",
    ),
    "The processor calls it invalid, after it was credited. What was left of its credits is frozen.": (
        "Платёжная система признала платёж недействительным уже после зачисления. Остаток его кредитов заморожен.",
        "入账后支付方判定其无效。剩余点数已冻结。",
    ),
    "The processor calls it invalid, after it was credited. Its gift was used already.": (
        "Платёжная система признала платёж недействительным уже после зачисления. Подарок уже использован.",
        "入账后支付方判定其无效。礼品已被使用。",
    ),
    "The processor calls it invalid, after it was credited. Nobody can use its gift until this is settled.": (
        "Платёжная система признала платёж недействительным уже после зачисления."
        " Пока это не решено, подарок никто не может использовать.",
        "入账后支付方判定其无效。问题解决之前，任何人都不能使用该礼品。",
    ),
    "The processor calls it invalid. All of it went back, or is about to: nothing more is taken off.": (
        "Платёжная система признала платёж недействительным. Все деньги возвращены или вот-вот вернутся:"
        " больше ничего не списывается.",
        "支付方判定其无效。款项已全部退还或即将退还：不再扣除任何内容。",
    ),
    "It is paid here, and {state} at the processor: see what became of the money.": (
        "Здесь счёт оплачен, а у платёжной системы — «{state}»: выясните, что стало с деньгами.",
        "此处显示已付款，而支付方为“{state}”：请查明款项去向。",
    ),
    "{words} Besides, this is still to be decided: {part}": (
        "{words} Кроме того, ещё не решено: {part}",
        "{words} 此外仍待决定：{part}",
    ),
    "A refund could not be sent: {why}": ("Возврат не удалось отправить: {why}", "退款未能发出：{why}"),
}
"""What a payment waits for somebody to decide about, as the invoice keeps it."""
STATES: Table = {
    "queued": ("в очереди", "排队中"),
    "running": ("в работе", "进行中"),
    "delivered": ("готово", "已交付"),
    "failed": ("не вышло", "失败"),
    "canceled": ("отменено", "已取消"),
    "pending": ("ждёт оплаты", "待付款"),
    "processing": ("подтверждается", "确认中"),
    "paid": ("оплачено", "已付款"),
    "expired": ("истекло", "已过期"),
    "invalid": ("недействительно", "无效"),
    "asked": ("запрошен", "已申请"),
    "sent": ("отправлен", "已发出"),
    "pending_activation": ("ждёт оплаты", "等待激活"),
    "active": ("действует", "有效"),
    "past_due": ("просрочен", "逾期"),
    "used up": ("исчерпан", "已用完"),
    "stopped": ("остановлен", "已停用"),
    "in doubt": ("под вопросом", "存疑"),
    "plan": ("тариф", "套餐"),
    "renewal": ("продление", "续订"),
    "change": ("смена тарифа", "变更套餐"),
    "gift": ("подарок", "礼品"),
    "promo": ("промокод", "优惠"),
    "user": ("пользователь", "用户"),
    "support": ("поддержка", "客服"),
    "admin": ("администратор", "管理员"),
    "percent": ("процентов", "百分比"),
    "amount": ("сумма", "金额"),
    "days": ("дней", "天数"),
    "credits": ("кредитов", "点数"),
    "unknown": ("неизвестно", "未知"),
    "disabled": ("отключён", "已停用"),
}
"""What orders, invoices, refunds, subscriptions, codes and people are, as the books call it."""
ALL: Table = {**TROUBLES, **PAYMENTS, **STATES}


def told(language: str, words: str) -> str:
    """What is wrong, in this language; what nobody has translated stays English."""
    return phrases.told(language, words, ALL)
