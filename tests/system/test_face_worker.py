"""The real worker process behind a file that plays the camera: it verifies, prompts, dies and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lockerd.errors import FaceUnavailable
from lockerd.face.messages import FaceSettings, SourceSettings
from lockerd.face.verifier import FaceClient
from lockerd.model.identity import FaceReason, FaceTemplate, FaceVerdict, Presence
from sim.faces import Nuisance, Person, draw_frame, draw_portrait, encode
from sim.faces.measure import PACK

ALICE, BOB = Person.from_seed(8), Person.from_seed(3)
READY_WITHIN = 30.0


def shots(person: Person | None, *, second: Person | None = None, **seen: float) -> list[bytes]:
    nuisance = Nuisance(eye_distance=0.19, **seen) if seen else None  # type: ignore[arg-type]
    return [encode(draw_frame(person, np.random.default_rng(n), nuisance=nuisance, second=second)) for n in range(4)]


class Scene:
    """What the camera sees, replaced 20 times a second."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.pictures: list[bytes] = shots(None)
        self.on = True

    async def run(self) -> None:
        number = 0
        beside = self.file.with_suffix(".new")
        while True:
            number += 1
            if self.on and self.pictures:
                beside.write_bytes(self.pictures[number % len(self.pictures)])
                beside.replace(self.file)
            await asyncio.sleep(0.05)


async def until(condition: Callable[[], bool], within: float = 10.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # what is waited for happens in another process
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def running(*coroutines: object) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(c) for c in coroutines]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path / "camera.jpg")
    async with running(scene.run()):
        await until(scene.file.exists)
        yield scene


@pytest.fixture
def settings(scene: Scene) -> FaceSettings:
    return FaceSettings(str(PACK), SourceSettings("file", str(scene.file)), production=False, span=0.5, stale_after=1.0)


@pytest.fixture
async def client(settings: FaceSettings) -> AsyncIterator[FaceClient]:
    client = FaceClient(settings)
    async with running(client.run()):
        await client.wait_ready(READY_WITHIN)
        yield client


async def template(client: FaceClient, person: Person) -> FaceTemplate:
    enrolment = await client.enrol(encode(draw_portrait(person, np.random.default_rng(1))))
    assert enrolment.template is not None
    return enrolment.template


def ignore(_: FaceReason) -> None:
    """No prompt is expected to matter."""


def worker_pid() -> int:
    """The one child of this process that is a face worker."""
    me = os.getpid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes()
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if parent == me and b"lockerd.face.worker" in line:
                    return int(entry.name)
    raise AssertionError("no face worker is running")


async def test_the_right_person_the_wrong_one_and_garbage(client: FaceClient, scene: Scene) -> None:
    reference = await template(client, ALICE)
    scene.pictures = shots(ALICE)
    right = await client.verify(reference, timeout=10.0, on_prompt=ignore)
    assert (right.verdict, right.reason) == (FaceVerdict.VERIFIED, FaceReason.MATCH)
    assert right.model_id == reference.model_id
    assert right.threshold_id
    assert right.bucket is not None

    scene.pictures = shots(BOB)
    await until(lambda: scene.file.read_bytes() in scene.pictures)
    wrong = await client.verify(reference, timeout=10.0, on_prompt=ignore)
    assert (wrong.verdict, wrong.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.NO_MATCH)

    for garbage in (b"", b"\xff\xd8\xff", os.urandom(5000), encode(np.zeros((480, 640, 3), np.uint8))):
        scene.pictures = [garbage]
        await until(lambda: scene.file.read_bytes() in scene.pictures)
        bad = await client.verify(reference, timeout=0.4, on_prompt=ignore)
        assert bad.verdict is not FaceVerdict.VERIFIED
        enrolment = await client.enrol(garbage)
        assert enrolment.template is None
    assert client.status.restarts == 0


async def test_nobody_is_prompted_until_time_runs_out(client: FaceClient) -> None:
    prompts: list[FaceReason] = []
    result = await client.verify(await template(client, ALICE), timeout=1.5, on_prompt=prompts.append)
    assert (result.verdict, result.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT)
    assert set(prompts) == {FaceReason.NO_FACE}
    assert result.bucket is None


async def test_two_faces_and_one_far_away(client: FaceClient, scene: Scene) -> None:
    reference = await template(client, ALICE)
    for pictures, reason in (
        (shots(ALICE, second=BOB), FaceReason.SEVERAL_FACES),
        (
            [encode(draw_frame(ALICE, np.random.default_rng(2), nuisance=Nuisance(eye_distance=0.08)))],
            FaceReason.TOO_FAR,
        ),
    ):
        scene.pictures = pictures
        await until(lambda: scene.file.read_bytes() in scene.pictures)
        prompts: list[FaceReason] = []
        result = await client.verify(reference, timeout=1.0, on_prompt=prompts.append)
        assert (result.verdict, result.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT)
        assert reason in prompts


