"""The mutants: what each does wrong, and how its source differs."""

from __future__ import annotations

from tests.mutants.inferred import INFERRED
from tests.mutants.mutant import ATTACKED, BUSY, CARELESS, CUT, DOUBTED, LIED, SILENT, STORM, TAMPERED, Edit, Mutant
from tests.mutants.old_cards import OLD_CARDS
from tests.mutants.told import TOLD

MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "no-sync",
        "A power cut takes back intents and outcomes that the machine has already acted upon.",
        (Edit("lockerd.store.opening", '"PRAGMA synchronous = FULL"', '"PRAGMA synchronous = OFF"'),),
        BUSY,
    ),
    Mutant(
        "intent-after-motion",
        "A card moves that nobody has written down: after a power cut it is recorded where it is not.",
        (
            Edit(
                "lockerd.motions",
                "            try:\n                intent = await self._db.transaction(intend)\n",
                "            outcome = await mover.carry_out(plan)\n"
                "            try:\n                intent = await self._db.transaction(intend)\n",
            ),
            Edit(
                "lockerd.motions",
                "            outcome = await mover.carry_out(plan)\n            self._last[order.unit]",
                "            self._last[order.unit]",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "attempt-counted-after-comparing",
        "Whoever pulls the plug after each wrong code guesses without end.",
        (
            Edit(
                "lockerd.store.codes",
                "    begun = await db.transaction(begin)\n    if begun is None:\n",
                "    if False:\n",
            ),
            Edit(
                "lockerd.store.codes", "    attempt_id, left = begun\n    await pause(BACK_OFF[TRIES - left - 1])\n", ""
            ),
            Edit(
                "lockerd.store.codes",
                "    db.along(lambda tx: attempts.forgive(tx, attempt_id, subject))"
                "  # lost, the right try counts as a wrong one\n",
                "",
            ),
            Edit(
                "lockerd.store.codes",
                "    if claim is None:\n        return CodeCheck(CodeResult.WRONG, None, left)\n"
                "    return CodeCheck(CodeResult.MATCH, claim, left + 1, collector)\n",
                "    if claim is None:\n        begun = await db.transaction(begin)\n        if begun is None:\n"
                "            return CodeCheck(CodeResult.LOCKED, None, 0)\n"
                "        return CodeCheck(CodeResult.WRONG, None, begun[1])\n"
                "    return CodeCheck(CodeResult.MATCH, claim, TRIES, collector)\n",
            ),
        ),
        ATTACKED,
    ),
    Mutant(
        "attempt-forgotten-at-restart",
        "The five tries of a day begin again with each start of the machine.",
        (
            Edit(
                "lockerd.app",
                "        return await journal.epoch(tx)\n",
                '        await tx.execute("DELETE FROM attempt")\n        return await journal.epoch(tx)\n',
            ),
        ),
        ATTACKED,
    ),
    Mutant(
        "motion-sent-again",
        "A motion whose answer was lost is ordered again: what was done is done twice.",
        (
            Edit(
                "lockerd.devices.mailbox",
                "                if not error.sent and status is None:\n"
                "                    return Ending(Result.NOT_MOVED, wire.Fault.NONE, None)\n",
                "                if not error.sent and status is None:\n"
                "                    return Ending(Result.NOT_MOVED, wire.Fault.NONE, None)\n"
                "                try:\n"
                "                    command = self._command(await self.plan(wire.Opcode(command.opcode), command.arg0))\n"
                "                    await self._registers.write(self._kind, COMMAND_ADDRESS, command.to_registers())\n"
                "                except DeviceError:\n"
                "                    pass\n",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "done-assumed-on-time-out",
        "Silence counts as success: a card is recorded at the gate that never came there.",
        (
            Edit(
                "lockerd.devices.mailbox",
                "                    return Ending(Result.FAILED, status.fault, status)\n"
                "    return Ending(Result.IN_DOUBT, wire.Fault.NONE, status)\n",
                "                    return Ending(Result.FAILED, status.fault, status)\n"
                "    return Ending(Result.DONE, wire.Fault.NONE, status)\n",
            ),
        ),
        STORM,
    ),
    Mutant(
        "seq-reused-after-restart",
        "A command bears the number of an earlier one: its old result is taken for the new motion's.",
        (
            Edit(
                "lockerd.devices.mailbox",
                'return f"{status.boot_id}:{next_seq(status.accepted_seq)}:{int(opcode)}:{arg0}"',
                "seq = next_seq(status.accepted_seq) if self._planned else max(status.accepted_seq, 1)\n"
                "        self._planned = True\n"
                '        return f"{status.boot_id}:{seq}:{int(opcode)}:{arg0}"',
            ),
            Edit(
                "lockerd.devices.mailbox",
                "        self._identity_boot: int | None = None\n",
                "        self._identity_boot: int | None = None\n        self._planned = False\n",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "event-outside-the-transaction",
        "A power cut between the outcome and its event: the office never learns where the card is.",
        (
            Edit(
                "lockerd.motions",
                "    if event is not None and outcome.result is Result.DONE:\n        data = {",
                "    if False:\n        data = {",
            ),
            Edit(
                "lockerd.motions",
                "            return Made(outcome, await self._db.transaction(conclude))\n",
                "            made = Made(outcome, await self._db.transaction(conclude))\n"
                "            if event is not None and outcome.result is Result.DONE:\n"
                '                data = {"claim_id": card_id, "card_id": card_id, "journey_id": journey_id}\n'
                "                await self._db.transaction(\n"
                "                    lambda tx: journal.append(tx, event, data, stamp=self._stamp())\n"
                "                )\n"
                "            return made\n",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "event-number-reused",
        "After a restart events are numbered on from what the office acknowledged: two things bear one number.",
        (
            Edit("lockerd.store.journal", '"INSERT INTO journal (seq', '"INSERT OR REPLACE INTO journal (seq'),
            Edit(
                "lockerd.app",
                "    async def begin(tx: Transaction) -> str:\n",
                "    async def begin(tx: Transaction) -> str:\n"
                "        where = await journal.position(tx)\n"
                "        await tx.execute(\"UPDATE meta SET value = ? WHERE key = 'last_seq'\", (where.acked,))\n",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "chip-not-compared",
        "Whatever card stood in the slot is handed out, to whom it does not belong.",
        (
            Edit(
                "lockerd.pickup.chips",
                "        and chip.id_number == claim.person.id_number\n        and chip.valid_from == claim.valid_from\n",
                "",
            ),
        ),
        TAMPERED,
    ),
    Mutant(
        "gate-opened-before-the-chip-is-read",
        "The hand is quicker than the reader: a wrong card is gone before it is known.",
        (
            Edit(
                "lockerd.pickup.table",
                'Row(_S.PICKING, MotionEnded, _S.CHECKING_NEW, "picked", moved(Motion.PICK), do=asks(ReadNew())),',
                'Row(_S.PICKING, MotionEnded, _S.PRESENTING, "picked", moved(Motion.PICK), do=asks(Move(Motion.PRESENT))),',
            ),
        ),
        BUSY,
    ),
    Mutant(
        "stranger-named-as-the-claimants-card",
        "A wrong card goes into the box under the claimant's name, and the stranger's own is lost.",
        (
            Edit(
                "lockerd.journey.moving",
                "            card_id = await self._identify_stranger(journey, claim_id)\n",
                "            card_id = claim_id\n",
            ),
        ),
        TAMPERED,
    ),
    Mutant(
        "escrow-released-early",
        "The old card is in the bin before the new one is taken: a fault now leaves the citizen with none.",
        (
            Edit(
                "lockerd.pickup.table",
                'Row(_S.PRESENTING, MotionEnded, _S.AWAIT_TAKEN, "at the exit", moved(Motion.PRESENT)),',
                'Row(_S.PRESENTING, MotionEnded, _S.AWAIT_TAKEN, "at the exit", all_of(moved(Motion.PRESENT), old_inside),\n'
                "        do=asks(Move(Motion.RETAIN, (Record.OLD_KEPT,)))),\n"
                '    Row(_S.PRESENTING, MotionEnded, _S.AWAIT_TAKEN, "at the exit", moved(Motion.PRESENT)),',
            ),
        ),
        BUSY,
    ),
    Mutant(
        "recovery-ignores-escrow",
        "After a power cut the old card stays in escrow for ever, and its owner goes home without any.",
        (
            Edit(
                "lockerd.journey.recovery",
                "        if seen.place in (Place.ESCROW, Place.THROAT):\n",
                "        if seen.place is Place.THROAT:\n",
            ),
        ),
        CUT,
    ),
    Mutant(
        "retracted-card-forgotten",
        "A card that was drawn back stays recorded in the exit: nobody looks for it where it is.",
        (
            Edit(
                "lockerd.store.ledger",
                "    place = place_after(order, outcome)\n    if intent.card_id",
                "    place = place_after(order, outcome)\n    if order.motion is not Motion.RETRACT and intent.card_id",
            ),
        ),
        CARELESS,
    ),
    Mutant(
        "taken-card-counted-too-early",
        "A hand was quicker than the record, and after a restart the taken card is looked for in the machine.",
        (
            Edit(
                "lockerd.motions",
                "        seen = replace(seen, dispensed=known.dispensed)\n",
                "        seen = replace(seen)\n",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "in-doubt-slot-offered-again",
        "The slot of a card in doubt counts as free: two cards come to lie in it, or the wrong one comes out.",
        (
            Edit(
                "lockerd.store.ledger_rows",
                "        await set_slot(tx, number, SlotState.BLOCKED, card_id, stamp, reason)\n",
                "        await set_slot(tx, number, SlotState.FREE, None, stamp)\n",
            ),
        ),
        STORM,
    ),
    Mutant(
        "code-not-consumed",
        "A code that has opened the gate opens it again.",
        (
            Edit(
                "lockerd.journey.moving",
                "            if Record.CONSUME_CODE in effect.records and claim_id is not None:\n",
                "            if Record.CONSUME_CODE in effect.records and claim_id is None:\n",
            ),
        ),
        BUSY,
    ),
    Mutant(
        "two-journeys-at-once",
        "A journey is never ended: the next one of the same citizen runs beside it.",
        (
            Edit(
                "lockerd.pickup.table",
                'Row(_S.DONE, TimedOut, _S.IDLE, "time-out", do=ends("collected")),',
                'Row(_S.DONE, TimedOut, _S.IDLE, "time-out"),',
            ),
            Edit(
                "lockerd.pickup.table",
                'Row(_S.FAULT, Tapped, _S.IDLE, "closed", tapped(Action.CLOSE), do=ends("fault")),',
                'Row(_S.FAULT, Tapped, _S.IDLE, "closed", tapped(Action.CLOSE)),',
            ),
        ),
        BUSY,
    ),
    Mutant(
        "one-person-settles-a-doubt",
        "Whoever takes a card out says twice where it is, and it is so: nobody else has looked.",
        (
            Edit(
                "lockerd.store.findings",
                '    if first is None or first["staff"] == staff:\n',
                "    if first is None:\n",
            ),
        ),
        LIED,
    ),
    Mutant(
        "doubt-ended-by-unblocking",
        "Whoever unblocks a slot says with it that the card in doubt lies there: nobody has looked, and it is offered again.",
        (
            Edit(
                "lockerd.custody_desk",
                '            return "its card is in doubt; two of you have to say where it is"\n',
                '            await ledger.move(tx, card_id, Place.SLOT, stamp, "unblocked", slot=slot, journey_id=journey_id)\n',
            ),
        ),
        DOUBTED,
    ),
    Mutant(
        "old-card-back-while-the-new-one-may-be-in-a-hand",
        "A dispenser that fell silent as its card was taken: the citizen gets the old card back, too, and leaves with both.",
        (
            Edit(
                "lockerd.journey.recovery",
                "        return await self._db.transaction(_may_be_in_a_hand)\n",
                "        return False\n",
            ),
            Edit(
                "lockerd.pickup.table",
                '    Row(_S.PRESENTING, MotionEnded, _S.FAULT, "place not known", change=fault_of(FaultKind.IN_DOUBT),\n'
                "        do=asks(IssueTicket())),\n",
                '    *failing(_S.PRESENTING, MotionEnded, FaultKind.IN_DOUBT, "place not known"),\n',
            ),
            Edit(
                "lockerd.pickup.table",
                '    Row(_S.RETRACTING, MotionEnded, _S.FAULT, "cannot be drawn back", change=fault_of(FaultKind.IN_DOUBT),\n'
                "        do=asks(IssueTicket())),\n",
                '    *failing(_S.RETRACTING, MotionEnded, FaultKind.IN_DOUBT, "cannot be drawn back"),\n',
            ),
        ),
        SILENT,
    ),
    Mutant(
        "office-told-of-somebody-else",
        "A card that left the machine is on another name in the office's ledger: a complaint goes to the wrong person.",
        (
            Edit(
                "lockerd.store.ledger_rows",
                '        "responsible": step.responsible,\n',
                '        "responsible": "office" if step.target in (Place.TAKEN, Place.REMOVED) else step.responsible,\n',
            ),
        ),
        BUSY,
    ),
    *INFERRED,
    *OLD_CARDS,
    *TOLD,
)
"""Every mutant, in the order in which the command plays them."""
