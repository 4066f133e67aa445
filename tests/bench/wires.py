"""The bus owner against bare pymodbus, and against what the wire allows: `python -m tests.bench.wires [--json FILE]`.

Cost: both masters read the same unit by turns, in blocks, at the same pace: a pause longer than the gap before each exchange.
CPU time of the master's process (less that of a loop that only pauses) and the time of one exchange are compared pair by
pair, and the median of the pairs is told. "Gap" is the CPU ratio with exchanges one behind the other, where the bus owner
sleeps out the gap that the standard asks for and bare pymodbus does not.

Use of the line: exchanges one behind the other on a line paced at a baud rate, as a share of the rate that the bytes and the
two gaps of 3.5 characters allow. Bare pymodbus keeps no gap, so it may exceed that limit: units may then not tell its frames
apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient

from lockerd.devices.bus import ModbusBus, RtuSettings
from tests.bench.paced_slave import exchange_seconds

REGISTERS = (10, 125)
BAUDS = {19200: 0.95, 115200: 0.90}  # with the share that is aimed at
CPU_AIM = 1.3
PAUSE = 0.004  # seconds between exchanges whose time is taken: longer than any gap
WARM_UP = 5

Read = Callable[[int], Awaitable[object]]


@contextmanager
def unit(*arguments: str) -> Iterator[str]:
    command = [sys.executable, "-m", "tests.bench.paced_slave", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        assert process.stdin is not None
        process.stdin.close()


@asynccontextmanager
async def bare(port: str, baud: int) -> AsyncIterator[Read]:
    client = AsyncModbusSerialClient(port, framer=FramerType.RTU, baudrate=baud, retries=0, reconnect_delay=0)
    assert await client.connect()
    await asyncio.sleep(0.01)
    yield lambda registers: client.read_holding_registers(0, count=registers, device_id=1)
    client.close()


@asynccontextmanager
async def owner(port: str, baud: int) -> AsyncIterator[Read]:
    bus = ModbusBus(RtuSettings(port, baud))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(bus.run())
        yield lambda registers: bus.read(1, 0, registers)
        task.cancel()


MASTERS = {"bare": bare, "owner": owner}


async def block(master: str, port: str, registers: int, exchanges: int) -> tuple[float, float, float]:
    """CPU seconds of an exchange after a pause, its median time in seconds, and CPU seconds of one without a pause."""
    async with MASTERS[master](port, 115200) as read:
        for _ in range(WARM_UP):
            await read(registers)
        times = []
        began = time.process_time()
        for _ in range(exchanges):
            await asyncio.sleep(PAUSE)
            asked = time.perf_counter()
            await read(registers)
            times.append(time.perf_counter() - asked)
        paused = time.process_time()
        for _ in range(exchanges):
            await asyncio.sleep(PAUSE)
        rested = time.process_time()
        for _ in range(exchanges):
            await read(registers)
        ended = time.process_time()
    cpu = (paused - began) - (rested - paused)
    return cpu / exchanges, statistics.median(times), (ended - rested) / exchanges


async def cost(registers: int, pairs: int, exchanges: int) -> dict[str, float]:
    """Median cost of both masters and the medians of the ratios of neighbouring blocks."""
    seen: dict[str, list[tuple[float, float, float]]] = {master: [] for master in MASTERS}
    with unit() as port:
        for pair in range(pairs):
            for master in list(MASTERS)[:: 1 if pair % 2 == 0 else -1]:
                seen[master].append(await block(master, port, registers, exchanges))
    row: dict[str, float] = {"registers": registers}
    for index, what in enumerate(("cpu", "exchange", "gapless")):
        for master in MASTERS:
            row[f"{what}_{master}_us"] = 1e6 * statistics.median(values[index] for values in seen[master])
        ratios = [mine[index] / its[index] for mine, its in zip(seen["owner"], seen["bare"], strict=True)]
        row[f"{what}_ratio"] = statistics.median(ratios)
    return row


async def use(baud: int, registers: int, seconds: float) -> dict[str, float]:
    """Exchanges a second on a paced line and their share of the limit; the median of five runs."""
    limit = 1 / exchange_seconds(baud, registers)
    rates: dict[str, list[float]] = {master: [] for master in MASTERS}
    exchanges = max(3, round(seconds / 5 * limit))
    with unit(str(baud)) as port:
        for _ in range(5):
            for master, opened in MASTERS.items():
                async with opened(port, baud) as read:
                    await read(registers)
                    began = time.perf_counter()
                    for _ in range(exchanges):
                        await read(registers)
                    rates[master].append(exchanges / (time.perf_counter() - began))
    row: dict[str, float] = {"baud": baud, "registers": registers, "limit": limit}
    for master in MASTERS:
        row[f"rate_{master}"] = statistics.median(rates[master])
        row[f"use_{master}"] = row[f"rate_{master}"] / limit
    return row


def verdict(value: float, aim: float, *, at_most: bool) -> str:
    return "reached" if (value <= aim if at_most else value >= aim) else "MISSED"


async def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.wires", description=__doc__)
    parser.add_argument("--pairs", type=int, default=20, help="pairs of blocks (default 20)")
    parser.add_argument("--exchanges", type=int, default=100, help="exchanges of a block (default 100)")
    parser.add_argument("--seconds", type=float, default=10, help="on each paced line and by each master (default 10)")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f} at the start\n")
    print("registers   CPU us: bare  owner  ratio           exchange us: bare  owner  ratio    gap: ratio")
    costs = [await cost(registers, given.pairs, given.exchanges) for registers in REGISTERS]
    for row in costs:
        print(
            f"{row['registers']:9}{row['cpu_bare_us']:14.0f}{row['cpu_owner_us']:7.0f}{row['cpu_ratio']:7.2f}"
            f"  {verdict(row['cpu_ratio'], CPU_AIM, at_most=True)} {row['exchange_bare_us']:18.0f}"
            f"{row['exchange_owner_us']:7.0f}{row['exchange_ratio']:7.2f}{row['gapless_ratio']:14.2f}"
        )
    print(
        f"\n(aim: CPU ratio at most {CPU_AIM})\n\n  baud registers   limit/s   owner/s  share           bare/s  share"
    )
    uses = [await use(baud, registers, given.seconds) for baud in BAUDS for registers in REGISTERS]
    for row in uses:
        print(
            f"{row['baud']:6.0f}{row['registers']:10}{row['limit']:10.1f}{row['rate_owner']:10.1f}"
            f"{row['use_owner']:7.1%}  {verdict(row['use_owner'], BAUDS[int(row['baud'])], at_most=False)}"
            f"{row['rate_bare']:10.1f}{row['use_bare']:7.1%}"
        )
    print(f"\n(aim: {', '.join(f'{aim:.0%} at {baud}' for baud, aim in BAUDS.items())})")
    report = {"cost": costs, "use": uses, "load": load, "python": platform.python_version()}
    print(json.dumps(report))
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
