"""Codes for collectable claims: the first one, another one, a longer life, and the message or letter that carries it.

A new code never sets back the tries that were made. Who asked is journalled, the code never.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import structlog

from lockerd.errors import StoreError
from lockerd.model.cards import Claim, ClaimKind, ClaimState
from lockerd.office.sms import another_text, corrected_text, extended_text, named_text, pickup_text
from lockerd.store import attempts, claims, codes, journal, messages
from lockerd.store.codes import CodeKind
from lockerd.store.database import Database, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.vault import Vault

log = structlog.get_logger(__name__)

CITIZEN = "citizen"
OFFICE = "office"
MACHINE = "machine"

SENT_TO_CITIZEN = 3
SENT_WINDOW = 86400.0
"""A citizen may have so many codes sent within so many seconds: SMS providers refuse more."""


LOOK_SECONDS = 3600.0


class IssueResult(StrEnum):
    """What became of a wish for a code."""

    DONE = "done"
    NOT_COLLECTABLE = "not_collectable"  # no such claim, or its card is not in the machine for collection
    NO_PHONE = "no_phone"  # nobody to send a pickup code to; the office can write a letter
    NO_CODE = "no_code"  # nothing to extend
    TOO_LATE = "too_late"  # the office's command was not to be carried out any more


@dataclass(frozen=True, slots=True)
class Issuing:
    """Issues, renews and extends codes; `lifetimes` are seconds by kind, `new_code` makes a pickup code."""

    db: Database
    vault: Vault
    stamp: Callable[[], Stamp]
    new_code: Callable[[], str]
    lifetimes: Mapping[CodeKind, float]

    async def first(self, tx: Transaction, claim: Claim) -> None:
        """The claim can be collected from now on: its letter code begins to live, and a pickup code goes to its phone."""
        now = await self._now(tx)
        await codes.extend(tx, claim.claim_id, CodeKind.LETTER, now + self.lifetimes[CodeKind.LETTER])
        await self._to_phone(tx, claim, pickup_text, now)

    async def letter(self, tx: Transaction, claim_id: str, letter_code: str) -> None:
        """An announced claim's letter code is that of its latest announcement; empty for none. Others keep theirs."""
        if not letter_code:
            await codes.forget(tx, claim_id, CodeKind.LETTER)
        elif await claims.state_of(tx, claim_id) is ClaimState.EXPECTED:
            await codes.issue(tx, self.vault, claim_id, letter_code, None)

    async def reissue(self, claim_id: str, by: str, letter_code: str = "") -> IssueResult:
        """Another code in place of the earlier one: the given letter code, or a pickup code by SMS. Raises StoreError."""
        return await self.db.transaction(lambda tx: self._reissue(tx, claim_id, by, letter_code))

    async def _reissue(self, tx: Transaction, claim_id: str, by: str, letter_code: str) -> IssueResult:
        claim = await claims.by_id(tx, self.vault, claim_id)
        if claim is None or claim.state is not ClaimState.STOCKED:
            return await self._refuse(tx, claim_id, by, IssueResult.NOT_COLLECTABLE)
        now = await self._now(tx)
        if letter_code:
            await codes.issue(tx, self.vault, claim_id, letter_code, now + self.lifetimes[CodeKind.LETTER])
        elif not await self._to_phone(tx, claim, another_text, now):
            return await self._refuse(tx, claim_id, by, IssueResult.NO_PHONE)
        kind = CodeKind.LETTER if letter_code else CodeKind.PICKUP
        await self._tell(tx, "lockerd.code.reissued", claim_id, kind=kind, by=by)
        return IssueResult.DONE

    async def extend(self, claim_id: str, by: str) -> IssueResult:
        """Let the codes that the claim has live a whole lifetime from now, and say so by SMS. Raises StoreError."""
        return await self.db.transaction(lambda tx: self._extend(tx, claim_id, by))

    async def _extend(self, tx: Transaction, claim_id: str, by: str) -> IssueResult:
        claim = await claims.by_id(tx, self.vault, claim_id)
        if claim is None or claim.state is not ClaimState.STOCKED:
            return await self._refuse(tx, claim_id, by, IssueResult.NOT_COLLECTABLE)
        now = await self._now(tx)
        found = False
        for kind in CodeKind:
            end = await codes.extend(tx, claim_id, kind, now + self.lifetimes[kind])
            if end is None:
                continue
            found = True
            await self._tell(tx, "lockerd.code.extended", claim_id, kind=kind, by=by)
            if kind is CodeKind.PICKUP and claim.person.phone:
                name = f"{claim_id}-until-{end:.0f}"
                await messages.queue(tx, self.vault, name, claim.person.phone, extended_text(end))
        return IssueResult.DONE if found else await self._refuse(tx, claim_id, by, IssueResult.NO_CODE)

    async def on_command(self, tx: Transaction, claim_id: str, not_after: float, letter_code: str | None) -> None:
        """The office's wish for another code, or with None for a longer life; too late, it is journalled only."""
        if self.stamp().wall > not_after:
            await self._refuse(tx, claim_id, OFFICE, IssueResult.TOO_LATE)
        elif letter_code is None:
            await self._extend(tx, claim_id, OFFICE)
        else:
            await self._reissue(tx, claim_id, OFFICE, letter_code)

    async def to_holder(self, id_number: str) -> None:
        """A citizen showed the card with this number and wants the codes of all that waits for it sent; at most a few a day.

        Nobody at the machine is told what became of it. Raises StoreError.
        """

        async def begin(tx: Transaction) -> list[str]:
            subject = self.vault.blind(f"sent|{id_number}")
            now = await self._now(tx)
            if await attempts.record(tx, subject, now, limit=SENT_TO_CITIZEN, window=SENT_WINDOW) is None:
                return []
            return [claim.claim_id for claim in await claims.all_for_id(tx, self.vault, id_number)]

        for claim_id in await self.db.transaction(begin):
            await self.reissue(claim_id, CITIZEN)

    async def named(self, tx: Transaction, claim_id: str) -> None:
        """The office named who may collect a claim: another pickup code where somebody of them was not known to the last one.

        A code is kept once for each who may type it, and nobody knows it any more: for somebody named late it cannot be kept.
        So all type the new one, and the message says why the earlier one opens nothing any more. Two codes at a time would be
        one too many: nobody could tell which of two messages is for whom.
        """
        claim = await claims.by_id(tx, self.vault, claim_id)
        if claim is None or claim.state is not ClaimState.STOCKED or not await codes.lacks_for_someone(tx, claim_id):
            return
        if await self._to_phone(tx, claim, named_text, await self._now(tx)):
            await self._tell(tx, "lockerd.code.reissued", claim_id, kind=CodeKind.PICKUP, by=OFFICE)
        else:
            await self._refuse(tx, claim_id, OFFICE, IssueResult.NO_PHONE)

    async def watch(self) -> None:
        """Look after the codes until cancelled."""
        while True:
            try:
                await self.look_after()
            except StoreError as error:
                log.warning("ended codes not told", error=str(error))
            await asyncio.sleep(LOOK_SECONDS)

    async def look_after(self) -> None:
        """Replace codes of another version of lockerd, tell the office of codes that ended and of locks. Raises StoreError.

        Ends that a clock was too far ahead for are set right before.
        """

        async def work(tx: Transaction) -> None:
            await self._replace_outdated(tx)
            await self._set_right(tx)
            for claim_id, kind in await codes.ended(tx, self.stamp()):
                await self._tell(tx, "lockerd.code.expired", claim_id, kind=kind)
            await self._tell_locked(tx)

        await self.db.transaction(work)

    async def tell_locked(self) -> None:
        """Tell the office of claims that somebody can open by no code any more, each lock once. Raises StoreError."""
        await self.db.transaction(self._tell_locked)

    async def _replace_outdated(self, tx: Transaction) -> None:
        """Codes that were hashed in another way than today's open nothing: another pickup code by SMS.

        In all other cases the office is told that the code has ended, and writes a letter.
        """
        for claim_id, kind in await codes.outdated(tx):
            claim = await claims.by_id(tx, self.vault, claim_id)
            stocked = claim is not None and claim.state is ClaimState.STOCKED
            if (
                claim is not None
                and stocked
                and kind is CodeKind.PICKUP
                and await self._to_phone(tx, claim, another_text, await self._now(tx))
            ):
                await self._tell(tx, "lockerd.code.reissued", claim_id, kind=kind, by=MACHINE)
            else:
                await self._tell(tx, "lockerd.code.expired", claim_id, kind=kind)

    async def _set_right(self, tx: Transaction) -> None:
        """Codes that were made while the clock was ahead end as if they were made now, and their holders are told so by SMS."""
        if not await attempts.was_ahead(tx):
            return
        for claim_id, kind, end in await codes.set_right(tx, await self._now(tx), self.lifetimes):
            claim = await claims.by_id(tx, self.vault, claim_id)
            if claim is not None and kind is CodeKind.PICKUP and claim.person.phone:
                name = f"{claim_id}-until-{end:.0f}"
                await messages.queue(tx, self.vault, name, claim.person.phone, corrected_text(end))

    async def _tell_locked(self, tx: Transaction) -> None:
        for claim_id, by in await codes.newly_locked(tx, self.stamp()):
            collector = {"collector_id": by.collector_id} if by.collector_id else {}
            await self._tell(tx, "lockerd.claim.locked", claim_id, relation=by.relation, **collector)

    async def _to_phone(
        self, tx: Transaction, claim: Claim, text: Callable[[str, float, ClaimKind], str], now: float
    ) -> bool:
        if not claim.person.phone:
            return False
        code, end = self.new_code(), now + self.lifetimes[CodeKind.PICKUP]
        await codes.issue(tx, self.vault, claim.claim_id, code, end)
        await messages.forget(tx, claim.claim_id)  # the code that it tells opens nothing any more
        name = f"{claim.claim_id}-{self.vault.entropy(6).hex()}"  # another for each code: a name is sent once
        await messages.queue(tx, self.vault, name, claim.person.phone, text(code, end, claim.kind))
        return True

    async def _now(self, tx: Transaction) -> float:
        return await attempts.effective_now(tx, self.stamp())

    async def _refuse(self, tx: Transaction, claim_id: str, by: str, reason: IssueResult) -> IssueResult:
        await self._tell(tx, "lockerd.code.refused", claim_id, by=by, reason=reason)
        return reason

    async def _tell(self, tx: Transaction, event: str, claim_id: str, **data: str) -> None:
        await journal.append(tx, event, {"claim_id": claim_id, **data}, stamp=self.stamp())
