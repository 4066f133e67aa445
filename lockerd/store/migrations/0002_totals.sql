-- The units' non-volatile totals as last seen with a settled outcome: after an interruption the difference is evidence.
CREATE TABLE unit_total (
    unit      TEXT PRIMARY KEY,
    dispensed INTEGER NOT NULL,
    retained  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- A consumed code opens nothing; it is reinstated when its card is back in a slot, and deleted with the collection.
ALTER TABLE code ADD COLUMN consumed INTEGER NOT NULL DEFAULT 0 CHECK (consumed IN (0, 1));
