"""Configuration: one TOML file, decoded into frozen types; anything unknown or impossible is refused in one line.

`python -m lockerd.config_reference` prints the reference of all keys, docs/configuration.md.
"""

from __future__ import annotations

import re
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from lockerd.errors import ConfigError
from lockerd.model.policy import Evidence, Policy, unsafe
from lockerd.pickup.state import Patience


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file; unknown keys are refused."""


def _key(description: str) -> Meta:
    return Meta(description=description)


Port = Annotated[int, Meta(ge=1, le=65535)]
Baud = Annotated[int, Meta(ge=1200, le=921600)]
Seconds = Annotated[float, Meta(gt=0, le=3600)]
CodeDays = Annotated[float, Meta(gt=0, le=90)]
Span = Annotated[float, Meta(gt=0, le=10)]
Days = Annotated[int, Meta(ge=7, le=3650)]


class Machine(Section, frozen=True):
    """Who this machine is."""

    id: Annotated[
        Annotated[str, Meta(pattern=r"^[0-9A-Za-z][0-9A-Za-z_.-]{0,63}$")],
        _key("Name of the machine at the office: up to 64 letters, digits, `_`, `.` and `-`."),
    ]
    environment: Annotated[
        Literal["production", "simulator"],
        _key("`production` serves real people: HTTPS, a model pack of real faces and a guarded key are then required."),
    ]
    state_dir: Annotated[Path, _key("Folder of the database, on a local disk; made with mode 0700 if it is missing.")]
    key_file: Annotated[
        Path,
        _key(
            "File with the machine's key: 32 random bytes as 64 hexadecimal digits. A relative name is that of a credential"
            " of the service, in `$CREDENTIALS_DIRECTORY`."
        ),
    ]
    sealing: Annotated[
        Literal["aes-256-gcm", "sm4-gcm"],
        _key("Cipher of personal data that is stored from now on; what was stored before stays readable."),
    ] = "aes-256-gcm"


class Rtu(Section, frozen=True, tag="rtu", tag_field="kind"):
    """The units on a serial line, 8 data bits and 1 stop bit."""

    port: Annotated[str, _key("Serial port of the bus.")]
    baudrate: Annotated[Baud, _key("Bits per second.")] = 115200
    parity: Annotated[
        Literal["none", "even", "odd"], _key("Parity bit; the standard asks for even where units can.")
    ] = "none"
    turnaround_ms: Annotated[
        Annotated[float, Meta(ge=0, le=1000)],
        _key(
            "Least silence before each request, in milliseconds, where a converter or a unit releases an RS-485 pair late; "
            "never less than the 3.5 characters of the standard."
        ),
    ] = 0.0
    echo: Annotated[
        bool, _key("The line repeats what is sent, as RS-485 converters do that leave their receiver on.")
    ] = False


class Tcp(Section, frozen=True, tag="tcp", tag_field="kind"):
    """The units behind a Modbus TCP gateway."""

    host: Annotated[str, _key("Name or address of the gateway.")]
    port: Annotated[Port, _key("TCP port of the gateway.")]


class MailboxDispenser(Section, frozen=True, tag="mailbox", tag_field="kind"):
    """One board on the bus that does all a dispenser does; the default."""


class CrtDispenser(Section, frozen=True, tag="crt", tag_field="kind"):
    """A bought module of the Creator CRT-571/591-M or Mutek MTK-F3x family before the carousel of the board on the bus."""

    port: Annotated[str, _key("Serial port of the module.")]
    baudrate: Annotated[Baud, _key("Bits per second; the module finds it by itself.")] = 38400
    address: Annotated[Annotated[int, Meta(ge=0, le=15)], _key("Address on the module's switches.")] = 0


class Readers(Section, frozen=True):
    """Serial ports of the three ID-card readers."""

    counter: Annotated[str, _key("The reader that the citizen lays an ID card on.")]
    throat: Annotated[str, _key("The reader behind the throat for old cards.")]
    exit: Annotated[str, _key("The reader before the exit gate of the dispenser.")]


class SecondSource(Section, frozen=True):
    """A second camera, infrared say; where there is one, both must agree."""

    source: Annotated[Literal["camera", "file"], _key("As `source` of `[face]`.")]
    address: Annotated[str, _key("As `address` of `[face]`.")]
    reference_kind: Annotated[str, _key("Which of the pack's thresholds its pictures are compared at.")] = "photo"


class Face(Section, frozen=True):
    """Model pack and picture source."""

    pack: Annotated[
        Path, _key("Folder of the model pack with its `manifest.json`, a manifest, or a known pack's name.")
    ]
    source: Annotated[
        Literal["camera", "file"],
        _key("`camera` through OpenCV; `file` is a JPEG that another program replaces."),
    ]
    address: Annotated[str, _key("Camera index or device path, or the path of the file.")]
    models: Annotated[Path | None, _key("Folder of the weights where it is not the pack's.")] = None
    signed_by: Annotated[
        str, _key("Ed25519 public key, 64 hexadecimal digits, that must have signed the manifest.")
    ] = ""
    span: Annotated[Span, _key("Least seconds over which a verification looks; at least 1 in production.")] = 1.0
    challenges: Annotated[
        tuple[Literal["closer", "turn"], ...],
        _key("What a citizen may be asked to do before the camera, one by chance."),
    ] = ()
    chip_decoder: Annotated[
        tuple[str, ...],
        _key(
            "Program and arguments that decode a chip's photo, from standard input to a JPEG or PNG on standard output; the codec"
            " is licensed. Then a card's own photo stands in where the office sent none."
        ),
    ] = ()
    second_source: SecondSource | None = None


class Office(Section, frozen=True):
    """The central office."""

    url: Annotated[
        Annotated[str, Meta(pattern=r"^https?://[^/?#\s]+[^?#\s]*$")],
        _key("Base address of its interface; https in production."),
    ]


class Sms(Section, frozen=True):
    """Where pickup messages go."""

    backend: Annotated[Literal["file"], _key("`file` writes one JSON file a message.")]
    directory: Annotated[Path, _key("Folder of the messages; made with mode 0700 if it is missing.")]


class Codes(Section, frozen=True):
    """How long codes live, from the moment when their card can be collected."""

    pickup_days: Annotated[CodeDays, _key("Days that a pickup code lives.")] = 7.0
    letter_days: Annotated[CodeDays, _key("Days that a letter code lives; the letter travels in them.")] = 30.0


class Kiosk(Section, frozen=True):
    """The citizen's screen."""

    listen: Annotated[str, _key("Address of the page, HOST:PORT; a loopback address.")]
    framed_by: Annotated[str | None, _key("Origin that may frame the page; for the simulator only.")] = None


