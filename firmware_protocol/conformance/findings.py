"""What the kit can find wrong with a unit: each defect has a name and a sentence."""

from __future__ import annotations

from enum import StrEnum


class Defect(StrEnum):
    """Name of a defect as it stands in a report; the names never change their meaning."""

    NO_ANSWER = "no-answer"
    BAD_ANSWER = "bad-answer"
    WRONG_IDENTITY = "wrong-identity"
    WRONG_CRC_IN_STATUS = "wrong-crc-in-status"
    WRONG_STATUS = "wrong-status"
    TORN_STATUS = "torn-status"
    STALE_STATUS = "stale-status"
    SLOW_ANSWER = "slow-answer"
    RANGE_OVERRUN = "range-overrun"
    READ_REFUSED = "read-refused"
    FC6_ACCEPTED = "fc6-accepted"
    ACCEPTS_WRITE_ELSEWHERE = "accepts-write-elsewhere"
    ACCEPTS_PARTIAL_BLOCK = "accepts-partial-block"
    WRONG_EXCEPTION_CODE = "wrong-exception-code"
    ANSWERS_FOREIGN_UNIT = "answers-foreign-unit"
    ANSWERS_BROADCAST = "answers-broadcast"
    OBEYS_BROADCAST = "obeys-broadcast"
    IGNORES_LINE_CRC = "ignores-line-crc"
    DEAF_AFTER_GARBAGE = "deaf-after-garbage"
    ACCEPTS_BAD_CRC = "accepts-bad-crc"
    ACCEPTS_FOREIGN_VERSION = "accepts-foreign-version"
    REFUSES_GOOD_COMMAND = "refuses-good-command"
    EXECUTES_REPEAT = "executes-repeat"
    REFUSES_REPEAT = "refuses-repeat"
    BOOT_ID_BEFORE_REPEAT = "boot-id-before-repeat"
    IGNORES_BOOT_ID = "ignores-boot-id"
    SKIPS_ORDER = "skips-order"
    NO_BUSY_REFUSAL = "no-busy-refusal"
    ACCEPTS_BAD_OPCODE = "accepts-bad-opcode"
    ACCEPTS_BAD_SLOT = "accepts-bad-slot"
    ACCEPTS_BAD_ARGUMENT = "accepts-bad-argument"
    DONE_BEFORE_MOTION = "done-before-motion"
    CLAIMS_DONE_WITHOUT_CARD = "claims-done-without-card"
    WRONG_MOTION = "wrong-motion"
    HIDES_JAM = "hides-jam"
    FORGETS_CARD = "forgets-card"
    INVENTS_CARD = "invents-card"
    OVERFILLS = "overfills"
    PUSHES_INTO_CARD = "pushes-into-card"
    BLIND_CONTACT = "blind-contact"
    COUNTS_BEFORE_MOTION = "counts-before-motion"
    COUNTS_PRESENTED_AS_TAKEN = "counts-presented-as-taken"
    MISCOUNTS = "miscounts"
    MISSES_TAKEN_WITHOUT_POWER = "misses-taken-without-power"
    COUNTER_NOT_PERSISTENT = "counter-not-persistent"
    SAME_BOOT_ID_AFTER_BOOT = "same-boot-id-after-boot"
    SEQ_RESET_AFTER_BOOT = "seq-reset-after-boot"
    ACCEPTED_NOT_PERSISTENT = "accepted-not-persistent"
    RESUMES_AFTER_POWER_CUT = "resumes-after-power-cut"
    SLOW_BOOT = "slow-boot"
    HIDES_INTERRUPTION = "hides-interruption"
    ACCEPTS_WHILE_INTERRUPTED = "accepts-while-interrupted"

    @property
    def meaning(self) -> str:
        """The defect in a sentence."""
        return _MEANINGS[self]


