-- Where each projection stands, and what it could not read.

create table projection_checkpoints (
    name       text        not null,
    generation bigint      not null,
    version    integer     not null,
    position   bigint      not null,
    state      text        not null check (state in ('live', 'building')),
    moved_at   timestamptz not null,
    primary key (name, generation)
);
create unique index projection_checkpoints_live on projection_checkpoints (name) where state = 'live';
create unique index projection_checkpoints_building on projection_checkpoints (name) where state = 'building';

-- A workspace whose event a projection could not apply: it waits here, in order, while all others go on.
create table projection_parked (
    workspace_id uuid        not null,
    name         text        not null,
    generation   bigint      not null,
    -- The first event it could not apply; this one and all later ones of the workspace wait.
    position     bigint      not null,
    error        text        not null,
    parked_at    timestamptz not null,
    primary key (workspace_id, name, generation)
);

grant select, insert, update, delete on projection_checkpoints to tenure_projector;
grant select on projection_checkpoints to tenure_service;
select protect_tenant_table('projection_parked', 'tenure_projector', 'select, insert, update, delete');

-- Where a rebuild fills the next generation of a read model beside the one that serves, and where the old one goes.
create schema tenure_building;
create schema tenure_retired;
grant usage on schema tenure_building to tenure_projector;
