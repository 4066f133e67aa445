"""Mutants of what people are told, and of who is served: the ledger is right, and still somebody is harmed."""

from __future__ import annotations

from tests.mutants.mutant import BUSY, STORM, Edit, Hunt, Mutant

CALM = Hunt(4.0, slots=40, visits=60.0, faults=4.0)
"""Long enough, and with so few faults, that nothing else explains who is turned away."""

EXCHANGED = Hunt(0.5, slots=8, visits=400.0, faults=300.0, only="swap", custody=60.0)
"""Cards are exchanged in their slots: strangers fall into the retract box, which is emptied often, and slots are blocked."""

TOLD: tuple[Mutant, ...] = (
    Mutant(
        "another-ticket-on-the-screen",
        "Who goes to the counter shows a number that the counter does not find, or that is somebody else's.",
        (
            Edit(
                "lockerd.journey.doing",
                "        return TicketIssued(ticket)\n",
                '        return TicketIssued("A-0001")\n',
            ),
        ),
        BUSY,
    ),
    Mutant(
        "ticket-not-shown",
        "A ticket is recorded, and whom it should help never sees it.",
        (
            Edit(
                "lockerd.pickup.guards",
                "return replace(journey, ticket=event.ticket) if isinstance(event, TicketIssued) else journey",
                "return journey",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "success-shown-after-a-failure",
        "The page says that all is done, and the citizen has no new card: they go home and wait.",
        (
            Edit(
                "lockerd.pickup.screens",
                "Stage.FAULT: StageRule(Screen.FAULT, patience=Patience.READ)",
                "Stage.FAULT: StageRule(Screen.DONE, patience=Patience.READ)",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "kept-card-said-to-be-with-its-bearer",
        "The machine keeps the old card, and its page says that the citizen has it: nobody asks for it any more.",
        (
            Edit(
                "lockerd.pickup.screens",
                "Place.ESCROW: Whereabouts.OLD_INSIDE",
                "Place.ESCROW: Whereabouts.OLD_WITH_YOU",
            ),
            Edit("lockerd.pickup.screens", "Place.BIN: Whereabouts.OLD_KEPT", "Place.BIN: Whereabouts.OLD_WITH_YOU"),
        ),
        STORM,
    ),
    Mutant(
        "face-not-compared",
        "Whoever knows the code and the number gets the card, whatever face they have.",
        (
            Edit(
                "lockerd.pickup.guards",
                "isinstance(event, FaceDecided) and event.result.verdict is wanted",
                "isinstance(event, FaceDecided) and wanted in (event.result.verdict, FaceVerdict.VERIFIED)",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "count-always-agrees",
        "Staff count fewer cards than fell into the retract box, and the office hears that the numbers agree.",
        (Edit("lockerd.store.emptying", '"agreed": counted == expected', '"agreed": True'),),
        EXCHANGED,
    ),
    Mutant(
        "retract-box-expected-to-hold-what-was-counted",
        "What is missing from the retract box is never missed.",
        (
            Edit(
                "lockerd.store.emptying",
                '    expected = len(cards) + int(row["n"])\n',
                "    expected = max(counted, len(cards))\n",
            ),
        ),
        EXCHANGED,
    ),
    Mutant(
        "personal-data-kept",
        "Name, number and telephone of who collected long ago can still be read.",
        (
            Edit(
                "lockerd.store.housekeeping",
                "claims.erase_collected(tx, now - PERSONAL_DATA_KEPT)",
                "claims.erase_collected(tx, now - 400 * PERSONAL_DATA_KEPT)",
            ),
        ),
        CALM,
    ),
    Mutant(
        "id-number-in-the-journal",
        "Whoever reads the journal or the office's events learns who somebody is.",
        (
            Edit(
                "lockerd.journey.records",
                '        "journey_id": journey.journey_id,\n        "relation"',
                '        "journey_id": journey.journey_id,\n'
                '        "number": journey.claim.person.id_number if journey.claim else None,\n        "relation"',
            ),
        ),
        BUSY,
    ),
    Mutant(
        "renewal-messages-with-a-code-that-opens-nothing",
        "Who renews a card types the code of their message, and is told that it is wrong.",
        (
            Edit(
                "lockerd.issuing",
                "text(code, end, claim.kind))\n",
                "text(code if claim.kind is not ClaimKind.RENEWAL else self.new_code(), end, claim.kind))\n",
            ),
        ),
        CALM,
    ),
    Mutant(
        "message-sent-again-and-again",
        "A citizen's telephone rings every minute with the same message.",
        (
            Edit(
                "lockerd.store.messages",
                'SET sent = 1, phone = NULL, text = NULL, ended = ? WHERE message_id = ?"',
                'SET due = ? + 60.0 WHERE message_id = ?"',
            ),
            Edit(
                "lockerd.store.messages",
                '    )\n    await erase(tx, "message", message_id)\n',
                "    )\n",
            ),
        ),
        CALM,
    ),
    Mutant(
        "renewals-never-open",
        "Who has to hand in an old card is turned away for ever, while the others are served.",
        (
            Edit(
                "lockerd.journey.moving",
                "(fault := await self._no_room_for_old()):",
                "(fault := Fault.TARGET_OCCUPIED):",
            ),
        ),
        CALM,
    ),
    Mutant(
        "every-taken-card-in-doubt",
        "The machine is sure of nothing: people have to say of each card that it was taken.",
        (
            Edit(
                "lockerd.journey.doing",
                'lambda tx: record_taken(tx, claim.claim_id, journey.journey_id, self.stamp(), "exit sensor and total")',
                'lambda tx: ledger.move(tx, claim.claim_id, Place.IN_DOUBT, self.stamp(), "not sure")',
            ),
        ),
        CALM,
    ),
    Mutant(
        "blocked-slots-not-shown",
        "Staff are not told of blocked slots: each stays blocked for ever.",
        (
            Edit(
                "lockerd.store.findings", "WHERE state = 'blocked' ORDER BY slot", "WHERE state = 'lost' ORDER BY slot"
            ),
        ),
        EXCHANGED,
    ),
    Mutant(
        "restowed-event-of-another-slot",
        "The office looks for a card in the wrong slot.",
        (Edit("lockerd.motions", '"slot": order.slot', '"slot": order.slot and order.slot + 1'),),
        BUSY,
    ),
)
