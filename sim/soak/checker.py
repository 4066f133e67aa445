"""Compares physical truth, the daemon's ledger, the units' totals and the office's ledger. It shares no code with the daemon.

It reads the database with its own SQL at each commit, when the file holds exactly what was committed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from sim.assembly import Machine
from sim.soak.books import Ended
from sim.soak.claims import belied
from sim.soak.decisions import TWO_PEOPLE, Decisions, Where
from sim.soak.doubts import Doubts
from sim.soak.hands import Hands
from sim.soak.lies import Lies
from sim.soak.news import EVENTS, INTENTS, MOVES, OPEN_INTENTS, UPTO
from sim.soak.office_ledger import LEFT, OfficeLedger, Standing
from sim.soak.old_cards import BEGINS, OldCards
from sim.soak.orders import EXIT_READER, Orders, tells, told_with
from sim.soak.pages import Pages
from sim.soak.places import OUTSIDE, UNLOADED, at, fits, where
from sim.soak.privacy import Privacy
from sim.soak.remedies import Remedies
from sim.soak.seams import Fetch
from sim.soak.slots import looked_at
from sim.soak.stage import Stage, Witness
from sim.soak.story import Story
from sim.soak.waiting import Waiting
from sim.world import Place

_INSIDE = [place for place in Place if place not in OUTSIDE | UNLOADED | {Place.THROAT}]  # no card without a record


class Checker(Story, Witness):
    """Sees every move and every commit, what hands do, and what the office hears."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now)
        self.machine: Machine | None = None
        self._orders: Orders | None = None
        self.full_wanted = False
        self.full_checks = 0
        self.taken = 0  # new cards out of the exit by hand
        self.events = 0
        self._last_move = self._last_event = self._last_intent = 0
        self.recorded: dict[str, tuple[str, int | None]] = {}
        self._standing: dict[str, Standing] = {}  # the same cards, and who answers for them
        self._ended = Ended()  # cards whose chain led out of the machine
        self._bound: dict[str, str | None] = {}  # old card of the ledger -> the physical one
        self._untold: dict[int, tuple[str, dict[str, Any]]] = {}
        self._collected = Ended()
        self._tampered: set[str] = set()
        self._taken_out: set[str] = set()  # by hand, and not seen since
        self._lost_by_lie: set[str] = set()  # recorded as gone because a sensor lied, and not seen since
        self.in_hands: set[str] = set()  # cards that staff hold and have not told of yet
        self.office = OfficeLedger(self.wrong)
        self.waiting = Waiting(self.wrong, now)
        self.decisions = Decisions(self.wrong, self._judged)

    def attend(self, stage: Stage) -> None:
        """Look at this stage from now on."""
        self.machine = stage.machine
        self._claimed = stage.town.by_claim
        stage.town.on_wrong = self.wrong
        self.remedies = Remedies(stage, self.wrong, self.physical)
        self._lies = Lies(stage.machine.world, stage.serving, self._now)
        self._orders = Orders(stage.machine, self.wrong, self._lies.lately)
        self._hands = Hands(stage.machine, self.wrong)
        self.old_cards = OldCards(stage, self.wrong, self._bound)
        stage.machine.heard = self.old_cards.heard
        self._privacy = Privacy(self.wrong, self._now, lambda: stage.daemon.starts)
        self.doubts = Doubts(stage.machine.world, self.wrong, self._now, self._doubtful)
        stage.on_power = self._power_is_back
        self.pages = Pages(stage, self.wrong, self._doubtful, self.place_of)

    @property
    def untold(self) -> int:
        """Events of the journal that the office has not learned of."""
        return len(self._untold)

    # --- what hands do -----------------------------------------------------------------------------------------------

    def took_new(self, person: str, card: str, owner: str, face: str = "") -> None:
        """A hand took a card out of the exit; `face` is whose face was shown, where not their own."""
        self.taken += 1
        self.note(f"{person} takes {card}")
        unseen = bool(self._lies.lately("dispenser")) and self.place_of(card) in {"taken", "in_doubt"}
        if owner != person and not (unseen and self._lies.about(card)):
            self.wrong(f"{card} of {owner} was handed to {person}")
        elif face not in {"", owner} and not unseen:
            self.wrong(f"{card} of {owner} was handed out, and the face was that of {face}")

    def left(self, person: str, *, has_old: bool, has_new: bool) -> None:
        """Somebody leaves the machine."""
        self.note(f"{person} leaves old={has_old} new={has_new}")
        if has_old and has_new:
            self.wrong(f"{person} leaves with two cards")
        self.remedies.left(person, empty_handed=not has_old and not has_new)

    def inserted(self, person: str, card: str) -> None:
        """A hand put a card into the throat."""
        self.note(f"{person} inserts {card}")
        self.remedies.inserted(person, card)
        self.old_cards.inserted(card)

    def took_old(self, person: str, card: str) -> None:
        """A hand took a card out of the throat."""
        self.note(f"{person} takes {card} out of the throat")
        self.old_cards.took(card)

    def moved(self) -> None:
        """See `Witness`."""
        if self._orders is None:
            return
        self._lies.look()
        binned = self._orders.moved()
        if binned is not None:
            self.old_cards.binned(binned)
            if not self.old_cards.reported(binned):
                self.remedies.binned(binned, self._taken_by_a_lie)

    # --- what the office hears ---------------------------------------------------------------------------------------

    def told(self, seq: int, kind: str, data: dict[str, object]) -> None:
        """See `Witness`: each event once, in order, as the journal has it."""
        self.events += 1
        written = self._untold.pop(seq, None)
        if written is None:
            self.wrong(f"the office learned of event {seq}, which is not in the journal or was told before")
        elif written != (kind, data):
            self.wrong(f"event {seq} is {written[0]} in the journal and {kind} at the office")
        self.office.told(kind, data)

    # --- what becomes durable ----------------------------------------------------------------------------------------

    async def committed(self, fetch: Fetch, into: frozenset[str] | None) -> None:
        """See `Witness`."""
        if into is None and not await self._complete(fetch, seen=False):
            return
        self._lies.look()
        told = await self._on_events(fetch) if into is None or "journal" in into else []
        if into is None or "intent" in into:
            await self._on_intents(fetch)
        if into is None or "card_move" in into:
            await self._on_moves(fetch, told)
        self.decisions.recorded()
        await self.remedies.committed(fetch)
        await self.old_cards.committed(fetch)
        await self.pages.committed(fetch)
        if self.office.news and not self._untold:
            await self._compare_office(fetch)
        if self.full_wanted and self._still():
            self.full_wanted = False
            await self._full(fetch)

    async def _complete(self, fetch: Fetch, *, seen: bool) -> bool:
        """Whether all that was committed is still there; once all was `seen`, nothing more is."""
        event, intent, move = (number or 0 for number in (await fetch(UPTO))[0])
        if event < self._last_event or intent < self._last_intent:
            self.wrong(f"what was committed is lost: event {self._last_event} is followed by {event}")
            return False
        if seen and (event > self._last_event or intent > self._last_intent or move > self._last_move):
            self.wrong("an event, intent or link was inserted by a statement that names another table")
        return True

    async def _on_events(self, fetch: Fetch) -> list[tuple[str, dict[str, Any]]]:
        """Read the events that are new."""
        told = []
        for seq, kind, text in await fetch(EVENTS, self._last_event):
            if seq != self._last_event + 1:
                self.wrong(f"event {seq} follows {self._last_event}")
            self._last_event = seq
            data = msgspec.json.decode(text)  # the office reads it with another parser
            told.append((kind, data))
            self._untold[seq] = (kind, data)
            self.note(f"event {seq} {kind} {text}")
            self._privacy.event(seq, text)
            if kind == "lockerd.card.taken":
                self._on_taken(data)
            if kind == "lockerd.slot.unblocked":
                self._lies.unblocked(data["slot"])
            self.pages.told(kind, data)
            if kind == "lockerd.old.reported_lost":
                self.old_cards.flagged()
        self.decisions.events(told)
        return told

    async def _on_intents(self, fetch: Fetch) -> None:
        assert self._orders is not None
        for row in await fetch(INTENTS, self._last_intent):
            self._last_intent = row["intent_id"]
            self._orders.intended(row["unit"], row["motion"], row["slot"], row["token"])
            self._lies.carries(row["unit"], row["card_id"])
            self._hands.intended(row)
            self.old_cards.intended(row)
            await self.remedies.intended(fetch, row["journey_id"])

    async def _on_moves(self, fetch: Fetch, told: list[tuple[str, dict[str, Any]]]) -> None:
        for row in await fetch(MOVES, self._last_move):
            self._last_move = row["move_id"]
            self._on_move(row)
            await self.old_cards.recorded(fetch, row)
            wanted, card = told_with(row), row["card_id"]
            if wanted and not any(kind in wanted and tells(data, row) for kind, data in told):
                self.wrong(f"{card} came to {row['target']} in a transaction without an event that tells it")
            if row["opens"]:
                self.wrong(f"{card} is offered, and its code still opens")

    def _on_taken(self, data: dict[str, Any]) -> None:
        claim = data["claim_id"]
        if self._collected.of(claim):
            self.wrong(f"{claim} is recorded as collected twice")
        self._collected.keep(claim, "collected")
        self._privacy.collected(claim)

    def _on_move(self, row: Any) -> None:
        card, target, slot = row["card_id"], row["target"], row["slot"]
        self.note(f"card {card}: {row['origin']} -> {target} {'' if slot is None else slot} ({row['reason']})")
        before = self.place_of(card)
        if target == "in_doubt" and before != target:
            self.doubts.came(card, self.physical(card), row["reason"])
        if before != row["origin"]:
            self.wrong(f"{card} was recorded at {before}, its chain goes on from {row['origin']}")
        self.recorded[card] = (target, slot)
        self._standing[card] = Standing(target, slot, row["responsible"])
        if not row["responsible"]:
            self.wrong(f"nobody is responsible for {card} at {target}")
        assert self.machine is not None
        if target in BEGINS and self._bound.get(card) is None:
            lied, places = bool(self._lies.lately("recycler")), {one: self.place_of(one) for one in self._bound}
            self._bound[card] = self.old_cards.begins(card, target, places, lied=lied)
        self._lies.recorded(card, self._unit_of(card), target)
        self._hands.recorded(self._unit_of(card), row)
        self.decisions.moved(row)
        self._known_again(card, str(self.physical(card)), row)
        restated = row["origin"] == target and target in LEFT  # a card that left goes from hand to hand
        if not restated and not self._moving(card):
            self._compare(card, target, slot)
        self._ended.keep(card, target if target in LEFT else "")
        physical = str(self.physical(card))
        self._lost_by_lie.discard(physical)
        if target in LEFT:
            if self._lies.about(card) and not self._fits(card, target, slot):
                self._lost_by_lie.add(physical)
            if self._bound.pop(card, None) is not None:
                self._lies.forget(card)
            del self.recorded[card], self._standing[card]

    def _known_again(self, card: str, physical: str, row: Any) -> None:
        """A card is recorded anew: what hands did to it before excuses nothing that its chip or a motion has told since."""
        assert self.machine is not None
        if self.machine.last_read.get(EXIT_READER) == physical:
            self._tampered.discard(physical)
        if row["target"] not in {"in_doubt", row["origin"]} and row["reason"] != TWO_PEOPLE:
            self._taken_out.discard(physical)

    def physical(self, card: str) -> str | None:
        """The physical card that the ledger means by `card`; None for one that never was."""
        return self._bound.get(card, card)

    def place_of(self, card: str) -> str | None:
        """Where the chain of a card has led; None for one that has none."""
        return self.recorded[card][0] if card in self.recorded else self._ended.of(card)

    def _taken_by_a_lie(self, card: str) -> bool:
        """Whether a new card counts as taken because a sensor lied: it may stand in the open exit, within anybody's reach."""
        return self.place_of(card) == "taken" and self._lies.about(card)

    def _doubtful(self, real: str) -> bool:
        """Whether what is recorded of a real card may be wrong: a sensor lied, people looked wrongly, hands had it."""
        names = {real, *(name for name, card in self._bound.items() if card == real)}
        if names & (self._lies.suspects | self._tampered | self._taken_out | self._lost_by_lie):
            return True
        unit = "recycler" if real.startswith("O") else "dispenser"
        return bool(self._lies.lately(unit)) or any(self.place_of(name) == "in_doubt" for name in names)

    def _unit_of(self, card: str) -> str:
        return "recycler" if card in self._bound else "dispenser"

    def _moving(self, card: str) -> bool:
        assert self.machine is not None
        return self.machine.moves(self._unit_of(card))

    def _judged(self, card: str, judged: Where) -> None:
        """Two people decided where a card is; they may both have looked wrongly."""
        place, slot = judged
        self._lies.seen(card)
        if not self._fits(card, place, slot):
            self.note(f"{card} is misjudged")
            self._lies.misjudge(card)

    async def _compare_office(self, fetch: Fetch) -> None:
        """The office has every event: its ledger, the daemon's and the truth are one."""
        told = await self.office.compare(fetch)
        if self._still() and not (await fetch(OPEN_INTENTS))[0]["n"]:
            for card, (place, slot, _responsible) in told:
                if (place, slot) == self.recorded.get(card):
                    self._compare(card, str(place), slot, whose="at the office")

    def _compare(self, card: str, place: str, slot: Any, whose: str = "recorded") -> None:
        if place == "in_doubt":
            return
        physical = str(self.physical(card))
        if self._fits(card, place, slot):
            self._taken_out.discard(physical)
            self._tampered.discard(physical)
            self._lies.right(card)
        elif physical not in self._taken_out and not (card in self._tampered and place in {"slot", "transport"}):
            assert self.machine is not None
            spot = self.machine.world.spots[physical]
            if not self._lies.excuse(card, place, spot):
                self.wrong(f"{card} is {whose} at {place}{at(slot)} and really at {where(spot)}")

    def _fits(self, card: str, place: str, slot: Any) -> bool:
        """Whether a card may be recorded there, by where it really is; in doubt, anywhere."""
        assert self.machine is not None
        physical = self.physical(card)
        spot = self.machine.world.spots.get(physical) if physical else None
        if spot is None or place == "in_doubt" or physical in self.in_hands:
            return True
        return fits(spot, place, slot, old=card in self._bound) or (place == "tray" and spot.place in UNLOADED)

    # --- everything, while nothing moves -----------------------------------------------------------------------------

    def _still(self) -> bool:
        assert self.machine is not None
        return self.machine.world.powered and not self.machine.moves()

    async def _full(self, fetch: Fetch) -> None:
        """The whole ledger against the whole machine."""
        assert self.machine is not None
        if (await fetch(OPEN_INTENTS))[0]["n"]:
            self.full_wanted = True
            return
        self.full_checks += 1
        if not await self._complete(fetch, seen=True):
            return
        assert self._orders is not None
        await self._privacy.check(fetch)
        await self.waiting.check(fetch)
        await self._orders.check_totals(fetch, self._lies.may_have_counted)
        self._lies.look()
        await self.remedies.check(fetch, lying=bool(self.machine.world.stuck))
        if not self._untold:
            self.office.compare_all(self._standing)
        spots = self.machine.world.spots
        home, elsewhere, free = await looked_at(fetch, self.recorded, spots, self._taken_out | self._lies.suspects)
        if len(home) + len(elsewhere) != len(self.recorded):
            self.wrong(f"{len(home) + len(elsewhere)} cards are recorded inside, by their chains {len(self.recorded)}")
        known = home | self._lost_by_lie  # those the machine finds later; that it does, `Remedies` holds
        for card, place, slot, state in elsewhere:
            if self.place_of(card) != place:
                self.wrong(f"{card} is at {place}, its chain ends at {self.place_of(card)}")
            if place == "in_doubt" and slot is not None and state != "blocked":
                self.wrong(f"{card} is in doubt and slot {slot} is {state}")
            if (place == "slot") != (state == "stocked") and state not in {None, "blocked"}:
                self.wrong(f"{card} is at {place} and slot {slot} is {state}")
            self._compare(card, place, slot)
            if place != "tray":
                known.add(self.physical(card))
        for inside in _INSIDE:
            for stray in sorted(spots.at(inside).keys() - known):
                self.wrong(f"{stray} is really at {where(spots[stray])}, and the ledger does not know")
        for slot, there in free:
            if there not in self._lost_by_lie and not self._lies.about(there) and not self._lies.hides(slot, there):
                self.wrong(f"slot {slot} is recorded as free and really holds {there}")
        for claim, state in await belied(fetch, self._claimed, spots):
            recorded = self.place_of(claim)
            if not self._lies.about(claim) and (
                state == "collected" or recorded not in {"exit", "in_doubt", "removed"}
            ):
                self.wrong(f"{claim} is {state}, recorded at {recorded} and really at {where(spots[claim])}")

    def _power_is_back(self) -> None:
        self.doubts.disturbed()
        self.waiting.power_is_back()

    def took_out(self, card: str) -> None:
        """Staff took a card out of the machine by hand: the record cannot follow before they tell or the machine looks."""
        self.doubts.disturbed()
        self._taken_out.add(card)

    def tainted(self, *cards: str | None) -> None:
        """Somebody tampered with these cards: records of them cannot be right until they are read again."""
        self._tampered.update(card for card in cards if card is not None)

    def forget(self, person: str, *cards: str) -> None:
        """Somebody leaves the story with these cards."""
        self.remedies.forget(person, *cards)
        self.old_cards.forget(*cards)
        for card in cards:
            self._lies.forget(card)
            self.decisions.forget(card)
            self._taken_out.discard(card)
            self._lost_by_lie.discard(card)
            self._tampered.discard(card)
