/* pgmigrate-encoding: utf-8 */
-- What an order may say beyond prompt and size, what a provider is told beyond its address, and what comes before the picture.
-- Only adds: images that do not know these columns leave them at their defaults.

alter table generation
add column parameters jsonb not null default '{}',
add column partial_images smallint not null default 0;

-- The column is new, so there is nothing to scan.
-- squawk-ignore adding-foreign-key-constraint
alter table generation add column mask_upload_id uuid references upload (id);

comment on column generation.parameters is 'name to value, such as quality: "high"; only names among the options of its model';
comment on column generation.mask_upload_id is 'an upload whose transparent pixels are to be painted anew; of the first reference';
comment on column generation.partial_images is 'how many unfinished pictures the caller wants to see, from 0 to 3';

alter table model
add column options jsonb not null default '{}',
add column aliases text [] not null default '{}';

comment on column model.options is 'parameter name to its allowed values (a list), bounds ({"min", "max"}) or "text"';
comment on column model.aliases is 'other names under which callers ask for it';

alter table provider
add column settings jsonb not null default '{}',
add column is_local boolean not null default false;

comment on column provider.settings is 'what its painter wants to know, such as path: "chat"; each painter lists its own in its module';
comment on column provider.is_local is 'an operator''s own machine: its private address may be reached';

alter table attempt add column is_resumable boolean not null default false;

comment on column attempt.is_resumable is 'upstream_ref names a job over there that goes on without us';

-- Unfinished pictures for callers that stream. Unlogged: a crash may lose them, and nobody minds.
create unlogged table partial (
    job_id uuid not null,
    number smallint not null,
    mime text not null,
    data bytea not null check (length(data) <= 8388608),
    created_at timestamptz not null default now(),
    primary key (job_id, number)
);
