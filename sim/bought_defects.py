"""Bought parts that are wrong on purpose, one defect each: what their line makes of the bytes that the part sends.

Each defect is a function that makes a filter: bytes of one answer in, bytes on the wire out, often none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from firmware_protocol import crt, samv
from firmware_protocol.crt import Control, CrtError
from firmware_protocol.samv import SamvError

Spoil = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class BoughtDefect:
    """One way to be wrong; `spoil` is what becomes of each answer."""

    meaning: str
    spoil: Spoil


def _bad_check(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 0x5A]) if len(data) > 1 else data


def _truncated(data: bytes) -> bytes:
    return data[:-3] if len(data) > 1 else data


def _silent(_: bytes) -> bytes:
    return b""


def _reader(change: Callable[[samv.Reply], samv.Reply]) -> Spoil:
    def spoil(data: bytes) -> bytes:
        try:
            return change(samv.decode_reply(data)).to_bytes()
        except SamvError:
            return data

    return spoil


def _unknown_status(reply: samv.Reply) -> samv.Reply:
    return replace(reply, status=0x77)


def _always_empty(reply: samv.Reply) -> samv.Reply:
    return replace(reply, status=samv.Status.SELECT_FAILED, data=b"") if len(reply.data) == 8 else reply


def _wrong_blocks(reply: samv.Reply) -> samv.Reply:
    return replace(reply, data=b"\0\xff" + reply.data[2:]) if len(reply.data) > samv.TEXT_LENGTH else reply


def _garbled_text(reply: samv.Reply) -> samv.Reply:
    # Behind two lengths the text begins: a high surrogate and no low one is no UTF-16.
    return replace(reply, data=reply.data[:4] + b"\0\xd8" + reply.data[6:]) if len(reply.data) > 256 else reply


def _dispenser(change: Callable[[crt.Reply], crt.Reply | Control]) -> Spoil:
    def spoil(data: bytes) -> bytes:
        try:
            changed = change(crt.decode_reply(data))
        except CrtError:
            return data
        return bytes([changed]) if isinstance(changed, Control) else changed.to_bytes()

    return spoil


def _wrong_address(reply: crt.Reply) -> crt.Reply:
    return replace(reply, address=reply.address + 1)


def _stuck_busy(reply: crt.Reply) -> crt.Reply | Control:
    return Control.NAK if reply.cm == crt.Command.MOVE else reply


def _wrong_counter(reply: crt.Reply) -> crt.Reply:
    counter = isinstance(reply, crt.Done) and reply.cm == crt.Command.BIN_COUNTER
    return replace(reply, data=crt.encode_count(0)) if counter else reply


def _always_done(reply: crt.Reply) -> crt.Reply:
    refused = isinstance(reply, crt.Refusal) and reply.cm == crt.Command.MOVE
    return crt.Done(reply.cm, reply.pm, b"000", address=reply.address) if refused else reply


def _blind(reply: crt.Reply) -> crt.Reply:
    return replace(reply, status=b"0" + reply.status[1:]) if isinstance(reply, crt.Done) else reply


_ANY = {
    "silence": BoughtDefect("answers nothing", _silent),
    "bad-check": BoughtDefect("ends its frames with a wrong check", _bad_check),
    "truncated-frame": BoughtDefect("breaks its frames off", _truncated),
}
BOUGHT_DEFECTS: Mapping[str, Mapping[str, BoughtDefect]] = {
    "id-reader": _ANY
    | {
        "unknown-status": BoughtDefect("answers with a status that nobody knows", _reader(_unknown_status)),
        "never-selects": BoughtDefect("finds cards and can select none", _reader(_always_empty)),
        "wrong-blocks": BoughtDefect("gives lengths of text and photo that do not agree", _reader(_wrong_blocks)),
        "garbled-text": BoughtDefect("gives a text that is no UTF-16", _reader(_garbled_text)),
    },
    "crt-dispenser": _ANY
    | {
        "wrong-address": BoughtDefect("answers from another address than it is asked at", _dispenser(_wrong_address)),
        "stuck-busy": BoughtDefect("never tells that a move is over", _dispenser(_stuck_busy)),
        "wrong-counter": BoughtDefect("counts no card in its bin", _dispenser(_wrong_counter)),
        "always-done": BoughtDefect("says done when it gave a move up", _dispenser(_always_done)),
        "blind": BoughtDefect("sees no card in its channel", _dispenser(_blind)),
    },
}
"""Every wrong bought part, by part and by the name of its defect."""
