"""Who feeds cards, takes them and cuts the power while the kit runs: a person, a bench behind HTTP, or a power switch."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

from firmware_protocol.conformance.findings import Skipped

_SECONDS = 30.0


class Act(StrEnum):
    """One thing to be done at the unit; the value is its name for a bench."""

    POWER_OFF = "power-off"
    POWER_ON = "power-on"
    FEED_CARD = "feed-card"
    TAKE_FROM_EXIT = "take-from-exit"
    INSERT_CARD = "insert-card"
    TAKE_FROM_THROAT = "take-from-throat"
    OPEN_DOOR = "open-door"
    CLOSE_DOOR = "close-door"
    OPEN_HATCH = "open-hatch"
    CLOSE_HATCH = "close-hatch"
    OPEN_TAMPER = "open-tamper"
    CLOSE_TAMPER = "close-tamper"
    KEY_ON = "key-on"
    KEY_OFF = "key-off"
    MAINS_OFF = "mains-off"
    MAINS_ON = "mains-on"
    BLOCK_PATH = "block-path"
    FREE_PATH = "free-path"
    FILL_BOX = "fill-box"
    EMPTY_BOX = "empty-box"
    EMPTY_FEEDER = "empty-feeder"
    BLOCK_EXIT = "block-exit"
    FREE_EXIT = "free-exit"

    @property
    def words(self) -> str:
        """What a person is asked to do."""
        return _WORDS[self]


_WORDS: dict[Act, str] = {
    Act.POWER_OFF: "Cut the power of the unit",
    Act.POWER_ON: "Give the unit its power again",
    Act.FEED_CARD: "Put one card into the load feeder (below what is there)",
    Act.TAKE_FROM_EXIT: "Take the card out of the exit",
    Act.INSERT_CARD: "Put one card into the throat and let go of it",
    Act.TAKE_FROM_THROAT: "Pull the card out of the throat",
    Act.OPEN_DOOR: "Open the door",
    Act.CLOSE_DOOR: "Close the door",
    Act.OPEN_HATCH: "Open the loading hatch",
    Act.CLOSE_HATCH: "Close the loading hatch",
    Act.OPEN_TAMPER: "Open the tamper contact",
    Act.CLOSE_TAMPER: "Close the tamper contact",
    Act.KEY_ON: "Turn the key switch on",
    Act.KEY_OFF: "Turn the key switch off",
    Act.MAINS_OFF: "Cut the mains, and leave the battery connected",
    Act.MAINS_ON: "Give the mains back",
    Act.BLOCK_PATH: "Block the mechanics (pull the motor's plug, or hold a card in the path) so that the next motion gets stuck",
    Act.FREE_PATH: "Free the mechanics again",
    Act.FILL_BOX: "Fill the retract position or the bin, or cover its full sensor",
    Act.EMPTY_BOX: "Make room in it again, or uncover its full sensor",
    Act.EMPTY_FEEDER: "Take all cards out of the load feeder",
    Act.BLOCK_EXIT: "Hold a card at the exit so that the exit's sensor sees it",
    Act.FREE_EXIT: "Take that card away from the exit",
}


class Hands(Protocol):
    """Does one act, or says why not."""

    def do(self, act: Act) -> None:
        """Return when it is done. Raises Skipped."""

    def cut_power_during(self, begin: Callable[[], None]) -> None:
        """Have `begin` start a motion, and the power cut before it ends. Raises Skipped."""


class NoHands:
    """Nobody is there."""

    def do(self, act: Act) -> None:
        """Raise Skipped."""
        raise Skipped(f"nobody is there to do it: {act.words.lower()}")

    def cut_power_during(self, begin: Callable[[], None]) -> None:
        """Raise Skipped; nothing is begun."""
        self.do(Act.POWER_OFF)


class Person:
    """A person at a terminal; `ask` shows a line and gives what was typed."""

    def __init__(self, ask: Callable[[str], str]) -> None:
        self._ask = ask

    def do(self, act: Act) -> None:
        """Ask and wait for Enter; anything typed before it skips the check. Raises Skipped."""
        self._wait_for(f"{act.words}, then press Enter")

    def cut_power_during(self, begin: Callable[[], None]) -> None:
        """Ask the person to cut the power in the motion that Enter starts. Raises Skipped."""
        self._wait_for("Hold the power switch and press Enter: a motion begins; cut the power in the middle of it")
        begin()

    def _wait_for(self, words: str) -> None:
        try:
            answer = self._ask(f"  >> {words} (s and Enter to skip): ")
        except EOFError:
            raise Skipped("the terminal was closed") from None
        if answer.strip():
            raise Skipped("skipped by the operator")


class PowerSwitch:
    """A command that switches the unit's power, called with "off" or "on" as its last argument; other hands do the rest."""

    def __init__(self, command: str, others: Hands) -> None:
        self._command = shlex.split(command)
        self._others = others

    def do(self, act: Act) -> None:
        """Run the command for the power. Raises Skipped when it fails."""
        if act not in {Act.POWER_OFF, Act.POWER_ON}:
            self._others.do(act)
            return
        position = "off" if act is Act.POWER_OFF else "on"
        try:
            subprocess.run([*self._command, position], check=True, timeout=_SECONDS, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.SubprocessError) as error:
            raise Skipped(f"the power command failed: {error}") from error

    def cut_power_during(self, begin: Callable[[], None]) -> None:
        """Begin, then run the command. Raises Skipped."""
        begin()
        self.do(Act.POWER_OFF)


class BenchControl:
    """A bench (a simulator, or a rig with robot hands) that takes `POST URL {"do": NAME}` for each act; 200 means done."""

    def __init__(self, url: str) -> None:
        self._url = url

    def do(self, act: Act) -> None:
        """Post the act. Raises Skipped with the bench's words when it cannot."""
        request = urllib.request.Request(  # noqa: S310  # the operator gives the address
            self._url, json.dumps({"do": act}).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS):  # noqa: S310  # the same
                pass
        except urllib.error.HTTPError as error:
            raise Skipped(f"the bench cannot {act}: {error.read(400).decode(errors='replace')}") from error
        except OSError as error:
            raise Skipped(f"the bench does not answer: {error}") from error

    def cut_power_during(self, begin: Callable[[], None]) -> None:
        """Begin, then post the act. Raises Skipped."""
        begin()
        self.do(Act.POWER_OFF)
