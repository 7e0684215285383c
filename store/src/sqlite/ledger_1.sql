-- A site's ledger, version 1. Ids are text, times are milliseconds since 1970, JSON is as muster-core writes it.
-- Numbers beyond 2^63 are stored as negative ones.

-- One row a VM, narrow, since it is written with every command.
CREATE TABLE vm (
    vm             TEXT PRIMARY KEY,
    floor_epoch    INTEGER NOT NULL,
    floor_sequence INTEGER NOT NULL,
    evacuation     TEXT,
    side           TEXT CHECK (side IN ('source', 'destination')),
    closed         INTEGER CHECK (closed IN (0, 1)),
    standing       TEXT CHECK (json_valid(standing)),
    intent         TEXT CHECK (json_valid(intent)),
    CHECK ((evacuation IS NULL) = (standing IS NULL)),
    CHECK ((evacuation IS NULL) = (side IS NULL)),
    CHECK ((evacuation IS NULL) = (closed IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX vm_by_evacuation ON vm (evacuation, vm, closed);

-- The VM's entry of the roll, with its real definition: heavy, written seldom.
CREATE TABLE roll (
    vm    TEXT PRIMARY KEY REFERENCES vm (vm),
    entry TEXT NOT NULL CHECK (json_valid(entry))
) STRICT;

-- Who holds an evacuation's claim, and what was sworn.
CREATE TABLE evacuation (
    evacuation TEXT PRIMARY KEY,
    epoch      INTEGER NOT NULL,
    claims     TEXT NOT NULL CHECK (json_valid(claims))
) STRICT, WITHOUT ROWID;

-- The history: never changed, never deleted, numbered without gaps from 1.
CREATE TABLE event (
    sequence       INTEGER PRIMARY KEY,
    at             INTEGER NOT NULL,
    evacuation     TEXT,
    vm             TEXT,
    token_epoch    INTEGER,
    token_sequence INTEGER,
    kind           TEXT NOT NULL CHECK (json_valid(kind))
) STRICT;
