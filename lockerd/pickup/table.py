"""The collection journey: one table of transitions, and `step`, which does nothing but look things up in it.

Every row reads: in this stage, on this event, when this holds, go to that stage, changing the journey so and asking for
these effects. The first row that fits wins; an event that fits no row changes nothing. Its first half, until the card is
confirmed, stands in `identifying`, what a jam does in `jam`. The diagram in docs/architecture.md is drawn from this table
(`python -m lockerd.pickup.diagram`).
"""

from __future__ import annotations

from msgspec.structs import replace

from lockerd.model.custody import Motion, Place, Result
from lockerd.model.view import Action, FaultKind, Notice
from lockerd.pickup.chips import (
    asked_again,
    is_lost,
    is_new_card,
    is_predecessor,
    lost,
    lost_kept,
    refused,
    unanswered,
    was_accepted,
)
from lockerd.pickup.guards import (
    KEEP,
    PICK,
    RECYCLER_MOTIONS,
    Row,
    all_of,
    always,
    asks,
    ends,
    failing,
    fault_of,
    found_none,
    has_fault,
    may_hand_in,
    moved,
    new_taken,
    note_ticket,
    nothing,
    old_back,
    old_gone,
    old_inside,
    old_tries_left,
    seen_at,
    setting,
    still_wanted,
    tapped,
    unchanged,
)
from lockerd.pickup.identifying import IDENTITY_ROWS
from lockerd.pickup.jam import JAM_ROWS, stopping
from lockerd.pickup.state import (
    ChipRead,
    Cleared,
    Effect,
    Event,
    ExitCleared,
    IssueTicket,
    Journey,
    MotionEnded,
    Move,
    ReadNew,
    ReadOld,
    Record,
    RecordTaken,
    Stage,
    Tapped,
    ThroatCleared,
    ThroatFilled,
    TicketIssued,
    TimedOut,
)

_REJECT_TO_BOX = Move(Motion.CAPTURE, (Record.FREEZE_SLOT,))
_RESTOW = Move(Motion.STORE)

_S = Stage

