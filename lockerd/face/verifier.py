"""The daemon's side of the face worker: starts, watches and asks it; the loop never waits on it.

Whatever happens to the worker is "not verified": a dead, stuck, silent or babbling worker gives UNAVAILABLE.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
import sys
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from lockerd.errors import FaceUnavailable
from lockerd.face.messages import (
    HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    MAX_PICTURE_BYTES,
    Beat,
    Cancel,
    Decided,
    Enrol,
    Enrolled,
    FaceSettings,
    Preview,
    Prompt,
    Ready,
    Refused,
    Reply,
    Request,
    Shot,
    Start,
    Verify,
    pack_message,
    read_reply,
)
from lockerd.model.identity import Enrolment, FaceReason, FaceResult, FaceTemplate, FaceVerdict, ReferenceKind

_log = structlog.get_logger(__name__)

START_WITHIN = 30.0  # seconds for a worker to load, warm up and test its models
STUCK_AFTER = 3.0  # seconds without a sign of life until a worker is killed
ENROL_WITHIN = 5.0  # seconds for one reference picture
_GRACE = 2.0  # seconds beyond a transaction's own deadline
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 10.0  # seconds before a worker is started again
_LENGTH_TOLERANCE = 1e-3
_STEADY = 60.0  # a worker that lived this long starts the pauses anew


class FaceStatus(msgspec.Struct, frozen=True):
    """What health says of the face worker; `restarts` counts since the daemon's start, `frames` since the worker's."""

    worker_up: bool
    camera_up: bool
    model_id: str
    restarts: int
    frames: int = 0


@dataclass(slots=True)
class _Life:
    """One worker process and what waits for its answers."""

    process: asyncio.subprocess.Process
    inward: asyncio.StreamWriter
    outward: asyncio.StreamReader
    model_id: str = ""
    thresholds: dict[ReferenceKind, str] = field(default_factory=dict)
    dimension: int = 0
    camera_up: bool = False
    frames: int = 0
    enrolments: dict[int, asyncio.Future[Enrolled]] = field(default_factory=dict)
    transactions: dict[int, asyncio.Queue[Prompt | Decided | None]] = field(default_factory=dict)

    def send(self, message: Request) -> None:
        self.inward.write(pack_message(message))


def is_unit_vector(data: bytes, dimension: int) -> bool:
    """Whether the bytes are `dimension` finite little-endian float32 of length 1."""
    if len(data) != 4 * dimension or not dimension:
        return False
    numbers = struct.unpack(f"<{dimension}f", data)
    return all(map(math.isfinite, numbers)) and abs(math.hypot(*numbers) - 1.0) < _LENGTH_TOLERANCE


class FaceClient:
    """Face verification as the rest of the daemon sees it. `run` is its one long task."""

    def __init__(self, settings: FaceSettings) -> None:
        self._settings = settings
        self._life: _Life | None = None
        self._ready = asyncio.Event()
        self._refused = ""
        self._restarts = 0
        self._number = 0
        self._one = asyncio.Lock()
        self._viewers = 0
        self._shot: bytes | None = None
        self._shown = asyncio.Event()

    @property
    def status(self) -> FaceStatus:
        """The state of worker and camera now."""
        life = self._life if self._ready.is_set() else None
        if life is None:
            return FaceStatus(worker_up=False, camera_up=False, model_id="", restarts=self._restarts)
        return FaceStatus(True, life.camera_up, life.model_id, self._restarts, life.frames)

    async def run(self) -> None:
        """Keep a worker alive until cancelled; never returns. The worker ends with this task."""
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE
        while True:
            began = loop.time()
            reason = await self._live()
            if loop.time() - began >= _STEADY:
                pause = _FIRST_PAUSE
            self._restarts += 1
            _log.warning("face worker down", reason=reason, restarts=self._restarts)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def wait_ready(self, timeout: float) -> None:
        """Return once the worker has tested its models. Raises FaceUnavailable after `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            raise FaceUnavailable(self._refused or "the face worker is not ready") from None

    async def enrol(self, picture: bytes, kind: ReferenceKind = ReferenceKind.PHOTO) -> Enrolment:
        """The template of the one face in a JPEG or PNG file, or the reason why there is none.

        Raises FaceUnavailable where the worker gives no answer: try again later.
        """
        if len(picture) > MAX_PICTURE_BYTES:
            return Enrolment(None, FaceReason.UNREADABLE_PICTURE)
        life = self._living()
        number = self._next()
        answer: asyncio.Future[Enrolled] = asyncio.get_running_loop().create_future()
        life.enrolments[number] = answer
        try:
            async with asyncio.timeout(ENROL_WITHIN):
                life.send(Enrol(number, picture, kind))
                enrolled = await answer
        except TimeoutError:
            raise FaceUnavailable("the face worker gave no answer in time") from None
        finally:
            life.enrolments.pop(number, None)
        template = FaceTemplate(life.model_id, enrolled.vector, kind) if enrolled.vector else None
        return Enrolment(template, enrolled.reason)

    def admit(self, template: FaceTemplate) -> Enrolment:
        """A template that was made elsewhere, where this worker can compare it; else WRONG_MODEL or UNREADABLE_TEMPLATE.

        Raises FaceUnavailable while no worker says which models it runs.
        """
        life = self._living()
        if template.model_id != life.model_id:
            return Enrolment(None, FaceReason.WRONG_MODEL)
        if not is_unit_vector(template.vector, life.dimension):
            return Enrolment(None, FaceReason.UNREADABLE_TEMPLATE)
        return Enrolment(template, FaceReason.MATCH)

    async def verify(
        self, template: FaceTemplate, *, timeout: float, on_prompt: Callable[[FaceReason], None]
    ) -> FaceResult:
        """One transaction against the camera, at most `timeout` seconds; transactions queue for each other.

        `on_prompt` is called with the reason while frames fail the gates: when it changes and once a second.
        Never raises for a fault of worker or camera: that is the verdict UNAVAILABLE. Cancelling ends the
        transaction.
        """
        async with self._one:
            life = self._life
            if life is None or not self._ready.is_set():
                return FaceResult(FaceVerdict.UNAVAILABLE, FaceReason.WORKER_DOWN, "", "")
            if template.model_id != life.model_id:
                return FaceResult(FaceVerdict.NOT_VERIFIED, FaceReason.WRONG_MODEL, life.model_id, "")
            threshold_id = life.thresholds.get(template.kind)
            if threshold_id is None:
                return FaceResult(FaceVerdict.NOT_VERIFIED, FaceReason.NOT_CALIBRATED, life.model_id, "")
            number = self._next()
            answers: asyncio.Queue[Prompt | Decided | None] = asyncio.Queue()
            life.transactions[number] = answers
            decided: Decided | None = None
            try:
                life.send(Verify(number, template.model_id, template.vector, timeout, template.kind))
                async with asyncio.timeout(timeout + _GRACE):
                    while decided is None:
                        match await answers.get():
                            case Prompt(reason=reason):
                                on_prompt(reason)
                            case Decided() as answer:
                                decided = answer
                            case None:
                                break
            except TimeoutError:
                pass
            finally:
                del life.transactions[number]
                if decided is None:
                    life.send(Cancel(number))
            if decided is None:
                return FaceResult(FaceVerdict.UNAVAILABLE, FaceReason.WORKER_DOWN, life.model_id, threshold_id)
            return FaceResult(
                decided.verdict, decided.reason, life.model_id, threshold_id, decided.bucket, decided.presence
            )

    def latest_preview(self) -> bytes | None:
        """The newest preview picture (JPEG, mirrored) while somebody iterates `previews`, else None."""
        return self._shot

    async def previews(self) -> AsyncGenerator[bytes, None]:
        """Preview pictures as they come, about 10 a second; made only while somebody iterates."""
        self._viewers += 1
        try:
            if self._viewers == 1 and self._life is not None:
                self._life.send(Preview(on=True))
            while True:
                await self._shown.wait()
                if self._shot is not None:
                    yield self._shot
        finally:
            self._viewers -= 1
            if self._viewers == 0:
                self._shot = None
                if self._life is not None:
                    self._life.send(Preview(on=False))

    def _living(self) -> _Life:
        if self._life is None or not self._ready.is_set():
            raise FaceUnavailable(self._refused or "the face worker is not ready")
        return self._life

    def _next(self) -> int:
        self._number += 1
        return self._number

    async def _live(self) -> str:
        """Start a worker and serve its messages until it ends or is stuck; returns why."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "lockerd.face.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError:
            return "not_started"
        assert process.stdin is not None
        assert process.stdout is not None
        life = _Life(process, process.stdin, process.stdout)
        self._life = life
        try:
            life.send(Start(self._settings))
            await self._serve(life)
        except TimeoutError:
            return "stuck"
        except (asyncio.IncompleteReadError, ConnectionError):
            return "refused" if self._refused else "ended"
        except msgspec.DecodeError:
            return "babbling"
        finally:
            self._ready.clear()
            self._life = None
            self._shot = None
            self._release(life)
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            life.inward.close()
            await process.wait()
            with contextlib.suppress(ConnectionError):
                await life.outward.read()  # to its end: the pipe is closed while there is a loop to do it
        return "ended"

    async def _serve(self, life: _Life) -> None:
        patience = START_WITHIN
        while True:
            async with asyncio.timeout(patience):
                header = await life.outward.readexactly(HEADER_BYTES)
                length = int.from_bytes(header, "little")
                if length > MAX_MESSAGE_BYTES:
                    raise msgspec.DecodeError
                reply = read_reply(await life.outward.readexactly(length))
            self._take(life, reply)
            if self._ready.is_set():
                patience = STUCK_AFTER

    def _take(self, life: _Life, reply: Reply) -> None:
        match reply:
            case Ready():
                life.model_id, life.thresholds, life.dimension = reply.model_id, reply.thresholds, reply.dimension
                self._refused = ""
                self._ready.set()
                if self._viewers:
                    life.send(Preview(on=True))
            case Refused():
                self._refused = reply.why
            case Beat():
                life.camera_up, life.frames = reply.camera_up, reply.frames
            case Enrolled():
                waiting = life.enrolments.get(reply.id)
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
            case Prompt() | Decided():
                if reply.id in life.transactions:
                    life.transactions[reply.id].put_nowait(reply)
            case Shot():
                if self._viewers:
                    self._shot = reply.jpeg
                    self._shown.set()
                    self._shown = asyncio.Event()

    @staticmethod
    def _release(life: _Life) -> None:
        """Tell everybody who waits that this worker will not answer."""
        for waiting in life.enrolments.values():
            if not waiting.done():
                waiting.set_exception(FaceUnavailable("the face worker ended"))
        for answers in life.transactions.values():
            answers.put_nowait(None)
