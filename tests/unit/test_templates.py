"""After a change of the model pack the office is asked for photos again, once, and the cards stay collectable."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from lockerd.errors import DeviceError, FaceUnavailable
from lockerd.intake import Intake, keep_templates
from lockerd.model.cards import ManifestCollector, ManifestTemplate
from lockerd.model.custody import Motion, Place
from lockerd.model.identity import Enrolment, FaceReason, FaceResult, FaceTemplate, ReferenceKind
from lockerd.office.manifest import Announced
from lockerd.referencing import References
from lockerd.store import claims, journal, ledger, templates
from lockerd.store.database import Database, Transaction
from sim.office_books import Books
from tests.store_support import STAMP, carry, issuing, item, opened, vault

OLD, NEW = "pack/1/old", "pack/2/new"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "lockerd.db") as db:
        await db.transaction(lambda tx: ledger.configure_slots(tx, 3))
        yield db


async def stock(tx: Transaction, claim_id: str, slot: int) -> None:
    await ledger.move(tx, claim_id, Place.TRANSPORT, STAMP, "read")
    await carry(tx, Motion.STORE, claim_id, slot)
    await claims.stocked(tx, claim_id, slot, STAMP)


NOBODY = b"a picture of nobody"
NO_WORKER = b"a picture that comes before the face worker is up"


class Face:
    """Enrols every photo with the model that runs."""

    def __init__(self, model_id: str) -> None:
        self.model_id = model_id

    async def enrol(self, picture: bytes, kind: ReferenceKind = ReferenceKind.PHOTO) -> Enrolment:
        if picture == NO_WORKER:
            raise FaceUnavailable("no worker yet")
        if picture == NOBODY:
            return Enrolment(None, FaceReason.NO_FACE)
        return Enrolment(FaceTemplate(self.model_id, b"\0\0\0\0" * 8 + picture, kind), FaceReason.MATCH)

    def admit(self, template: FaceTemplate) -> Enrolment:
        ours = template.model_id == self.model_id
        return Enrolment(template if ours else None, FaceReason.MATCH if ours else FaceReason.WRONG_MODEL)

    async def verify(
        self, template: FaceTemplate, *, timeout: float, on_prompt: Callable[[FaceReason], None]
    ) -> FaceResult:
        raise NotImplementedError

    def previews(self) -> AsyncGenerator[bytes, None]:
        raise NotImplementedError


def intake(db: Database, model_id: str) -> Intake:
    return Intake(db, vault(), References(Face(model_id)), lambda: STAMP, issuing(db))


async def wanted(db: Database) -> list[dict[str, object]]:
    rows = await db.transaction(lambda tx: tx.all("SELECT data FROM journal WHERE type = 'lockerd.template.wanted'"))
    return [json.loads(row["data"]) for row in rows]


async def models(db: Database, *claim_ids: str) -> list[str | None]:
    async def read(tx: Transaction) -> list[str | None]:
        found = [await claims.template(tx, vault(), claim_id) for claim_id in claim_ids]
        return [template.model_id if template else None for template in found]

    return await db.transaction(read)


async def test_each_claim_is_asked_for_once_a_model(db: Database) -> None:
    for claim_id, model in (("N000001", OLD), ("N000002", NEW), ("N000003", OLD)):
        await intake(db, model).take([(Announced(item(claim_id)), 1)], 1)
    await db.transaction(lambda tx: stock(tx, "N000001", 0))
    await db.transaction(lambda tx: claims.withdraw(tx, "N000003", STAMP))
    for _ in range(2):
        await db.transaction(lambda tx: templates.ask_again(tx, NEW, STAMP))
    assert await wanted(db) == [{"claim_id": "N000001", "model": NEW}]
    assert await db.transaction(lambda tx: templates.ask_again(tx, OLD, STAMP)) == 1, "back to the old pack"


async def test_what_comes_before_an_item_that_cannot_be_taken_yet_is_kept(db: Database) -> None:
    late = Announced(msgspec.structs.replace(item("N000003"), photo=NO_WORKER))
    page = [
        (Announced(item("N000001")), 3),
        (Announced(item("N000002")), 4),
        (late, 5),
        (Announced(item("N000004")), 6),
    ]
    with pytest.raises(FaceUnavailable):
        await intake(db, NEW).take(page, 6)
    assert await db.read(journal.load_down_cursor) == 4
    assert await models(db, "N000001", "N000002", "N000004") == [NEW, NEW, None]
    with pytest.raises(FaceUnavailable):
        await intake(db, NEW).take(page[2:], 6)
    assert await db.read(journal.load_down_cursor) == 4, "nothing new was kept"
    await intake(db, NEW).take(page[3:], 8)
    assert await db.read(journal.load_down_cursor) == 8, "the page ends with what the office passed over"


async def test_a_stocked_claim_takes_a_photo_for_the_new_model_and_nothing_else(db: Database) -> None:
    await intake(db, OLD).take([(Announced(item()), 7)], 7)
    assert await db.read(journal.load_down_cursor) == 7
    await db.transaction(lambda tx: stock(tx, "N000001", 0))
    await intake(db, NEW).take([(Announced(item(id_number="990101199001010026")), 1)], 1)
    assert await models(db, "N000001") == [OLD], "another person's item"
    await intake(db, NEW).take([(Announced(item(name="别人", phone="+8619900000009")), 1)], 1)
    assert await models(db, "N000001") == [NEW]
    claim = await db.transaction(lambda tx: claims.by_id(tx, vault(), "N000001"))
    assert claim is not None
    assert (claim.person.name, claim.person.phone, claim.slot) == ("测试甲", "+8619900000001", 0)

    async def first(tx: Transaction) -> bytes:
        template = await claims.template(tx, vault(), "N000001")
        assert template is not None
        return template.vector

    before = await db.transaction(first)
    changed = await intake(db, NEW).references.face.enrol(b"abcd")
    done = await db.transaction(lambda tx: claims.put_item(tx, vault(), item(), changed.template, STAMP))
    assert not done, "a template of the same model is never replaced once the card is stocked"
    assert await db.transaction(first) == before


async def test_the_office_sends_the_item_again_and_it_is_enrolled(db: Database, tmp_path: Path) -> None:
    await intake(db, OLD).take([(Announced(item()), 1)], 1)
    await db.transaction(lambda tx: stock(tx, "N000001", 0))
    running = ""
    keeper = asyncio.create_task(keep_templates(db, lambda: running, lambda: STAMP))
    try:
        await asyncio.sleep(0)
        assert await wanted(db) == [], "nothing is known of the worker's models yet"
        running = NEW
        async with asyncio.timeout(10):
            while not await wanted(db):
                await asyncio.sleep(0.05)
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper
    with Books(tmp_path) as books:
        cursor = books.announce([{"claim_id": "N000001", "photo": "again"}])
        books.greet("locker-1", "e", 1, 1, {})
        (event,) = await wanted(db)
        cloud = {"specversion": "1.0", "id": "e:1", "type": "lockerd.template.wanted", "data": event}
        assert books.take("locker-1", [cloud], 0.0).news
        (again,) = books.page(cursor).items
        assert again["item"] == {"claim_id": "N000001", "photo": "again"}
    await intake(db, NEW).take([(Announced(item()), 1)], 1)
    assert await models(db, "N000001") == [NEW]


# --- where a reference comes from


async def template_of(db: Database) -> FaceTemplate | None:
    return await db.transaction(lambda tx: claims.template(tx, vault(), "N000001"))


async def test_a_template_of_the_office_is_taken_as_it_is(db: Database) -> None:
    made = ManifestTemplate(NEW, b"made at the office")
    await intake(db, NEW).take([(Announced(msgspec.structs.replace(item(), photo=b"", template=made)), 1)], 1)
    assert await template_of(db) == FaceTemplate(NEW, b"made at the office")


async def test_a_template_of_another_model_is_refused_and_the_photo_used_or_the_office_told(db: Database) -> None:
    foreign = ManifestTemplate(OLD, b"made at the office")
    await intake(db, NEW).take([(Announced(msgspec.structs.replace(item(), photo=b"photo", template=foreign)), 1)], 1)
    found = await template_of(db)
    assert found is not None
    assert (found.model_id, found.vector[-5:]) == (NEW, b"photo")
    refused = await db.transaction(
        lambda tx: tx.all("SELECT data FROM journal WHERE type = 'lockerd.template.refused'")
    )
    assert [json.loads(row["data"]) for row in refused] == [{"claim_id": "N000001", "reason": "wrong_model"}]
    await intake(db, NEW).take([(Announced(msgspec.structs.replace(item(), photo=b"", template=foreign)), 1)], 1)
    assert await template_of(db) is None
    told = await db.transaction(lambda tx: tx.all("SELECT data FROM journal WHERE type = 'lockerd.reference.unusable'"))
    assert [json.loads(row["data"]) for row in told] == [{"claim_id": "N000001", "reason": "wrong_model"}]


async def test_a_collectors_template_of_another_model_is_asked_for_again(db: Database) -> None:
    guardian = ManifestCollector("guardian", "990101199001010026", b"photo")
    await intake(db, OLD).take(
        [(Announced(msgspec.structs.replace(item(), photo=NOBODY, collectors=(guardian,))), 1)], 1
    )
    await db.transaction(lambda tx: templates.ask_again(tx, NEW, STAMP))
    assert await wanted(db) == [{"claim_id": "N000001", "model": NEW}]


class Decoder:
    """Reads a chip's photo that is one."""

    async def decode(self, photo: bytes) -> bytes:
        if photo == b"no photo":
            raise DeviceError("decoder", "no photo")
        return photo


async def test_a_chips_photo_is_a_reference_of_its_own_kind_where_it_can_be_read(db: Database) -> None:
    references = References(Face(NEW), Decoder())
    found = await references.of_chip(b"chip")
    assert found is not None
    assert (found.kind, found.vector[-4:]) == (ReferenceKind.CHIP, b"chip")
    assert [await references.of_chip(photo) for photo in (b"", b"no photo", NOBODY)] == [None] * 3
    assert await References(Face(NEW)).of_chip(b"chip") is None, "without a decoder"


async def test_a_template_from_a_chip_fills_a_gap_only(db: Database) -> None:
    chip = FaceTemplate(NEW, b"chip", ReferenceKind.CHIP)

    async def supply(claim_id: str) -> bool:
        return await db.transaction(lambda tx: claims.supply_template(tx, vault(), claim_id, chip))

    assert not await supply("N000001"), "no such claim"
    await intake(db, NEW).take([(Announced(msgspec.structs.replace(item(), photo=NOBODY)), 1)], 1)
    assert await supply("N000001")
    assert await template_of(db) == chip
    assert not await supply("N000001")
