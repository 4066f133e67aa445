-- Cards that their owners reported lost, by a keyed hash of number and start of validity; which old cards of the ledger they were.
CREATE TABLE lost_card (
    report_id  TEXT PRIMARY KEY,   -- the office's
    card_index BLOB NOT NULL,
    since      REAL NOT NULL
) STRICT;
CREATE INDEX lost_card_by_index ON lost_card (card_index);

ALTER TABLE card ADD COLUMN lost_report TEXT;  -- the report, or the claim of the replacement, that says so
