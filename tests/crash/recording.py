"""What a process did to the files of one folder, in order, as strace saw it.

Only system calls count: the shared memory of the write-ahead log is mapped and never synced, so an image gives it any content.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MARKS = "marks"
_CALLS = (
    "openat,pwrite64,write,ftruncate,fallocate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,"
    "pwritev,writev,sync_file_range,copy_file_range,sendfile,link,linkat,truncate"
)
_LONGEST = 1 << 20

_LINE = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)(?:<([^>]*)>)?", re.ASCII)
_FILE = re.compile(r"^\d+<([^>]*)>(?:\(deleted\))?, ?|^\d+<([^>]*)>(?:\(deleted\))?$")
_RESUMED = re.compile(r"^\d+ +<\.\.\. \w+ resumed>(.*)", re.ASCII | re.DOTALL)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class Unreadable(Exception):
    """The recording holds something that this reader does not know; the message is the line."""


@dataclass(frozen=True, slots=True)
class Create:
    """A name appears, for an empty file or (`directory` of it) whatever."""

    path: str


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset."""

    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    """A new size."""

    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync or fdatasync of a file or a folder has returned."""

    path: str


@dataclass(frozen=True, slots=True)
class Remove:
    """A name is gone."""

    path: str


@dataclass(frozen=True, slots=True)
class Rename:
    """A name became another, replacing what had that one."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What the story said of itself at this moment."""

    said: dict[str, Any]


Op = Create | Write | Truncate | Sync | Remove | Rename | Mark


def record(folder: Path, story: str, *arguments: str) -> list[Op]:
    """Play `python -m STORY FOLDER` under strace; what it did to the files below `folder`, paths relative to it.

    Raises Unreadable, and CalledProcessError when the story fails or no process may be traced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder.with_name(f"{folder.name}.strace")
    command = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-xx",
        "-s",
        str(_LONGEST),
        "-o",
        str(log),
        "-e",
        f"trace={_CALLS}",
    ]
    subprocess.run(
        [*command, sys.executable, "-m", story, str(folder), *arguments],
        cwd=ROOT,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    try:
        return list(parse(log, folder))
    finally:
        log.unlink()


def parse(log: Path, folder: Path) -> Iterator[Op]:
    """The operations of a log below `folder`. Raises Unreadable."""
    known: set[str] = set()
    with log.open(encoding="ascii") as lines:
        for line in _whole(lines):
            op = _operation(line, str(folder.resolve()), known)
            if op is None:
                continue
            match op:
                case Create(path):
                    known.add(path)
                case Remove(path):
                    known.discard(path)
                case Rename(path, target):
                    known.discard(path)
                    known.add(target)
                case _:
                    pass
            yield op


def _whole(lines: Iterable[str]) -> Iterator[str]:
    """Calls of two threads at once come in two parts: whole ones, each where it returned."""
    begun: dict[str, str] = {}
    for line in lines:
        thread = line.partition(" ")[0]
        if line.rstrip().endswith("<unfinished ...>"):
            begun[thread] = line.rstrip().removesuffix("<unfinished ...>").rstrip()
        elif (resumed := _RESUMED.match(line)) is not None:
            yield begun.pop(thread) + resumed[1]
        else:
            yield line


def _operation(line: str, folder: str, known: set[str]) -> Op | None:
    found = _LINE.match(line)
    if found is None or found[3].startswith("-"):
        return None
    call, arguments = found[1], found[2]
    match call:
        case "openat":
            path = _within(folder, _bytes(found[4] or ""))
            if path is None or "O_CREAT" not in arguments or path in known:
                return None
            return Create(path)
        case "unlink" | "unlinkat":
            path = _within(folder, _texts(arguments)[0])
            return None if path is None else Remove(path)
        case "rename" | "renameat":
            origin, target = (_within(folder, text) for text in _texts(arguments))
            if origin is None and target is None:
                return None
            if origin is None or target is None:
                raise Unreadable(line[:200])
            return Rename(origin, target)
    file = _FILE.match(arguments)
    path = None if file is None else _within(folder, _bytes(file[1] or file[2]))
    if path is None:
        return None
    assert file is not None
    rest = arguments[file.end() :]
    match call:
        case "fsync" | "fdatasync":
            return Sync(path)
        case "fallocate":
            mode, offset, length = (int(part, 0) for part in rest.split(", "))
            if mode == 0:  # of a new file: it has this size then
                return Truncate(path, offset + length)
        case "ftruncate":
            return Truncate(path, int(rest))
        case "pwrite64":
            offset = int(rest.rpartition(", ")[2])
            data = _texts(rest)[0].encode("latin-1")
            return Write(path, offset, data[: int(found[3])])
        case "write" if path == MARKS:
            return Mark(json.loads(_texts(rest)[0]))
    raise Unreadable(line[:200])


def _texts(arguments: str) -> list[str]:
    found = _TEXT.findall(arguments)
    if any(cut for _, cut in found):
        raise Unreadable("a cut string: " + arguments[:120])
    return [_bytes(text) for text, _ in found]


def _bytes(escaped: str) -> str:
    return bytes.fromhex(escaped.replace("\\x", "")).decode("latin-1")


def _within(folder: str, path: str) -> str | None:
    """The path relative to the folder, "" for the folder itself; None for what lies elsewhere."""
    if path == folder:
        return ""
    return path.removeprefix(folder + "/") if path.startswith(folder + "/") else None
