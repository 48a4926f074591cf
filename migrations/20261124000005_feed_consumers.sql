-- Readers of the feeds that keep their place with the service. Those of the whole log lie in the installation's
-- workspace. Not a read model: no event tells how far a reader has come.

create table feed_consumers (
    workspace_id uuid        not null,
    name         text        not null,
    -- The last event it is done with: a workspace_seq, and a position for those of the whole log.
    checkpoint   bigint      not null check (checkpoint >= 0),
    sequence     bigint      not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    primary key (workspace_id, name)
);
select protect_tenant_table('feed_consumers', 'tenure_projector', 'select, insert, update, delete');
