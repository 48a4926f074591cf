-- The read models. `workspace_id` leads every key; `sequence` is the aggregate's, and the ETag.

create table workspaces (
    workspace_id      uuid        primary key,
    kind              text        not null,
    name              text        not null,
    slug              text,
    description       text,
    image_url         text,
    website           text,
    phone             text,
    social            jsonb       not null,
    owner_id          text        not null,
    suspended_since   timestamptz,
    suspension_reason text,
    archived          boolean     not null,
    seats_used        integer     not null,
    seats_limit       integer     not null,
    code_generation   integer,
    code_role         text,
    code_max_uses     integer,
    code_uses         integer     not null,
    code_expires_at   timestamptz,
    code_issued_at    timestamptz,
    sequence          bigint      not null,
    created_at        timestamptz not null,
    updated_at        timestamptz not null
);

-- Who takes no seat although a member: what a membership was when it ends, for workspaces.seats_used.
create table deactivated_members (
    workspace_id uuid not null,
    user_id      text not null,
    primary key (workspace_id, user_id)
);

create table members (
    workspace_id  uuid        not null,
    user_id       text        not null,
    -- What the member is now; recorded_role is what the membership says, which counts when ownership moves.
    role          text        not null,
    recorded_role text        not null,
    is_owner      boolean     not null,
    deactivated   boolean     not null,
    email         text,
    name          text,
    joined_at     timestamptz not null,
    expires_at    timestamptz,
    sequence      bigint      not null,
    updated_at    timestamptz not null,
    primary key (workspace_id, user_id)
);
create index members_by_joining on members (workspace_id, joined_at, user_id);
create index members_by_email on members (workspace_id, email);
-- Global by design: a changed profile reaches every membership of its user.
create index members_by_user on members (user_id);
create index members_by_expiry on members (expires_at) where expires_at is not null;

-- What the members projection knows of people, kept in their personal workspace.
create table member_profiles (
    workspace_id uuid primary key,
    email        text,
    name         text
);

create table invitations (
    workspace_id  uuid        not null,
    invitation_id uuid        not null,
    email         text        not null,
    role          text        not null,
    status        text        not null,
    invited_by    text,
    accepted_by   text,
    expires_at    timestamptz not null,
    generation    integer     not null,
    notify        boolean     not null,
    sequence      bigint      not null,
    created_at    timestamptz not null,
    updated_at    timestamptz not null,
    primary key (workspace_id, invitation_id)
);
create index invitations_by_creation on invitations (workspace_id, created_at, invitation_id);
create index invitations_by_email on invitations (workspace_id, email);

-- A user lies in the personal workspace that bears the user's id.
create table users (
    workspace_id   uuid        primary key,
    user_id        text        not null,
    email          text,
    email_verified boolean     not null,
    name           text,
    status         text        not null,
    sequence       bigint      not null,
    created_at     timestamptz not null,
    updated_at     timestamptz not null
);

-- Global by design: an erasure that was cut off is found whoever's it is.
create index users_erasing on users (updated_at) where status = 'erasing';

-- The switcher: in a user's personal workspace, every workspace the user belongs to.
create table user_workspaces (
    workspace_id  uuid        not null,
    member_of     uuid        not null,
    kind          text        not null,
    name          text        not null,
    slug          text,
    suspended     boolean     not null,
    archived      boolean     not null,
    role          text        not null,
    recorded_role text        not null,
    is_owner      boolean     not null,
    deactivated   boolean     not null,
    joined_at     timestamptz not null,
    expires_at    timestamptz,
    last_used_at  timestamptz,
    primary key (workspace_id, member_of)
);
-- Global by design: a renamed workspace reaches every switcher it stands in.
create index user_workspaces_by_workspace on user_workspaces (member_of);

-- What the users projection knows of workspaces, for the rows it is about to write.
create table workspace_labels (
    workspace_id uuid    primary key,
    kind         text    not null,
    name         text    not null,
    slug         text,
    suspended    boolean not null,
    archived     boolean not null
);

create table audit_log (
    workspace_id   uuid        not null,
    workspace_seq  bigint      not null,
    position       bigint      not null,
    time           timestamptz not null,
    actor_type     text        not null,
    actor_id       text,
    via            text,
    action         text        not null,
    target_type    text        not null,
    target_id      text        not null,
    changes        jsonb       not null,
    reason         text,
    ip             text,
    user_agent     text,
    request_id     text,
    correlation_id text,
    causation_id   text,
    primary key (workspace_id, workspace_seq)
);

select protect_tenant_table(t::regclass, 'tenure_projector', 'select, insert, update, delete')
from unnest(array['workspaces', 'deactivated_members', 'members', 'member_profiles', 'invitations', 'users',
                  'user_workspaces', 'workspace_labels', 'audit_log']) t;
