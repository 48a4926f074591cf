-- An appender says that it announces what it wrote itself, many appends at once; whoever else writes is announced here.
-- A notification is a transaction's work for every listener, and one per append was a tenth of a busy server's.

create or replace trigger events_announced after insert on events
    for each statement when (current_setting('tenure.announces', true) is distinct from 'later')
    execute function announce_append();
