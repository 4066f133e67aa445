"""A disk that may lose its power: what was synced is there, and of all else any part, in any order, torn anywhere.

The model: a write reaches the disk by sectors of 512 bytes, or torn within one; a file's writes since its last sync may each be
there or not, in any order; a sync of a file brings its content and size, and no name. Names reach the disk when their folder is
synced; until then so many of its changes are there as the file system's own journal got to, which keeps their order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

from tests.crash.recording import Create, Mark, Op, Remove, Rename, Sync, Truncate, Write

SECTOR = 512
PAGE = 4096
_STEP = 1 << 16

Pending = Write | Truncate
Files = Mapping[str, bytes]
"""Content by path."""


@dataclass(slots=True)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Pending] = field(default_factory=list)
    known: bytes | None = None  # the durable content, the same object while it stays


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


class Disk:
    """The state of all files after the operations so far; `apply` is the next one."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._numbers = count()
        self._names: dict[str, int] = {}  # as the process sees them
        self._durable: dict[str, int] = {}
        self._changes: dict[str, list[Create | Remove | Rename]] = {}  # of names, by folder, since its last sync
        self._created: dict[int, int] = {}  # by id of a Create: the file that it made

    def apply(self, op: Op) -> None:
        """One operation of the process."""
        match op:
            case Create(path):
                number = next(self._numbers)
                self._files[number] = _File()
                self._names[path] = number
                self._created[id(op)] = number
                self._changes.setdefault(_folder(path), []).append(op)
            case Remove(path):
                self._names.pop(path, None)
                self._changes.setdefault(_folder(path), []).append(op)
            case Rename(path, target):
                self._names[target] = self._names.pop(path)
                self._changes.setdefault(_folder(target), []).append(op)
            case Write(path) | Truncate(path):
                if path in self._names:  # a file whose name is gone is gone
                    self._files[self._names[path]].pending.append(op)
            case Sync(path):
                self._sync(path)
            case Mark():
                pass

    def _sync(self, path: str) -> None:
        if path in self._names:
            file = self._files[self._names[path]]
            for write in file.pending:
                _change(file.durable, write)
                file.known = None
            file.pending.clear()
            return
        for change in self._changes.pop(path, []):
            self._rename(self._durable, change)

    def _rename(self, names: dict[str, int], change: Create | Remove | Rename) -> None:
        match change:
            case Create(path):
                names[path] = self._created[id(change)]
            case Remove(path):
                names.pop(path, None)
            case Rename(path, target):
                if path in names:
                    names[target] = names.pop(path)

    def _pending(self) -> list[Pending]:
        """What is not synced of the files that a loss of power now would leave."""
        reached = {*self._names.values(), *self._durable.values()}
        return [change for number in sorted(reached) for change in self._files[number].pending]

    def unsynced(self) -> bool:
        """Whether anything would be decided by a loss of power now."""
        return bool(any(self._changes.values()) or self._pending())

    def images(self, random: Random) -> Iterator[Files]:
        """What may be found after a loss of power at this moment: first all kept, then none, then a shuffled rest without end
        or, while nothing is unsynced, nothing more."""
        yield self._image(self._names, _kept)
        if not self.unsynced():
            return
        yield self._image(self._durable, _dropped)
        pending = self._pending()
        plans: list[tuple[Callable[[Random], dict[str, int]], Fate]] = [(self._some_names, _kept)]
        for change in pending:
            plans += [(self._all_names, _without(change)), (self._some_names, _only(change))]
        if pending:
            last = pending[-1]
            plans += [(self._all_names, _torn(last, cut, after=_kept)) for cut in _cuts(last)]
            plans += [(self._all_names, _torn(one, cut, after=_dropped)) for one in pending for cut in _cuts(one)]
        random.shuffle(plans)
        for names, fate in plans:
            yield self._image(names(random), fate)
        while True:
            fate = random.choice((_subset, _reordered, _sectors, _halves))(random)
            yield self._image(self._some_names(random), fate)

    def _all_names(self, _random: Random) -> dict[str, int]:
        return self._names

    def _some_names(self, random: Random) -> dict[str, int]:
        names = dict(self._durable)
        for changes in self._changes.values():
            for change in changes[: random.randint(0, len(changes))]:
                self._rename(names, change)
        return names

    def _image(self, names: Mapping[str, int], fate: Fate) -> Files:
        image = {}
        for path, number in names.items():
            file = self._files[number]
            if file.pending:
                content = bytearray(file.durable)
                for change in fate(list(file.pending)):
                    _change(content, change)
                image[path] = bytes(content)
            else:
                file.known = file.known or bytes(file.durable)
                image[path] = file.known
        return image


