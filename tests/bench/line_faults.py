"""Motions over a bad line: `python -m tests.bench.line_faults --motions 10000 --loss 0.1 --seed 1`.

The real bus owner and the real mailbox host command simulated firmwares over lines that lose, delay and double what they
carry, while boards lose their power; all in virtual time, so that one seed is one run. Each motion's report is judged by
what the mechanism counted. Exit status 1 when a motion was made twice, or reported as done or as not moved when it was not so.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from random import Random

from firmware_protocol.units import Opcode, UnitKind
from lockerd.devices.bus import ModbusBus, RtuSettings
from lockerd.devices.mailbox import MailboxUnit
from lockerd.errors import DeviceError
from lockerd.model.custody import Result
from sim import virtual_time
from sim.firmware import UnitFirmware
from tests.bench.virtual_line import CountingMechanism, Faults, FaultyLine
from tests.modbus_rig import Flash, identity

MOTIONS_A_BOARD = 100
CAPACITY = 1000
MOTION_SECONDS = 20.0
TRIES = 1000
AGAIN = 0.2  # seconds before a silent board is asked again


@dataclass
class Tally:
    """What was reported against what happened."""

    reported: Counter[str] = field(default_factory=Counter)
    in_doubt_moved: int = 0
    made_twice: int = 0
    done_not_made: int = 0
    not_moved_but_made: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    link: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def honest(self) -> bool:
        """No motion made twice, none reported wrongly."""
        return not (self.made_twice or self.done_not_made or self.not_moved_but_made)


async def campaign(motions: int, faults: Faults, seed: int) -> Tally:
    """Make the motions, a board with a line of its own for every few hundred; odd lines echo."""
    tally = Tally()
    for number in range(0, motions, MOTIONS_A_BOARD):
        await _board(number, min(MOTIONS_A_BOARD, motions - number), faults, Random(f"{seed}:{number}"), tally)
    tally.seconds = asyncio.get_running_loop().time()
    return tally


async def _board(number: int, motions: int, faults: Faults, random: Random, tally: Tally) -> None:
    mechanism = CountingMechanism(random)
    board = UnitFirmware(identity(UnitKind.DISPENSER, CAPACITY), mechanism, Flash(), poll_interval=0.5)
    echo = number // MOTIONS_A_BOARD % 2 == 1
    line = FaultyLine(number + 1, board, faults, random, echo=echo)
    settings = RtuSettings(line.port, echo=echo)
    bus = ModbusBus(settings, timeout=line.TIMEOUT, latency=line.LATENCY, sleep=asyncio.sleep)
    unit = MailboxUnit(bus, UnitKind.DISPENSER, "dispenser")
    results: list[Result] = []
    line.open()
    board.power_on(random.getrandbits(32))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(board.run()), group.create_task(bus.run())]
        for motion in range(motions):
            token = await _planned(unit, motion)
            trouble = group.create_task(_trouble(board, line, faults, random))
            results.append((await unit.carry_out(token, MOTION_SECONDS)).result)
            await trouble
        for task in tasks:
            task.cancel()
    line.close()
    judge(results, mechanism, tally)
    tally.faults.update(line.counted)
    tally.link.update(asdict(bus.statistics(UnitKind.DISPENSER)) | asdict(bus.line_statistics()))


async def _planned(unit: MailboxUnit, slot: int) -> str:
    """The token of the next motion; a board that was interrupted is reset first."""
    for _ in range(TRIES):
        try:
            return await unit.plan(Opcode.ALIGN, slot)
        except DeviceError:
            await asyncio.sleep(AGAIN)
        try:
            await unit.carry_out(await unit.plan(Opcode.RESET), MOTION_SECONDS)
        except DeviceError:
            await asyncio.sleep(AGAIN)
    raise RuntimeError("the board cannot be brought to take a motion")


async def _trouble(board: UnitFirmware, line: FaultyLine, faults: Faults, random: Random) -> None:
    """What befalls the board or its line at some time of a motion."""
    breaks, resets = random.random() < faults.line_break, random.random() < faults.reset
    if breaks or resets:
        await asyncio.sleep(random.uniform(0.0, 0.8))
    if breaks:
        line.counted["line broken"] += 1
        line.hang_up()
    if resets:
        line.counted["board reset"] += 1
        board.power_off()
        await asyncio.sleep(random.uniform(0.0, 2.0))
        board.power_on(random.getrandbits(32))


def judge(results: list[Result], mechanism: CountingMechanism, tally: Tally) -> None:
    """Add the reports of motions 0, 1, … to the tally, beside what the mechanism counted for them."""
    for motion, result in enumerate(results):
        begun, finished = mechanism.begun[motion], mechanism.finished[motion]
        tally.reported[result.value] += 1
        tally.made_twice += begun > 1
        tally.done_not_made += result is Result.DONE and not finished
        tally.not_moved_but_made += result is Result.NOT_MOVED and begun > 0
        tally.in_doubt_moved += result is Result.IN_DOUBT and begun > 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.line_faults", description=__doc__)
    parser.add_argument("--motions", type=int, default=10_000)
    parser.add_argument("--loss", type=float, default=Faults().loss, help="chance of a lost exchange (default 0.1)")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
    tally = virtual_time.run(campaign(given.motions, Faults(loss=given.loss), given.seed))
    print(
        f"seed {given.seed}, {given.motions} motions, loss {given.loss:.0%}, {tally.seconds / 3600:.1f} hours of virtual time"
    )
    for title, counts in (("reported", tally.reported), ("faults", tally.faults), ("link", tally.link)):
        print(f"\n{title}")
        for name, count in sorted(counts.items()):
            print(f"  {name:24}{count:>10,}")
    print(f"  {'of those in doubt, moved':24}{tally.in_doubt_moved:>10,}\n\nnever")
    for name in ("made_twice", "done_not_made", "not_moved_but_made"):
        print(f"  {name.replace('_', ' '):24}{getattr(tally, name):>10,}")
    print(json.dumps({"seed": given.seed, "loss": given.loss} | vars(tally)))
    return 0 if tally.honest else 1


if __name__ == "__main__":
    sys.exit(main())
