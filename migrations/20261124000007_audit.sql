-- What was commanded belongs to an entry; and filters reach what they ask for without reading the whole log.
alter table audit_log add column command text;
create index audit_log_by_actor on audit_log (workspace_id, actor_id, workspace_seq);
create index audit_log_by_target on audit_log (workspace_id, target_id, workspace_seq);
create index audit_log_by_action on audit_log (workspace_id, action text_pattern_ops, workspace_seq);
create index audit_log_by_time on audit_log (workspace_id, time, workspace_seq);

-- Attempts that were refused: no event tells of them, for nothing happened. Equal ones within a minute are one row.
create table refused_attempts (
    workspace_id   uuid        not null,
    attempt_id     uuid        not null,
    -- Where the workspace's history and the log ended when it happened.
    workspace_seq  bigint      not null,
    position       bigint      not null,
    first_at       timestamptz not null,
    last_at        timestamptz not null,
    -- How often.
    count          bigint      not null check (count > 0),
    action         text        not null,
    -- `unknown` where nobody was made out.
    actor_type     text        not null,
    actor_id       text,
    via            text,
    target_type    text        not null,
    target_id      text        not null,
    code           text        not null,
    permission     text,
    command        text,
    -- Of the first: address and user agent, sealed; and what ties it to the caller's own records.
    origin         text,
    request_id     text,
    correlation_id text,
    primary key (workspace_id, attempt_id)
);
create index refused_attempts_in_order on refused_attempts (workspace_id, workspace_seq, first_at, attempt_id);
create index refused_attempts_by_age on refused_attempts using brin (first_at);
select protect_tenant_table('refused_attempts', 'tenure_projector', 'select, insert, update, delete');
