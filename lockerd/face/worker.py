"""The face worker: one process that owns camera, OpenCV and onnxruntime. Started by `lockerd.face.verifier`.

Speaks `lockerd.face.messages` on stdin and stdout; ends when stdin does. The newest frame wins. It logs
nothing: what it knows goes to the daemon.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path
from random import Random, SystemRandom

import cv2
import msgspec

from lockerd.errors import ConfigError
from lockerd.face.messages import (
    BEAT_EVERY,
    HEADER_BYTES,
    MAX_MESSAGE_BYTES,
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
    SourceSettings,
    Start,
    Verify,
    pack_message,
    read_request,
)
from lockerd.face.pack import Pack, Threshold, load_pack
from lockerd.face.picture import Picture
from lockerd.face.pipeline import Glimpse, Pipeline, Sighting, open_pipeline, self_test, stored_vector
from lockerd.face.source import FrameSource, open_source
from lockerd.face.transaction import Agreement, Decision, Transaction, draw_challenge
from lockerd.model.identity import FaceReason, FaceVerdict, ReferenceKind

EX_CONFIG = 78
EX_PROTOCOL = 76
MOST_MEMORY = 1 << 30  # bytes of data; a pack in use takes a quarter of it
_PR_SET_DUMPABLE = 4  # prctl(2): then neither a core file nor a debugger sees the memory
_IDLE = 0.25  # seconds between looks at an idle camera
_BUSY = 0.01  # seconds between looks for a new frame while somebody waits for it
_PREVIEW_EVERY = 0.1
_PREVIEW_WIDTH = 480
_REMIND_EVERY = 1.0  # a prompt that still holds is sent again


class Wire:
    """Length-framed messages on two file descriptors; ends the process when the daemon is gone."""

    def __init__(self, inward: int, outward: int) -> None:
        self._inward = inward
        self._outward = outward
        self._buffer = bytearray()

    def send(self, message: Reply) -> None:
        """Write a whole message; blocks while the daemon does not read."""
        rest = memoryview(pack_message(message))
        try:
            while rest:
                rest = rest[os.write(self._outward, rest) :]
        except BrokenPipeError:
            raise SystemExit(0) from None

    def receive(self, timeout: float) -> Request | None:
        """The next request, waiting at most `timeout` seconds for it."""
        request = self._buffered()
        while request is None and select.select([self._inward], [], [], timeout)[0]:
            data = os.read(self._inward, 1 << 20)
            if not data:
                raise SystemExit(0)
            self._buffer += data
            request = self._buffered()
        return request

    def _buffered(self) -> Request | None:
        if len(self._buffer) < HEADER_BYTES:
            return None
        length = int.from_bytes(self._buffer[:HEADER_BYTES], "little")
        if length > MAX_MESSAGE_BYTES:
            raise SystemExit(EX_PROTOCOL)
        if len(self._buffer) < HEADER_BYTES + length:
            return None
        body = bytes(self._buffer[HEADER_BYTES : HEADER_BYTES + length])
        del self._buffer[: HEADER_BYTES + length]
        try:
            return read_request(body)
        except msgspec.DecodeError:
            raise SystemExit(EX_PROTOCOL) from None


class Worker:
    """Serves requests and looks at frames by turns, on one thread."""

    def __init__(
        self,
        wire: Wire,
        settings: FaceSettings,
        pack: Pack,
        pipeline: Pipeline,
        sources: tuple[FrameSource, ...],
        random: Random,
    ) -> None:
        self._wire = wire
        self._settings = settings
        self._thresholds = calibrated_for(pack, settings)
        self._limits = pack.manifest.liveness
        self._pipeline = pipeline
        self._sources = sources
        self._random = random
        self._running: tuple[int, Agreement] | None = None
        self._preview = False
        self._next_shot = 0.0
        self._next_beat = 0.0
        self._looked = 0
        self._prompted: tuple[FaceReason, float] | None = None

    def serve(self) -> None:
        """Work until stdin ends; while frames come, it waits for nothing else."""
        fresh = False
        while True:
            busy = self._running is not None or self._preview
            request = self._wire.receive((0.0 if fresh else _BUSY) if busy else _IDLE)
            while request is not None:
                self._take(request)
                request = self._wire.receive(0.0)
            frames = [source.newest() for source in self._sources]
            fresh = frames[0] is not None
            now = time.monotonic()
            if self._running is not None:
                self._advance(*self._running, frames, now)
            frame = frames[0]
            if frame is not None and self._preview and now >= self._next_shot:
                self._next_shot = now + _PREVIEW_EVERY
                self._shoot(frame)
            for shown in frames:
                if shown is not None:
                    shown.fill(0)
            if now >= self._next_beat:
                self._next_beat = now + BEAT_EVERY
                self._wire.send(Beat(all(source.is_up() for source in self._sources), self._looked))

    def _take(self, request: Request) -> None:
        match request:
            case Enrol():
                enrolment = self._pipeline.enrol(request.picture, request.kind)
                self._pipeline.inputs.wipe()
                vector = enrolment.template.vector if enrolment.template else b""
                self._wire.send(Enrolled(request.id, vector, enrolment.reason))
            case Verify():
                self._drop()
                self._begin(request)
            case Cancel():
                if self._running is not None and self._running[0] == request.id:
                    self._drop()
            case Preview():
                self._preview = request.on
            case Start():
                raise SystemExit(EX_PROTOCOL)

    def _begin(self, request: Verify) -> None:
        reference = stored_vector(request.vector)
        if request.model_id != self._pipeline.model_id or reference is None:
            self._wire.send(Decided(request.id, FaceVerdict.NOT_VERIFIED, FaceReason.WRONG_MODEL, None))
            return
        thresholds = self._thresholds.get(request.kind)
        if thresholds is None:
            self._wire.send(Decided(request.id, FaceVerdict.NOT_VERIFIED, FaceReason.NOT_CALIBRATED, None))
            return
        deadline = time.monotonic() + request.timeout
        challenge = draw_challenge(self._settings.challenges, self._random)
        parts = tuple(
            Transaction(
                reference=reference,
                threshold=threshold.value,
                frames=self._settings.frames,
                span=self._settings.span,
                deadline=deadline,
                # Liveness models and challenges are made for the first source's colour pictures.
                limits=self._limits if first else None,
                challenge=challenge if first else None,
            )
            for first, threshold in zip((True, False), thresholds, strict=False)
        )
        self._running = (request.id, Agreement(parts))
        self._prompted = None

    def _advance(self, number: int, agreement: Agreement, frames: list[Picture | None], now: float) -> None:
        decision = None
        for index, frame in enumerate(frames):
            if decision is not None:
                break
            if frame is None:
                if not self._sources[index].is_up():
                    decision = Decision(FaceVerdict.UNAVAILABLE, FaceReason.CAMERA_DOWN)
                continue
            self._looked += 1
            aim = agreement.parts[index].aim(now)
            seen: Sighting | Glimpse | FaceReason
            if aim.compared:
                seen = self._pipeline.look(frame, self._pipeline.gates_live, live=index == 0, near=aim.near)
            else:
                seen = self._pipeline.glance(frame)
            now = time.monotonic()
            decision = agreement.add(index, seen, now)
            reason = seen if isinstance(seen, FaceReason) else agreement.prompt()
            if reason is not None and (index == 0 or isinstance(seen, FaceReason)):
                self._prompt(number, reason, now)
        decision = decision or agreement.overdue(now)
        if decision is not None:
            self._drop()
            self._wire.send(Decided(number, decision.verdict, decision.reason, decision.bucket, decision.presence))

    def _prompt(self, number: int, reason: FaceReason, now: float) -> None:
        if self._prompted is None or self._prompted[0] is not reason or now - self._prompted[1] >= _REMIND_EVERY:
            self._prompted = (reason, now)
            self._wire.send(Prompt(number, reason))

    def _drop(self) -> None:
        if self._running is not None:
            self._running[1].forget()
            self._running[1].parts[0].reference.fill(0.0)  # one array, shared by all parts
            self._pipeline.inputs.wipe()
            self._running = None

    def _shoot(self, frame: Picture) -> None:
        height = max(1, round(frame.shape[0] * _PREVIEW_WIDTH / frame.shape[1]))
        small = cv2.flip(cv2.resize(frame, (_PREVIEW_WIDTH, height), interpolation=cv2.INTER_AREA), 1)
        done, coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 75])
        if done:
            self._wire.send(Shot(coded.tobytes()))


def source_settings(settings: FaceSettings) -> tuple[SourceSettings, ...]:
    """The configured sources, the colour camera first."""
    return (settings.source,) if settings.second is None else (settings.source, settings.second)


def calibrated_for(pack: Pack, settings: FaceSettings) -> dict[ReferenceKind, tuple[Threshold, ...]]:
    """The kinds of reference that the pack has a threshold for at every source, with these, the colour camera's first."""
    by_name = {threshold.reference_kind: threshold for threshold in pack.manifest.thresholds}
    found = {}
    for kind in ReferenceKind:
        names = [source.threshold_kind(kind) for source in source_settings(settings)]
        if all(name in by_name for name in names):
            found[kind] = tuple(by_name[name] for name in names)
    return found