class Console(Section, frozen=True):
    """The staff console."""

    listen: Annotated[str, _key("Address of the console, HOST:PORT.")]


class Health(Section, frozen=True):
    """Health answers and metrics."""

    listen: Annotated[str, _key("Address of `/livez`, `/readyz` and `/metrics`, HOST:PORT.")]


class PatienceSeconds(Section, frozen=True):
    """How long the screen waits for the citizen, in seconds."""

    answer: Annotated[Seconds, _key("For an answer on the page, also by a face or a finger.")] = 90.0
    insert: Annotated[Seconds, _key("For the old card in the throat.")] = 90.0
    take: Annotated[Seconds, _key("For a hand on the new card in the exit.")] = 60.0
    give_back: Annotated[Seconds, _key("For a hand on a card offered back in the throat.")] = 60.0
    clear: Annotated[Seconds, _key("For staff to clear a jam, before the citizen gets a ticket.")] = 300.0
    read: Annotated[Seconds, _key("Before a last page closes.")] = 30.0
    face: Annotated[Seconds, _key("For one face verification; another follows until the page ends.")] = 20.0


class RetentionDays(Section, frozen=True):
    """How long history is kept, in days; what is open, inside the machine or not yet at the office stays whatever its age."""

    events: Annotated[
        Days, _key("Events that the office has: as long as an office restored from a backup may ask again.")
    ] = 90
    custody: Annotated[
        Days, _key("Motions, and cards with their chains and claims after they left; the office keeps them for good.")
    ] = 90
    journeys: Annotated[Days, _key("Journeys with their tickets.")] = 90
    messages: Annotated[Days, _key("That a message was sent; what it said is erased when it is sent.")] = 30


class Fingerprint(Section, frozen=True):
    """A fingerprint sensor with its matcher: a program of its own; without this table there is none."""

    socket: Annotated[Path, _key("Unix socket of the matcher; it may come and go.")]
    seconds: Annotated[Seconds, _key("For a finger on the sensor; it is asked again until the page ends.")] = 20.0


class Review(Section, frozen=True):
    """Remote review: a reviewer at the office compares a picture, where a combination of `[policy]` says so."""

    seconds: Annotated[Seconds, _key("For the reviewer's decision; then the counter.")] = 90.0


