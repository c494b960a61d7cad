/* pgmigrate-encoding: utf-8 */
-- How far a broadcast to a hundred thousand people is, without reading all that ever went out.

-- What of it is under way or failed; all else has arrived. The outbox waits for its index for a moment.
-- squawk-ignore require-concurrent-index-creation
create index notice_of_broadcast on notice (dedupe_key) where sent_at is null and dedupe_key like 'broadcast %';
