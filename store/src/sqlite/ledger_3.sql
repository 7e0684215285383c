-- A site's ledger, version 3: each line says who ordered it and from where, and is chained to the one before it; of other sites'
-- ledgers the link is witnessed as well.

ALTER TABLE event ADD COLUMN by TEXT;
ALTER TABLE event ADD COLUMN origin TEXT;
ALTER TABLE event ADD COLUMN chain BLOB NOT NULL DEFAULT x'';

-- The chain ends where a line is missing; such a file isn't opened.
WITH RECURSIVE linked (sequence, chain) AS (
    SELECT 0, ledger_genesis()
    UNION ALL
    SELECT event.sequence,
        chain_link(linked.chain, event.sequence, at, evacuation, vm, token_epoch, token_sequence, by, origin, kind)
    FROM linked JOIN event ON event.sequence = linked.sequence + 1
)
UPDATE event SET chain = linked.chain FROM linked WHERE linked.sequence = event.sequence;

-- A row that wasn't whole before doesn't become so.
UPDATE event SET digest = row_digest(sequence, at, evacuation, vm, token_epoch, token_sequence, kind, by, origin, chain)
    WHERE digest = row_digest(sequence, at, evacuation, vm, token_epoch, token_sequence, kind);

ALTER TABLE witness ADD COLUMN link BLOB;
UPDATE witness SET digest = row_digest(site, rebuilt_at, sequence, at, link)
    WHERE digest = row_digest(site, rebuilt_at, sequence, at);
