"""Importing mutated source: the working files stay as they are."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutants.mutant import Edit


class Moved(Exception):
    """The source that an edit wants to change is not there, or there more than once."""


def edited(source: str, edits: Sequence[Edit]) -> str:
    """A module's source after its edits. Raises Moved."""
    for edit in edits:
        if source.count(edit.old) != 1:
            raise Moved(f"{edit.module} has this {source.count(edit.old)} times, adapt the mutant:\n{edit.old}")
        source = source.replace(edit.old, edit.new)
    return source


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, edits: Sequence[Edit]) -> None:
        super().__init__(name, path)
        self._edits = edits

    def get_code(self, fullname: str) -> CodeType:  # no byte code: that is of the working file
        source = edited(Path(self.path).read_text("utf-8"), self._edits)
        return compile(source, self.path, "exec", dont_inherit=True)


class _Finder:
    def __init__(self, edits: Sequence[Edit]) -> None:
        self._edits = edits

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        mine = [edit for edit in self._edits if edit.module == name]
        spec = PathFinder.find_spec(name, path, target) if mine else None
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(name, spec.origin, mine)
        return spec


def install(edits: Sequence[Edit]) -> None:
    """Mutate what this process imports from now on. Raises Moved where a module was imported before."""
    known = [edit.module for edit in edits if edit.module in sys.modules]
    if known:
        raise Moved(f"{known[0]} is imported already")
    sys.meta_path.insert(0, _Finder(edits))
