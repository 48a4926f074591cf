-- The product's own table. Run by its owner, after tenure_guard::ROW_LEVEL_SECURITY.

-- What the requests are served as: neither the owner of a table nor above row level security.
do $$ begin
    create role invoices_app nologin;
exception when duplicate_object or unique_violation then null;
end $$;
do $$ begin
    if not pg_has_role(current_user, 'invoices_app', 'member') then
        execute format('grant invoices_app to %I', current_user);
    end if;
end $$;

create table if not exists invoices (
    workspace_id uuid        not null,
    id           uuid        not null default gen_random_uuid(),
    customer     text        not null check (char_length(customer) between 1 and 255),
    amount_cents bigint      not null check (amount_cents > 0),
    created_by   text        not null,
    created_at   timestamptz not null default now(),
    approved_by  text,
    -- The workspace first, in every key: one tenant's ids say nothing of another's.
    primary key (workspace_id, id)
);

select tenure_protect('invoices', 'invoices_app');
