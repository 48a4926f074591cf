-- The event log, its head, the heads of the workspaces and the idempotency keys: everything one append writes.

create table events (
    position       bigint      not null check (position > 0),
    workspace_id   uuid        not null check (workspace_id <> '00000000-0000-0000-0000-000000000000'),
    workspace_seq  bigint      not null check (workspace_seq > 0),
    aggregate_type text        not null,
    aggregate_id   text        not null,
    sequence       bigint      not null check (sequence > 0),
    event_type     text        not null,
    event_version  text        not null,
    -- json, not jsonb: the exact text that was written is kept.
    payload        json        not null,
    metadata       json        not null,
    recorded_at    timestamptz not null,
    constraint events_stream primary key (aggregate_type, aggregate_id, sequence)
);
-- Global by design: the order of the whole log.
create unique index events_position on events (position);
create unique index events_workspace_seq on events (workspace_id, workspace_seq);

create function refuse_log_change() returns trigger language plpgsql as $$
begin
    raise exception 'the event log is append-only: % refused', tg_op using errcode = 'insufficient_privilege';
end $$;
create trigger events_append_only before update or delete or truncate on events
    for each statement execute function refuse_log_change();

-- A hint to the other processes; whoever misses it polls.
create function announce_append() returns trigger language plpgsql as $$
begin
    perform pg_notify('tenure_log', '');
    return null;
end $$;
create trigger events_announced after insert on events for each statement execute function announce_append();

-- Where the log ends. Every append moves it by compare-and-set on position and epoch; whoever takes over after a
-- failure raises the epoch, so that nothing a dead connection still carries can commit.
create table log_head (
    id          integer     primary key check (id = 1),
    position    bigint      not null,
    epoch       bigint      not null,
    recorded_at timestamptz not null
);
insert into log_head (id, position, epoch, recorded_at) values (1, 0, 1, '1970-01-01T00:00:00Z');

-- Per workspace: the last workspace_seq, and the counters that many may move at once.
create table workspace_heads (
    workspace_id uuid    primary key,
    seq          bigint  not null,
    seats        integer not null check (seats >= 0),
    code_uses    integer not null check (code_uses >= 0)
);

-- One row per acknowledged request that carried an Idempotency-Key. The nil workspace stands for "none in the path".
create table idempotency (
    workspace_id uuid        not null,
    principal    text        not null,
    key          text        not null,
    fingerprint  bytea       not null,
    answer       text        not null,
    position     bigint      not null,
    recorded_at  timestamptz not null,
    primary key (workspace_id, principal, key)
);
create index idempotency_age on idempotency using brin (recorded_at);

-- A tenant table: readable by the service only within one workspace, which a transaction must name.
-- An unnamed workspace is an error, not zero rows. The writer roles see all tenants, the service never does.
create function protect_tenant_table(tenant_table regclass, writer name, writer_rights text) returns void
language plpgsql as $$
begin
    execute format('alter table %s enable row level security', tenant_table);
    execute format('alter table %s force row level security', tenant_table);
    execute format('create policy one_workspace on %s for select to tenure_service
        using (workspace_id = current_setting(''tenure.workspace'')::uuid)', tenant_table);
    execute format('create policy writer on %s to %I using (true) with check (true)', tenant_table, writer);
    execute format('grant select on %s to tenure_service', tenant_table);
    execute format('grant %s on %s to %I', writer_rights, tenant_table, writer);
end $$;

select protect_tenant_table('events', 'tenure_appender', 'select, insert');
create policy reader on events for select to tenure_projector using (true);
grant select on events to tenure_projector;
select protect_tenant_table('workspace_heads', 'tenure_appender', 'select, insert, update');
select protect_tenant_table('idempotency', 'tenure_appender', 'select, insert, delete');
grant select on log_head to tenure_service, tenure_projector;
grant select, update on log_head to tenure_appender;
