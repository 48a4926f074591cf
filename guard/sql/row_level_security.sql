-- Row level security for a service's own tables, by the workspace that its transaction names:
--
--     create table invoices (workspace_id uuid not null, id uuid not null, ..., primary key (workspace_id, id));
--     select tenure_protect('invoices', 'invoices_app');
--
-- From then on a query without a workspace is an error, not zero rows, and one whose `where` was forgotten sees one
-- workspace. To be run by the tables' owner; may be run again at any time. PostgreSQL 11 or later.

-- Protects a table that has `workspace_id uuid not null`, and lets the role `app_role` read and write it.
create or replace function tenure_protect(protected regclass, app_role name) returns void
language plpgsql as $$
declare
    one_workspace constant text := 'workspace_id = current_setting(''tenure.workspace'')::uuid';
begin
    if not exists (select from pg_catalog.pg_attribute
                   where attrelid = protected and attname = 'workspace_id' and not attisdropped
                     and atttypid = 'pg_catalog.uuid'::regtype and attnotnull) then
        raise exception 'table % has no column "workspace_id uuid not null"', protected;
    end if;
    -- Such a role would pass by row level security, or could switch it off.
    if exists (select from pg_catalog.pg_roles where rolname = app_role and (rolsuper or rolbypassrls)) then
        raise exception 'role % is not bound by row level security', app_role;
    end if;
    if exists (select from pg_catalog.pg_class where oid = protected and pg_has_role(app_role, relowner, 'member')) then
        raise exception 'role % may act as the owner of table %', app_role, protected
            using hint = 'Let one role own the tables and another one, that is no member of it, work on them.';
    end if;

    execute format('alter table %s enable row level security', protected);
    -- The owner, too: what a migration forgets would be forgotten for everybody.
    execute format('alter table %s force row level security', protected);
    -- Restrictive: a policy of your own can narrow what is seen, and never widen it.
    execute format('drop policy if exists tenure_workspace on %s', protected);
    execute format('create policy tenure_workspace on %s as restrictive using (%s) with check (%s)',
                   protected, one_workspace, one_workspace);
    -- Restrictive policies alone let nothing through. If the table has a policy of its own, that one says what may be
    -- seen within the workspace; if it got one since, ours makes way.
    execute format('drop policy if exists tenure_rows on %s', protected);
    if not exists (select from pg_catalog.pg_policy where polrelid = protected and polpermissive) then
        execute format('create policy tenure_rows on %s using (true) with check (true)', protected);
    end if;

    execute format('grant select, insert, update, delete on %s to %I', protected, app_role);
    -- Row level security does not bind TRUNCATE, nor what a foreign key tells of rows elsewhere.
    execute format('revoke truncate, references, trigger on %s from %I, public', protected, app_role);
end $$;

-- The tables with a workspace_id that are not protected: none, if all is well. For a test, or a start.
create or replace function tenure_unprotected() returns setof regclass
language sql stable as $$
    select c.oid::regclass
    from pg_catalog.pg_class c
    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace_id' and not a.attisdropped
    where c.relkind in ('r', 'p')
      and not (c.relrowsecurity and c.relforcerowsecurity
               and exists (select from pg_catalog.pg_policy
                           where polrelid = c.oid and polname = 'tenure_workspace' and not polpermissive))
$$;
