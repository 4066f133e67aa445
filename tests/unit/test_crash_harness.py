"""The crash harness itself: a disk that forgets what was not synced, a reader of recordings, and a judge of truth and ledger."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from lockerd.store.verify import Report, verify
from sim.people import population
from tests.crash import kills
from tests.crash.disk import PAGE, SECTOR, Disk, Files
from tests.crash.history import write
from tests.crash.recording import Create, Mark, Op, Remove, Rename, Sync, Truncate, Write, parse
from tests.crash.truth import contradictions, hands

NOW = 1_800_000_000.0
FOLDER = Path("/dev/shm/story")
NEW = b"n" * PAGE


def images(*ops: Op, count: int = 200) -> list[Files]:
    disk = Disk()
    for op in ops:
        disk.apply(op)
    return list(islice(disk.images(Random(1)), count))


def synced(path: str, content: bytes) -> tuple[Op, ...]:
    return Create(path), Write(path, 0, content), Sync(path), Sync("")


def test_what_was_synced_is_in_every_image_and_there_is_one_only() -> None:
    assert images(*synced("db", b"old")) == [{"db": b"old"}]


def test_a_file_whose_name_was_not_synced_may_be_gone_with_all_it_holds() -> None:
    found = images(Create("db"), Write("db", 0, b"x"), Sync("db"))
    assert {} in found
    assert {"db": b"x"} in found


def test_unsynced_writes_are_kept_dropped_and_torn_at_sectors_and_within() -> None:
    found = [image["db"] for image in images(*synced("db", bytes(PAGE)), Write("db", 0, NEW))]
    assert found[0] == NEW
    assert found[1] == bytes(PAGE)
    heads = {len(content) - len(content.lstrip(b"n")) for content in found}
    assert {SECTOR, SECTOR // 2 * 3} <= heads | {PAGE - head for head in heads}


def test_a_later_write_may_be_there_without_the_earlier_one() -> None:
    found = [image["db"] for image in images(*synced("db", b"...."), Write("db", 0, b"a"), Write("db", 2, b"b"))]
    assert {b"a.b.", b"....", b"a...", b"..b."} <= set(found)


def test_two_writes_of_one_place_may_be_swapped_and_a_truncation_lost() -> None:
    again: list[Op] = [Write("db", 0, b"1"), Write("db", 0, b"2"), Truncate("db", 1)]
    found = {image["db"] for image in images(*synced("db", b"00"), *again)}
    assert {b"2", b"20", b"1", b"10", b"0", b"00"} <= found


def test_names_reach_the_disk_in_their_order() -> None:
    found = images(*synced("a", b"1"), *synced("b", b"2"), Rename("a", "c"), Remove("b"))
    names = {tuple(sorted(image)) for image in found}
    assert names == {("a", "b"), ("b", "c"), ("c",)}


def line(text: str) -> str:
    def hexed(plain: str) -> str:
        return "".join(f"\\x{ord(letter):02x}" for letter in plain)

    for plain in (
        f"{FOLDER}/db-wal",
        f"{FOLDER}/marks",
        f"{FOLDER}/db",
        str(FOLDER),
        "/etc/other",
        '{"day": 1}',
        "page",
    ):
        text = text.replace(f"[{plain}]", hexed(plain))
    return text


def test_a_recording_is_read_in_the_order_in_which_calls_returned(tmp_path: Path) -> None:
    log = tmp_path / "strace"
    lines = [
        '7 openat(AT_FDCWD<[/etc/other]>, "[{0}/db]", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 3<[{0}/db]>',
        '7 openat(AT_FDCWD<[/etc/other]>, "[{0}/db]", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 4<[{0}/db]>',
        '7 pwrite64(3<[{0}/db]>, "[page]", 4, 8192) = 4',
        '7 write(9<[/etc/other]>, "[page]", 4) = 4',
        "8 fdatasync(3<[{0}/db]> <unfinished ...>",
        '7 write(5<[{0}/marks]>, "[{{"day": 1}}]", 10) = 10',
        "8 <... fdatasync resumed>) = 0",
        "7 ftruncate(3<[{0}/db]>, 512) = 0",
        "7 fallocate(3<[{0}/db]>, 0, 0, 4096) = 0",
        '7 rename("[{0}/db]", "[{0}/db-wal]") = 0',
        '7 unlink("[{0}/db-wal]") = 0',
        '7 unlink("[{0}/db-wal]") = -1 ENOENT (No such file or directory)',
        "7 fdatasync(6<[{0}]>) = 0",
        "7 +++ exited with 0 +++",
    ]
    log.write_text("".join(line(text.format(FOLDER)) + "\n" for text in lines), "ascii")
    assert list(parse(log, FOLDER)) == [
        Create("db"),
        Write("db", 8192, b"page"),
        Mark({"day": 1}),
        Sync("db"),
        Truncate("db", 512),
        Truncate("db", 4096),
        Rename("db", "db-wal"),
        Remove("db-wal"),
        Sync(""),
    ]


def ledger(place: str, state: str, slot: int | None) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.executescript(
        "CREATE TABLE card (card_id, role, claim_id, place, since); CREATE TABLE claim (claim_id, state);"
        "CREATE TABLE slot (slot, state, card_id); CREATE TABLE intent (result);"
        "INSERT INTO slot VALUES (0, 'free', NULL), (1, 'free', NULL)"
    )
    db.execute("INSERT INTO card VALUES ('N1', 'new', 'N1', ?, 1.0)", (place,))
    db.execute("INSERT INTO claim VALUES ('N1', ?)", (state,))
    if slot is not None:
        db.execute("UPDATE slot SET state = 'stocked', card_id = 'N1' WHERE slot = ?", (slot,))
    return db


def truth(new: str, old: str, slot: int | None = None) -> dict[str, Any]:
    return {
        "cards": [
            {"card_id": "N1", "role": "new", "person": "p1", "place": new, "slot": slot},
            {"card_id": "O1", "role": "old", "person": "p1", "place": old, "slot": None},
        ]
    }


def test_the_judge_sees_every_contradiction() -> None:
    assert contradictions(truth("slot", "person", 1), ledger("slot", "stocked", 1)) == []
    assert contradictions(truth("slot", "person", 0), ledger("slot", "stocked", 1)) != []
    assert contradictions(truth("person", "person"), ledger("slot", "stocked", 1)) != []
    assert contradictions(truth("slot", "person", 0), ledger("taken", "collected", None)) != []
    assert contradictions(truth("slot", "bin", 1), ledger("slot", "stocked", 1)) != []
    again = ledger("slot", "stocked", 1)
    again.executemany("INSERT INTO card VALUES (?, 'old', 'N1', ?, 1.0)", [("old-1", "taken"), ("old-2", "bin")])
    assert contradictions(truth("slot", "bin", 1), again) == []
    assert contradictions(truth("slot", "person", 1), again) != []
    both = truth("person", "person")
    assert hands(both, ()) != []
    assert hands(truth("person", "bin"), ()) == hands(truth("slot", "person", 1), ()) == []
    finder = next(one for one in population(1, 9) if one.lost_card is not None)
    assert finder.lost_card is not None
    old = next(card["card_id"] for card in both["cards"] if card["role"] == "old")
    assert hands(both, [replace(finder, lost_card=replace(finder.lost_card, card_id=old))]) == []


def test_a_written_history_is_one_that_the_daemon_could_have_made(tmp_path: Path) -> None:
    path = tmp_path / "lockerd.db"
    assert write(path, 1500, NOW) >= 1500
    assert verify(path) == Report((), ())


# --- kills


async def test_a_run_goes_on_after_the_rounds_that_are_kept(tmp_path: Path) -> None:
    kept = {7: [1.0, 3.0], 8: [2.0]}
    for seed, ready in kept.items():
        tally = kills.Tally(kills=len(ready), rounds=1, ready=ready)
        (tmp_path / f"result-9-{seed}.json").write_text(json.dumps(asdict(tally)))
    found = await kills.run(kills.Game(tmp_path, tmp_path / "none.db", rows=9, kills=3, speed=1.0), seed=7, jobs=1)
    assert (found.kills, found.rounds, found.wrong, sorted(found.ready)) == (3, 2, [], [1.0, 2.0, 3.0])


def test_the_99th_percentile_is_one_of_the_values() -> None:
    tally = kills.Tally(ready=[float(second) for second in range(200)])
    assert tally.summary(9)["ready_p99"] == 197.0