async def test_a_template_of_another_model(client: FaceClient) -> None:
    other = FaceTemplate("other/1/000000000000", np.ones(128, "<f4").tobytes())
    result = await client.verify(other, timeout=5.0, on_prompt=ignore)
    assert (result.verdict, result.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.WRONG_MODEL)
    assert client.admit(other).reason is FaceReason.WRONG_MODEL
    own = await template(client, ALICE)
    assert client.admit(own).template == own
    for vector in (b"", b"123", np.full(128, np.nan, "<f4").tobytes()):
        broken = FaceTemplate(client.status.model_id, vector)
        assert client.admit(broken).reason is FaceReason.UNREADABLE_TEMPLATE
        result = await client.verify(broken, timeout=5.0, on_prompt=ignore)
        assert (result.verdict, result.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.WRONG_MODEL)


async def test_a_worker_killed_in_mid_verification_comes_back(client: FaceClient, scene: Scene) -> None:
    reference = await template(client, ALICE)
    asked = asyncio.Event()
    verification = asyncio.ensure_future(client.verify(reference, timeout=20.0, on_prompt=lambda _: asked.set()))
    await asyncio.wait_for(asked.wait(), 10.0)
    os.kill(worker_pid(), signal.SIGKILL)
    result = await asyncio.wait_for(verification, 5.0)
    assert (result.verdict, result.reason) == (FaceVerdict.UNAVAILABLE, FaceReason.WORKER_DOWN)
    assert not client.status.worker_up
    with pytest.raises(FaceUnavailable):
        await client.enrol(b"")
    down = await client.verify(reference, timeout=5.0, on_prompt=ignore)
    assert down.verdict is FaceVerdict.UNAVAILABLE

    await client.wait_ready(READY_WITHIN)
    assert client.status.restarts == 1
    scene.pictures = shots(ALICE)
    assert (await client.verify(reference, timeout=10.0, on_prompt=ignore)).verdict is FaceVerdict.VERIFIED


async def test_a_stuck_worker_is_replaced(client: FaceClient) -> None:
    reference = await template(client, ALICE)
    os.kill(worker_pid(), signal.SIGSTOP)
    result = await client.verify(reference, timeout=20.0, on_prompt=ignore)
    assert (result.verdict, result.reason) == (FaceVerdict.UNAVAILABLE, FaceReason.WORKER_DOWN)
    await client.wait_ready(READY_WITHIN)
    assert client.status.restarts == 1


async def test_a_camera_that_goes_is_said_and_returns(client: FaceClient, scene: Scene) -> None:
    reference = await template(client, ALICE)
    await until(lambda: client.status.camera_up)
    scene.on = False
    scene.file.unlink()
    result = await client.verify(reference, timeout=10.0, on_prompt=ignore)
    assert (result.verdict, result.reason) == (FaceVerdict.UNAVAILABLE, FaceReason.CAMERA_DOWN)
    await until(lambda: not client.status.camera_up)
    assert client.status.worker_up
    scene.pictures = shots(ALICE)
    scene.on = True
    await until(lambda: client.status.camera_up)
    scene.on = False  # the file stays, but nobody replaces it: stale
    await until(lambda: not client.status.camera_up)
    scene.on = True
    await until(lambda: client.status.camera_up)
    assert (await client.verify(reference, timeout=10.0, on_prompt=ignore)).verdict is FaceVerdict.VERIFIED


async def test_a_camera_unplugged_in_mid_verification(client: FaceClient, scene: Scene) -> None:
    reference = await template(client, ALICE)
    asked = asyncio.Event()
    scene.pictures = shots(None)
    verification = asyncio.ensure_future(client.verify(reference, timeout=20.0, on_prompt=lambda _: asked.set()))
    await asyncio.wait_for(asked.wait(), 10.0)
    scene.on = False
    scene.file.unlink()
    result = await asyncio.wait_for(verification, 10.0)
    assert (result.verdict, result.reason) == (FaceVerdict.UNAVAILABLE, FaceReason.CAMERA_DOWN)


async def test_no_core_file_holds_a_face(client: FaceClient) -> None:
    limits = await asyncio.to_thread(Path(f"/proc/{worker_pid()}/limits").read_text)
    assert re.search(r"Max core file size +0 +0 ", limits), limits
    assert client.status.worker_up


async def test_the_loop_is_never_blocked_and_cancelling_ends_the_transaction(client: FaceClient, scene: Scene) -> None:
    reference = await template(client, ALICE)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async with running(tick()):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.verify(reference, timeout=20.0, on_prompt=ignore), 0.5)
    assert ticks > 100, "the loop turned while the worker worked"
    scene.pictures = shots(ALICE)
    assert (await client.verify(reference, timeout=10.0, on_prompt=ignore)).verdict is FaceVerdict.VERIFIED


