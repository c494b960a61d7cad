/* pgmigrate-encoding: utf-8 */
-- Lists that admins look through by day, by kind and by account, however long they have become.
-- Only adds: images that do not know these indexes keep them up all the same.

-- A second for each million entries, which orders wait for. New entries come at the end of both.
-- squawk-ignore require-concurrent-index-creation
create index ledger_recent on ledger_entry (created_at, id);
-- What is neither ordered nor charged is rare among pictures, and would be looked for among all of them.
-- squawk-ignore require-concurrent-index-creation
create index ledger_rare on ledger_entry (kind, created_at, id) where kind not in ('reserve', 'settle');

-- These are few, thousands where pictures are millions.
-- squawk-ignore require-concurrent-index-creation
create index subscription_recent on subscription (created_at, id);
-- squawk-ignore require-concurrent-index-creation
create index subscription_of_account on subscription (account_id, created_at);
-- squawk-ignore require-concurrent-index-creation
create index session_recent on session (created_at, id);
-- squawk-ignore require-concurrent-index-creation
create index audit_action on audit (action, id);
