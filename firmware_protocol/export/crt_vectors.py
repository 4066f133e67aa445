"""Test vectors of the bought dispenser: streams of its frames and control bytes. Verdicts are written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from firmware_protocol.crt import Control

_STATUS = "F2 00 00 03 43 31 30 03 B0"
_PICK = "F2 00 00 03 43 32 32 03 B1"
_DONE = "F2 00 00 06 50 31 30 30 32 30 03 94"
_JAM = "F2 00 00 05 4E 32 30 31 30 03 B9"


def _request(cm: str, pm: str, data: str = "", address: int = 0) -> dict[str, Any]:
    return {"cm": cm, "pm": pm, "data": data, "address": address}


def _done(cm: str, pm: str, status: str, data: str = "", address: int = 0) -> dict[str, Any]:
    return {"cm": cm, "pm": pm, "status": status, "data": data, "address": address}


def _refusal(cm: str, pm: str, code: str, head: str = "4e") -> dict[str, Any]:
    return {"cm": cm, "pm": pm, "code": code, "head": head, "data": "", "address": 0}


def _control(control: Control) -> dict[str, Any]:
    return {"control": control.name}


def crt_streams() -> Iterator[dict[str, Any]]:
    """Vectors of the module's line; bytes of a field are hexadecimal, an error code is its two characters."""
    status, done = _request("31", "30"), _done("31", "30", "303230")
    for name, stream, frames in (
        ("status", _STATUS, [status]),
        ("initialise, leave the card, count", "F2 00 00 03 43 30 37 03 B6", [_request("30", "37")]),
        ("move to the RF position", _PICK, [_request("32", "32")]),
        ("bin counter set to 042", "F2 00 00 06 43 A5 31 30 34 32 03 16", [_request("a5", "31", "303432")]),
        ("address 15", "F2 0F 00 03 43 31 30 03 BF", [_request("31", "30", address=15)]),
        ("acknowledgement and the next request", f"06 {_STATUS}", [_control(Control.ACK), status]),
        ("all control bytes", "06 15 04", [_control(one) for one in (Control.ACK, Control.NAK, Control.EOT)]),
        ("wrong check", "F2 00 00 03 43 31 30 03 B1", []),
        ("no ETX", "F2 00 00 03 43 31 30 02 B1", []),
        ("length 2", "F2 00 00 02 43 31 03 81", []),
        ("length beyond the longest", "F2 00 FF FF 43 31 30", []),
        ("cut in the middle", "F2 00 00 03 43 31", []),
        ("one cut, then a whole one", f"F2 00 00 03 43 {_STATUS}", [status]),
        ("garbage around", f"00 FF {_STATUS} AA", [status]),
        ("a reply, whose length looks like an acknowledgement", _DONE, [_control(Control.ACK)]),
        ("nothing", "", []),
    ):
        yield {"name": name, "direction": "request", "stream": bytes.fromhex(stream).hex(), "frames": frames}
    for name, stream, frames in (
        ("done", _DONE, [done]),
        ("jammed", _JAM, [_refusal("32", "30", "10")]),
        ("jammed, the other head", "F2 00 00 05 45 32 30 31 30 03 B2", [_refusal("32", "30", "10", head="45")]),
        ("acknowledged and done", f"06 {_DONE}", [_control(Control.ACK), done]),
        (
            "sensors",
            "F2 00 00 0E 50 31 31 31 32 30 30 30 31 30 30 31 30 30 03 9C",
            [_done("31", "31", "313230", "3030313030313030")],
        ),
        ("bin counter 007", "F2 00 00 09 50 A5 30 30 32 30 30 30 37 03 38", [_done("a5", "30", "303230", "303037")]),
        ("done without its status", "F2 00 00 05 50 31 30 30 32 03 A7", []),
        ("another head, and the same", "F2 00 00 06 51 31 30 30 32 30 03 95", [_control(Control.ACK)]),
        ("a request", _STATUS, []),
    ):
        yield {"name": name, "direction": "reply", "stream": bytes.fromhex(stream).hex(), "frames": frames}
