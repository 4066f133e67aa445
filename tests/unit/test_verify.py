"""`lockerd verify`: every invariant broken once, in a real file and behind the ledger's back, and named in words."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from importlib import resources
from pathlib import Path

import pytest

from lockerd.__main__ import main
from lockerd.errors import StoreError
from lockerd.model.custody import Motion, Outcome, Place, Result
from lockerd.model.identity import FaceTemplate
from lockerd.store import claims, codes, journal, journeys, ledger, messages
from lockerd.store.database import Transaction
from lockerd.store.verify import SCHEMA, Report, verify
from tests.store_support import STAMP, carry, item, opened, plan, vault

TAKEN, STOCKED, EXPECTED, DOUBTFUL, OLD = "N000001", "N000002", "N000003", "N000004", "old-000001"
TEMPLATE = FaceTemplate("model", bytes(16))


async def _history(tx: Transaction) -> None:
    """A collected renewal, a card to be collected from slot 0, one in doubt in slot 1, and one that is announced."""
    await ledger.configure_slots(tx, 4)
    for claim_id in (TAKEN, STOCKED, EXPECTED, DOUBTFUL):
        await claims.put_item(tx, vault(), item(claim_id), TEMPLATE, STAMP)
    for slot, claim_id in enumerate((STOCKED, DOUBTFUL, TAKEN)):
        await ledger.move(tx, claim_id, Place.TRANSPORT, STAMP, "read")
        await carry(tx, Motion.STORE, claim_id, slot)
        await claims.stocked(tx, claim_id, slot, STAMP)
        await codes.issue(tx, vault(), claim_id, "12345678", STAMP.wall + 1)
        await journal.append(tx, "lockerd.card.stocked", {"claim_id": claim_id}, stamp=STAMP)
        await messages.queue(tx, vault(), f"{claim_id}-1", "+8619900000001", "text")
    await messages.sent(tx, f"{TAKEN}-1", STAMP.wall)
    await journeys.begin(tx, "journey-1", STAMP)
    await carry(tx, Motion.PICK, TAKEN, 2)
    await carry(tx, Motion.PRESENT, TAKEN)
    assert await ledger.add_old_card(tx, TAKEN, "journey-1", STAMP) == OLD
    await carry(tx, Motion.ACCEPT, OLD)
    await ledger.move(tx, TAKEN, Place.TAKEN, STAMP, "exit sensor")
    await claims.collected(tx, TAKEN, STAMP)
    await carry(tx, Motion.RETAIN, OLD)
    await journeys.end(tx, "journey-1", "done", STAMP)
    intent = await ledger.open_intent(tx, plan(Motion.PICK, 1), DOUBTFUL, "journey-2", STAMP)
    await ledger.settle_intent(tx, intent, Outcome(Result.IN_DOUBT), STAMP)
    await journal.append(tx, "lockerd.machine.started", {}, stamp=STAMP)


async def _made(path: Path) -> None:
    async with opened(path) as db:
        await db.transaction(_history)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checked") / "lockerd.db"
    asyncio.run(_made(path))
    return path


@pytest.fixture
def path(whole: Path, tmp_path: Path) -> Path:
    for suffix in ("", ".lock"):
        shutil.copy(whole.with_name(whole.name + suffix), tmp_path)
    return tmp_path / whole.name


def altered(path: Path, script: str) -> Report:
    """What verify says after somebody wrote to the file behind the daemon's back."""
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA ignore_check_constraints = ON")
    raw.executescript(script)
    raw.close()
    return verify(path)


def test_a_sound_database_has_nothing_wrong(path: Path) -> None:
    assert verify(path) == Report(
        (),
        (
            f"claim {DOUBTFUL} cannot be collected now: its card is recorded at in_doubt",
            "slot 1 is blocked: in_doubt",
            f"card {DOUBTFUL} is in doubt",
        ),
    )


async def test_what_a_stop_leaves_open_is_told_and_not_wrong(path: Path) -> None:
    async def work(tx: Transaction) -> None:
        await journeys.begin(tx, "journey-3", STAMP)
        await ledger.open_intent(tx, plan(Motion.PICK, 0), STOCKED, "journey-3", STAMP)

    async with opened(path) as db:
        await db.transaction(work)
    report = verify(path)
    assert report.wrong == ()
    assert report.unsettled[0].endswith(f"of the dispenser is open: pick with card {STOCKED}")
    assert report.unsettled[-1] == "journey journey-3 has not ended"


