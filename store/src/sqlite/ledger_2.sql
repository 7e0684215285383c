-- A site's ledger, version 2: each row carries a digest of its other columns, and other sites' ledgers are witnessed.

ALTER TABLE vm ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
UPDATE vm SET digest = row_digest(vm, floor_epoch, floor_sequence, evacuation, side, closed, standing, intent);

ALTER TABLE roll ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
UPDATE roll SET digest = row_digest(vm, entry);

ALTER TABLE evacuation ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
UPDATE evacuation SET digest = row_digest(evacuation, epoch, claims);

ALTER TABLE event ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
UPDATE event SET digest = row_digest(sequence, at, evacuation, vm, token_epoch, token_sequence, kind);

-- How far other sites' ledgers had come when this one last heard of them.
CREATE TABLE witness (
    site       TEXT PRIMARY KEY,
    rebuilt_at INTEGER,
    sequence   INTEGER NOT NULL,
    at         INTEGER NOT NULL,
    digest     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
