-- The central office's own books. One connection; WAL with synchronous=FULL, so that an answer means: durable.
CREATE TABLE locker (
    locker_id TEXT PRIMARY KEY,
    epoch TEXT NOT NULL,           -- the locker's database; a new one retires the old one
    acked INTEGER NOT NULL,        -- all events of this epoch up to here are in `event`
    hello TEXT NOT NULL,           -- last greeting, JSON
    status TEXT,                   -- last status, JSON
    status_at REAL                 -- UTC seconds
) STRICT;

CREATE TABLE retired_epoch (
    locker_id TEXT NOT NULL,
    epoch TEXT NOT NULL,
    PRIMARY KEY (locker_id, epoch)
) STRICT;

CREATE TABLE event (
    arrival INTEGER PRIMARY KEY,
    locker_id TEXT NOT NULL,
    epoch TEXT NOT NULL,
    seq INTEGER NOT NULL,
    type TEXT,                     -- NULL for a poison event: kept as it came, acknowledged, not booked
    raw TEXT NOT NULL,
    received_at REAL NOT NULL,     -- UTC seconds
    UNIQUE (locker_id, epoch, seq)
) STRICT;

CREATE TABLE claim (
    claim_id TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    slot INTEGER,
    locked INTEGER NOT NULL DEFAULT 0,
    events INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE old_card (
    claim_id TEXT PRIMARY KEY,     -- the claim whose predecessor it is
    state TEXT NOT NULL
) STRICT;

CREATE TABLE card (
    card_id TEXT PRIMARY KEY,
    place TEXT NOT NULL,
    slot INTEGER,
    responsible TEXT NOT NULL
) STRICT;

CREATE TABLE down (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    body TEXT NOT NULL             -- JSON without the cursor
) STRICT;

CREATE TABLE tally (
    name TEXT PRIMARY KEY,
    n INTEGER NOT NULL
) STRICT;
INSERT INTO tally VALUES ('duplicates', 0), ('gaps', 0), ('poison', 0);

PRAGMA user_version = 1;