LAST = "(SELECT max(move_id) FROM card_move WHERE card_id = 'N000002')"
PICK = "(SELECT max(intent_id) FROM intent WHERE motion = 'pick' AND card_id = 'N000001')"
BROKEN = {
    # custody
    f"UPDATE card SET place = 'retract' WHERE card_id = '{STOCKED}'": "is recorded at retract, but its chain leads to slot",
    f"DELETE FROM card_move WHERE card_id = '{EXPECTED}'": "card N000003 has no chain of custody",
    f"UPDATE card_move SET target = 'load' WHERE card_id = '{EXPECTED}'": "its chain begins at load, not at tray",
    f"UPDATE card_move SET origin = 'retract' WHERE move_id = {LAST}": "leaves retract, but the link before it led to transport",
    f"UPDATE card_move SET intent_id = NULL WHERE move_id = {LAST}": "came from transport to slot 0 without a motion",
    f"UPDATE card_move SET intent_id = {PICK} WHERE move_id = {LAST}": "which carried card N000001",
    f"UPDATE intent SET motion = 'present' WHERE intent_id = {PICK}": "cannot have brought it from slot to transport",
    f"UPDATE intent SET result = 'not_moved' WHERE intent_id = {PICK}": "ended not_moved and left 1 links",
    f"UPDATE intent SET result = 'perhaps' WHERE intent_id = {PICK}": "which is no result",
    f"UPDATE intent SET settled = NULL WHERE intent_id = {PICK}": "at no time",
    f"UPDATE intent SET result = NULL WHERE intent_id = {PICK}": "is open, but its card N000001 is recorded at taken",
    "DROP INDEX intent_open; DROP INDEX intent_card; UPDATE intent SET result = NULL": "intents of the dispenser are open",
    "INSERT INTO card_move (card_id, origin, target, reason, wall) VALUES ('N000001', 'taken', 'transport', '', 0)": (
        "was taken by a citizen, and moved again"
    ),
    "INSERT INTO card_move (card_id, origin, target, reason, wall) VALUES ('old-000001', 'bin', 'taken', '', 0)": (
        "came from bin to taken without a motion"
    ),
    # slots
    "DELETE FROM slot WHERE slot = 2": "slot 2 is missing",
    "UPDATE slot SET card_id = NULL WHERE slot = 0": "no slot names it",
    f"UPDATE slot SET card_id = '{EXPECTED}' WHERE slot = 0": "stocked with card N000003, which is recorded at tray",
    f"UPDATE slot SET card_id = '{TAKEN}' WHERE slot = 1": "blocked with card N000001, which is recorded at taken",
    f"UPDATE slot SET card_id = '{TAKEN}' WHERE slot = 2": "slot 2 is free, but names card N000001",
    "UPDATE slot SET state = 'stocked', reason = NULL WHERE slot = 1": "in doubt, but its slot 1 is not blocked",
    f"UPDATE card_move SET slot = 3 WHERE move_id = {LAST}": "leads to slot 3, which names no card",
    "CREATE TABLE s2 (slot INTEGER PRIMARY KEY, state TEXT, card_id TEXT, reason TEXT, since REAL);"
    " INSERT INTO s2 SELECT * FROM slot; DROP TABLE slot; ALTER TABLE s2 RENAME TO slot;"
    f" UPDATE slot SET card_id = '{STOCKED}', state = 'stocked' WHERE slot = 3": "named by more than one slot: 0, 3",
    f"DROP INDEX card_alone; UPDATE card SET place = 'transport' WHERE card_id IN ('{STOCKED}', '{EXPECTED}')": (
        "2 cards are recorded at transport, which holds one"
    ),
    # claims
    f"DELETE FROM card WHERE card_id = '{EXPECTED}'": "claim N000003 has no card",
    f"UPDATE card SET claim_id = '{STOCKED}' WHERE card_id = '{EXPECTED}'": "is a new card, but belongs to claim N000002",
    f"UPDATE claim SET state = 'collected' WHERE claim_id = '{STOCKED}'": "is collected, but its card is recorded at slot",
    f"UPDATE claim SET state = 'stocked' WHERE claim_id = '{TAKEN}'": "is stocked, but its card was taken",
    f"UPDATE claim SET state = 'stocked' WHERE claim_id = '{EXPECTED}'": "is stocked, but its card was never stored",
    f"UPDATE claim SET state = 'expected' WHERE claim_id = '{STOCKED}'": "nobody was told to collect it",
    f"UPDATE code SET claim_id = '{TAKEN}' WHERE claim_id = '{STOCKED}'": "is collected, but has a code",
    f"UPDATE face_template SET claim_id = '{TAKEN}' WHERE claim_id = '{STOCKED}'": "face template is still there",
    f"UPDATE claim SET person = NULL WHERE claim_id = '{STOCKED}'": "whose it is was erased",
    f"DELETE FROM data_key WHERE record = 'claim|{STOCKED}'": "claim N000002 is sealed, but its key is not there",
    f"DELETE FROM face_template WHERE claim_id = '{STOCKED}'": "face_template N000002 is still there",
    f"UPDATE claim SET id_index = NULL WHERE claim_id = '{STOCKED}'": "claim N000002 is stocked, but whose it is was erased",
    "UPDATE message SET sent = 1": "is sent and was not erased",
    f"UPDATE message SET text = NULL WHERE message_id = '{STOCKED}-1'": "was erased before it was sent",
    # the journal
    "INSERT OR REPLACE INTO meta VALUES ('acked_seq', 99)": "acknowledged event 99, but the last one written is 22",
    "DELETE FROM journal WHERE seq = 22": "the last event in the journal is 21, but the last number given is 22",
    "DELETE FROM journal WHERE seq = 3": "the audit chain of journal breaks: event 3 is missing before event 4",
    "DELETE FROM journal WHERE seq < 3": "events 1 to 2 are gone, but the office has not acknowledged them",
    "DELETE FROM journal": "events 1 to 22 are gone",
    "DELETE FROM meta WHERE key = 'last_old_card'": "card old-000001 has a number that will be given again",
    # rows that hold what lockerd never writes: in words, and the other checks are made all the same
    "UPDATE meta SET value = 'zzz' WHERE key = 'last_old_card'; UPDATE slot SET card_id = NULL WHERE slot = 0": (
        "journal: not looked at to its end, a row holds what lockerd never writes"
    ),
    "UPDATE journal SET data = 'zzz' WHERE type = 'lockerd.card.moved'": "told: not looked at to its end",
    "UPDATE journal SET data = '[]' WHERE type = 'lockerd.card.moved'": "told: not looked at to its end",
    # the audit chain
    'UPDATE journal SET data = \'{"claim_id":"N000009"}\' WHERE seq = 2': (
        "the audit chain of journal breaks at event 2: it, or the one before it, was changed later"
    ),
    "UPDATE card_move SET wall = wall + 1 WHERE move_id = 4": "the audit chain of card_move breaks at link 4",
    "UPDATE card_move SET responsible = 'staff:li' WHERE move_id = 4": "the audit chain of card_move breaks at link 4",
    f"DELETE FROM card_move WHERE card_id = '{OLD}'": "the audit chain of card_move breaks: link",
    "DELETE FROM audit_anchor WHERE chain = 'journal'": "the audit chain of journal has no anchor",
    # the file
    "DELETE FROM claim WHERE claim_id = 'N000002'": "refers to a row of claim that is not there",
    "UPDATE slot SET state = 'half' WHERE slot = 3": "CHECK constraint failed in slot",
    "PRAGMA user_version = 99": "schema version 99",
    "PRAGMA application_id = 1": "no database of lockerd",
    "DROP TABLE journal": "cannot be read to its end (no such table: journal)",
}


