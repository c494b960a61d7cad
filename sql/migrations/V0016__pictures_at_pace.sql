/* pgmigrate-encoding: utf-8 */
-- From the painter's answer to "delivered" without a detour.

comment on column image.thumb_key is 'where the small one lies';
