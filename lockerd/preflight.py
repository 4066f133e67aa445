"""What must be there before anything starts: model pack, ports, addresses and folders. Looks only; makes nothing."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

from lockerd.config import Config, CrtDispenser, Tcp, host_and_port
from lockerd.errors import ConfigError, StartFailed
from lockerd.face.pack import load_pack
from lockerd.store.vault import sm4_works

CONNECT_SECONDS = 3.0


def preflight(path: Path, config: Config) -> None:
    """Check all of it, in the order of the file. Blocks for at most a few seconds; run it before the event loop.

    Raises ConfigError for what will not heal by trying again, StartFailed for what may; both name file, key and remedy.
    """
    if config.machine.sealing == "sm4-gcm" and not sm4_works():
        raise ConfigError(f"{path}: key 'machine.sealing': OpenSSL here has no SM4-GCM; write aes-256-gcm")
    _bus(path, config)
    if isinstance(config.dispenser, CrtDispenser):
        _serial_port(path, "dispenser.port", config.dispenser.port)
    for name in ("counter", "throat", "exit"):
        _serial_port(path, f"readers.{name}", getattr(config.readers, name))
    try:
        face = config.face
        pack = load_pack(face.pack, production=config.production, models=face.models, signed_by=face.signed_by)
        for kind in ("photo", face.second_source.reference_kind if face.second_source else "photo"):
            pack.threshold(kind)
    except ConfigError as error:
        raise ConfigError(f"{path}: key 'face.pack': {error}") from error
    if config.face.chip_decoder and shutil.which(config.face.chip_decoder[0]) is None:
        program = config.face.chip_decoder[0]
        raise ConfigError(f"{path}: key 'face.chip_decoder': {program} is no program; install it or correct the key")
    for key, listen in config.listens.items():
        _listener(path, key, listen)
    _folder(path, "sms.directory", config.sms.directory)
    _folder(path, "machine.state_dir", config.machine.state_dir)


def _bus(path: Path, config: Config) -> None:
    if not isinstance(config.bus, Tcp):
        _serial_port(path, "bus.port", config.bus.port)
        return
    try:
        socket.create_connection((config.bus.host, config.bus.port), timeout=CONNECT_SECONDS).close()
    except (OSError, UnicodeError) as error:
        raise StartFailed(
            f"{path}: key 'bus.host': {config.bus.host}:{config.bus.port} does not answer ({_why(error)}); "
            "start the gateway or correct the key"
        ) from error


def _serial_port(path: Path, key: str, port: str) -> None:
    try:
        descriptor = os.open(port, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise StartFailed(
            f"{path}: key '{key}': port {port} cannot be opened ({_why(error)}); connect the device or correct the key"
        ) from error
    try:
        if not os.isatty(descriptor):
            raise ConfigError(f"{path}: key '{key}': {port} is no serial port; name the device's port")
    finally:
        os.close(descriptor)


def _listener(path: Path, key: str, listen: str) -> None:
    host, port = host_and_port(listen)
    try:
        for family, kind, protocol, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise cannot_listen(path, key, listen, error) from error


def cannot_listen(path: Path, key: str, listen: str, error: OSError | UnicodeError) -> StartFailed:
    """The error for a listener's address that cannot be had."""
    return StartFailed(
        f"{path}: key '{key}': cannot listen on {listen} ({_why(error)}); stop what uses it or choose another address"
    )


def _folder(path: Path, key: str, folder: Path) -> None:
    """A folder that is there must be writable; one that is missing must have a parent where it can be made."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        why = f"{there} is no folder"
    elif not os.access(there, os.W_OK | os.X_OK):
        why = f"{there} may not be written"
    else:
        return
    raise StartFailed(
        f"{path}: key '{key}': {folder} cannot be used ({why}); give it to lockerd's user or correct the key"
    )


def _why(error: OSError | ValueError) -> str:
    return getattr(error, "strerror", None) or str(error)
