-- The audit chain (lockerd/store/audit.py), who is responsible for a card, what staff found out about one in doubt, and what
-- retention needs to find its rows.

-- Where each chain begins: after row `upto`, which had this hash. Older rows are deleted.
CREATE TABLE audit_anchor (
    chain TEXT PRIMARY KEY CHECK (chain IN ('journal', 'card_move')),
    upto  INTEGER NOT NULL,
    hash  BLOB NOT NULL CHECK (length(hash) = 32),
    wall  REAL NOT NULL
) STRICT;

ALTER TABLE journal ADD COLUMN hash BLOB NOT NULL DEFAULT x'';
ALTER TABLE card_move ADD COLUMN responsible TEXT NOT NULL DEFAULT '';  -- staff:NAME, session:JOURNEY, machine:BOOT, office
ALTER TABLE card_move ADD COLUMN hash BLOB NOT NULL DEFAULT x'';
ALTER TABLE message ADD COLUMN ended REAL;                              -- when it was sent

UPDATE card_move SET responsible = CASE
    WHEN reason = 'announced' THEN 'office'
    WHEN coalesce(journey_id, '') = '' THEN 'machine:'
    WHEN journey_id GLOB 'staff:*' THEN journey_id
    ELSE 'session:' || journey_id END;
UPDATE message SET ended = (SELECT coalesce(max(wall), 0) FROM journal) WHERE sent = 1;

INSERT INTO meta (key, value) VALUES ('last_seq', 0) ON CONFLICT DO NOTHING;
INSERT INTO audit_anchor
    SELECT 'journal', coalesce((SELECT min(seq) - 1 FROM journal), value), zeroblob(32), 0 FROM meta WHERE key = 'last_seq';
INSERT INTO audit_anchor VALUES ('card_move', 0, zeroblob(32), 0);

WITH RECURSIVE walk (seq, hash) AS (
    SELECT upto, hash FROM audit_anchor WHERE chain = 'journal'
    UNION ALL
    SELECT journal.seq, chained(walk.hash, journal.seq, type, data, wall, mono, boot_id)
    FROM walk JOIN journal ON journal.seq = walk.seq + 1
)
UPDATE journal SET hash = walk.hash FROM walk WHERE walk.seq = journal.seq;

WITH RECURSIVE walk (move_id, hash) AS (
    SELECT upto, hash FROM audit_anchor WHERE chain = 'card_move'
    UNION ALL
    SELECT card_move.move_id, chained(walk.hash, card_move.move_id, card_id, origin, target, slot, reason, intent_id, journey_id,
        wall, responsible)
    FROM walk JOIN card_move ON card_move.move_id = walk.move_id + 1
)
UPDATE card_move SET hash = walk.hash FROM walk WHERE walk.move_id = card_move.move_id;

-- Where one member of staff found a card that is in doubt; it counts when another finds the same.
CREATE TABLE finding (
    card_id TEXT PRIMARY KEY REFERENCES card (card_id) ON DELETE CASCADE,
    move_id INTEGER NOT NULL,      -- the last link of the card's chain then: a later one makes the finding void
    staff   TEXT NOT NULL,
    place   TEXT NOT NULL,
    slot    INTEGER,
    grounds TEXT NOT NULL,
    wall    REAL NOT NULL
) STRICT;

-- The last number given, in the statement that gives it.
CREATE TRIGGER journal_numbered AFTER INSERT ON journal BEGIN
    UPDATE meta SET value = NEW.seq WHERE key = 'last_seq';
END;

-- What refers to a row that retention deletes.
CREATE INDEX card_move_by_intent ON card_move (intent_id) WHERE intent_id IS NOT NULL;
CREATE INDEX intent_by_card ON intent (card_id) WHERE card_id IS NOT NULL;
CREATE INDEX card_by_claim ON card (claim_id) WHERE claim_id IS NOT NULL;
CREATE INDEX journey_by_claim ON journey (claim_id) WHERE claim_id IS NOT NULL;
