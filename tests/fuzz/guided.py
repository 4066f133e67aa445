"""One parser under atheris: `python -m tests.fuzz.guided PARSER [libFuzzer options] CORPUS`. Ends the process."""

from __future__ import annotations

import sys

import atheris

# Before anything else imports them. The checksum has no branches to find, and instrumented it would be most of the work.
with atheris.instrument_imports(include=["firmware_protocol", "sim"], exclude=["firmware_protocol.crc"]):
    from tests.fuzz.parsers import PARSERS, timed


def main() -> None:
    program, name, *options = sys.argv
    atheris.Setup([program, *options], timed(PARSERS[name]))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