async def test_previews_are_mirrored_and_only_made_while_somebody_looks(client: FaceClient, scene: Scene) -> None:
    half = np.zeros((480, 640, 3), np.uint8)
    half[:, :320] = 255
    scene.pictures = [encode(half)]
    assert client.latest_preview() is None
    await until(lambda: scene.file.read_bytes() in scene.pictures)
    got = 0
    stream = client.previews()
    async with asyncio.timeout(10.0):
        async for jpeg in stream:
            picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
            assert picture is not None
            got += 1
            if got > 3 and picture[:, 400:].mean() > 200 and picture[:, :80].mean() < 50:
                break
    assert client.latest_preview() is not None
    await stream.aclose()
    assert client.latest_preview() is None


async def test_no_process_is_left_behind(settings: FaceSettings) -> None:
    client = FaceClient(settings)
    async with running(client.run()):
        await client.wait_ready(READY_WITHIN)
        pid = worker_pid()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not client.status.worker_up


async def test_a_pack_that_cannot_be_used_is_said(settings: FaceSettings, tmp_path: Path) -> None:
    for bad, said in (
        (FaceSettings(str(tmp_path / "none"), settings.source), "missing"),
        (FaceSettings(str(PACK), settings.source, production=True), "simulator only"),
    ):
        client = FaceClient(bad)
        async with running(client.run()):
            await until(lambda client=client: client.status.restarts > 0)  # type: ignore[misc]
            with pytest.raises(FaceUnavailable, match=said):
                await client.enrol(b"")
            with pytest.raises(FaceUnavailable, match=said):
                await client.wait_ready(0.01)


def test_the_daemons_side_loads_neither_opencv_nor_onnxruntime() -> None:
    check = "import sys, lockerd.face.verifier; print(sorted({'cv2', 'numpy', 'onnxruntime'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


async def test_a_second_camera_must_agree(settings: FaceSettings, scene: Scene, tmp_path: Path) -> None:
    infrared = Scene(tmp_path / "infrared.jpg")
    client = FaceClient(replace(settings, second=SourceSettings("file", str(infrared.file))))
    async with running(infrared.run(), client.run()):
        await client.wait_ready(READY_WITHIN)
        reference = await template(client, ALICE)
        scene.pictures, infrared.pictures = shots(ALICE), shots(ALICE)
        both = await client.verify(reference, timeout=10.0, on_prompt=ignore)
        assert (both.verdict, both.presence) == (FaceVerdict.VERIFIED, Presence.LIVE)

        infrared.pictures = shots(None)  # a screen shows nothing in infrared
        await until(lambda: infrared.file.read_bytes() in infrared.pictures)
        screen = await client.verify(reference, timeout=2.0, on_prompt=ignore)
        assert (screen.verdict, screen.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT)

        infrared.pictures = shots(BOB)
        await until(lambda: infrared.file.read_bytes() in infrared.pictures)
        other = await client.verify(reference, timeout=10.0, on_prompt=ignore)
        assert other.verdict is FaceVerdict.NOT_VERIFIED

        infrared.on = False
        infrared.file.unlink()
        down = await client.verify(reference, timeout=10.0, on_prompt=ignore)
        assert (down.verdict, down.reason) == (FaceVerdict.UNAVAILABLE, FaceReason.CAMERA_DOWN)
        await until(lambda: not client.status.camera_up)


async def test_a_challenge_is_asked_and_a_still_picture_never_meets_it(settings: FaceSettings, scene: Scene) -> None:
    client = FaceClient(replace(settings, challenges=("closer",)))
    async with running(client.run()):
        await client.wait_ready(READY_WITHIN)
        reference = await template(client, ALICE)
        scene.pictures = [encode(draw_frame(ALICE, np.random.default_rng(1), nuisance=Nuisance(eye_distance=0.19)))]
        prompts: list[FaceReason] = []
        still = await client.verify(reference, timeout=3.0, on_prompt=prompts.append)
        assert (still.verdict, still.reason) == (FaceVerdict.NOT_VERIFIED, FaceReason.TIMED_OUT)
        assert FaceReason.MOVE_CLOSER in prompts

        def come_closer(reason: FaceReason) -> None:
            if reason is FaceReason.MOVE_CLOSER:
                scene.pictures = near

        near = [
            encode(draw_frame(ALICE, np.random.default_rng(n), nuisance=Nuisance(eye_distance=0.26))) for n in range(4)
        ]
        moved = await client.verify(reference, timeout=10.0, on_prompt=come_closer)
        assert moved.verdict is FaceVerdict.VERIFIED
