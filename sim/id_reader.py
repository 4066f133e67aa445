"""A resident-ID-card reader (SAM-V module) that speaks bytes; what lies in its field is the world's business."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from firmware_protocol import cardtext, samv
from firmware_protocol.cardtext import CardText, ResidentText
from firmware_protocol.samv import CardBlocks, Command, Reply, Request, Status

# What it says of itself and of the field: always the same bytes.
_OK = Reply(Status.OK).to_bytes()
_SAM_ID = Reply(Status.OK, bytes(samv.SAM_ID_LENGTH)).to_bytes()
_FOUND = Reply(Status.FOUND, bytes(samv.FIND_FOUND_LENGTH)).to_bytes()
_FIND_FAILED = Reply(Status.FIND_FAILED).to_bytes()
_SELECTED = Reply(Status.OK, bytes(samv.SELECT_OK_LENGTH)).to_bytes()
_SELECT_FAILED = Reply(Status.SELECT_FAILED).to_bytes()
_READ_FAILED = Reply(Status.READ_FAILED).to_bytes()
_BAD_CHECKSUM = Reply(Status.BAD_CHECKSUM).to_bytes()
_BAD_COMMAND = Reply(Status.BAD_COMMAND).to_bytes()


@dataclass(frozen=True, slots=True)
class ChipData:
    """What a card's chip holds. `photo` is opaque here; `fingerprint` has 0, 512 or 1024 bytes; `added_address` may be empty."""

    text: CardText
    photo: bytes = bytes(samv.PHOTO_LENGTH)
    fingerprint: bytes = b""
    added_address: str = ""


def resident_chip(
    name: str, id_number: str, valid_from: str, valid_to: str, photo: bytes = bytes(samv.PHOTO_LENGTH)
) -> ChipData:
    """The chip of a resident's card; birth and sex follow from the 18-character number. Dates are YYYYMMDD or 长期."""
    return ChipData(
        ResidentText(
            name=name,
            sex="1" if int(id_number[16]) % 2 else "2",
            ethnicity="01",
            birth=id_number[6:14],
            address="虚构省测试市样例路1号",
            id_number=id_number,
            issuer="测试市公安局",
            valid_from=valid_from,
            valid_to=valid_to,
        ),
        photo,
    )


class SamvDevice:
    """The reader's own behaviour: find, then select, then read, of the card that is in the field now.

    A card that leaves the field, or another in its place, must be found and selected again. Anything that is no frame is
    ignored; a frame with a wrong checksum is answered with BAD_CHECKSUM.
    """

    def __init__(self, card_in_field: Callable[[], ChipData | None]) -> None:
        self._card_in_field = card_in_field
        self._parser = samv.request_parser()
        self._found: ChipData | None = None
        self._selected: ChipData | None = None

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the host, in any split; returns the answers to the requests that they complete."""
        bad_before = self._parser.bad_frames
        requests = self._parser.feed(data)
        answers = [_BAD_CHECKSUM] * (self._parser.bad_frames - bad_before)
        answers += [self._answer(request) for request in requests]
        return b"".join(answers)

    def _answer(self, request: Request) -> bytes:
        card = self._card_in_field()
        if card is None or card != self._found:
            self._found = self._selected = None
        match request.command:
            case Command.RESET_SAM:
                self._found = self._selected = None
                return _OK
            case Command.SAM_STATUS | Command.SET_MAX_RF_BYTES:
                return _OK
            case Command.SAM_ID:
                return _SAM_ID
            case Command.FIND:
                self._found, self._selected = card, None
                return _FIND_FAILED if card is None else _FOUND
            case Command.SELECT:
                self._selected = self._found
                return _SELECT_FAILED if self._selected is None else _SELECTED
            case Command.READ_TEXT_PHOTO | Command.READ_TEXT_PHOTO_FINGERPRINT | Command.READ_ADDED_ADDRESS:
                return _READ_FAILED if self._selected is None else _read(request.command, self._selected).to_bytes()
            case _:
                return _BAD_COMMAND


def _read(command: int, card: ChipData) -> Reply:
    if command == Command.READ_ADDED_ADDRESS:
        if not card.added_address:
            return Reply(Status.NO_CONTENT)
        units = samv.ADDED_ADDRESS_LENGTH // 2
        return Reply(
            Status.OK, card.added_address.ljust(units)[:units].encode("utf-16-le")[: samv.ADDED_ADDRESS_LENGTH]
        )
    fingerprint = card.fingerprint if command == Command.READ_TEXT_PHOTO_FINGERPRINT else None
    return Reply(Status.OK, CardBlocks(cardtext.encode(card.text), card.photo, fingerprint).to_data())
