-- Roles of a workspace's own, plans, the products' permissions and API keys, as read models.

alter table workspaces add column plan text not null default 'free';
-- The workspace's own roles: {name: {description, permissions}}.
alter table workspaces add column roles jsonb not null default '{}';
alter table workspace_labels add column plan text not null default 'free';
alter table user_workspaces add column plan text not null default 'free';

-- The catalogue lies in the installation's workspace.
create table permissions (
    workspace_id uuid        not null,
    permission   text        not null,
    description  text,
    granted_to   text[]      not null,
    sequence     bigint      not null,
    created_at   timestamptz not null,
    updated_at   timestamptz not null,
    primary key (workspace_id, permission)
);

create table api_keys (
    workspace_id   uuid        not null,
    key_id         uuid        not null,
    name           text        not null,
    hint           text        not null,
    -- Of the secret, and of the one before it, which is good until the overlap ends.
    hash           text        not null,
    previous_hash  text,
    previous_until timestamptz,
    permissions    text[]      not null,
    expires_at     timestamptz,
    networks       text[]      not null,
    networks_seen  text[]      not null,
    created_by     text,
    revoked_at     timestamptz,
    sequence       bigint      not null,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    primary key (workspace_id, key_id)
);
-- Global by design: a key says nothing of the workspace it belongs to.
create index api_keys_by_hash on api_keys (hash);
create index api_keys_by_previous_hash on api_keys (previous_hash) where previous_hash is not null;

select protect_tenant_table(t::regclass, 'tenure_projector', 'select, insert, update, delete')
from unnest(array['permissions', 'api_keys']) t;

-- When a key was last used, to the hour. Not a read model: no event tells of each use.
create table api_key_uses (
    workspace_id uuid        not null,
    key_id       uuid        not null,
    last_used_at timestamptz not null,
    primary key (workspace_id, key_id)
);
select protect_tenant_table('api_key_uses', 'tenure_projector', 'select, insert, update, delete');