def confine() -> None:
    """No more memory than a pack may want, and none of it in a core file: faces are in it."""
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY, MOST_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def main() -> int:
    """Run until the daemon closes stdin. Exit status 78 where the pack cannot be used."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the daemon ends this process
    confine()
    cv2.setNumThreads(1)
    outward = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not fall between messages
    wire = Wire(0, outward)
    request = wire.receive(60.0)
    if not isinstance(request, Start):
        return EX_PROTOCOL
    settings = request.settings
    try:
        pack = load_pack(
            Path(settings.pack),
            production=settings.production,
            models=Path(settings.models) if settings.models else None,
            signed_by=settings.signed_by,
        )
        for source_setting in source_settings(settings):
            pack.threshold(source_setting.reference_kind)
        pipeline = open_pipeline(pack, settings.threads)
        self_test(pack, pipeline)
    except ConfigError as error:
        wire.send(Refused(str(error)))
        return EX_CONFIG
    sources = tuple(open_source(kind.kind, kind.address, settings.stale_after) for kind in source_settings(settings))
    try:
        for source in sources:
            source.newest()
        wire.send(Beat(all(source.is_up() for source in sources)))
        names = {kind: thresholds[0].id for kind, thresholds in calibrated_for(pack, settings).items()}
        wire.send(Ready(pack.model_id, names, pack.model("embedder").dimension))
        Worker(wire, settings, pack, pipeline, sources, SystemRandom()).serve()
    finally:
        for source in sources:
            source.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
