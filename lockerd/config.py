"""Configuration: one TOML file, decoded into frozen types; anything unknown or impossible is refused in one line."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Literal

import msgspec

from lockerd.errors import ConfigError
from lockerd.pickup.state import Patience


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; unknown keys are refused."""


class Machine(Section, frozen=True):
    """Who this machine is. `state_dir` holds the database; `key_file` holds 32 random bytes as 64 hex digits."""

    id: str
    environment: Literal["production", "simulator"]
    state_dir: Path
    key_file: Path


class Rtu(Section, frozen=True, tag="rtu", tag_field="kind"):
    """The units on a serial line, 8N1."""

    port: str
    baudrate: int = 115200


class Tcp(Section, frozen=True, tag="tcp", tag_field="kind"):
    """The units behind a Modbus TCP gateway."""

    host: str
    port: int


class Readers(Section, frozen=True):
    """Serial ports of the three ID-card readers."""

    counter: str
    throat: str
    exit: str


class SecondSource(Section, frozen=True):
    """A second camera (infrared) that must agree; `reference_kind` names the threshold of its pictures."""

    source: Literal["camera", "file"]
    address: str
    reference_kind: str = "photo"


class Face(Section, frozen=True):
    """Model pack and picture source; `address` is a device index or path, or the file that is replaced.

    `pack` is a pack's folder, its manifest, or the name of a known pack whose weights lie in `models`. `signed_by` is the
    Ed25519 public key (64 hex digits) that packs are signed with. `span` is the least time of a transaction in seconds.
    One of `challenges` is asked for by chance.
    """

    pack: Path
    source: Literal["camera", "file"]
    address: str
    models: Path | None = None
    signed_by: str = ""
    span: float = 1.0
    challenges: tuple[Literal["closer", "turn"], ...] = ()
    second_source: SecondSource | None = None


class Office(Section, frozen=True):
    """The central office's base address."""

    url: str


class Sms(Section, frozen=True):
    """Where pickup messages go; the file backend writes one file a message into `directory`."""

    backend: Literal["file"]
    directory: Path


class Kiosk(Section, frozen=True):
    """The citizen's screen. `framed_by` is an origin that may frame it, for the simulator's dock only."""

    listen: str
    framed_by: str | None = None


class Listen(Section, frozen=True):
    """An address to listen on, HOST:PORT."""

    listen: str


class PatienceSeconds(Section, frozen=True):
    """How long the screen waits for the citizen, in seconds."""

    answer: float = 90.0
    insert: float = 90.0
    take: float = 60.0
    give_back: float = 60.0
    read: float = 30.0
    face: float = 20.0


class Config(Section, frozen=True):
    """The whole file."""

    machine: Machine
    bus: Rtu | Tcp
    readers: Readers
    face: Face
    office: Office
    sms: Sms
    kiosk: Kiosk
    console: Listen
    health: Listen
    patience: PatienceSeconds = PatienceSeconds()

    @property
    def production(self) -> bool:
        """Whether this machine serves real people."""
        return self.machine.environment == "production"

    def patience_seconds(self) -> dict[Patience, float]:
        """Seconds by kind of waiting; ENDLESS has none."""
        seconds = self.patience
        return {
            Patience.ANSWER: seconds.answer,
            Patience.INSERT: seconds.insert,
            Patience.TAKE: seconds.take,
            Patience.GIVE_BACK: seconds.give_back,
            Patience.READ: seconds.read,
        }


_LISTEN = re.compile(r"(?P<host>[0-9A-Za-z.:\[\]-]+):(?P<port>\d{1,5})")


def host_and_port(listen: str) -> tuple[str, int]:
    """Split HOST:PORT. Raises ValueError."""
    match = _LISTEN.fullmatch(listen)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ValueError(f"{listen!r} is not HOST:PORT")
    return match["host"], int(match["port"])


def load_config(path: Path) -> Config:
    """Read and check the file. Raises ConfigError naming file, key and remedy."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give its path with --config") from error
    try:
        config = msgspec.toml.decode(text, type=Config, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{path}: {_in_words(str(error))}") from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: is not TOML ({error}); mend that line") from error
    _check(path, config)
    return config


def _path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str):
        raise ValueError("expected a path")
    return Path(value)


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<where>[^`]*)`)?")
_MISSING = re.compile(r"Object missing required field `(?P<field>[^`]*)`(?: - at `\$\.?(?P<where>[^`]*)`)?")


def _in_words(message: str) -> str:
    for pattern, words in (
        (_UNKNOWN, "key '{}' is unknown; remove it or correct its spelling"),
        (_MISSING, "key '{}' is missing; add it"),
    ):
        if match := pattern.fullmatch(message):
            return words.format(".".join(filter(None, (match["where"], match["field"]))))
    what, _, where = message.partition(" - at `$")
    return f"key '{where.strip('.`') or 'file'}': {what}; correct its value"


def _check(path: Path, config: Config) -> None:
    for key, listen in (
        ("kiosk.listen", config.kiosk.listen),
        ("console.listen", config.console.listen),
        ("health.listen", config.health.listen),
    ):
        try:
            host_and_port(listen)
        except ValueError as error:
            raise ConfigError(f"{path}: key '{key}': {error}; write for example 127.0.0.1:8080") from error
    for name in ("answer", "insert", "take", "give_back", "read", "face"):
        if not 0 < getattr(config.patience, name) <= 3600:
            raise ConfigError(
                f"{path}: key 'patience.{name}': must be above 0 and at most 3600 seconds; correct its value"
            )
    if not 0 < config.face.span <= 10 or (config.production and config.face.span < 1.0):
        raise ConfigError(f"{path}: key 'face.span': must be 1 to 10 seconds in production; correct its value")
    if config.production and not config.face.signed_by:
        raise ConfigError(f"{path}: key 'face.signed_by': is missing; write the public key that packs are signed with")
    if config.production and config.kiosk.framed_by is not None:
        raise ConfigError(f"{path}: key 'kiosk.framed_by': is for the simulator only; remove it in production")
    if config.production and not config.office.url.startswith("https://"):
        raise ConfigError(f"{path}: key 'office.url': production speaks HTTPS only; write an https:// address")


def load_device_key(path: Path, config: Config) -> bytes:
    """The machine's 32-byte key. Raises ConfigError; in production the file may be readable by its owner only."""
    key_file = config.machine.key_file
    try:
        text = key_file.read_text("ascii").strip()
        key = bytes.fromhex(text)
        mode = key_file.stat().st_mode
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path}: key 'machine.key_file': {key_file} cannot be used ({error}); "
            "make one with: openssl rand -hex 32 > FILE && chmod 600 FILE"
        ) from error
    if len(key) != 32:
        raise ConfigError(f"{path}: key 'machine.key_file': {key_file} holds {len(key)} bytes; it must hold 32 as hex")
    if config.production and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"{path}: key 'machine.key_file': {key_file} is open to others; run: chmod 600 {key_file}")
    return key