TABLE: tuple[Row, ...] = (
    *IDENTITY_ROWS,
    # the old card into escrow
    Row(_S.OPENING, MotionEnded, _S.AWAIT_OLD, "shutter open", moved(Motion.OPEN)),
    Row(_S.OPENING, MotionEnded, _S.DONE, "shutter fails, new card taken", new_taken,
        setting(notice=Notice.FOUND_AT_COUNTER)),
    *failing(_S.OPENING, MotionEnded, FaultKind.BUSY, "recycler does not answer", moved(Motion.OPEN, Result.NOT_MOVED)),
    stopping(_S.OPENING),
    *failing(_S.OPENING, MotionEnded, FaultKind.JAM, "shutter fails"),
    Row(_S.AWAIT_OLD, ThroatFilled, _S.DRAWING_OLD, "card inserted", change=setting(notice=None),
        do=asks(Move(Motion.ACCEPT, (Record.REGISTER_OLD,)))),
    Row(_S.AWAIT_OLD, Tapped, _S.ENDING, "cancelled, new card taken", all_of(tapped(Action.CANCEL), new_taken),
        do=asks(Move(Motion.CLOSE))),
    Row(_S.AWAIT_OLD, TimedOut, _S.ENDING, "time-out, new card taken", new_taken, do=asks(Move(Motion.CLOSE))),
    Row(_S.AWAIT_OLD, Tapped, _S.CLOSING, "cancelled", tapped(Action.CANCEL), fault_of(FaultKind.CANCELLED),
        asks(IssueTicket(), Move(Motion.CLOSE))),
    Row(_S.AWAIT_OLD, TimedOut, _S.CLOSING, "time-out", change=fault_of(FaultKind.TIMED_OUT),
        do=asks(IssueTicket(), Move(Motion.CLOSE))),
    Row(_S.DRAWING_OLD, MotionEnded, _S.READING_OLD, "in escrow", moved(Motion.ACCEPT), do=asks(ReadOld())),
    Row(_S.DRAWING_OLD, MotionEnded, _S.OPENING, "pulled back by hand", found_none(Motion.ACCEPT),
        old_gone, old_back(Move(Motion.OPEN))),
    stopping(_S.DRAWING_OLD),
    *failing(_S.DRAWING_OLD, MotionEnded, FaultKind.JAM, "old card stuck"),
    Row(_S.READING_OLD, ChipRead, _S.KEEPING_LOST, "reported lost", is_lost, lost, asks(KEEP)),
    asked_again(_S.READING_OLD, ReadOld()),
    *failing(_S.READING_OLD, ChipRead, FaultKind.BUSY, "reader stays silent", all_of(unanswered, still_wanted)),
    Row(_S.READING_OLD, ChipRead, _S.PICKING, "predecessor of the claim", all_of(is_predecessor, still_wanted),
        setting(notice=None, silences=0, old_accepted=True), asks(PICK)),
    Row(_S.READING_OLD, ChipRead, _S.REFUSING_OLD, "another card", change=refused,
        do=asks(Move(Motion.RETURN))),
    Row(_S.REFUSING_OLD, MotionEnded, _S.AWAIT_REFUSED, "offered back", moved(Motion.RETURN)),
    stopping(_S.REFUSING_OLD),
    Row(_S.REFUSING_OLD, MotionEnded, _S.FAULT, "cannot be offered back", change=fault_of(FaultKind.JAM),
        do=asks(IssueTicket())),
    Row(_S.AWAIT_REFUSED, ThroatCleared, _S.ENDING, "taken back, new card taken", new_taken, old_gone,
        old_back(Move(Motion.CLOSE))),
    Row(_S.AWAIT_REFUSED, ThroatCleared, _S.OPENING, "taken back, try another", old_tries_left, old_gone,
        old_back(Move(Motion.OPEN))),
    Row(_S.AWAIT_REFUSED, ThroatCleared, _S.CLOSING, "taken back, enough tries",
        change=lambda j, e: replace(old_gone(j, e), fault=FaultKind.OLD_CARD_REFUSED, notice=None),
        do=old_back(IssueTicket(), Move(Motion.CLOSE))),
    Row(_S.AWAIT_REFUSED, TimedOut, _S.DRAWING_FORGOTTEN, "left behind",
        change=fault_of(FaultKind.OLD_CARD_REFUSED), do=asks(IssueTicket(), Move(Motion.ACCEPT))),
    Row(_S.CLOSING, MotionEnded, _S.FAULT, "closed", has_fault),
    # a card that was reported lost never comes back
    *(
        Row(_S.KEEPING_LOST, MotionEnded, to, label, all_of(moved(Motion.RETAIN), when), change, do)
        for to, label, when, change, do in (
            (_S.FAULT, "kept", has_fault, unchanged, nothing),
            (_S.PICKING, "kept, and the one that was wanted", was_accepted, unchanged, asks(PICK)),
            (_S.DONE, "kept, new card taken", new_taken, setting(notice=Notice.LOST_CARD_KEPT), nothing),
            (_S.OPENING, "kept, try another", old_tries_left, lost_kept, asks(Move(Motion.OPEN))),
            (_S.FAULT, "kept, enough tries", always, fault_of(FaultKind.OLD_CARD_REFUSED), asks(IssueTicket())),
        )
    ),
    stopping(_S.KEEPING_LOST),
    Row(_S.KEEPING_LOST, MotionEnded, _S.DONE, "stays in escrow, new card taken", new_taken),
    Row(_S.KEEPING_LOST, MotionEnded, _S.FAULT, "stays in escrow", change=fault_of(FaultKind.JAM),
        do=asks(IssueTicket())),
    Row(_S.ENDING, MotionEnded, _S.DONE, "closed"),
    # the new card
    Row(_S.PICKING, MotionEnded, _S.CHECKING_NEW, "picked", moved(Motion.PICK), do=asks(ReadNew())),
    *failing(_S.PICKING, MotionEnded, FaultKind.BUSY, "dispenser does not answer",
              moved(Motion.PICK, Result.NOT_MOVED)),
    stopping(_S.PICKING),
    *failing(_S.PICKING, MotionEnded, FaultKind.JAM, "pick fails", moved(Motion.PICK, Result.FAILED)),
    *failing(_S.PICKING, MotionEnded, FaultKind.IN_DOUBT, "end not known"),
    # Silence is no mismatch: the card waits before the reader, and recovery puts it into its slot when that answers.
    asked_again(_S.CHECKING_NEW, ReadNew()),
    *failing(_S.CHECKING_NEW, ChipRead, FaultKind.BUSY, "reader stays silent", unanswered),
    Row(_S.CHECKING_NEW, ChipRead, _S.PRESENTING, "chip is the claimant's", is_new_card,
        setting(notice=None, silences=0), asks(Move(Motion.PRESENT))),
    Row(_S.CHECKING_NEW, ChipRead, _S.CAPTURING, "another chip", change=fault_of(FaultKind.CARD_MISMATCH),
        do=asks(IssueTicket(), _REJECT_TO_BOX)),
    Row(_S.PRESENTING, MotionEnded, _S.AWAIT_TAKEN, "at the exit", moved(Motion.PRESENT)),
    stopping(_S.PRESENTING),
    Row(_S.PRESENTING, MotionEnded, _S.RESTOWING, "gate stays shut", seen_at(Place.TRANSPORT),
        fault_of(FaultKind.JAM), asks(IssueTicket(), _RESTOW)),
    Row(_S.PRESENTING, MotionEnded, _S.RETRACTING, "held badly", seen_at(Place.EXIT), fault_of(FaultKind.JAM),
        asks(IssueTicket(), Move(Motion.RETRACT))),
    *failing(_S.PRESENTING, MotionEnded, FaultKind.BUSY, "not accepted", moved(Motion.PRESENT, Result.NOT_MOVED)),
    # From here on a hand may have the new card: an old one stays inside until the dispenser has told.
    Row(_S.PRESENTING, MotionEnded, _S.FAULT, "place not known", change=fault_of(FaultKind.IN_DOUBT),
        do=asks(IssueTicket())),
    Row(_S.AWAIT_TAKEN, ExitCleared, _S.KEEPING_OLD, "taken, renewal", old_inside, setting(new_place=Place.TAKEN),
        asks(RecordTaken(), KEEP)),
    Row(_S.AWAIT_TAKEN, ExitCleared, _S.DONE, "taken", change=setting(new_place=Place.TAKEN),
        do=asks(RecordTaken())),
    Row(_S.AWAIT_TAKEN, TimedOut, _S.RETRACTING, "not taken", change=fault_of(FaultKind.NOT_TAKEN),
        do=asks(IssueTicket(), Move(Motion.RETRACT))),
    Row(_S.KEEPING_OLD, MotionEnded, _S.DONE, "old card kept, or staff told", always),
    Row(_S.DONE, Tapped, _S.OPENING, "lost card found", all_of(tapped(Action.HAND_IN), lambda j, _e: may_hand_in(j)),
        setting(notice=None), asks(Move(Motion.OPEN))),
    Row(_S.DONE, Tapped, _S.IDLE, "closed", tapped(Action.CLOSE), do=ends("collected")),
    Row(_S.DONE, TimedOut, _S.IDLE, "time-out", do=ends("collected")),
    # the new card back into the machine
    Row(_S.RETRACTING, MotionEnded, _S.CHECKING_RETRACTED, "drawn back", moved(Motion.RETRACT),
        do=asks(ReadNew())),
    Row(_S.RETRACTING, MotionEnded, _S.KEEPING_OLD, "a hand was faster, renewal",
        all_of(found_none(Motion.RETRACT), old_inside), setting(new_place=Place.TAKEN, fault=None),
        asks(RecordTaken(), KEEP)),
    Row(_S.RETRACTING, MotionEnded, _S.DONE, "a hand was faster", found_none(Motion.RETRACT),
        setting(new_place=Place.TAKEN, fault=None), asks(RecordTaken())),
    stopping(_S.RETRACTING),
    Row(_S.RETRACTING, MotionEnded, _S.FAULT, "cannot be drawn back", change=fault_of(FaultKind.IN_DOUBT),
        do=asks(IssueTicket())),
    asked_again(_S.CHECKING_RETRACTED, ReadNew()),
    Row(_S.CHECKING_RETRACTED, ChipRead, _S.GIVING_BACK, "reader stays silent, old card inside",
        all_of(unanswered, old_inside), setting(notice=None), asks(Move(Motion.RETURN))),
    Row(_S.CHECKING_RETRACTED, ChipRead, _S.FAULT, "reader stays silent", unanswered, setting(notice=None)),
    Row(_S.CHECKING_RETRACTED, ChipRead, _S.RESTOWING, "chip is the claimant's", is_new_card,
        do=asks(_RESTOW)),
    Row(_S.CHECKING_RETRACTED, ChipRead, _S.CAPTURING, "another chip", change=fault_of(FaultKind.CARD_MISMATCH),
        do=asks(_REJECT_TO_BOX)),
    *(
        Row(stage, MotionEnded, to, label, when, do=asks(*effects))
        for stage in (_S.RESTOWING, _S.CAPTURING)
        for to, label, when, effects in (
            (_S.GIVING_BACK, "at rest, old card inside", old_inside, (Move(Motion.RETURN),)),
            (_S.FAULT, "at rest", always, ()),
        )
    ),
    # the old card back to its owner
    Row(_S.GIVING_BACK, MotionEnded, _S.AWAIT_GIVEN_BACK, "offered back", moved(Motion.RETURN)),
    stopping(_S.GIVING_BACK),
    Row(_S.GIVING_BACK, MotionEnded, _S.FAULT, "cannot be offered back"),
    Row(_S.AWAIT_GIVEN_BACK, ThroatCleared, _S.CLOSING, "taken back", change=old_gone,
        do=old_back(Move(Motion.CLOSE))),
    Row(_S.AWAIT_GIVEN_BACK, TimedOut, _S.DRAWING_FORGOTTEN, "left behind", do=asks(Move(Motion.ACCEPT))),
    Row(_S.DRAWING_FORGOTTEN, MotionEnded, _S.KEEPING_FORGOTTEN, "in escrow", moved(Motion.ACCEPT),
        do=asks(KEEP)),
    Row(_S.DRAWING_FORGOTTEN, MotionEnded, _S.CLOSING, "taken after all",
        found_none(Motion.ACCEPT), old_gone, old_back(Move(Motion.CLOSE))),
    Row(_S.DRAWING_FORGOTTEN, MotionEnded, _S.FAULT, "stuck"),
    Row(_S.KEEPING_FORGOTTEN, MotionEnded, _S.FAULT, "kept, new card in doubt",
        lambda journey, _event: journey.new_place is Place.IN_DOUBT),
    Row(_S.KEEPING_FORGOTTEN, MotionEnded, _S.FAULT, "kept", moved(Motion.RETAIN),
        setting(fault=FaultKind.OLD_CARD_KEPT)),
    Row(_S.KEEPING_FORGOTTEN, MotionEnded, _S.FAULT, "stays in escrow"),
    *JAM_ROWS,
    # the last page of a journey that did not end well
    Row(_S.FAULT, Tapped, _S.IDLE, "closed", tapped(Action.CLOSE), do=ends("fault")),
    Row(_S.FAULT, TimedOut, _S.IDLE, "time-out", do=ends("fault")),
)  # fmt: skip


