-- What goes out: mail and webhooks. None of it is a read model, and none is ever rebuilt: what was sent was sent.

-- How far each channel has come along the log. What happened before there was a channel is not sent.
create table delivery_checkpoints (
    channel  text   not null primary key,
    position bigint not null check (position >= 0)
);
insert into delivery_checkpoints (channel, position)
select channel, position from log_head, unnest(array['mail', 'webhook']) channel where id = 1;
grant select, update on delivery_checkpoints to tenure_projector;
-- Whether what is not there yet is still to come.
grant select on delivery_checkpoints to tenure_service;

-- Something to be delivered, or that was.
create table deliveries (
    workspace_id    uuid        not null,
    delivery_id     uuid        not null,
    channel         text        not null check (channel in ('mail', 'webhook')),
    -- What waits for each other, and for nobody else: an endpoint's deliveries, a workspace's mails.
    lane            uuid        not null,
    -- A webhook's is what the event is called outside, a mail's is its template.
    kind            text        not null,
    -- `event`, `test` or `redelivery`.
    trigger         text        not null,
    -- The event it tells of. Receivers know it again by its id.
    event_id        uuid        not null,
    position        bigint      not null,
    workspace_seq   bigint      not null,
    -- The user a mail goes to; none where it goes to the invited address.
    recipient       text,
    invitation_id   uuid,
    -- Which token the invitation's mail carries.
    generation      integer,
    -- `pending`, `delivered`, `failed` or `cancelled`.
    status          text        not null default 'pending',
    attempts        integer     not null default 0,
    -- When it is tried, or tried again should whoever is at it have died; none once it is over.
    next_attempt_at timestamptz,
    -- Why the last attempt failed, or why there is none.
    reason          text,
    created_at      timestamptz not null,
    finished_at     timestamptz,
    primary key (workspace_id, delivery_id),
    check ((status = 'pending') = (next_attempt_at is not null))
);
select protect_tenant_table('deliveries', 'tenure_projector', 'select, insert, update, delete');
create index deliveries_due on deliveries (channel, lane, next_attempt_at, position) where next_attempt_at is not null;
create index deliveries_next on deliveries (channel, next_attempt_at) where next_attempt_at is not null;
create index deliveries_of_lane on deliveries (workspace_id, lane, created_at, delivery_id);
create index deliveries_of_invitation on deliveries (workspace_id, invitation_id) where invitation_id is not null;
create index deliveries_by_age on deliveries using brin (created_at);

-- Each attempt, as the delivery log shows it.
create table delivery_attempts (
    workspace_id uuid        not null,
    delivery_id  uuid        not null,
    attempt      integer     not null,
    at           timestamptz not null,
    delivered    boolean     not null,
    -- What the receiver answered, if it did: an HTTP status, or an SMTP code.
    status       integer,
    reason       text,
    latency_ms   integer     not null,
    -- The first bytes of the reply, sealed; none of a private address.
    reply        text,
    primary key (workspace_id, delivery_id, attempt),
    foreign key (workspace_id, delivery_id) references deliveries on delete cascade
);
select protect_tenant_table('delivery_attempts', 'tenure_projector', 'select, insert, update, delete');

-- Where webhooks go, as the channel has come along the log. It outlives its workspace by the last delivery.
create table webhook_targets (
    workspace_id     uuid        not null,
    endpoint_id      uuid        not null,
    -- Sealed under a key of its own: the workspace's is gone when the end of the workspace is told.
    url              text        not null,
    events           text[]      not null,
    generation       integer     not null,
    previous_until   timestamptz,
    enabled          boolean     not null,
    -- Nothing is delivered of what happened before.
    created_position bigint      not null,
    -- Its workspace is gone: only what is pending is delivered.
    closing          boolean     not null default false,
    -- Since when every attempt has failed.
    failing_since    timestamptz,
    primary key (workspace_id, endpoint_id)
);
select protect_tenant_table('webhook_targets', 'tenure_projector', 'select, insert, update, delete');

-- The read model of what workspaces have set up.
create table webhook_endpoints (
    workspace_id   uuid        not null,
    endpoint_id    uuid        not null,
    url            text        not null,
    events         text[]      not null,
    description    text,
    generation     integer     not null,
    previous_until timestamptz,
    -- Why it is disabled: `requested`, `gone` or `failing`; none while it is enabled.
    disabled       text,
    created_by     text,
    sequence       bigint      not null,
    created_at     timestamptz not null,
    updated_at     timestamptz not null,
    primary key (workspace_id, endpoint_id)
);
select protect_tenant_table('webhook_endpoints', 'tenure_projector', 'select, insert, update, delete');
