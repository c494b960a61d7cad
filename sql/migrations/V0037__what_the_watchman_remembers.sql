/* pgmigrate-encoding: utf-8 */
-- The audit's chain has a rule of its own; what waits to be told knows its rule; broken books are looked at again by name.

insert into alert_rule (code, severity, again_hours) values ('audit_broken', 'urgent', 4) on conflict (code) do nothing;

alter table alert_pending add column rule text not null default '';
comment on column alert_pending.rule is 'its code in alert_rule; empty: seen by an older release';

alter table books_check add column again jsonb not null default '{}';
comment on column books_check.again is 'the accounts, jobs and invoices that were found broken, which the next look looks at again';

-- Whether an alert went by mail is asked every few seconds; the outbox waits for its index for a moment.
-- squawk-ignore require-concurrent-index-creation
create index notice_of_alert_by_mail on notice (dedupe_key) where channel = 'mail' and dedupe_key like 'alert %';
