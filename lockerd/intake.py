"""What comes from the office and what leaves by SMS: manifest items into the store, messages out of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import structlog

from lockerd.errors import FaceUnavailable, LinkError
from lockerd.issuing import Issuing
from lockerd.model.cards import ManifestCollector, ManifestItem
from lockerd.model.policy import Relation
from lockerd.model.polling import KEPT_SECONDS
from lockerd.office.manifest import Announced, CardFound, CardLost, CodeExtension, CodeReissue, DownItem, Withdrawn
from lockerd.ports import SmsSender
from lockerd.referencing import References
from lockerd.store import claims, journal, lost, messages, templates
from lockerd.store.collectors import Named
from lockerd.store.database import Database, News, Transaction
from lockerd.store.journal import Stamp
from lockerd.store.messages import Message
from lockerd.store.vault import Vault

log = structlog.get_logger(__name__)

FIRST_LOOK_SECONDS = 1.0
SMS_RETRY_SECONDS = 30.0

Work = Callable[[Transaction], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Intake:
    """Takes the office's items; a photo becomes a template at once and is thrown away."""

    db: Database
    vault: Vault
    references: References
    stamp: Callable[[], Stamp]
    issuing: Issuing

    async def take(self, items: Sequence[tuple[DownItem, int]], cursor: int) -> None:
        """Make the items of a page durable in one transaction, with the page's cursor on the down channel; each comes with its own.

        Raises FaceUnavailable while no template can be made: what came before it is kept, and the office sends the rest again.
        """
        ready: list[Work] = []
        before = 0
        for item, at in items:
            try:
                ready.append(await self._prepared(item))
            except FaceUnavailable:
                if ready:
                    await self._keep(ready, before)
                raise
            before = at
        await self._keep(ready, cursor)

    async def _keep(self, ready: Sequence[Work], cursor: int) -> None:
        async def whole(tx: Transaction) -> None:
            for work in ready:
                await work(tx)
            await journal.save_down_cursor(tx, cursor)

        await self.db.transaction(whole)

    async def _prepared(self, item: DownItem) -> Work:
        """What is to become durable of one item."""
        match item:
            case Announced():
                return await self._announced(item.item)
            case Withdrawn():
                return lambda tx: claims.withdraw(tx, item.claim_id, self.stamp())
            case CodeReissue():
                return lambda tx: self.issuing.on_command(tx, item.claim_id, item.not_after, item.letter_code)
            case CodeExtension():
                return lambda tx: self.issuing.on_command(tx, item.claim_id, item.not_after, None)
            case CardLost():
                return lambda tx: lost.report(
                    tx, self.vault, item.report_id, item.id_number, item.valid_from, self.stamp()
                )
            case CardFound():
                return lambda tx: lost.withdraw(tx, item.report_id, self.stamp())

    async def _announced(self, item: ManifestItem) -> Work:
        referred = await self.references.of_office(item.photo, item.template)
        enrolment, refused = referred.enrolment, referred.refused
        if enrolment.template is None:
            log.warning("reference not usable", claim=item.claim_id, reason=enrolment.reason)
        named = [await self._named(item.claim_id, one) for one in item.collectors]

        async def put(tx: Transaction) -> None:
            stamp = self.stamp()
            if enrolment.template is None:
                unusable = {"claim_id": item.claim_id, "reason": enrolment.reason.value}
                await journal.append(tx, "lockerd.reference.unusable", unusable, stamp=stamp)
            elif refused is not None:  # the photo stands in
                why = {"claim_id": item.claim_id, "reason": refused.value}
                await journal.append(tx, "lockerd.template.refused", why, stamp=stamp)
            kept = await claims.put_item(tx, self.vault, item, enrolment.template, stamp, named)
            await self.issuing.letter(tx, item.claim_id, item.letter_code)
            if kept and named:
                await self.issuing.named(tx, item.claim_id)
                data = {"claim_id": item.claim_id, "relations": [one.relation.value for one in named]}
                await journal.append(tx, "lockerd.collectors.named", data, stamp=stamp)

        return put

    async def _named(self, claim_id: str, one: ManifestCollector) -> Named:
        enrolment = (await self.references.of_office(one.photo, one.template)).enrolment
        if enrolment.template is None:
            log.warning("reference not usable", claim=claim_id, kind=one.relation, reason=enrolment.reason)
        return Named(Relation(one.relation), one.id_number, enrolment.template)


async def keep_templates(
    db: Database, model_id: Callable[[], str], stamp: Callable[[], Stamp], pause: float = KEPT_SECONDS
) -> None:
    """Ask the office for photos again whenever the face worker runs other models than before, until cancelled."""
    last = ""
    while True:
        now = model_id()
        if now and now != last:
            count = await db.transaction(partial(templates.ask_again, model_id=now, stamp=stamp()))
            if count:
                log.warning("templates of another model", model=now, count=count)
            last = now
        await asyncio.sleep(pause if last else FIRST_LOOK_SECONDS)


async def send_messages(db: Database, vault: Vault, sender: SmsSender, stamp: Callable[[], Stamp]) -> None:
    """Hand queued messages to the sender, oldest first, until cancelled; what fails is tried again later."""
    while True:
        seen = db.heard(News.MESSAGE)
        waiting, message = await db.read(lambda tx: messages.waiting(tx, vault, stamp().wall))
        while message is not None:
            waiting, message = await _hand_over(message, db, vault, sender, stamp)
        with suppress(TimeoutError):
            async with asyncio.timeout(SMS_RETRY_SECONDS if waiting else None):
                await db.more(News.MESSAGE, seen)


async def _hand_over(
    message: Message, db: Database, vault: Vault, sender: SmsSender, stamp: Callable[[], Stamp]
) -> tuple[bool, Message | None]:
    """Hand over one message, and what came of it becomes durable; gives what waits then, as `messages.waiting`."""
    try:
        await sender.send(message.message_id, message.phone, message.text)
    except LinkError as error:
        log.warning("message not sent", message_id=message.message_id, error=str(error))
        end = partial(messages.failed, message_id=message.message_id, retry_at=stamp().wall + SMS_RETRY_SECONDS)
    else:
        end = partial(messages.sent, message_id=message.message_id, at=stamp().wall)

    async def ended(tx: Transaction) -> tuple[bool, Message | None]:
        await end(tx)
        return await messages.waiting(tx, vault, stamp().wall)

    return await db.transaction(ended)
