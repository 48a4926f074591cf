-- Time travel: every aggregate as it stood from a position on. Rows are only ever added.

create table states (
    workspace_id   uuid        not null,
    -- The aggregate's type; or Profile, Counters or Visit, which copy what a read of the past needs at hand.
    kind           text        not null,
    -- A membership's is its user's id.
    id             text        not null,
    -- It stood so from here on, until the next row of the same key.
    from_position  bigint      not null,
    -- Where this life of it began: who joins again begins anew.
    since_position bigint      not null,
    -- The aggregate's after that event: the ETag.
    sequence       bigint      not null,
    recorded_at    timestamptz not null,
    -- What lists are sorted by; it never changes within a life.
    sorted_by      timestamptz not null,
    -- Ended, deleted or erased.
    gone           boolean     not null,
    -- As it was folded from the events as they are stored.
    state          json        not null,
    primary key (workspace_id, kind, id, from_position)
);
-- Lists go along the beginnings.
create index states_by_beginning on states (workspace_id, kind, sorted_by, id) where from_position = since_position;

-- In a user's personal workspace: every workspace the user ever joined, and where in the log that first was.
create table joined_workspaces (
    workspace_id   uuid   not null,
    member_of      uuid   not null,
    since_position bigint not null,
    primary key (workspace_id, member_of)
);

select protect_tenant_table(t::regclass, 'tenure_projector', 'select, insert, update, delete')
from unnest(array['states', 'joined_workspaces']) t;
