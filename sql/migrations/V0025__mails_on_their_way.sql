/* pgmigrate-encoding: utf-8 */
-- Each mail comes back in its own time, so that one slow domain holds up nobody else.

alter table notice add column attempts integer not null default 0;
alter table notice add column next_at timestamptz;

comment on column notice.attempts is 'of a mail: how often somebody set out with it; the last one who did may say what became of it';
comment on column notice.next_at is 'of a mail: not before then; null: at once';
