/* pgmigrate-encoding: utf-8 */
-- What an invoice is for, and what was taken off its price.

alter table invoice add column purpose text not null default 'plan' check (purpose in ('plan', 'renewal', 'change', 'gift'));
alter table invoice add column discount_cents bigint not null default 0 check (discount_cents >= 0);
alter table invoice add column details jsonb not null default '{}';

comment on column invoice.purpose is 'plan: a cycle that somebody bought; renewal: the automatic one before a period ends; change: to a dearer plan, pro rata; gift: a code for somebody else';
comment on column invoice.discount_cents is 'what a code took off: amount_cents is what is left to pay';
comment on column invoice.details is 'what its purpose needs: the code, the change, the gift';
