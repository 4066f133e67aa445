"""Driver of a resident-ID-card reader (SAM-V module, `firmware_protocol.samv`) over a `Line`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import structlog

from firmware_protocol import cardtext, samv
from firmware_protocol.cardtext import CardTextError
from firmware_protocol.samv import CardBlocks, Command, Reply, SamvError, Status
from lockerd.devices.serial_line import Line, OpenLine, Reopened
from lockerd.errors import DeviceError, UnreadableCard
from lockerd.model.cards import Chip

_log = structlog.get_logger()

_TRIES = 2  # of one request when the line garbled it; every request here only asks
_CHUNK = 4096
_MOST_STALE_CHUNKS = 64

_TEXT_PHOTO = samv.TEXT_LENGTH + samv.PHOTO_LENGTH

_SUCCESS: dict[Command, tuple[Status, frozenset[int]]] = {
    Command.SAM_STATUS: (Status.OK, frozenset({0})),
    Command.FIND: (Status.FOUND, frozenset({samv.FIND_FOUND_LENGTH})),
    Command.SELECT: (Status.OK, frozenset({samv.SELECT_OK_LENGTH})),
    Command.READ_TEXT_PHOTO: (Status.OK, frozenset({4 + _TEXT_PHOTO})),
    Command.READ_TEXT_PHOTO_FINGERPRINT: (
        Status.OK,
        frozenset(6 + _TEXT_PHOTO + length for length in samv.FINGERPRINT_LENGTHS),
    ),
}
"""Status and lengths of data that only a successful answer to the command has."""

_FAILURE: dict[Command, frozenset[int]] = {
    Command.SAM_STATUS: frozenset(),
    Command.FIND: frozenset({Status.FIND_FAILED}),
    Command.SELECT: frozenset({Status.SELECT_FAILED}),
    Command.READ_TEXT_PHOTO: frozenset({Status.READ_FAILED}),
    Command.READ_TEXT_PHOTO_FINGERPRINT: frozenset({Status.READ_FAILED}),
}
"""How the reader says that no card answered."""

_OWNED_BY_OTHERS: dict[Command, frozenset[int]] = {
    command: frozenset({Status.OK, Status.FOUND}.union(*_FAILURE.values()) - failure)
    for command, failure in _FAILURE.items()
}
"""What cannot be a bad answer to the command."""

_REQUESTS = {command: samv.Request(command).to_bytes() for command in _SUCCESS}

_CARD_REFUSED = frozenset(
    {
        Status.NO_CONTENT,
        Status.CARD_TO_SAM_FAILED,
        Status.SAM_TO_CARD_FAILED,
        Status.VERIFICATION_FAILED,
        Status.UNKNOWN_CARD,
    }
)
_GARBLED = frozenset({Status.BAD_CHECKSUM, Status.BAD_LENGTH})


@dataclass(frozen=True, slots=True)
class Timing:
    """Time-outs and pauses in seconds.

    `card` bounds a read of text and photo: 1295 bytes are 112 ms on the wire at 115200 baud and 1.35 s at 9600, and the
    chip's authentication comes before. `answer` bounds everything else. A broken line is opened again at the next
    call; when that fails too, after `first_pause`, doubled up to `longest_pause`.
    """

    answer: float = 0.5
    card: float = 3.0
    first_pause: float = 0.25
    longest_pause: float = 10.0


@dataclass(frozen=True, slots=True)
class ReaderCounters:
    """What the line has carried since start: totals, for metrics."""

    frames: int
    bad_frames: int
    dropped_bytes: int
    stale_frames: int
    time_outs: int
    connections: int


class SamvReader:
    """An `IdReader` over a SAM-V module; calls are served one after the other, and a cancelled one leaves no trace.

    `name` is the reader's name in the configuration. The line is opened by the first call and again after it broke. With
    `fingerprint` the chip's fingerprint block is read, too.
    """

    def __init__(self, name: str, open_line: OpenLine, timing: Timing = Timing(), *, fingerprint: bool = False) -> None:
        self._read = Command.READ_TEXT_PHOTO_FINGERPRINT if fingerprint else Command.READ_TEXT_PHOTO
        self._name = name
        self._wire = Reopened(name, open_line, first_pause=timing.first_pause, longest_pause=timing.longest_pause)
        self._timing = timing
        self._turn = asyncio.Lock()
        self._parser = samv.reply_parser()
        self._stale_frames = 0
        self._time_outs = 0
        self._well: bool | None = None  # not asked yet

    @property
    def counters(self) -> ReaderCounters:
        """A snapshot of the line's totals."""
        return ReaderCounters(
            frames=self._parser.frames,
            bad_frames=self._parser.bad_frames,
            dropped_bytes=self._parser.dropped_bytes,
            stale_frames=self._stale_frames,
            time_outs=self._time_outs,
            connections=self._wire.connections,
        )

    @property
    def last_answer_ok(self) -> bool:
        """Whether the module answered sensibly when it was last asked; False before the first call."""
        return self._well is True

    async def read(self) -> Chip | None:
        """Find, select and read the card in the field; None when there is none or it moved away.

        Raises UnreadableCard when a card stays in the field but cannot be read, or its text cannot be true; DeviceError
        when the reader is silent, unreachable or reports a fault of its own.
        """
        async with self._turn:
            blocks = await self._read_card()
        return None if blocks is None else self._chip(blocks)

    async def probe(self) -> None:
        """Ask the module for its status, for health; raises DeviceError unless it says that it is well."""
        async with self._turn:
            await self._ask(Command.SAM_STATUS, self._timing.answer)

    def close(self) -> None:
        """Release the line; the next call opens it again."""
        self._wire.close()

    async def _read_card(self) -> CardBlocks | None:
        for _ in range(2):
            # A failed find is not the last word: modules find a card that stays in the field only once, and select it.
            await self._ask(Command.FIND, self._timing.answer)
            if await self._ask(Command.SELECT, self._timing.answer) is None:
                return None
            reply = await self._ask(self._read, self._timing.card)
            if reply is not None:
                try:
                    return samv.decode_card_blocks(self._read, reply.data)
                except SamvError as error:
                    raise DeviceError(self._name, f"answers what it may not: {error}") from error
            # Moved away, or broken: the next select tells.
        raise UnreadableCard(self._name, "the card stays in the field and cannot be read")

    def _chip(self, blocks: CardBlocks) -> Chip:
        try:
            text = cardtext.decode(blocks.text)
        except CardTextError as error:
            raise UnreadableCard(self._name, f"the card's text cannot be decoded: {error}") from error
        wrong = cardtext.wrong_fields(text)
        if wrong:
            raise UnreadableCard(self._name, f"the card's text cannot be true: {', '.join(wrong)}")
        name, finger = cardtext.display_name(text), blocks.fingerprint or b""
        photo = blocks.photo if any(blocks.photo) else b""
        return Chip(name, text.id_number, text.valid_from, text.valid_to, self._name, photo, finger)

    async def _ask(self, command: Command, timeout: float) -> Reply | None:
        """The successful reply; None when the reader says that no card answered. Raises DeviceError, UnreadableCard."""
        try:
            reply = await self._answer(command, timeout)
        except DeviceError as error:
            self._note(ok=False, reason=str(error))
            raise
        self._note(ok=True)
        if reply.status in _CARD_REFUSED:
            raise UnreadableCard(self._name, f"the card cannot be read: {_status_name(reply.status)}")
        return reply if reply.status == _SUCCESS[command][0] else None

    async def _answer(self, command: Command, timeout: float) -> Reply:
        """A reply that speaks of the card, good or bad; raises DeviceError for silence, garbage and the module's own faults."""
        line = await self._wire.line()
        for _ in range(_TRIES):
            noise = self._noise()
            try:
                reply = await self._exchange(line, command, timeout)
            except DeviceError:
                self._wire.lose()
                raise
            if reply is not None and reply.status not in _GARBLED:
                self._wire.answered()
                if not _speaks_of_card(command, reply.status):
                    raise DeviceError(self._name, f"answers {_status_name(reply.status)} to {command.name}")
                return reply
            if reply is None and self._noise() == noise:
                break
        raise DeviceError(self._name, f"gives no answer to {command.name} within {timeout:g} s")

    async def _exchange(self, line: Line, command: Command, timeout: float) -> Reply | None:
        """Send one request and wait for a reply that can belong to it; None when none came in time."""
        loop = asyncio.get_running_loop()
        await self._drain(line)
        await line.write(_REQUESTS[command], self._timing.answer)
        deadline = loop.time() + timeout
        while True:
            left = deadline - loop.time()
            chunk = await line.read(_CHUNK, left) if left > 0 else b""
            for reply in self._parser.feed(chunk) if chunk else self._parser.flush():
                if _can_answer(command, reply):
                    return reply
                self._stale_frames += 1
            if not chunk:
                self._time_outs += 1
                return None

    async def _drain(self, line: Line) -> None:
        """Drop what a former request left behind: its late answer must not be taken for the next one's."""
        for _ in range(_MOST_STALE_CHUNKS):
            chunk = await line.read(_CHUNK, 0)
            if not chunk:
                break
            self._stale_frames += len(self._parser.feed(chunk))
        self._stale_frames += len(self._parser.flush())

    def _noise(self) -> int:
        return self._parser.bad_frames + self._parser.dropped_bytes

    def _note(self, *, ok: bool, reason: str = "") -> None:
        """Keep the module's health; a change is logged once, however often the reader is polled."""
        if ok is not self._well:
            self._well = ok
            if ok:
                _log.info("reader answers", device=self._name)
            else:
                _log.warning("reader does not answer", device=self._name, error=reason)


def _speaks_of_card(command: Command, status: int) -> bool:
    return status == _SUCCESS[command][0] or status in _FAILURE[command] or status in _CARD_REFUSED


def _can_answer(command: Command, reply: Reply) -> bool:
    """Whether `reply` can belong to `command`: by the status and length of success, or an error that others do not own."""
    status, lengths = _SUCCESS[command]
    if reply.status == status:
        return len(reply.data) in lengths
    return reply.status not in _OWNED_BY_OTHERS[command]


def _status_name(status: int) -> str:
    try:
        return Status(status).name
    except ValueError:
        return f"status {status:#04x}"
