/* pgmigrate-encoding: utf-8 */
-- What somebody let go is told from what was refused: no mail goes in its place. And a web or a bot is missed once it had the
-- time to give a sign of life after an outage of the database. Only adds: images that do not know the column never set it.

alter table notice add column let_go_at timestamptz;

comment on column notice.let_go_at is 'when somebody decided that it is never sent, which failed_at says as well';

update alert_rule set after_seconds = 15 where code in ('no_web', 'no_bot') and after_seconds = 0 and changed_at is null;