_MEANINGS: dict[Defect, str] = {
    Defect.NO_ANSWER: "The unit does not answer a request that it must answer.",
    Defect.BAD_ANSWER: "The answer is no well-formed answer to its request.",
    Defect.WRONG_IDENTITY: "The identity block is not whole or its values are not possible.",
    Defect.WRONG_CRC_IN_STATUS: "The CRC of the status block is wrong.",
    Defect.WRONG_STATUS: "The status block has values that are not possible, or that contradict each other.",
    Defect.TORN_STATUS: "Some status blocks mix two moments: their CRC does not fit.",
    Defect.STALE_STATUS: "A status read after an acknowledgement is older than the acknowledgement.",
    Defect.SLOW_ANSWER: "Answers come later than the maximum that the identity block declares.",
    Defect.RANGE_OVERRUN: "Registers outside the blocks are answered with values.",
    Defect.READ_REFUSED: "A part of a block cannot be read.",
    Defect.FC6_ACCEPTED: "A function code other than 3 and 16 is accepted.",
    Defect.ACCEPTS_WRITE_ELSEWHERE: "A write outside the command block is acknowledged.",
    Defect.ACCEPTS_PARTIAL_BLOCK: "A write of a part of the command block is acknowledged.",
    Defect.WRONG_EXCEPTION_CODE: "A refusal carries another exception code than its reason has.",
    Defect.ANSWERS_FOREIGN_UNIT: "A request to another unit address is answered.",
    Defect.ANSWERS_BROADCAST: "A broadcast is answered.",
    Defect.OBEYS_BROADCAST: "A command that was broadcast is carried out.",
    Defect.IGNORES_LINE_CRC: "A frame with a wrong CRC is answered.",
    Defect.DEAF_AFTER_GARBAGE: "After bytes that are no frame, a good request is not answered.",
    Defect.ACCEPTS_BAD_CRC: "A command block with a wrong CRC is accepted.",
    Defect.ACCEPTS_FOREIGN_VERSION: "A command block with a foreign magic or major version is accepted.",
    Defect.REFUSES_GOOD_COMMAND: "A command that is right in every way is refused.",
    Defect.EXECUTES_REPEAT: "A repeated sequence number is carried out a second time.",
    Defect.REFUSES_REPEAT: "A repeated sequence number is refused instead of acknowledged.",
    Defect.BOOT_ID_BEFORE_REPEAT: "After a boot the repeated sequence number is refused for its old boot id.",
    Defect.IGNORES_BOOT_ID: "A command with a foreign boot id is accepted.",
    Defect.SKIPS_ORDER: "A sequence number that is not the next one is accepted.",
    Defect.NO_BUSY_REFUSAL: "A second command is accepted while a motion runs.",
    Defect.ACCEPTS_BAD_OPCODE: "An opcode that the unit does not have is accepted.",
    Defect.ACCEPTS_BAD_SLOT: "A slot beyond the capacity is accepted.",
    Defect.ACCEPTS_BAD_ARGUMENT: "An argument above the highest that its opcode takes is accepted.",
    Defect.DONE_BEFORE_MOTION: "A command is reported done while its motion still runs.",
    Defect.CLAIMS_DONE_WITHOUT_CARD: "A motion is reported done although there was no card to move.",
    Defect.WRONG_MOTION: "A motion ends otherwise than its opcode says, by result, position or sensors.",
    Defect.HIDES_JAM: "A motion that was stopped on its way is not reported as a fault.",
    Defect.FORGETS_CARD: "A card that no sensor sees is reported as if no card were in the path.",
    Defect.INVENTS_CARD: "A card is reported in the path although none came.",
    Defect.OVERFILLS: "A motion into a full retract position or bin is not refused with fault BIN_FULL.",
    Defect.PUSHES_INTO_CARD: "A motion to where a card is already is not refused with fault TARGET_OCCUPIED.",
    Defect.BLIND_CONTACT: "A contact of the cabinet does not follow what is done to it.",
    Defect.COUNTS_BEFORE_MOTION: "A total counts before the motion is over.",
    Defect.COUNTS_PRESENTED_AS_TAKEN: "A presented card is counted as dispensed before a hand took it.",
    Defect.MISCOUNTS: "A total or the bin's count is not what happened.",
    Defect.MISSES_TAKEN_WITHOUT_POWER: "A card that was taken while the power was off is not counted at the boot.",
    Defect.COUNTER_NOT_PERSISTENT: "A total did not survive a loss of power.",
    Defect.SAME_BOOT_ID_AFTER_BOOT: "The boot id is the same after a boot.",
    Defect.SEQ_RESET_AFTER_BOOT: "The sequence numbers start again after a boot.",
    Defect.ACCEPTED_NOT_PERSISTENT: "The accepted sequence number is not persisted before the motor moves.",
    Defect.RESUMES_AFTER_POWER_CUT: "A motion that a loss of power stopped is taken up again by itself.",
    Defect.SLOW_BOOT: "After power came back the first answer takes more than 5 seconds.",
    Defect.HIDES_INTERRUPTION: "After a boot with accepted other than done the state is not INTERRUPTED.",
    Defect.ACCEPTS_WHILE_INTERRUPTED: "While INTERRUPTED another command than RESET is accepted.",
}


class Finding(Exception):
    """The unit is wrong: which defect, and what was seen."""

    def __init__(self, defect: Defect, seen: str) -> None:
        super().__init__(f"{defect}: {seen}")
        self.defect = defect
        self.seen = seen


class Skipped(Exception):
    """A check could not be made; the message says why."""
