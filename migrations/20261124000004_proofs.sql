-- Merkle trees (RFC 6962) over the events of every workspace, and the key their checkpoints are signed with.

-- With its event's leaf hash stand the hashes of all subtrees that the event completes, from the lowest up, 32 bytes each.
create table proof_nodes (
    workspace_id  uuid   not null,
    workspace_seq bigint not null,
    hashes        bytea  not null check (length(hashes) >= 32 and length(hashes) % 32 = 0),
    primary key (workspace_id, workspace_seq)
);
select protect_tenant_table('proof_nodes'::regclass, 'tenure_projector', 'select, insert, update, delete');

-- The signing key itself is outside of the database. What it signs under another name or with another key would be
-- another history, so both stay what they were at first.
create table audit_signing_key (
    id         integer primary key check (id = 1),
    name       text    not null,
    public_key bytea   not null check (length(public_key) = 32)
);
grant select, insert on audit_signing_key to tenure_appender;