Fate = Callable[[list[Pending]], list[Pending]]
"""What of a file's pending changes reaches the disk, in which order."""


class Names:
    """Names contents by their hash. What a file has in common with the content named before is not hashed again."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[bytes, list[Any]]] = {}

    def of(self, image: Files) -> bytes:
        """Equal for equal images only."""
        found = hashlib.blake2b(digest_size=16)
        for path in sorted(image):
            found.update(f"{path}\0".encode() + self.of_file(path, image[path]))
        return found.digest()

    def of_file(self, path: str, content: bytes) -> bytes:
        """The hash of one content, 16 bytes."""
        before, states = self._last.get(path, (b"", [hashlib.blake2b(digest_size=16)]))
        if content is not before:
            end = min(len(content), len(before))
            same = 1
            while same < len(states) and same * _STEP <= end and _step(content, same) == _step(before, same):
                same += 1
            states = states[:same]
            for begin in range((same - 1) * _STEP, len(content), _STEP):
                state = states[-1].copy()
                state.update(content[begin : begin + _STEP])
                states.append(state)
            self._last[path] = content, states
        digest: bytes = states[-1].digest()
        return digest


def _step(content: bytes, number: int) -> bytes:
    return content[(number - 1) * _STEP : number * _STEP]


def _change(content: bytearray, change: Pending) -> None:
    match change:
        case Write(_, offset, data):
            if len(content) < offset:
                content.extend(bytes(offset - len(content)))
            content[offset : offset + len(data)] = data
        case Truncate(_, size):
            if len(content) > size:
                del content[size:]
            else:
                content.extend(bytes(size - len(content)))


def _kept(pending: list[Pending]) -> list[Pending]:
    return pending


def _dropped(_pending: list[Pending]) -> list[Pending]:
    return []


def _without(lost: Pending) -> Fate:
    return lambda pending: [one for one in pending if one is not lost]


def _only(kept: Pending) -> Fate:
    return lambda pending: [one for one in pending if one is kept]


def _cuts(change: Pending) -> list[int]:
    """Where a write may be torn: at each sector's end on the disk, and in the middle of a sector."""
    if not isinstance(change, Write):
        return []
    begin = change.offset - change.offset % (SECTOR // 2)
    marks = range(begin + SECTOR // 2, change.offset + len(change.data), SECTOR // 2)
    return [mark - change.offset for mark in marks]


def _torn(change: Pending, cut: int, *, after: Fate) -> Fate:
    """The head of one write is there and its tail is not, or the other way round for every second cut."""
    assert isinstance(change, Write)
    head = Write(change.path, change.offset, change.data[:cut])
    tail = Write(change.path, change.offset + cut, change.data[cut:])
    part = head if cut // (SECTOR // 2) % 2 else tail

    def fate(pending: list[Pending]) -> list[Pending]:
        found: list[Pending] = []
        for one in pending:
            found += [part] if one is change else after([one])
        return found

    return fate


def _subset(random: Random) -> Fate:
    chance = random.choice((0.15, 0.5, 0.85))
    return lambda pending: [one for one in pending if random.random() < chance]


def _reordered(random: Random) -> Fate:
    def fate(pending: list[Pending]) -> list[Pending]:
        found = [one for one in pending if random.random() < 0.8]
        random.shuffle(found)
        return found

    return fate


def _pieces(random: Random, size: int) -> Fate:
    def fate(pending: list[Pending]) -> list[Pending]:
        found: list[Pending] = []
        for one in pending:
            if isinstance(one, Truncate):
                found += [one] if random.random() < 0.5 else []
                continue
            begin = 0
            while begin < len(one.data):
                end = min(begin + size - (one.offset + begin) % size, len(one.data))
                if random.random() < 0.5:
                    found.append(Write(one.path, one.offset + begin, one.data[begin:end]))
                begin = end
        return found

    return fate


def _sectors(random: Random) -> Fate:
    """Each sector of each write is there or not."""
    return _pieces(random, SECTOR)


def _halves(random: Random) -> Fate:
    """As `_sectors`, torn within."""
    return _pieces(random, SECTOR // 2)
