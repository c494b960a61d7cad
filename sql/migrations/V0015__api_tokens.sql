/* pgmigrate-encoding: utf-8 */
-- Orders from programs.

comment on column generation.idempotency_key is 'what the caller named the order; the same name gives the same order';
