"""What field staff can do: log in, load a tray, see the slots, empty the bin, have the card path settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from lockerd.errors import DeviceError, FloorTaken, StaffWorkFailed
from lockerd.issuing import IssueResult, Issuing
from lockerd.journey.session import Session
from lockerd.loading import Loading
from lockerd.model.custody import Motion, Order, Outcome, Place, Result, SlotRecord, Unit
from lockerd.model.staffing import BinReport, LoadReport
from lockerd.motions import Motions
from lockerd.store import emptying, journal, ledger, lookups, staff
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

_REFUSED = {
    IssueResult.NOT_COLLECTABLE: "the card in this slot cannot be collected; ask the office",
    IssueResult.NO_PHONE: "no telephone is known; the office can write a letter",
    IssueResult.NO_CODE: "there is no code to extend; send a new one",
}

log = structlog.get_logger(__name__)


class Maintenance:
    """Staff work. `run` is the parent of loading; every method names the staff member who asked."""

    def __init__(
        self,
        *,
        db: Database,
        vault: Vault,
        session: Session,
        loading: Loading,
        motions: Motions,
        stamp: Callable[[], Stamp],
        issuing: Issuing,
    ) -> None:
        self._db = db
        self._vault = vault
        self._session = session
        self._loading = loading
        self._motions = motions
        self._stamp = stamp
        self._issuing = issuing
        self._trays: asyncio.Queue[tuple[str, asyncio.Future[None]]] = asyncio.Queue(maxsize=1)

    async def run(self) -> None:
        """Load trays as they are asked for, until cancelled."""
        while True:
            name, begun = await self._trays.get()
            try:
                async with self._session.staff_at_work():
                    if not begun.done():  # whoever asked may have gone; the tray is loaded all the same
                        begun.set_result(None)
                    await self._loading.tray(name)
                    log.info("tray loaded", count=len(self._loading.report.lines))
            except FloorTaken as error:
                if not begun.done():
                    begun.set_exception(error)
            except DeviceError as error:
                log.warning("loading broken off", error=str(error))

    async def log_in(self, name: str, pin: str) -> bool:
        """Whether name and PIN fit; a success is journalled. Tries are bounded by the store."""
        stamp = self._stamp()
        member = await staff.check_pin(self._db, self._vault, name, pin, stamp)
        if member is None:
            return False
        await self._db.transaction(
            lambda tx: journal.append(tx, "lockerd.staff.logged_in", {"staff": name}, stamp=stamp)
        )
        return True

    async def load(self, name: str) -> None:
        """Begin to load the tray. Raises FloorTaken."""
        if self._loading.report.running or self._trays.full():
            raise FloorTaken("a tray is being loaded already; wait for its report")
        begun = asyncio.get_running_loop().create_future()
        self._trays.put_nowait((name, begun))
        await begun

    @property
    def load_report(self) -> LoadReport:
        """The tray being loaded, or the last one."""
        return self._loading.report

    async def slots(self) -> list[SlotRecord]:
        """All slots as the ledger has them."""
        return await self._db.read(ledger.slots)

    async def empty_bin(self, name: str, counted: int) -> BinReport:
        """Record that the bin was emptied and how many cards were counted, blind. Raises FloorTaken, StaffWorkFailed."""
        reports: list[BinReport] = []

        async def emptied(tx: Transaction, outcome: Outcome, _place: Place | None) -> None:
            if outcome.result is Result.DONE:
                reports.append(BinReport(counted, await emptying.empty_bin(tx, name, counted, self._stamp())))

        async with self._session.staff_at_work():
            await self._motions.make(Order(Unit.RECYCLER, Motion.EMPTY_BIN), journey_id=f"staff:{name}", after=emptied)
        if not reports:
            raise StaffWorkFailed("the recycler did not take the emptying; close its door, look at the overview, and try again")
        return reports[0]

    async def reissue_code(self, name: str, slot: int) -> None:
        """Send a new pickup code to whom the card in `slot` waits for. Raises StaffWorkFailed."""
        said(await self._issuing.reissue(await self._claim_in(slot), f"staff:{name}"))

    async def extend_code(self, name: str, slot: int) -> None:
        """Let the codes of whom the card in `slot` waits for live a whole lifetime from now. Raises StaffWorkFailed."""
        said(await self._issuing.extend(await self._claim_in(slot), f"staff:{name}"))

    async def _claim_in(self, slot: int) -> str:
        card_id = await self._db.transaction(lambda tx: lookups.card_in(tx, slot))
        if card_id is None:
            raise StaffWorkFailed("no card lies in this slot; look at the slots")
        return card_id

    async def settle(self) -> bool:
        """After a jam was cleared by hand: bring the card path to rest; True when pickups are served again."""
        return await self._session.settle()


def said(result: IssueResult) -> None:
    """Raise StaffWorkFailed with the words for a wish that was refused."""
    if result is not IssueResult.DONE:
        raise StaffWorkFailed(_REFUSED[result])
