-- An orchestrator's journal, version 3: each record says where its order came from and what the call was, and is chained to
-- the one before it.

ALTER TABLE record ADD COLUMN origin TEXT;
ALTER TABLE record ADD COLUMN call TEXT;
ALTER TABLE record ADD COLUMN chain BLOB NOT NULL DEFAULT x'';

-- The chain ends where a record is missing; such a file isn't opened.
WITH RECURSIVE linked (sequence, chain) AS (
    SELECT 0, chain_genesis()
    UNION ALL
    SELECT record.sequence,
        chain_link(linked.chain, record.sequence, at, by, origin, request, call, evacuation, vm, kind)
    FROM linked JOIN record ON record.sequence = linked.sequence + 1
)
UPDATE record SET chain = linked.chain FROM linked WHERE linked.sequence = record.sequence;

-- A row that wasn't whole before doesn't become so.
UPDATE record SET digest = row_digest(sequence, at, by, request, evacuation, vm, kind, origin, call, chain)
    WHERE digest = row_digest(sequence, at, by, request, evacuation, vm, kind);
