-- What is looked for by its age is forgotten by its age, too, and its room used again: of such a table a BRIN index soon
-- says of every page that it may hold something old, and each round of upkeep reads all of it.
drop index idempotency_age;
create index idempotency_age on idempotency (recorded_at);
drop index refused_attempts_by_age;
create index refused_attempts_by_age on refused_attempts (first_at);
drop index deliveries_by_age;
create index deliveries_by_end on deliveries (finished_at) where finished_at is not null;

-- Which endpoints' workspaces are gone is asked in every round, too.
create index webhook_targets_closing on webhook_targets (workspace_id, endpoint_id) where closing;

-- The few invitations that are open, among all there ever were.
create index invitations_open on invitations (workspace_id, created_at, invitation_id) where status = 'pending';

-- A workspace's own key among those of all its invitations.
drop index data_keys_of_workspace;
create index data_keys_of_workspace on data_keys (workspace_id, invitation_id, key_id);
