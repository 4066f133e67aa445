"""The simulated machine as a process: real ptys, real HTTP, a real state file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import cv2
import pytest
import serial
from pymodbus.client import ModbusTcpClient
from pymodbus.exceptions import ModbusIOException

from firmware_protocol import cardtext, samv
from firmware_protocol.blocks import (
    COMMAND_ADDRESS,
    IDENTITY_ADDRESS,
    IDENTITY_COUNT,
    STATUS_ADDRESS,
    STATUS_COUNT,
    CommandBlock,
    IdentityBlock,
    StatusBlock,
)
from firmware_protocol.crc import crc16
from firmware_protocol.mailbox import next_seq
from firmware_protocol.units import Fault, Light, Opcode, Position, Result, Sensor, State, UnitKind
from sim.people import population

SEED = 7
D, R, C = UnitKind.DISPENSER, UnitKind.RECYCLER, UnitKind.CABINET
DEADLINE = 20.0


def until(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


class Machine:
    """The process, and what a test says to it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        command = [sys.executable, "-m", "sim", "machine", "--state", str(folder), "--seed", str(SEED)]
        self.process = subprocess.Popen(
            [*command, "--control", "127.0.0.1:0", *arguments], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.ready = json.loads(self.process.stdout.readline())
        self._control = self.ready["control"].removeprefix("http://")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        status = self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def path(self, name: str) -> str:
        return str(self.ready["paths"][name])

    def act(self, do: str, **arguments: object) -> tuple[int, dict[str, Any]]:
        return self.request("POST", "/act", {"do": do, **arguments})

    def truth(self) -> dict[str, Any]:
        return self.request("GET", "/truth")[1]

    def place(self, card_id: str) -> str:
        return str(next(card["place"] for card in self.truth()["cards"] if card["card_id"] == card_id))

    def request(self, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
        connection = HTTPConnection(self._control, timeout=DEADLINE)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


class Bus:
    """A raw Modbus RTU master."""

    def __init__(self, path: str) -> None:
        self.port = serial.Serial(path, 115200, timeout=2.0)

    def exchange(self, body: bytes, length: int) -> bytes:
        self.port.reset_input_buffer()
        self.port.write(body + crc16(body).to_bytes(2, "little"))
        answer = self.port.read(length)
        assert crc16(answer[:-2]).to_bytes(2, "little") == answer[-2:] or not answer
        return bytes(answer)

    def registers(self, unit: int, address: int, count: int) -> list[int]:
        body = bytes([unit, 3]) + address.to_bytes(2, "big") + count.to_bytes(2, "big")
        data = self.exchange(body, 5 + 2 * count)[3:-2]
        return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]

    def status(self, unit: int) -> StatusBlock:
        return StatusBlock.from_registers(self.registers(unit, STATUS_ADDRESS, STATUS_COUNT))

    def begin(self, unit: int, opcode: Opcode, arg0: int = 0) -> int:
        status = self.status(unit)
        seq = next_seq(status.accepted_seq)
        values = CommandBlock(status.boot_id, seq, opcode, arg0).to_registers()
        head = bytes([unit, 16]) + COMMAND_ADDRESS.to_bytes(2, "big") + len(values).to_bytes(2, "big")
        body = head + bytes([2 * len(values)]) + b"".join(value.to_bytes(2, "big") for value in values)
        assert self.exchange(body, 8)[1] == 16
        return seq

    def do(self, unit: int, opcode: Opcode, arg0: int = 0) -> StatusBlock:
        seq = self.begin(unit, opcode, arg0)
        until(f"{opcode.name} is done", lambda: self.status(unit).done_seq == seq)
        return self.status(unit)


class Reader:
    """A raw host of a card reader."""

    def __init__(self, path: str) -> None:
        self.port = serial.Serial(path, 115200, timeout=2.0)

    def ask(self, command: samv.Command) -> samv.Reply:
        parser = samv.reply_parser()
        self.port.write(samv.Request(command).to_bytes())
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            for reply in parser.feed(self.port.read(max(1, self.port.in_waiting))):
                return reply
        raise AssertionError("the reader does not answer")

    def text(self) -> cardtext.CardText | None:
        if self.ask(samv.Command.FIND).status != samv.Status.FOUND:
            return None
        assert self.ask(samv.Command.SELECT).status == samv.Status.OK
        reply = self.ask(samv.Command.READ_TEXT_PHOTO)
        return cardtext.decode(samv.decode_card_blocks(samv.Command.READ_TEXT_PHOTO, reply.data).text)


Start = Callable[..., Machine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running: list[Machine] = []

    def started(*arguments: str) -> Machine:
        running.append(Machine(tmp_path / "machine", *arguments))
        return running[-1]

    yield started
    for machine in running:
        if machine.process.poll() is None:
            machine.end(signal.SIGKILL)


@pytest.fixture
def opened() -> Iterator[Callable[[Any], Any]]:
    ports: list[serial.Serial] = []

    def open_it(made: Any) -> Any:
        ports.append(made.port)
        return made

    yield open_it
    for port in ports:
        port.close()


def test_a_card_goes_from_the_staff_to_a_hand_over_the_wire(start: Start, opened: Callable[[Any], Any]) -> None:
    machine = start("--speed", "20")
    bus: Bus = opened(Bus(machine.path("bus")))
    citizen = population(SEED, 2)[1]
    card = citizen.new_card.card_id
    assert machine.act("place_tray", cards=[card]) == (200, {"ok": True})
    assert bus.status(D).sensors & Sensor.LOAD

    status = bus.do(D, Opcode.LOAD)
    assert (status.result, status.position) == (Result.DONE, Position.TRANSPORT)
    text = opened(Reader(machine.path("reader-exit"))).text()
    assert (text.name, text.id_number) == (citizen.name, citizen.id_number)
    assert (text.valid_from, text.valid_to) == (citizen.new_card.valid_from, citizen.new_card.valid_to)
    assert opened(Reader(machine.path("reader-throat"))).text() is None

    bus.do(D, Opcode.STORE, 4)
    assert machine.place(card) == "slot"
    assert bus.do(D, Opcode.PICK, 5).fault is Fault.SLOT_EMPTY
    bus.do(D, Opcode.PICK, 4)
    assert bus.do(D, Opcode.PRESENT).position is Position.EXIT
    assert machine.truth()["at_exit"] == card
    assert machine.act("take_new")[0] == 200
    until("the unit notices the hand", lambda: bus.status(D).dispensed == 1)
    truth = machine.truth()
    assert (machine.place(card), truth["at_exit"], truth["gate_open"]) == ("person", None, False)
    assert truth["units"]["dispenser"] == {"dispensed": 1, "retained": 0}
    assert [motion["motion"] for motion in truth["motions"]] == ["load", "store", "pick", "pick", "present"]
    assert all(motion["began"] <= motion["ended"] <= time.monotonic() for motion in truth["motions"])


def test_an_old_card_goes_from_the_counter_into_the_bin(start: Start, opened: Callable[[Any], Any]) -> None:
    machine = start("--speed", "20")
    bus: Bus = opened(Bus(machine.path("bus")))
    citizen = population(SEED, 1)[0]
    assert citizen.old_card is not None
    card = citizen.old_card.card_id
    counter = opened(Reader(machine.path("reader-counter")))
    assert counter.text() is None
    machine.act("put_on_reader", card=card)
    assert counter.text().id_number == citizen.id_number
    assert machine.act("insert_old", card=card)[0] == 409
    bus.do(R, Opcode.OPEN)
    assert machine.act("insert_old", card=card)[0] == 200
    assert counter.text() is None
    assert bus.do(R, Opcode.ACCEPT).position is Position.ESCROW
    assert opened(Reader(machine.path("reader-throat"))).text().valid_from == citizen.old_card.valid_from
    status = bus.do(R, Opcode.RETAIN)
    assert (status.retained, status.detail[0], machine.place(card)) == (1, 1, "bin")


def test_a_power_cut_in_mid_motion_leaves_the_card_where_it_is(start: Start, opened: Callable[[Any], Any]) -> None:
    machine = start("--speed", "0.5")
    bus: Bus = opened(Bus(machine.path("bus")))
    machine.act("place_tray", cards=["N000001"])
    seq = bus.begin(D, Opcode.LOAD)
    before = bus.status(D)
    until("the card has left the feeder", lambda: machine.place("N000001") == "between")
    assert machine.act("cut_power")[0] == 200
    assert machine.act("cut_power")[0] == 409
    bus.port.timeout = 0.2
    assert bus.exchange(bytes([D, 3, 2, 0, 0, 1]), 7) == b""
    assert machine.truth()["motions"][-1]["ended"] is not None
    until("the camera is dark", lambda: not Path(machine.path("camera")).exists())
    assert machine.act("restore_power")[0] == 200
    bus.port.timeout = 2.0

    status = bus.status(D)
    assert status.boot_id != before.boot_id
    assert (status.state, status.accepted_seq, status.done_seq) == (State.INTERRUPTED, seq, seq - 1)
    assert (machine.place("N000001"), status.position) == ("between", Position.UNKNOWN)
    status = bus.do(D, Opcode.RESET)
    assert (machine.place("N000001"), status.position) == ("transport", Position.TRANSPORT)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_new_process_is_the_same_machine(start: Start, opened: Callable[[Any], Any], number: signal.Signals) -> None:
    machine = start("--speed", "20")
    bus: Bus = opened(Bus(machine.path("bus")))
    machine.act("place_tray", cards=["N000001", "N000002"])
    for opcode, slot in ((Opcode.LOAD, 0), (Opcode.STORE, 2), (Opcode.LOAD, 0), (Opcode.PRESENT, 0)):
        bus.do(D, opcode, slot)
    machine.act("take_new")
    until("the unit has counted", lambda: bus.status(D).dispensed == 1)
    machine.act("jam", unit="dispenser", motion="pick")
    machine.act("put_on_reader", card="O000001")
    before, status = machine.truth(), bus.status(D)
    assert machine.end(number) == (0 if number == signal.SIGTERM else -signal.SIGKILL)

    machine = start("--speed", "20")
    after = machine.truth()
    assert after == before | {"motions": []}
    bus = opened(Bus(machine.path("bus")))
    again = bus.status(D)
    assert again.boot_id != status.boot_id
    assert (again.accepted_seq, again.dispensed, again.slot) == (status.accepted_seq, 1, 2)
    assert bus.do(D, Opcode.PICK, 2).fault is Fault.JAM
    assert machine.truth()["jammed"] == ["dispenser"]
    machine.act("clear_jam", unit="dispenser")
    assert bus.do(D, Opcode.RESET).position is Position.TRANSPORT


def test_a_clean_stop_leaves_only_the_state(start: Start, tmp_path: Path) -> None:
    machine = start()
    until("there is a picture", Path(machine.path("camera")).exists)
    assert machine.end(signal.SIGINT) == 0
    assert [path.name for path in (tmp_path / "machine").iterdir()] == ["world.json"]


def test_the_units_answer_on_tcp_and_fall_silent_alone(start: Start) -> None:
    machine = start("--modbus-tcp", "127.0.0.1:0", "--slots", "50")
    assert "bus" not in machine.ready["paths"]
    host, _, port = machine.ready["modbus_tcp"].rpartition(":")
    client = ModbusTcpClient(host, port=int(port), timeout=0.5, retries=0)
    assert client.connect()  # type: ignore[no-untyped-call]  # the library leaves it untyped
    try:
        kinds = []
        for unit in UnitKind:
            answer = client.read_holding_registers(IDENTITY_ADDRESS, count=IDENTITY_COUNT, device_id=unit)
            identity = IdentityBlock.from_registers(answer.registers)
            kinds.append((identity.kind, identity.capacity))
        assert kinds == [(D, 50), (R, 0), (C, 0)]
        status = StatusBlock.from_registers(
            client.read_holding_registers(STATUS_ADDRESS, count=STATUS_COUNT, device_id=C).registers
        )
        command = CommandBlock(status.boot_id, 1, Opcode.LIGHT, Light.THROAT | Light.CAMERA)
        client.write_registers(COMMAND_ADDRESS, command.to_registers(), device_id=C)
        until("the lights are on", lambda: machine.truth()["lights"] == ["throat", "camera"])
        assert machine.act("silence", unit="recycler", seconds=60)[0] == 200
        with pytest.raises(ModbusIOException):
            client.read_holding_registers(IDENTITY_ADDRESS, count=IDENTITY_COUNT, device_id=R)
    finally:
        client.close()  # type: ignore[no-untyped-call]  # the same


def test_the_camera_shows_who_looks_and_can_be_gone(start: Start) -> None:
    machine = start()
    picture = Path(machine.path("camera"))
    until("there is a picture", picture.exists)
    assert machine.act("look", person="p1", also="p2")[0] == 200
    assert (machine.truth()["looking"], machine.truth()["also_looking"]) == ("p1", "p2")
    seen = picture.read_bytes()
    until("there is a newer picture", lambda: picture.read_bytes() != seen)
    frame = cv2.imread(str(picture))
    assert frame is not None
    assert frame.shape == (480, 640, 3)
    machine.act("silence", unit="camera", seconds=60)
    until("the picture is gone", lambda: not picture.exists())


@pytest.mark.parametrize(
    ("act", "status", "words"),
    [
        ({"do": "look", "person": "p99"}, 409, "no person p99"),
        ({"do": "take_new"}, 409, "no card"),
        ({"do": "place_tray", "cards": ["N999999"]}, 409, "no card N999999"),
        ({"do": "silence", "unit": "printer", "seconds": 1}, 409, "no printer"),
        ({"do": "stick_sensor", "unit": "recycler", "sensor": "exit", "level": True}, 409, "no sensor"),
        ({"do": "fly"}, 400, "fly"),
        ({"do": "look"}, 400, "person"),
        ({"do": "take_new", "card": "N000001"}, 400, "card"),
        ("nonsense", 400, "object"),
    ],
)
def test_what_cannot_be_done_is_refused(control: Machine, act: object, status: int, words: str) -> None:
    before = control.truth()
    answered, body = control.request("POST", "/act", act)
    assert (answered, words in body["error"]) == (status, True), body
    assert control.truth() == before


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("control"))
    yield machine
    assert machine.end() == 0


def test_another_machines_state_is_refused(start: Start, tmp_path: Path) -> None:
    start().end()
    command = [sys.executable, "-m", "sim", "machine", "--state", str(tmp_path / "machine"), "--seed", "8"]
    refused = subprocess.run([*command, "--control", "127.0.0.1:0"], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "made with --seed 7" in refused.stderr
    assert "Traceback" not in refused.stderr
