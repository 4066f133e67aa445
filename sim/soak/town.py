"""People without end: each gets a new card, and the SMS that says so."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from sim.assembly import Machine
from sim.people import Citizen, citizen
from sim.soak.office import Office

SENT_TOO_OFTEN = 10
_MESSAGES = 200
SMS_DELAY = (2.0, 30.0)  # seconds from the network's taking a message to its arrival
_CODE = re.compile(r"(\d{4}) (\d{4})")


@dataclass(slots=True)
class Resident:
    """One person of the story: what they know, and how often they came in vain."""

    who: Citizen
    code: str | None = None
    visits: int = 0
    ticket: str = ""
    collected: bool = False
    code_since: float = 0.0  # virtual seconds
    another_code: bool = False  # was made: which of two messages is the later one, nobody can tell


class Town:
    """Makes residents, announces their cards, and receives their messages. `photo` makes what the face check understands."""

    def __init__(self, seed: int, machine: Machine, office: Office, random: Random) -> None:
        self._seed = seed
        self._machine = machine
        self._office = office
        self._random = random
        self._made = 0
        self.residents: dict[str, Resident] = {}  # by person
        self.by_claim: dict[str, Resident] = {}
        self.by_old_card: dict[str, Resident] = {}  # or lost card
        self._by_phone: dict[str, Resident] = {}
        self._rang: dict[str, int] = {}  # by message, how often it was handed over; the latest ones
        self.sms_until = float("-inf")  # no network until then
        self.sms_delay = SMS_DELAY
        self.on_wrong: Callable[[str], None] = lambda _what: None  # told of what no network may see
        self.announced: list[Resident] = []  # cards that staff will bring

    def announce(self, photo: bytes | None = None, kind: str = "") -> Resident:
        """One resident more; the office tells the machine and the card is made, because of `kind` where that is not their own."""
        self._made += 1
        who = citizen(self._seed, self._made)
        resident = Resident(who)
        self.residents[who.person_id] = self.by_claim[who.new_card.card_id] = self._by_phone[who.phone] = resident
        if (old := who.old_card or who.lost_card) is not None:
            self.by_old_card[old.card_id] = resident
        self._machine.add(who)
        card = who.new_card
        self._office.announce(
            {
                "claim_id": card.card_id,
                "kind": kind or who.kind,
                "name": card.name,
                "id_number": card.id_number,
                "valid_from": card.valid_from,
                "valid_to": card.valid_to,
                "phone": who.phone,
                "photo": base64.b64encode(photo or _photo(who.face_seed)).decode(),
            }
        )
        self.announced.append(resident)
        return resident

    def leave(self, resident: Resident) -> None:
        """Their story is over; raises Impossible while a card of theirs is in the machine."""
        self._machine.remove(resident.who)
        del self.residents[resident.who.person_id], self.by_claim[resident.who.new_card.card_id]
        del self._by_phone[resident.who.phone]
        if (old := resident.who.old_card or resident.who.lost_card) is not None:
            del self.by_old_card[old.card_id]

    def deliver(self, message_id: str, phone: str, text: str) -> bool:
        """The network takes a message and brings it some time later; False while it is gone."""
        loop = asyncio.get_running_loop()
        if loop.time() < self.sms_until:
            return False
        self._rings(message_id)
        found = _CODE.search(text)
        if found:
            loop.call_later(self._random.uniform(*self.sms_delay), self._arrive, phone, found[1] + found[2])
        return True

    def _rings(self, message_id: str) -> None:
        """One message comes twice where its sender was cut off before it could note that it is sent; not for ever."""
        times = self._rang[message_id] = self._rang.pop(message_id, 0) + 1
        if times == SENT_TOO_OFTEN:
            self.on_wrong(f"message {message_id} was handed over {times} times")
        if len(self._rang) > _MESSAGES:
            del self._rang[next(iter(self._rang))]

    def _arrive(self, phone: str, code: str) -> None:
        resident = self._by_phone.get(phone)
        if resident is not None:
            resident.code, resident.code_since = code, asyncio.get_running_loop().time()


def _photo(face_seed: int) -> bytes:
    return b"\xff\xd8\xff" + str(face_seed).encode()
