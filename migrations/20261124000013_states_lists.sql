-- Only memberships and invitations are listed by when they began; of the states of anything else nobody makes a list.
drop index states_by_beginning;
create index states_by_beginning on states (workspace_id, kind, sorted_by, id)
    where from_position = since_position and kind in ('Membership', 'Invitation');
