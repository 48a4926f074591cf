-- Sessions lie in their user's personal workspace, whichever workspace they are in.

create table sessions (
    workspace_id      uuid        not null,
    session_id        uuid        not null,
    user_id           text        not null,
    -- The workspace the session is in.
    current_workspace uuid        not null,
    -- Which credentials are good.
    generation        integer     not null,
    started_at        timestamptz not null,
    expires_at        timestamptz not null,
    ended             boolean     not null,
    sequence          bigint      not null,
    updated_at        timestamptz not null,
    primary key (workspace_id, session_id)
);

select protect_tenant_table('sessions'::regclass, 'tenure_projector', 'select, insert, update, delete');

-- Where the user's last session was last: it is preferred at the next sign-in, and remembered also when the user no
-- longer belongs there, so that the sign-in can say so.
alter table users add column last_workspace_id uuid;
