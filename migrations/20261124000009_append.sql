-- What an append costs: a key's row is found by a digest of fixed size, and a stream by its id first.

-- The id alone tells nearly all streams apart; every comparison on the way down the index began with the type.
alter table events drop constraint events_stream;
alter table events add constraint events_stream primary key (aggregate_id, aggregate_type, sequence);

-- Principal and key of up to hundreds of bytes made an index several times the size. Nothing asks for them but by both.
alter table idempotency rename to idempotency_by_name;
alter index idempotency_age rename to idempotency_by_name_age;
alter table idempotency_by_name rename constraint idempotency_pkey to idempotency_by_name_pkey;
create table idempotency (
    workspace_id uuid        not null,
    -- The first half of SHA-256 over the principal's length, the principal and the key.
    digest       uuid        not null,
    fingerprint  bytea       not null,
    answer       text        not null,
    position     bigint      not null,
    recorded_at  timestamptz not null,
    primary key (workspace_id, digest)
);
create index idempotency_age on idempotency using brin (recorded_at);
select protect_tenant_table('idempotency', 'tenure_appender', 'select, insert, delete');

set local role tenure_appender;
insert into idempotency (workspace_id, digest, fingerprint, answer, position, recorded_at)
select workspace_id,
       encode(substr(sha256(int8send(octet_length(principal)) || convert_to(principal, 'UTF8') || convert_to(key, 'UTF8')), 1, 16), 'hex')::uuid,
       fingerprint, answer, position, recorded_at
from idempotency_by_name;
set local role none;
drop table idempotency_by_name;
