/* pgmigrate-encoding: utf-8 */
-- The key pool.

comment on table provider_key is 'a provider''s secret, sealed, and what is known of how it does';
