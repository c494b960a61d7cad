"""What sql/ refuses, in Russian and in Chinese: by the English sentence, as it is raised."""

from __future__ import annotations

from limner.runtime.phrases import Table

WORDS: Table = {
    "There is nothing here, or it is not yours.": (
        "Здесь ничего нет, или это не ваше.",
        "这里没有内容，或不属于您。",
    ),
    # people
    "An admin cannot be banned: take the role away first.": (
        "Администратора нельзя заблокировать: сначала заберите роль.",
        "不能封禁管理员：请先取消其角色。",
    ),
    "There is no such account.": ("Такого аккаунта нет.", "没有此账户。"),
    "Zero credits change nothing.": ("Ноль кредитов ничего не меняет.", "零点数不会改变任何东西。"),
    "At most {most} credits at a time, not {credits}.": (
        "Не больше {most} кредитов за раз, а не {credits}.",
        "每次最多 {most} 点数，而不是 {credits}。",
    ),
    "There are not enough credits left in this period for that.": (
        "В этом периоде для этого осталось мало кредитов.",
        "本周期剩余点数不足。",
    ),
    "Who works in the admin gets a link from the server's console alone: limner user reset-link.": (
        "Сотрудники админки получают ссылку только с консоли сервера: limner user reset-link.",
        "管理人员的链接只能从服务器控制台获取：limner user reset-link。",
    ),
    "This account is banned or gone.": ("Этот аккаунт заблокирован или удалён.", "此账户已被封禁或已删除。"),
    "This link was used already, is too old, or was replaced by a newer one. Ask for a new one.": (
        "Эта ссылка уже использована, устарела или заменена новой. Запросите новую.",
        "此链接已使用、已过期或已被新链接取代。请重新获取。",
    ),
    # broadcasts
    "A subject is one line.": ("Тема — это одна строка.", "主题只能是一行。"),
    "The {part} in {language} is missing.": (
        "Не хватает текста: {part}, {language}.",
        "缺少内容：{part}（{language}）。",
    ),
    "The {part} has at most {most} characters, not {n}.": (
        "{part}: не больше {most} знаков, а не {n}.",
        "{part}最多 {most} 个字符，而不是 {n} 个。",
    ),
    "subject": ("тема", "主题"),
    "body": ("текст", "正文"),
    "There is no segment {segment}: {names}.": (
        "Нет сегмента {segment}: есть {names}.",
        "没有分组 {segment}：可选 {names}。",
    ),
    "A plan is chosen for the segment of a certain plan, and only for that.": (
        "Тариф выбирают только для сегмента с определённым тарифом, и там он обязателен.",
        "只有“指定套餐”分组需要、且必须选择套餐。",
    ),
    "From 1 to {most} a minute, not {n}.": ("От 1 до {most} в минуту, а не {n}.", "每分钟 1 到 {most}，而不是 {n}。"),
    "The English text is missing: who has no other language gets it.": (
        "Нет английского текста: его получают все, для кого нет другого языка.",
        "缺少英文文本：没有其他语言的用户会收到它。",
    ),
    "There is no language {language} here.": ("Языка {language} здесь нет.", "这里没有语言 {language}。"),
    "There is no such broadcast.": ("Такой рассылки нет.", "没有此群发。"),
    "It was not begun yet.": ("Она ещё не начата.", "尚未开始。"),
    "It is being sent already.": ("Она уже отправляется.", "已在发送中。"),
    "It was stopped.": ("Она остановлена.", "已停止。"),
    "Everybody has it already.": ("Её уже все получили.", "所有人都已收到。"),
    "No mail server is set up, so nobody would get it.": (
        "Почтовый сервер не настроен: её никто не получит.",
        "未设置邮件服务器，没有人会收到。",
    ),
    "It was changed meanwhile: look at it again.": (
        "Её тем временем изменили: посмотрите снова.",
        "内容已被修改：请重新查看。",
    ),
    "There is nobody in this segment.": ("В этом сегменте никого нет.", "此分组中没有人。"),
    "By now it would go to {now} people, not {people}: look at it again.": (
        "Теперь получателей было бы {now}, а не {people}: посмотрите снова.",
        "现在收件人将是 {now} 人，而不是 {people} 人：请重新查看。",
    ),
    # codes
    "A code has from 3 to {most} letters and digits, not {word}.": (
        "В коде от 3 до {most} букв и цифр, а не {word}.",
        "优惠码应有 3 到 {most} 个字母或数字，而不是 {word}。",
    ),
    "A code gives {kinds}, not {given}.": (
        "Код даёт {kinds}, а не {given}.",
        "优惠码的内容可以是 {kinds}，而不是 {given}。",
    ),
    "Of {kind} a code gives from 1 to {most}, not {n}.": (
        "Код даёт от 1 до {most} ({kind}), а не {n}.",
        "优惠码的 {kind} 为 1 到 {most}，而不是 {n}。",
    ),
    "A code can be used at least once, and by one account at most 1000 times.": (
        "Код можно использовать хотя бы раз, а одному аккаунту — не больше 1000 раз.",
        "优惠码至少可用一次，每个账户最多 1000 次。",
    ),
    "There is a code that reads like this one already.": (
        "Уже есть код, который читается так же.",
        "已有一个看起来相同的优惠码。",
    ),
    "There is no such code.": ("Такого кода нет.", "没有此优惠码。"),
    "This code is stopped already.": ("Этот код уже остановлен.", "此优惠码已停用。"),
    "This code adds to a plan, and you have none that is open. Choose one first.": (
        "Этот код добавляет к тарифу, а открытого тарифа нет. Сначала нужно выбрать тариф.",
        "此优惠码用于补充套餐，但当前没有有效套餐。请先选择套餐。",
    ),
    # keys and accounts at providers
    'No key of {provider} belongs to the account {account}; a key without a group is "key ID".': (
        "Ни один ключ {provider} не относится к счёту {account}; ключ без группы называется «key ID».",
        "{provider} 没有属于账户 {account} 的密钥；没有分组的密钥写作“key ID”。",
    ),
    "There is no such key.": ("Такого ключа нет.", "没有此密钥。"),
    "A balance is between zero and ten million dollars.": (
        "Баланс — от нуля до десяти миллионов долларов.",
        "余额应在零到一千万美元之间。",
    ),
    "This provider tells what is left by itself.": (
        "Этот провайдер сам сообщает, сколько осталось.",
        "此服务商会自行报告余额。",
    ),
    "Only a key that paints, or rests, can be put to rest.": (
        "На отдых можно отправить только ключ, который рисует или отдыхает.",
        "只有正在绘制或休息的密钥才能设为休息。",
    ),
    "A key can be set to active or disabled by hand, not to {state}.": (
        "Вручную ключ можно только включить или отключить, но не перевести в «{state}».",
        "密钥只能手动设为启用或停用，不能设为 {state}。",
    ),
    # payments
    "Something else came up meanwhile: {words}": (
        "Тем временем возникло другое: {words}",
        "在此期间又出现了新问题：{words}",
    ),
    "There is no such invoice, or it is not yours.": ("Такого счёта нет, или он не ваш.", "没有此账单，或不属于您。"),
    "What was to be decided about it is decided by now: look again.": (
        "То, что нужно было решить, уже решено: посмотрите ещё раз.",
        "待定事项已处理：请再看一次。",
    ),
    "The invoice is {state} by now: look again.": (
        "Счёт уже в состоянии «{state}»: посмотрите ещё раз.",
        "此账单现为“{state}”：请再看一次。",
    ),
    "What goes back, or is taken back, is another amount by now: look again.": (
        "Сумма возврата или число снимаемых кредитов уже другие: посмотрите ещё раз.",
        "退款金额或收回的点数现已不同：请再看一次。",
    ),
    "There is nothing to decide about this invoice.": ("По этому счёту решать нечего.", "此账单无需处理。"),
    "The account of this invoice is deleted: nothing can be bought for it any more.": (
        "Аккаунт этого счёта удалён: для него больше ничего нельзя купить.",
        "此账单的账户已删除：无法再为其购买。",
    ),
    "The invoice is paid; it cannot be marked paid again.": (
        "Счёт оплачен; ещё раз отметить его нельзя.",
        "账单已付款，不能再次标记。",
    ),
    "The invoice was marked paid by hand: give the money back by hand, too.": (
        "Счёт отмечен оплаченным вручную: и деньги верните вручную.",
        "此账单是手动标记为已付的：请同样手动退款。",
    ),
    "The invoice is {state}; it cannot be paid back.": (
        "Счёт в состоянии «{state}»: вернуть деньги нельзя.",
        "账单状态为“{state}”，无法退款。",
    ),
    "There is nothing to give back: nothing was received, or it went back.": (
        "Возвращать нечего: ничего не пришло или уже возвращено.",
        "没有可退款项：未收到款项，或已退还。",
    ),
    "The invoice is paid back already, or about to be.": (
        "Деньги по этому счёту уже возвращены или возвращаются.",
        "此账单已退款，或正在退款。",
    ),
    "There is no such plan, or it is not sold any more.": (
        "Такого тарифа нет, или он больше не продаётся.",
        "没有此套餐，或已停售。",
    ),
    # pictures
    "It is not over yet: wait for its end.": ("Ещё не закончено: дождитесь конца.", "尚未结束：请等待完成。"),
    "Its owner is banned or gone.": ("Владелец заблокирован или удалён.", "其所有者已被封禁或已删除。"),
    "Nothing of it failed.": ("Ничего не сорвалось.", "没有失败的图片。"),
    "It was painted again already.": ("Уже нарисовано повторно.", "已重新绘制过。"),
    "This was painted again once. Its owner has the credits, and can order it.": (
        "Это уже повторный заказ. Кредиты у владельца, он может заказать сам.",
        "这已是一次重新绘制。点数在所有者手中，可自行下单。",
    ),
    "Please say what to paint.": ("Напишите, что нарисовать.", "请说明要绘制的内容。"),
    "A prompt has at most {most} characters, not {n}.": (
        "В описании не больше {most} знаков, а не {n}.",
        "提示词最多 {most} 个字符，而不是 {n} 个。",
    ),
    "The prompt has characters that are not text.": (
        "В описании есть знаки, которые не являются текстом.",
        "提示词中含有非文本字符。",
    ),
    "From 1 to {most} pictures at a time, not {n}.": (
        "От 1 до {most} картинок за раз, а не {n}.",
        "每次 1 到 {most} 张图片，而不是 {n} 张。",
    ),
    "At most {most} reference pictures.": ("Не больше {most} картинок-образцов.", "参考图片最多 {most} 张。"),
    "A reference picture is not there any more, or is not yours.": (
        "Картинки-образца больше нет, или она не ваша.",
        "参考图片已不存在，或不属于您。",
    ),
    "This idempotency key was used for another order.": (
        "Этот ключ идемпотентности уже использован для другого заказа.",
        "此幂等键已用于另一个订单。",
    ),
    "{model} paints {offered}, not {size}.": (
        "{model} рисует {offered}, а не {size}.",
        "{model} 可绘制 {offered}，而不是 {size}。",
    ),
    "{model} does not take reference pictures.": (
        "{model} не принимает картинки-образцы.",
        "{model} 不接受参考图片。",
    ),
    "A size looks like 1024x1024, not {size}.": (
        "Размер выглядит как 1024x1024, а не {size}.",
        "尺寸形如 1024x1024，而不是 {size}。",
    ),
    "There is no model {model} on offer.": ("Модель {model} не предлагается.", "没有提供模型 {model}。"),
    "Your plan does not include {model}.": ("В тариф не входит {model}.", "套餐不包含 {model}。"),
    "Painting needs a plan. Choose one, and you can begin at once.": (
        "Чтобы рисовать, нужен тариф. Выберите его — и можно начинать.",
        "绘制需要套餐。选择一个即可立即开始。",
    ),
    "Your plan has ended. Renew it, and you can go on at once.": (
        "Тариф закончился. После продления можно сразу продолжить.",
        "套餐已结束。续订后即可继续。",
    ),
    "Your plan is paused. The days that are left of it are kept; whoever runs this place lets it go on.": (
        "Тариф на паузе. Оставшиеся дни сохранены; возобновляет его тот, кто ведёт студию.",
        "套餐已暂停。剩余天数会保留；由工作室运营者恢复。",
    ),
    "{words} It opens again on {opens} UTC.": ("{words} Снова можно {opens} UTC.", "{words}{opens} UTC 后恢复。"),
    "There is no such picture.": ("Такой картинки нет.", "没有此图片。"),
    "There is no such picture, or it is not yours.": (
        "Такой картинки нет, или она не ваша.",
        "没有此图片，或不属于您。",
    ),
    "This picture was taken down.": ("Эта картинка снята.", "此图片已下架。"),
    "This picture was taken down: {reason}": ("Эта картинка снята: {reason}", "此图片已下架：{reason}"),
    "This picture is taken down already.": ("Эта картинка уже снята.", "此图片已下架。"),
    "This picture is not taken down.": ("Эта картинка не снята.", "此图片未下架。"),
    "This picture was deleted, by its owner or because its time was over.": (
        "Эта картинка удалена: владельцем или по истечении срока.",
        "此图片已被所有者删除，或已到期删除。",
    ),
    "The reason is missing: the owner of the picture reads it.": (
        "Нет причины: её прочтёт владелец картинки.",
        "缺少理由：图片所有者会看到它。",
    ),
    "The reason has at most {most} characters, not {n}.": (
        "В причине не больше {most} знаков, а не {n}.",
        "理由最多 {most} 个字符，而不是 {n} 个。",
    ),
    # alerts
    "An alert sleeps for 1 to {most} hours, not {hours}.": (
        "Тревогу можно отложить на 1–{most} ч, а не на {hours}.",
        "警报可暂停 1 到 {most} 小时，而不是 {hours}。",
    ),
    "It is over: there is nothing to be quiet about.": (
        "Всё уже закончилось: откладывать нечего.",
        "已结束：无需暂停提醒。",
    ),
}