class Config(Section, frozen=True):
    """The whole file."""

    machine: Machine
    bus: Rtu | Tcp
    readers: Readers
    face: Face
    office: Office
    sms: Sms
    kiosk: Kiosk
    console: Console
    health: Health
    dispenser: MailboxDispenser | CrtDispenser = MailboxDispenser()
    patience: PatienceSeconds = PatienceSeconds()
    codes: Codes = Codes()
    retention: RetentionDays = RetentionDays()
    review: Review = Review()
    fingerprint: Fingerprint | None = None
    policy: Policy = Policy()

    @property
    def production(self) -> bool:
        """Whether this machine serves real people."""
        return self.machine.environment == "production"

    @property
    def database(self) -> Path:
        """The state database's file."""
        return self.machine.state_dir / "lockerd.db"

    @property
    def ballast(self) -> Path:
        """File that keeps room on the disk for outcomes."""
        return self.machine.state_dir / "ballast"

    @property
    def tally(self) -> Path:
        """File of what a bought dispenser's driver remembers for it."""
        return self.machine.state_dir / "dispenser.json"

    @property
    def listens(self) -> dict[str, str]:
        """HOST:PORT of each listener by its key."""
        return {
            "kiosk.listen": self.kiosk.listen,
            "console.listen": self.console.listen,
            "health.listen": self.health.listen,
        }

    def patience_seconds(self) -> dict[Patience, float]:
        """Seconds by kind of waiting; ENDLESS has none."""
        seconds = self.patience
        return {
            Patience.ANSWER: seconds.answer,
            Patience.INSERT: seconds.insert,
            Patience.TAKE: seconds.take,
            Patience.GIVE_BACK: seconds.give_back,
            Patience.CLEAR: seconds.clear,
            Patience.READ: seconds.read,
        }


_LISTEN = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[0-9A-Za-z.-]+)):(?P<port>\d{1,5})")


def host_and_port(listen: str) -> tuple[str, int]:
    """Split HOST:PORT, where an IPv6 address stands in brackets. Raises ValueError."""
    match = _LISTEN.fullmatch(listen)
    if match is None or not 0 < int(match["port"]) < 65536:
        raise ValueError(f"{listen!r} is not HOST:PORT")
    return match["six"] or match["host"], int(match["port"])


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
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not TOML ({error}); mend that line") from error
    _check(path, config)
    return config


def _path(kind: type, value: object) -> Path:
    if kind is not Path or not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("Expected a path")
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
    taken: dict[tuple[str, int], str] = {}
    for key, listen in config.listens.items():
        try:
            address = host_and_port(listen)
        except ValueError as error:
            raise ConfigError(f"{path}: key '{key}': {error}; write for example 127.0.0.1:8080") from error
        if key == "kiosk.listen" and not _is_loopback(address[0]):
            raise ConfigError(f"{path}: key '{key}': {listen} is open to the network; write for example 127.0.0.1:8080")
        if address in taken:
            raise ConfigError(f"{path}: key '{key}': {listen} is that of '{taken[address]}'; give each its own port")
        taken[address] = key
    for bad in unsafe(config.policy):
        raise ConfigError(f"{path}: key '{bad.key}': {bad.reason}; {bad.remedy}")
    if config.fingerprint is None and config.policy.names(Evidence.FINGERPRINT):
        raise ConfigError(
            f"{path}: key 'fingerprint': the policy asks for one; add the table with the matcher's socket"
        )
    if config.production and config.face.span < 1.0:
        raise ConfigError(f"{path}: key 'face.span': must be at least 1 second in production; correct its value")
    if config.production and config.kiosk.framed_by is not None:
        raise ConfigError(f"{path}: key 'kiosk.framed_by': is for the simulator only; remove it in production")
    try:
        urlsplit(config.office.url).port  # noqa: B018 it is looked at when it is asked for
    except ValueError as error:
        raise ConfigError(f"{path}: key 'office.url': {error}; correct its value") from error
    if config.production and not config.office.url.startswith("https://"):
        raise ConfigError(f"{path}: key 'office.url': production speaks HTTPS only; write an https:// address")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_MAKE_KEY = "put the machine's own key back; only for a new machine make one: (umask 077; openssl rand -hex 32 > FILE)"
_OTHERS = stat.S_IWGRP | stat.S_IXGRP | stat.S_IRWXO


def load_device_key(path: Path, config: Config, credentials: Path) -> bytes:
    """The machine's 32-byte key; a relative name is looked up in the folder `credentials`. Raises ConfigError.

    In production no one but its owner may read it; a file of root's may be readable by its group, for that is how a
    service manager that hands credentials over through an access list shows it (systemd.exec(5), LoadCredential=).
    """
    file = credentials / config.machine.key_file
    where = f"{path}: key 'machine.key_file': {file}"
    try:
        with file.open("rb") as stream:
            status, text = file.stat(), stream.read(1024)
    except OSError as error:
        if isinstance(error, PermissionError):
            remedy = "run this as lockerd's user"
        elif not file.is_absolute():
            remedy = "it is a credential of the service; run this with it, as systemd/README.md says"
        else:
            remedy = _MAKE_KEY
        raise ConfigError(f"{where} cannot be read ({error.strerror}); {remedy}") from error
    try:
        key = bytes.fromhex(text.decode("ascii").strip())
    except ValueError as error:
        raise ConfigError(f"{where} is not hexadecimal; {_MAKE_KEY}") from error
    if len(key) != 32:
        raise ConfigError(f"{where} holds {len(key)} bytes, not 32; {_MAKE_KEY}")
    group = stat.S_IRGRP if status.st_uid != 0 else 0
    if config.production and stat.S_IMODE(status.st_mode) & (_OTHERS | group):
        raise ConfigError(f"{where} is open to others; run: chmod 600 {file}")
    return key
