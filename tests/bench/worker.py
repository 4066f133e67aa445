"""What the face worker costs the daemon and the machine: `make bench-worker`.

1. The real daemon before the simulator's machine, on ptys: a citizen stands at the face page, the camera's picture is
   replaced faster than the worker can look, and a browser draws the preview. How late the daemon's loop calls back
   what is due (the probe in `tests/bench/probe` runs within the daemon), and the memory of both processes.
2. A worker with permissive-2026, liveness and preview, on frames of 1280 x 720 that come faster than it can look: frames a
   second, CPU time a frame, memory. Skipped where the weights are not at hand.

It asserts nothing: a figure of a busy machine is no figure. The load is printed with it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import cv2
import numpy as np

from lockerd.face.messages import FaceSettings, SourceSettings
from lockerd.face.pack import KNOWN, read_manifest
from lockerd.face.verifier import FaceClient
from lockerd.model.identity import FaceReason
from sim.clients import Page
from sim.faces import Nuisance, Person, draw_portrait, draw_scene, encode
from sim.harness import Harness, Setting, free_addresses
from sim.scene import Scene, scene_of
from tests.bench.face import DATA, FRAME

PROBE = Path(__file__).parent / "probe"
SEED, SPEED = 7, 8.0
FEED = 1 / 250  # seconds between pictures
PAGE_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """A process by its number in /proc."""

    pid: int

    def megabytes(self) -> str:
        """Resident memory now, and the most it ever was."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        found = {
            line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines if line.startswith(("VmRSS", "VmHWM"))
        }
        return f"{found['VmRSS']:.0f} MB (most {found['VmHWM']:.0f} MB)"

    def cpu(self) -> float:
        """Seconds of CPU time since its start."""
        parts = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / _TICKS

    def child(self, word: bytes) -> Process:
        """The first child whose command line holds `word`."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            for pid in (task / "children").read_text().split():
                if word in Path(f"/proc/{pid}/cmdline").read_bytes():
                    return Process(int(pid))
        raise LookupError(word)


@asynccontextmanager
async def camera(shown: Path, *, eyes: float) -> AsyncIterator[None]:
    """While inside, `shown` is replaced again and again by pictures of one face, `eyes` of a frame's width apart."""
    person = Person.from_seed(8)
    with tempfile.TemporaryDirectory(dir=shown.parent) as name:
        pictures = []
        for number in range(4):
            frame = draw_scene([person], np.random.default_rng(number), FRAME, nuisance=Nuisance(eye_distance=eyes))[0]
            pictures.append(Path(name) / f"{number}.jpg")
            pictures[-1].write_bytes(encode(frame))
        beside = Path(name) / "next.jpg"

        async def feed() -> None:
            number = 0
            while True:
                number += 1
                os.link(pictures[number % len(pictures)], beside)
                beside.replace(shown)
                await asyncio.sleep(FEED)

        feeding = asyncio.create_task(feed())
        try:
            yield
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)


async def to_the_camera(scene: Scene) -> None:
    """A citizen types the code and shows the old card; nobody stands before the camera yet."""
    person = next(one for one in scene.people if one.old_card)
    assert person.old_card is not None
    page = await page_of(scene, "code")
    await scene.kiosk.tap(page, "code", await scene.code(person))
    await page_of(scene, "identify")
    await scene.harness.world.act("put_on_reader", card=person.old_card.card_id)
    await page_of(scene, "face")


async def page_of(scene: Scene, view: str) -> Page:
    """The page, once it stands."""
    return await scene.kiosk.page(f"the page {view}", PAGE_SECONDS, lambda page: page.view == view)


async def draw_preview(scene: Scene) -> int:
    """Read the preview as a browser does, until it ends; the number of bytes."""
    size = 0
    async with scene.harness.session.get(f"http://{scene.harness.setting.addresses.kiosk}/preview") as stream:
        async for chunk in stream.content.iter_any():
            size += len(chunk)
    return size


