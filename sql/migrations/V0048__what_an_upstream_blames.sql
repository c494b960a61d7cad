/* pgmigrate-encoding: utf-8 */
-- Which parameter of the order an upstream blames. Only adds: images that do not know the column name none.

alter table attempt add column param text;

comment on column attempt.param is 'the parameter that the upstream says is wrong, in its own words; null: it named none';
