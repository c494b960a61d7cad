/* pgmigrate-encoding: utf-8 */
-- A web that is gone, a bot that is gone or hears nothing are told, and who takes the bot's updates away is told at night, too.

insert into alert_rule (code, severity, begins, calm_seconds, again_hours) values
('no_web', 'urgent', 60, 60, 4),
('no_bot', 'urgent', 60, 60, 4),
('bot_deaf', 'urgent', null, 60, 4)
on conflict (code) do nothing;

update alert_rule set severity = 'urgent' where code = 'bot_conflict' and changed_at is null;
