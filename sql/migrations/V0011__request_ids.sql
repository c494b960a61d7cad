/* pgmigrate-encoding: utf-8 */
-- Which request asked for it, so that the log, and a trace, can be followed from the web to the worker and the bot.
-- Only adds: images that do not know these columns leave them empty.

alter table generation add column request_id text, add column traceparent text;
alter table notice add column request_id text, add column traceparent text;

comment on column generation.request_id is 'X-Request-Id of the order, as in the log; null: nobody asked over HTTP';
comment on column generation.traceparent is 'the step of the order''s trace, as W3C Trace Context writes it; null: not traced';
comment on column notice.request_id is 'the request, or the bot''s update, that caused it; null: nobody asked';
comment on column notice.traceparent is 'as in generation';
