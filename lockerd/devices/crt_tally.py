"""The file in which the driver keeps what a module without a memory would lose with the power."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import structlog

from lockerd.devices.crt_evidence import Tally
from lockerd.errors import DeviceError

_log = structlog.get_logger()


class TallyFile:
    """One `Tally` as JSON at `path`; what `save` took is what `load` gives, also after a power cut."""

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._name = name

    def load(self) -> Tally:
        """The last one saved. Where there is none, or none to be read, the channel counts as unknown until a RESET."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Tally)
        except FileNotFoundError:
            _log.info("no tally yet", device=self._name)
            return Tally(carried=True)
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("tally lost", device=self._name, error=str(error))
        return Tally(carried=True, moving=True)

    def save(self, tally: Tally) -> None:
        """Make it durable before returning. Raises DeviceError; then the former one may still be there."""
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(tally))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise DeviceError(self._name, f"its tally cannot be kept: {error.strerror}") from error
