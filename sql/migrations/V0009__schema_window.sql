/* pgmigrate-encoding: utf-8 */
-- Which images may run on this schema: those that know it, and older ones down to a bound. A migration that only adds
-- leaves the bound alone; one that takes away what older images use raises it.

create table schema_window (
    is_only boolean primary key default true check (is_only),
    min_image_head integer not null
);

comment on column schema_window.min_image_head is 'the oldest newest-migration that an image may carry and still run here';

insert into schema_window (min_image_head) values (9);
