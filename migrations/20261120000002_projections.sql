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

-- A workspace whose event a projection could not apply: it waits here, in order, while all others go on.
create table projection_parked (
    workspace_id uuid        not null,
    name         text        not null,
    position     bigint      not null,
    error        text        not null,
    parked_at    timestamptz not null,
    primary key (workspace_id, name)
);

grant select, insert, update, delete on projection_checkpoints to tenure_projector;
grant select on projection_checkpoints to tenure_service;
select protect_tenant_table('projection_parked', 'tenure_projector', 'select, insert, update, delete');