_ROWS: dict[tuple[Stage, type], list[Row]] = {}
for _row in TABLE:
    _ROWS.setdefault((_row.source, _row.on), []).append(_row)


def step(journey: Journey, event: Event) -> tuple[Journey, tuple[Effect, ...]]:
    """Decide: the journey after `event` and what is to be done. Pure; an event that fits no row changes nothing."""
    if isinstance(event, TicketIssued):
        return note_ticket(journey, event), ()
    journey = _note_place(journey, event)
    for row in _ROWS.get((journey.stage, type(event)), ()):
        if row.when(journey, event):
            changed = row.change(journey, event)
            if row.to is not None:
                changed = replace(changed, stage=row.to, visit=journey.visit + 1)
                if row.to is Stage.IDLE:
                    changed = _fresh(changed)
            effects = row.do(journey, event)
            return (_stopped(changed, journey) if IssueTicket() in effects else changed), effects
    return journey, ()


def _stopped(journey: Journey, before: Journey) -> Journey:
    """Note for the ticket where the journey stopped, so that the counter goes on from there."""
    waited = before.jam is not None and before.stage in (Stage.CLEARING, Stage.JAMMED)
    return replace(journey, stopped=before.jam.stage if before.jam is not None and waited else before.stage)


def _fresh(journey: Journey) -> Journey:
    """What the next citizen's page inherits: nothing but the answer to a wrong code or to the wish for one."""
    if journey.notice not in (Notice.CODE_WRONG, Notice.CODE_SENT):
        return Journey(visit=journey.visit)
    return Journey(visit=journey.visit, notice=journey.notice, attempts_left=journey.attempts_left)


def _note_place(journey: Journey, event: Event) -> Journey:
    """Remember where a motion, or the clearing of a jam, left the cards; the ledger is the record, this is for the screen and
    the guards.
    """
    if isinstance(event, Cleared) and event.at_rest and journey.stage is Stage.CLEARING:
        return replace(journey, claim=event.claim, old_place=event.old_place, new_place=event.new_place)
    if not isinstance(event, MotionEnded) or event.place is None:
        return journey
    if event.motion in RECYCLER_MOTIONS:
        return replace(journey, old_place=event.place, old_card_id=event.card_id or journey.old_card_id)
    return replace(journey, new_place=event.place)