async def daemon(seconds: float) -> None:
    """Print what the daemon's loop and memory suffer."""
    with tempfile.TemporaryDirectory(prefix="bench-worker-") as name:
        lag_file = Path(name) / "lag"
        os.environ |= {"LOOP_LAG_FILE": str(lag_file), "PYTHONPATH": str(PROBE)}
        setting = Setting(Path(name), free_addresses(), speed=SPEED)
        async with (
            aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session,
            Harness(setting, session) as harness,
        ):
            scene = scene_of(harness, SEED, SPEED)
            following = asyncio.create_task(scene.kiosk.follow())
            await scene.stock()
            lockerd = Process(os.getpid()).child(b"lockerd")
            worker = lockerd.child(b"lockerd.face.worker")
            idle = time.monotonic()
            await asyncio.sleep(seconds / 2)
            quiet = (idle, time.monotonic())
            async with camera(setting.state / "machine" / "camera.jpg", eyes=0.035):
                await to_the_camera(scene)
                preview = asyncio.create_task(draw_preview(scene))
                began, spent, own = time.monotonic(), worker.cpu(), lockerd.cpu()
                await asyncio.sleep(seconds)
                busy = (began, time.monotonic())
                share, own = ((now - then) / seconds for now, then in ((worker.cpu(), spent), (lockerd.cpu(), own)))
                memory = f"daemon {lockerd.megabytes()}, worker (synthetic models) {worker.megabytes()}"
                load = os.getloadavg()[0]
            for task in (preview, following):
                task.cancel()
            await asyncio.gather(preview, following, return_exceptions=True)
        lags = [tuple(map(float, line.split())) for line in lag_file.read_text().splitlines()]
    say(f"daemon on ptys, load {load:.1f}: its worker flat out with {share:.0%} of a core, the daemon with {own:.0%}")
    for what, (first, last) in (("nobody there", quiet), ("worker flat out", busy)):
        chosen = np.array([1000 * lag for due, lag in lags if first <= due <= last])
        p50, p99 = np.quantile(chosen, (0.5, 0.99))
        say(f"  loop lag, {what:16} p50 {p50:.2f}  p99 {p99:.2f}  most {chosen.max():.2f} ms, of {len(chosen)}")
    say(f"  memory: {memory}")


async def worker(seconds: float) -> None:
    """Print what a worker with real models reaches."""
    with tempfile.TemporaryDirectory(prefix="bench-worker-") as name:
        shown = Path(name) / "camera.jpg"
        settings = FaceSettings(
            "permissive-2026", SourceSettings("file", str(shown)), models=str(DATA), production=False, frames=10**6
        )
        client = FaceClient(settings)
        running = asyncio.create_task(client.run())
        try:
            async with camera(shown, eyes=0.12):
                await client.wait_ready(30.0)
                photo = encode(draw_portrait(Person.from_seed(8), np.random.default_rng(1)))
                template = (await client.enrol(photo)).template
                assert template is not None
                prompts: list[FaceReason] = []
                looking = asyncio.create_task(client.verify(template, timeout=seconds + 10, on_prompt=prompts.append))
                drawing = asyncio.create_task(count(client))
                process = Process(os.getpid()).child(b"lockerd.face.worker")
                await asyncio.sleep(1.0)
                began, spent, before = time.monotonic(), process.cpu(), client.status.frames
                await asyncio.sleep(seconds)
                took, cpu, frames = time.monotonic() - began, process.cpu() - spent, client.status.frames - before
                memory = process.megabytes()
                for task in (looking, drawing):
                    task.cancel()
                pictures = (await asyncio.gather(looking, drawing, return_exceptions=True))[1]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    each, cores = cpu / max(1, frames), cv2.getNumberOfCPUs()
    size = f"{FRAME[0]}x{FRAME[1]}"
    say(f"worker with permissive-2026, {size}, liveness, preview, {cores} cores, load {os.getloadavg()[0]:.1f}")
    say(
        f"  {frames / took:.1f} frames a second; {1000 * each:.1f} ms of CPU each, so {1 / each:.1f} a second of a core of its own"
    )
    say(f"  preview {pictures}; prompts {sorted(set(prompts))}; memory {memory}")


async def count(client: FaceClient) -> str:
    """Take previews until cancelled; how many came."""
    number = 0
    try:
        async for _ in client.previews():
            number += 1
    except asyncio.CancelledError:
        return f"{number} pictures"
    return f"{number} pictures, then none"


def say(text: str) -> None:
    """One line."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    asyncio.run(daemon(options.seconds))
    if all((DATA / model.file).is_file() for model in read_manifest(KNOWN / "permissive-2026.json").models):
        asyncio.run(worker(options.seconds))
    else:
        say("worker with permissive-2026: skipped, its weights are missing; set LOCKERD_TEST_DATA")
    return 0


if __name__ == "__main__":
    sys.exit(main())
