-- Letter codes beside pickup codes; when the end of a code was told; wrong tries in a row, which no new code sets back.
CREATE TABLE code_of_kind (
    claim_id  TEXT NOT NULL REFERENCES claim (claim_id),
    kind      TEXT NOT NULL CHECK (kind IN ('pickup', 'letter')),
    algorithm TEXT NOT NULL,
    salt      BLOB NOT NULL,
    hash      BLOB NOT NULL,
    expires   REAL,                -- NULL for a letter code until its card is stocked
    consumed  REAL,                -- when its dispense began; NULL while it opens anything
    end_told  INTEGER NOT NULL DEFAULT 0 CHECK (end_told IN (0, 1)),
    PRIMARY KEY (claim_id, kind)
) STRICT;
INSERT INTO code_of_kind (claim_id, kind, algorithm, salt, hash, expires, consumed)
    SELECT claim_id, 'pickup', algorithm, salt, hash, expires, consumed FROM code;
DROP TABLE code;
ALTER TABLE code_of_kind RENAME TO code;

CREATE TABLE wrong_in_a_row (
    subject BLOB PRIMARY KEY,      -- as in attempt
    tries   INTEGER NOT NULL,
    latest  REAL NOT NULL
) STRICT, WITHOUT ROWID;
