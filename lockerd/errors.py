"""The one family of errors; what reaches a person says what happened and what to do."""

from __future__ import annotations


class LockerError(Exception):
    """Base of every error that lockerd raises on purpose."""


class ConfigError(LockerError):
    """The configuration cannot be used; the message names file, key and remedy (exit status 78)."""


class DeviceError(LockerError):
    """A device was silent, refused, or answered what it may not; nothing is known beyond that.

    `device` is the name of the device in the configuration; the message holds no personal data.
    """

    def __init__(self, device: str, message: str) -> None:
        super().__init__(f"{device}: {message}")
        self.device = device


class UnreadableCard(DeviceError):
    """The reader works and a card is there, but what its chip says cannot be read or cannot be true."""


class StoreError(LockerError):
    """The database could not do what was asked; nothing of the transaction happened."""


class DiskFull(StoreError):
    """There is no room left on the disk, and none that was kept for this; nothing of the transaction happened."""


class DatabaseDamaged(StoreError):
    """The database file holds what SQLite did not write; nothing more is read from it or written to it."""


class LinkError(LockerError):
    """The central office could not be reached, or answered what it may not; try again later."""


class FaceUnavailable(LockerError):
    """The face worker or its camera gives no answer; this is never a verification."""


class FloorTaken(LockerError):
    """A citizen is at the machine, or other staff work is under way; try again in a minute."""


class StaffWorkFailed(LockerError):
    """The machine could not do what staff asked; the message says why and what to do."""


class StartFailed(LockerError):
    """The machine cannot start now; the message names file, key and remedy (exit status 1)."""
