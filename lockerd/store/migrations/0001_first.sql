-- Claims, custody, the journal for the office, codes, messages, staff. Times are UTC seconds.
-- Personal data stands in sealed columns only (lockerd/store/vault.py); card, claim and journey ids are not personal.
PRAGMA application_id = 0x4C4B5244;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- What happened, for the office: seq has no gaps.
CREATE TABLE journal (
    seq     INTEGER PRIMARY KEY,
    type    TEXT NOT NULL,
    data    TEXT NOT NULL CHECK (json_valid(data)),
    wall    REAL NOT NULL,
    mono    REAL NOT NULL,
    boot_id TEXT NOT NULL
) STRICT;

-- One key per record; erasing a record is deleting its key.
CREATE TABLE data_key (
    record  TEXT PRIMARY KEY,
    wrapped BLOB NOT NULL
) STRICT;

CREATE TABLE claim (
    claim_id      TEXT PRIMARY KEY,
    kind          TEXT NOT NULL CHECK (kind IN ('renewal', 'replacement')),
    state         TEXT NOT NULL CHECK (state IN ('expected', 'stocked', 'collected', 'withdrawn')),
    id_index      BLOB,            -- keyed hash of the ID number; NULL once erased
    person        BLOB,            -- sealed; NULL once erased
    old_card_kept INTEGER NOT NULL DEFAULT 0 CHECK (old_card_kept IN (0, 1)),
    since         REAL NOT NULL
) STRICT;
CREATE INDEX claim_by_id ON claim (id_index) WHERE id_index IS NOT NULL;

CREATE TABLE face_template (
    claim_id TEXT PRIMARY KEY REFERENCES claim (claim_id),
    model_id TEXT NOT NULL,
    vector   BLOB NOT NULL         -- sealed under a key of its own: biometrics apart from identity
) STRICT;

-- The one recorded place of each physical card.
CREATE TABLE card (
    card_id  TEXT PRIMARY KEY,
    role     TEXT NOT NULL,
    claim_id TEXT REFERENCES claim (claim_id),
    place    TEXT NOT NULL,
    since    REAL NOT NULL,
    CHECK (
        role = 'new' AND claim_id IS NOT NULL
            AND place IN ('tray', 'load', 'transport', 'slot', 'exit', 'retract', 'taken', 'removed', 'in_doubt')
        OR role = 'old' AND place IN ('throat', 'escrow', 'bin', 'taken', 'removed', 'in_doubt')
    )
) STRICT;
CREATE INDEX card_by_place ON card (place);
-- These hold one card at most.
CREATE UNIQUE INDEX card_alone ON card (place) WHERE place IN ('transport', 'exit', 'throat', 'escrow');

CREATE TABLE slot (
    slot    INTEGER PRIMARY KEY,
    state   TEXT NOT NULL CHECK (state IN ('free', 'stocked', 'blocked')),
    card_id TEXT UNIQUE REFERENCES card (card_id),
    reason  TEXT,                  -- why it is blocked
    since   REAL NOT NULL,
    CHECK (state = 'blocked' AND reason IS NOT NULL
        OR state = 'free' AND card_id IS NULL AND reason IS NULL
        OR state = 'stocked' AND card_id IS NOT NULL AND reason IS NULL)
) STRICT;

CREATE TABLE intent (
    intent_id  INTEGER PRIMARY KEY AUTOINCREMENT,
    unit       TEXT NOT NULL,
    motion     TEXT NOT NULL,
    slot       INTEGER,
    token      TEXT NOT NULL,
    card_id    TEXT REFERENCES card (card_id),
    journey_id TEXT NOT NULL,
    opened     REAL NOT NULL,
    boot_id    TEXT NOT NULL,
    result     TEXT,               -- NULL while open
    fault      TEXT,
    settled    REAL
) STRICT;
CREATE UNIQUE INDEX intent_open ON intent (unit) WHERE result IS NULL;
CREATE UNIQUE INDEX intent_card ON intent (card_id) WHERE result IS NULL;

-- The chain of custody: how each card came to its place.
CREATE TABLE card_move (
    move_id    INTEGER PRIMARY KEY,
    card_id    TEXT NOT NULL REFERENCES card (card_id),
    origin     TEXT,               -- NULL where the chain begins
    target     TEXT NOT NULL,
    slot       INTEGER,
    reason     TEXT NOT NULL,
    intent_id  INTEGER REFERENCES intent (intent_id),
    journey_id TEXT,
    wall       REAL NOT NULL
) STRICT;
CREATE INDEX card_move_by_card ON card_move (card_id, move_id);

-- Non-volatile totals of each unit as last seen: what they say more tells what a hand took.
CREATE TABLE unit_total (
    unit      TEXT PRIMARY KEY,
    dispensed INTEGER NOT NULL,
    retained  INTEGER NOT NULL
) STRICT;

CREATE TABLE code (
    claim_id  TEXT PRIMARY KEY REFERENCES claim (claim_id),
    algorithm TEXT NOT NULL,
    salt      BLOB NOT NULL,
    hash      BLOB NOT NULL,
    expires   REAL NOT NULL,
    consumed  REAL                 -- when its dispense began; NULL while it opens anything
) STRICT;

-- Tries of a secret, by a keyed hash of whom they are about, known or not.
CREATE TABLE attempt (
    attempt_id INTEGER PRIMARY KEY,
    subject    BLOB NOT NULL,
    at         REAL NOT NULL
) STRICT;
CREATE INDEX attempt_by_subject ON attempt (subject, at);

CREATE TABLE message (
    message_id TEXT PRIMARY KEY,
    phone      BLOB,               -- sealed; NULL once sent
    text       BLOB,               -- sealed; NULL once sent
    due        REAL NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0,
    sent       INTEGER NOT NULL DEFAULT 0 CHECK (sent IN (0, 1))
) STRICT;
CREATE INDEX message_due ON message (due) WHERE sent = 0;

CREATE TABLE staff (
    name      TEXT PRIMARY KEY,
    role      TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    salt      BLOB NOT NULL,
    hash      BLOB NOT NULL,
    since     REAL NOT NULL
) STRICT;

CREATE TABLE journey (
    journey_id TEXT PRIMARY KEY,
    claim_id   TEXT REFERENCES claim (claim_id),
    began      REAL NOT NULL,
    boot_id    TEXT NOT NULL,
    ended      REAL,
    outcome    TEXT,
    ticket     TEXT UNIQUE
) STRICT;
CREATE INDEX journey_unfinished ON journey (began) WHERE ended IS NULL;
