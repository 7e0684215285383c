-- An orchestrator's journal, version 1. Ids are text, times are milliseconds since 1970, JSON is as muster-core
-- writes it.

-- The history: never changed, never deleted, numbered without gaps from 1.
CREATE TABLE record (
    sequence   INTEGER PRIMARY KEY,
    at         INTEGER NOT NULL,
    by         TEXT NOT NULL,
    request    TEXT,
    evacuation TEXT NOT NULL,
    vm         TEXT,
    kind       TEXT NOT NULL CHECK (json_valid(kind))
) STRICT;

CREATE UNIQUE INDEX record_by_request ON record (request) WHERE request IS NOT NULL;
CREATE INDEX record_by_evacuation ON record (evacuation, sequence);
CREATE INDEX record_by_vm ON record (vm, sequence) WHERE vm IS NOT NULL;

-- Statuses, folded from the records in the records' own transaction.
CREATE TABLE evacuation (
    evacuation TEXT PRIMARY KEY,
    ordered    INTEGER NOT NULL UNIQUE REFERENCES record (sequence),
    status     TEXT NOT NULL CHECK (json_valid(status))
) STRICT;

CREATE TABLE move (
    evacuation TEXT NOT NULL REFERENCES evacuation (evacuation),
    vm         TEXT NOT NULL,
    status     TEXT NOT NULL CHECK (json_valid(status)),
    PRIMARY KEY (evacuation, vm)
) STRICT, WITHOUT ROWID;
