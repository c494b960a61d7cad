/* pgmigrate-encoding: utf-8 */
-- Subscriptions that pause, end when asked to, change their plan, and tell of their end, each once.

alter table subscription add column paused_at timestamptz;
alter table subscription add column canceled_at timestamptz;
alter table subscription add column next_plan_id bigint;
alter table subscription add column changes_at timestamptz;
alter table subscription add column invoiced_end timestamptz;
alter table subscription add column reminded_end timestamptz;
alter table subscription add column reminded_hours integer;

alter table subscription add constraint subscription_next_plan foreign key (next_plan_id) references plan (id) not valid;

comment on column subscription.paused_at is 'its clock stands still since then: nobody orders, and the rest of the period is kept';
comment on column subscription.canceled_at is 'it ends with the period that is paid, and no invoice is made for another';
comment on column subscription.next_plan_id is 'the plan of the next cycle, where it is another';
comment on column subscription.changes_at is 'when the next plan begins; null: with the next cycle that is paid';
comment on column subscription.invoiced_end is 'the end for which the automatic invoice was made';
comment on column subscription.reminded_end is 'the end that was told of last';
comment on column subscription.reminded_hours is 'how many hours before that end: 168, 72 or 24';
