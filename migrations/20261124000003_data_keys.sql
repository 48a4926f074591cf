-- The keys that personal data and workspaces' content are sealed with: one per workspace (a person's is that of the
-- personal workspace) and one per invitation. Each is wrapped by the master key, which is not in this database.
-- Destroying a key is what makes an erased person's history unreadable, here and in every copy of the log.
create table data_keys (
    key_id        uuid        not null primary key,
    workspace_id  uuid        not null,
    -- The invitation whose address it seals.
    invitation_id uuid,
    -- Keyed hash of that address, by which invitations to it are found.
    address_hash  bytea,
    -- Null once destroyed.
    wrapped       bytea,
    -- Which master key wraps it.
    wrapped_by    bytea       not null,
    created_at    timestamptz not null,
    destroyed_at  timestamptz,
    check ((wrapped is null) = (destroyed_at is not null)),
    check (wrapped is not null or address_hash is null)
);
create index data_keys_of_workspace on data_keys (workspace_id);
-- Global by design: whoever is erased was invited by anybody.
create index data_keys_of_address on data_keys (address_hash) where address_hash is not null;

-- What every other secret is derived from, wrapped like a data key, so that a new master key voids nothing.
create table root_key (
    id         integer primary key check (id = 1),
    wrapped    bytea   not null,
    wrapped_by bytea   not null
);

-- The service itself reads no key: only the keeper does. The appender adds and destroys them with the events.
alter table data_keys enable row level security;
alter table data_keys force row level security;
create policy keeper on data_keys to tenure_keeper using (true) with check (true);
create policy appender on data_keys to tenure_appender using (true) with check (true);
grant select, update (wrapped, wrapped_by) on data_keys to tenure_keeper;
grant insert, select (key_id, workspace_id, address_hash, destroyed_at),
    update (wrapped, address_hash, destroyed_at) on data_keys to tenure_appender;
grant select, insert, update on root_key to tenure_keeper;
grant select on log_head to tenure_keeper;

-- Read models that outlive an erasure keep what is sealed as it is; it is opened for whoever may read it.
-- With its stream known, what an entry says can be opened; who asked from where is one sealed text.
alter table audit_log
    add column aggregate_type text, add column aggregate_id text, add column origin text,
    drop column ip, drop column user_agent;
