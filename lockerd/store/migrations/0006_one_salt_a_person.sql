-- A salt for each person in place of one for each code: a code is kept once for each who may type it. The codes of before open
-- nothing, for nobody knows them any more: the daemon replaces them when it starts (`Issuing.replace_outdated`).
ALTER TABLE code DROP COLUMN salt;
ALTER TABLE code DROP COLUMN hash;
CREATE TABLE code_hash (
    claim_id TEXT NOT NULL,
    kind     TEXT NOT NULL,
    id_index BLOB NOT NULL,        -- keyed hash of the ID number of who may type it
    hash     BLOB NOT NULL,
    PRIMARY KEY (id_index, kind, claim_id),
    FOREIGN KEY (claim_id, kind) REFERENCES code (claim_id, kind) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX code_hash_by_code ON code_hash (claim_id, kind);

-- The wrong try that closed the code way, once the office knows of it.
ALTER TABLE wrong_in_a_row ADD COLUMN told REAL;
