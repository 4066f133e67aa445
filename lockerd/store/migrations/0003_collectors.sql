-- Who else may collect, who did, and cards made because the old one was damaged.
CREATE TABLE collector (
    collector_id TEXT PRIMARY KEY, -- the claim and a number
    claim_id     TEXT NOT NULL REFERENCES claim (claim_id),
    relation     TEXT NOT NULL CHECK (relation IN ('guardian', 'authorised')),
    id_index     BLOB NOT NULL,    -- keyed hash of the collector's own ID number
    model_id     TEXT,
    vector       BLOB,             -- sealed under a key of its own; NULL where the photo could not be used
    CHECK ((model_id IS NULL) = (vector IS NULL))
) STRICT;
CREATE INDEX collector_by_id ON collector (id_index);
CREATE INDEX collector_by_claim ON collector (claim_id);

ALTER TABLE journey ADD COLUMN relation TEXT CHECK (relation IN ('owner', 'guardian', 'authorised'));
ALTER TABLE journey ADD COLUMN collector_id TEXT;

-- A rule of a table is changed in its text: https://www.sqlite.org/lang_altertable.html, 7, for what changes no content.
PRAGMA writable_schema = ON;
UPDATE sqlite_schema SET sql = replace(sql, '(''renewal'', ''replacement'')', '(''renewal'', ''replacement'', ''damaged'')')
    WHERE type = 'table' AND name = 'claim';
PRAGMA writable_schema = RESET;
