/* pgmigrate-encoding: utf-8 */
-- What the Telegram bot has asked somebody and waits for: a yes, or a word. A button carries no more than a name of it.

-- In which language the bot speaks; null: in the language of their Telegram.
alter table telegram_admin add column locale text check (locale in ('en', 'ru', 'zh'));

-- "Sure?": what a yes would do, for the one who was asked, once, and not for long. back: where else the talk goes on.
create table telegram_confirmation (
    token text primary key,
    telegram_id bigint not null references telegram_admin (telegram_id) on delete cascade,
    menu text not null,
    act text not null,
    what jsonb not null,
    back text not null,
    expires_at timestamptz not null
);

create index telegram_confirmation_of on telegram_confirmation (telegram_id);

-- What somebody's next message means: the answer to a question of a menu.
create table telegram_prompt (
    telegram_id bigint primary key references telegram_admin (telegram_id) on delete cascade,
    menu text not null,
    question text not null,
    what jsonb not null,
    back text not null,
    expires_at timestamptz not null
);

-- A backup, or a drill, that somebody wants now. The archivist takes it at its next look.
create table backup_wish (
    kind text primary key check (kind in ('backup', 'drill')),
    actor text not null,
    wished_at timestamptz not null default now()
);

-- What came of trying a key out by hand.
alter table provider_key add column tried_at timestamptz;
alter table provider_key add column tried_words text not null default '';
