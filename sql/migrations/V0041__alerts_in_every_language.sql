/* pgmigrate-encoding: utf-8 */
-- An alert keeps the parts of its sentence, and the bot remembers in which language somebody's Telegram is.

alter table alert add column said jsonb;
comment on column alert.said is 'its words as a sentence with places and what stands in them; null: words alone';

alter table telegram_admin add column spoken text not null default '';
comment on column telegram_admin.spoken is 'the language of their Telegram, where they chose none in locale; empty: not known yet';

alter table telegram_pairing add column spoken text not null default '';
comment on column telegram_pairing.spoken is 'the language of their Telegram';