@pytest.mark.parametrize(("script", "words"), BROKEN.items(), ids=lambda value: value[-60:])
def test_a_broken_invariant_is_named(path: Path, script: str, words: str) -> None:
    report = altered(path, script)
    assert any(words in line for line in report.wrong), report.wrong


def test_a_damaged_page_is_named(path: Path) -> None:
    raw = sqlite3.connect(path)
    page = raw.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'attempt'").fetchone()[0]
    raw.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = random.Random(page).randbytes(4096)
    path.write_bytes(content)
    assert [line.partition(" (")[0] for line in verify(path).wrong] == [
        "the file is damaged and cannot be read to its end"
    ]
    path.write_bytes(b"not a database at all" * 1000)
    assert any("no database" in line for line in verify(path).wrong)


def test_nothing_is_written_to_what_is_checked(path: Path) -> None:
    before = path.read_bytes()
    verify(path)
    assert path.read_bytes() == before


async def test_commits_that_stand_in_the_log_only_are_checked_too(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with opened(path) as db:
        await db.transaction(lambda tx: tx.execute("UPDATE meta SET value = 99 WHERE key = 'last_seq'"))
        for suffix in ("", "-wal"):
            copy.with_name(copy.name + suffix).write_bytes(path.with_name(path.name + suffix).read_bytes())
    log = copy.with_name("copy.db-wal").read_bytes()
    assert log
    assert any("the last number given is 99" in line for line in verify(copy).wrong)
    assert copy.with_name("copy.db-wal").read_bytes() == log


async def test_a_database_in_use_is_refused(path: Path) -> None:
    async with opened(path):
        with pytest.raises(StoreError, match="in use by a running lockerd"):
            verify(path)
    assert verify(path).wrong == ()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not there"):
        verify(tmp_path / "none.db")
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_is_wrong_and_fails(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--database", str(path)]) == 0
    assert capsys.readouterr().out.endswith(f"{path}: sound\n")
    altered(path, "DELETE FROM journal WHERE seq = 3")
    assert main(["verify", "--database", str(path)]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "wrong: the audit chain of journal breaks: event 3 is missing before event 4"
    assert said[-2].startswith("what to do: the audit chain: somebody wrote to this file beside lockerd")
    assert said[-1] == f"{path}: {sum(line.startswith('wrong: ') for line in said)} wrong, 3 unsettled"
    assert main(["verify", "--database", str(path.with_name("none"))]) == 1
    assert "none is not there" in capsys.readouterr().err


def test_the_invariants_are_those_of_the_newest_schema() -> None:
    """A migration changes what has to be checked: look at the invariants, then raise SCHEMA."""
    scripts = resources.files("lockerd.store") / "migrations"
    assert len([entry for entry in scripts.iterdir() if entry.name.endswith(".sql")]) == SCHEMA
