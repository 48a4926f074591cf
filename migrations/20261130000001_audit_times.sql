-- Within a workspace times never run backwards: where in its audit log an instant lies is found by halving, and needs no
-- index of its own.

drop index audit_log_by_time;

-- The `workspace_seq` of the first entry at or after that instant, or one that no entry has reached.
create function audit_log_since(of_workspace uuid, instant timestamptz) returns bigint
language plpgsql stable parallel safe as $$
declare
    low  bigint := 1;
    high bigint := 1 + coalesce((select max(workspace_seq) from audit_log where workspace_id = of_workspace), 0);
    seq  bigint;
    at   timestamptz;
begin
    while low < high loop
        -- Above the middle there may be a hole; the last entry is below high.
        select workspace_seq, time into seq, at from audit_log
        where workspace_id = of_workspace and workspace_seq >= low + (high - 1 - low) / 2
        order by workspace_seq limit 1;
        if at >= instant then
            -- The next round looks below it.
            high := low + (high - 1 - low) / 2;
        else
            low := seq + 1;
        end if;
    end loop;
    return low;
end $$;
