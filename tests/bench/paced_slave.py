"""A unit on a pseudo-terminal that takes the time of a real line: `python -m tests.bench.paced_slave [BAUD]`.

Prints the port's name and serves until its standard input ends. Without a baud rate it answers at once. With one, a request
takes its bytes' time to arrive, the unit waits 3.5 characters to know the frame's end, and the answer's bytes come as the
line would bring them. A process of its own without an event loop, so that its pace is not the master's.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
import tty
from collections.abc import Sequence

from firmware_protocol.mailbox import ExceptionCode
from sim.modbus_slave import RtuSlave

BITS = 10  # of a byte, 8N1
CHUNK = 16  # bytes that a UART hands over at once
SPIN = 0.0003  # seconds before a moment at which sleeping is too coarse


def gap(baud: int) -> float:
    """3.5 characters, above 19200 baud 1.75 ms (MODBUS over Serial Line V1.02, 2.5.1.1)."""
    return max(3.5 * BITS / baud, 0.00175)


def exchange_seconds(baud: int, registers: int) -> float:
    """Least time of one read with both gaps: what the wire allows."""
    return (8 + 5 + 2 * registers) * BITS / baud + 2 * gap(baud)


class Memory:
    """As many registers as an address can name."""

    silent = False

    def read(self, address: int, count: int) -> list[int] | ExceptionCode:
        return list(range(address, address + count))

    def write(self, address: int, values: Sequence[int]) -> ExceptionCode | None:
        return None


def wait_until(moment: float) -> None:
    while (left := moment - time.perf_counter()) > 0:
        if left > SPIN:
            time.sleep(left - SPIN)


def serve(master: int, baud: int | None) -> None:
    slave = RtuSlave({1: Memory()})
    while True:
        request = os.read(master, 512)
        heard = time.perf_counter()
        answer = slave.feed(request)
        if baud is None:
            os.write(master, answer)
            continue
        begin = heard + len(request) * BITS / baud + gap(baud)
        for start in range(0, len(answer), CHUNK):
            chunk = answer[start : start + CHUNK]
            wait_until(begin + (start + len(chunk)) * BITS / baud)
            os.write(master, chunk)


def main() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    print(os.ttyname(slave), flush=True)
    baud = int(sys.argv[1]) if len(sys.argv) > 1 else None
    threading.Thread(target=serve, args=(master, baud), daemon=True).start()
    while select.select([sys.stdin], [], [])[0] and sys.stdin.read(1):
        pass


if __name__ == "__main__":
    main()
