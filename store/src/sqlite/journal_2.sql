-- An orchestrator's journal, version 2: each row carries a digest of its other columns.

ALTER TABLE record ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
UPDATE record SET digest = row_digest(sequence, at, by, request, evacuation, vm, kind);

ALTER TABLE evacuation ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
UPDATE evacuation SET digest = row_digest(evacuation, ordered, status);

ALTER TABLE move ADD COLUMN digest INTEGER NOT NULL DEFAULT 0;
UPDATE move SET digest = row_digest(evacuation, vm, status);
