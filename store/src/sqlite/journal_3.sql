-- An orchestrator's journal, version 3: each record says where its order came from.

ALTER TABLE record ADD COLUMN origin TEXT;
-- A row that wasn't whole before doesn't become so.
UPDATE record SET digest = row_digest(sequence, at, by, request, evacuation, vm, kind, origin)
    WHERE digest = row_digest(sequence, at, by, request, evacuation, vm, kind);
