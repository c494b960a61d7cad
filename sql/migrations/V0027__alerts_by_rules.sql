/* pgmigrate-encoding: utf-8 */
-- Alerts by rules that are data, quiet hours, what was told of each trouble, and what processes measure.

create table alert_rule (
    code text primary key,
    is_on boolean not null default true,
    severity text not null check (severity in ('urgent', 'normal')),
    begins double precision,
    ends double precision,
    least integer check (least >= 1),
    within_seconds integer check (within_seconds >= 60),
    after_seconds integer not null default 0 check (after_seconds >= 0),
    calm_seconds integer not null default 0 check (calm_seconds >= 0),
    again_hours integer check (again_hours >= 1),
    changed_at timestamptz
);

comment on column alert_rule.begins is 'from where on it is a trouble, in the unit of its rule; null: there is nothing to set';
comment on column alert_rule.ends is 'from where on it is over: on the better side of begins, so that it does not flutter';
comment on column alert_rule.least is 'so many cases it takes; fewer are an odd one';
comment on column alert_rule.within_seconds is 'the window that is counted in';
comment on column alert_rule.after_seconds is 'so long it must last before somebody is told';
comment on column alert_rule.calm_seconds is 'so long it must be gone before it is over';
comment on column alert_rule.again_hours is 'said again after that while it lasts; null: once';

insert into alert_rule (code, severity, begins, ends, least, within_seconds, after_seconds, calm_seconds, again_hours)
values
('no_worker', 'urgent', 30, null, null, null, 0, 0, 4),
('queue_waits', 'urgent', 120, 60, null, null, 0, 0, 4),
('failure_rate', 'urgent', 30, 15, 20, 900, 0, 120, 4),
('model_cooled', 'urgent', 60, null, null, null, 0, 0, 4),
('balance_low', 'normal', 3, 4, null, null, 0, 0, null),
('key_lost', 'normal', null, null, null, null, 0, 0, null),
('proxy_dead', 'normal', 3, null, null, null, 0, 0, null),
('webhook_silence', 'normal', null, null, 3, 86400, 0, 0, null),
('unpaid_received', 'normal', null, null, null, null, 7200, 0, null),
('payment_to_decide', 'normal', null, null, null, null, 0, 0, null),
('ledger_wrong', 'urgent', null, null, null, null, 0, 0, 4),
('disk_full', 'urgent', 10, 15, null, null, 60, 60, 4),
('backup_old', 'normal', 26, null, null, null, 0, 0, 24),
('drill_old', 'normal', 8, null, null, null, 0, 0, null),
('certificate', 'normal', 14, 20, null, null, 0, 0, 24),
('clock_off', 'normal', 5, 2, null, null, 60, 60, null),
('schema_pending', 'normal', null, null, null, null, 300, 0, null),
('bot_conflict', 'normal', null, null, null, null, 0, 0, null),
('model_retiring', 'normal', 14, null, null, null, 0, 0, null),
('mails_wait', 'normal', 15, null, null, null, 0, 0, null),
('mails_refused', 'normal', null, null, 5, null, 0, 0, null);

-- The one row of this studio.
create table alert_times (
    one boolean primary key default true check (one),
    quiet_from time,
    quiet_to time,
    digest_at time default '08:00',
    time_zone text not null default 'UTC',
    mail_after_minutes integer not null default 10 check (mail_after_minutes between 1 and 1440),
    digest_on date not null default current_date,
    changed_at timestamptz,
    check ((quiet_from is null) = (quiet_to is null))
);

comment on column alert_times.digest_at is 'when the numbers of yesterday are told; null: never';
comment on column alert_times.digest_on is 'the last day that had its digest, in time_zone';
comment on column alert_times.mail_after_minutes is 'what Telegram has not taken for so long goes by mail';

insert into alert_times default values;

-- Seen, but not for long enough yet.
create table alert_pending (
    cause text primary key,
    since timestamptz not null default now()
);

alter table alert add column rule text not null default '';
alter table alert add column severity text not null default 'normal' check (severity in ('urgent', 'normal'));
alter table alert add column place text not null default '';
alter table alert add column button text not null default '';
alter table alert add column gone_at timestamptz;
alter table alert add column returns integer not null default 0;
alter table alert add column told text not null default '' check (told in ('', 'open', 'over'));
alter table alert add column told_returns integer not null default 0;
alter table alert add column messages integer not null default 0;
alter table alert add column is_held boolean not null default false;
alter table alert add column snoozed_until timestamptz;
alter table alert add column snoozed_by text not null default '';

comment on column alert.rule is 'its code in alert_rule; empty: seen by an older release';
comment on column alert.place is 'where it is mended: a path of this site';
comment on column alert.button is 'the same in the bot: what its button carries';
comment on column alert.gone_at is 'not seen since; it is over when it has been calm for long enough';
comment on column alert.returns is 'how often it came back within the hour, as part of the same trouble';
comment on column alert.told is 'what was said last';
comment on column alert.told_at is 'when somebody was last told that it is there, or that it keeps coming back';
comment on column alert.is_held is 'kept for the end of the quiet hours';

-- Alerts are few, hundreds in a year: it takes milliseconds.
-- squawk-ignore require-concurrent-index-creation
create index alert_of_cause on alert (cause, id);

-- What processes find out for the watchman: days that the certificate lasts, the schema that somebody waits for.
create table alert_reading (
    name text primary key,
    value double precision,
    words text not null default '',
    read_at timestamptz not null default now()
);

-- The last look at the books: the recent entries often, all of them by night.
create table books_check (
    scope text primary key check (scope in ('recent', 'whole')),
    checked_at timestamptz not null default now(),
    until_entry bigint not null default 0,
    broken integer not null default 0,
    cases jsonb not null default '[]'
);

alter table worker add column machine jsonb;
comment on column worker.machine is 'how far its clock is off, and how much room is where it keeps things';

alter table notice add column buttons jsonb;
comment on column notice.buttons is 'of a Telegram message: rows of buttons, each with text and data or url';

-- Those that Telegram did not take are looked for every few seconds; the outbox waits for its index for a moment.
-- squawk-ignore require-concurrent-index-creation
create index notice_of_alert on notice (created_at) where channel = 'telegram' and dedupe_key like 'alert %';
