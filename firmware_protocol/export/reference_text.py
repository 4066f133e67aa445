"""The prose of the register reference. `@NAME@` is filled in from the declarations."""

TITLE = """\
# Building a unit for a lockerd machine: protocol @VERSION@

Written by `python -m firmware_protocol export`; do not edit.

You build the electronics of one **unit**: a *dispenser* (carousel, picker, exit gate, load throat, retract position), a
*recycler* (throat for old cards, escrow position, bin) or a *cabinet* (doors, lights, climate, supply). The **host** is the
computer in the same machine; it runs `lockerd` and owns the bus. What moves here are people's ID cards. One that is lost,
handed out twice or handed to the wrong person is the failure that this protocol exists to exclude, whatever loses power
and whenever. Everything below follows from three sentences:

- **A motion happens once or not at all**, however often its command is sent.
- **What the unit knows, it knows from sensors and from memory that survives a power cut** - never from what it was about to do.
- **What nobody can know is said to be unknown.** A unit never resumes and never guesses; a human or another sensor decides.

You need: this page, `lk_protocol.h` (C99: all numbers, the CRC, the blocks, and the rule of clause 5 as a function), and
`vectors.json` (frames and blocks, good and broken, each with the exact verdict). Then run the conformance kit against your
board: `python -m firmware_protocol conformance --port /dev/ttyUSB0 --unit 1`.
"""

CLAUSES = """\
## 1 The line

1. RS-485, two wires, Modbus RTU, 8 data bits, no parity, 1 stop bit. A board offers @BAUDS@ baud
   and leaves the factory at @BAUD@. A unit with Ethernet may speak Modbus TCP instead, with the same registers and unit addresses.
2. The unit address is the unit's kind: 1 dispenser, 2 recycler, 3 cabinet. Frames to other addresses are none of yours; you
   neither answer nor obey broadcasts (address 0).
3. Two function codes: **3** (read holding registers) and **16** (write multiple registers). All others are answered with
   exception 1. Addresses are 0-based, as on the wire; registers travel high byte first, 32-bit values high word first.
4. A read may ask for any part of one block. One that leaves the block is answered with exception 2, one of 0 or more than
   125 registers with exception 3.
5. A frame with a wrong CRC, or one that breaks off (silence of more than 1.5 characters), is dropped without an answer, and
   the next frame is heard.
6. On a shared line you also hear requests to other units and their answers. Neither is for you, and the answer to a write
   is as long as a request: tell them by the address, and resynchronise at the silence between frames.
7. With TCP, look at the whole header: a frame whose protocol is not 0 or whose length does not fit is not answered. (Known
   libraries do not check it for you.)

## 2 Timing

1. Keep at least 3.5 characters of silence before you answer:
   @GAPS@ baud. The host keeps the same before it asks again.
2. The first byte of an answer follows within `max_response_ms` of the identity block after the last byte of the request, at
   any load, also while motors run and while the non-volatile memory is being written. A board may declare up to @ANSWER@ ms;
   100 is good. A later answer is worse than none.
3. The answer to a command tells that it was accepted, not that it was carried out. The host then reads the status, about
   every 50 ms while something moves and every second or so when nothing does.
4. A command ends within @MOTION@ seconds, retries of the mechanics included, with DONE or FAULT.
5. After power comes back, answer within 5 seconds. Until you can tell the truth in every register, stay silent.

## 3 Three blocks

A unit is three blocks of registers: it says who it is (**identity**), it takes commands (**command**), it says how things
stand (**status**). Each is read or written whole, begins with magic and version, and ends with a CRC-16/MODBUS over all its
registers before that (each register high byte first). That CRC is apart from the line's: it shows that the block is of one
moment and of one piece. Only the command block takes writes: one that begins elsewhere is answered with exception 2, one that
is not the whole block with exception 3. Build a status from a copy taken at once; a status whose halves
are of different moments is a lie
with a good CRC.

**Versions.** The major version is in the high byte. Refuse a command of another major version (it is no block, clause 5).
Live with a newer minor version: ignore what you do not know of it. A minor version may bring registers in reserved places,
sensor and light bits, opcodes and fault codes; it never brings states, results or positions, and never changes a meaning.

## 4 How a command goes

```mermaid
sequenceDiagram
    participant Host
    participant Unit
    participant Memory as Non-volatile memory
    participant Motors
    Host->>Unit: read status
    Unit-->>Host: boot_id B, READY, accepted_seq 41
    Note over Host: makes its intent durable: "B, 42, PICK 3"
    Host->>Unit: write command: B, 42, PICK 3
    Note over Unit: the rule says ACCEPT
    Unit->>Memory: accepted_seq 42, opcode PICK, arg0 3
    Memory-->>Unit: durable
    Unit-->>Host: normal answer
    Unit->>Motors: power
    Host->>Unit: read status
    Unit-->>Host: RUNNING, accepted 42, done 41
    Motors-->>Unit: sensors confirm
    Unit->>Memory: done_seq 42, result DONE, counters
    Host->>Unit: read status
    Unit-->>Host: READY, accepted 42, done 42, DONE, position TRANSPORT
```

An answer gets lost. The host sends the very same block again; the unit has it already and does nothing:

```mermaid
sequenceDiagram
    participant Host
    participant Unit
    Host->>Unit: write command: B, 42, PICK 3
    Unit--xHost: normal answer, lost on the line
    Note over Unit: the motion runs
    Host->>Unit: read status
    Unit-->>Host: RUNNING, accepted 42: no need to send again
    Host->>Unit: write command: B, 42, PICK 3 (another host would)
    Unit-->>Host: normal answer, nothing happens: 42 is accepted_seq
```

The power fails in the middle of a motion:

```mermaid
sequenceDiagram
    participant Host
    participant Unit
    Host->>Unit: write command: B, 42, PICK 3
    Unit-->>Host: normal answer
    Note over Unit: power fails, power returns
    Note over Unit: accepted 42, done 41: INTERRUPTED, new boot_id C
    Host->>Unit: read status
    Unit-->>Host: C, INTERRUPTED, accepted 42, done 41, position UNKNOWN
    Note over Host: PICK 3 is in doubt, sensors and chip readers decide
    Host->>Unit: write command: C, 43, RESET
    Unit-->>Host: normal answer
    Host->>Unit: read status
    Unit-->>Host: READY, accepted 43, done 43, position TRANSPORT
```
"""

NON_VOLATILE = """\
Only ACCEPT changes anything. REPEATED is looked at **before** `boot_id`, because a host that lost your answer may ask again
after you have restarted. After an ACCEPT the interlocks of clause 9 are looked at: a motion that the sensors forbid is
accepted, moves nothing, and ends at once with result FAULT and the fault named there (`lk_interlock`). So does every motion
that carries a card while `position` is UNKNOWN, with fault SENSOR: RESET comes first.

### 5.1 States

```mermaid
stateDiagram-v2
    [*] --> READY: boot, accepted_seq = done_seq
    [*] --> INTERRUPTED: boot, accepted_seq ≠ done_seq
    READY --> RUNNING: ACCEPT
    INTERRUPTED --> RUNNING: ACCEPT of RESET
    RUNNING --> READY: the end, done_seq becomes accepted_seq
    RUNNING --> [*]: power fails
    INTERRUPTED --> [*]: power fails
    READY --> [*]: power fails
```

RUNNING is never left but by the end of the command or of the power. A fault is an end: the unit is READY again, `result` is
FAULT, and `fault` stays until the next good command.

## 6 What survives a power cut

1. `accepted_seq`, `accepted_opcode`, `accepted_arg0`: durable **before** any motor has power, and before the answer.
2. `done_seq`, `done_opcode`, `done_arg0`, `result`, `fault` and the totals `dispensed` and `retained`: durable in one piece
   (all of the new or all of the old) **after** the sensors confirm the end, and before the status shows it.
3. Whether a card is in the path, is held for a hand, or is being returned: durable with 1 and 2. A held card that is gone
   at boot was taken, and counts.
4. `boot_id` is another one after each boot. A random number of 32 bits will do, so will a counter in the same memory.
5. Sequence numbers and totals are never reset, by no command, no service menu and no firmware update. A board whose memory
   is lost says so by an `accepted_seq` of 0; the host then stops and calls staff.
6. Write a record with a CRC alternately to two places, so that a cut in the middle of a write leaves the other one good. Two
   writes to each command are several hundred thousand a year: FRAM bears it, flash and EEPROM need wear levelling.

## 7 What is counted, and where a card is

1. `position` is what the path sensors see now. If the memory says that a card is in the path and no sensor sees it, or two
   see one, it is UNKNOWN. It is never what the last motion should have led to.
2. **Taken**: the card was held for a hand (at EXIT; at THROAT after RETURN), nothing moved, and the sensor fell. Then, and
   only then, `dispensed` rises by one. PRESENT itself counts nothing.
3. `retained` rises by one with the end of CAPTURE or RETAIN, when the card has left the path sensor for good.
4. A motion is DONE only if a sensor sees the card where it should be now (in a slot, retract position or bin: the path
   sensor has fallen and what the mechanics can see agrees). Otherwise it is a FAULT, and the sensors say the rest.
5. RESET homes the mechanics; a card in the path stays in the machine and ends where a path sensor sees it. RESET never puts a
   card into a slot, the retract position or the bin, and never pushes one out. It shuts the exit gate unless a card stands in
   it: a host takes a gate that is open after RESET for one that holds a card, whatever EXIT says.
6. A cabinet keeps no climate of its own: fan and heater do what FAN and HEATER told them last, until RESET or a loss of power
   switches both off. The host looks at `temperature` about once a minute and decides. A board may switch the heater off by
   itself where staying on would be a danger, and then says so in `heater`.
"""

EXAMPLES = """\
## 11 Bytes on the line

Modbus RTU frames to unit 1 with the line's CRC (low byte first, unlike all else), hexadecimal. vectors.json has more, with
broken ones.
"""

CARD_READER = """\
## 12 Checking your board

1. Compile `lk_protocol.h` with your compiler; feed `lk_judge` the "mailbox" vectors.
2. Feed your Modbus stack the "rtu" vectors: same bytes in, same bytes out.
3. Run the conformance kit. It asks before it moves anything, and asks you to cut the power in the middle of a motion.
   Attach its report to the delivery.

## 13 The ID-card reader (SAM-V)

Not a unit of yours: a bought module on its own serial line (8N1, 115200 baud by default). Declared here because host and
simulator speak it.

    host -> reader   AA AA AA 96 69 | length u16 | CMD PARA | data | check
    reader -> host   AA AA AA 96 69 | length u16 | SW1 SW2 SW3 | data | check

Numbers are big-endian. `length` counts everything behind itself; `check` is the XOR of everything between header and itself.
"""

SKELETON = """\
## 14 A firmware in one page

What stands between your Modbus stack and your motors. `nv_save` replaces the record in non-volatile memory and returns when it
is durable; `sensors_now`, `motor_start` and `motor_running` are yours. (The tests of this project compile this page.)

```c
#include "lk_protocol.h"

typedef struct record { /* clause 6 */
    uint32_t accepted_seq, done_seq, dispensed, retained;
    uint16_t accepted_opcode, accepted_arg0, done_opcode, done_arg0, result, fault, carried, held;
} record;

void nv_load(record *into);
void nv_save(const record *from);
uint32_t sensors_now(void);
uint16_t position_now(const record *nv, uint32_t sensors); /* clause 7.1 */
void motor_start(uint16_t opcode, uint16_t arg0);
int motor_running(uint16_t *fault); /* 0 at the end, with what the sensors say then */

static record nv;
static uint16_t state;
static uint32_t boot_id;

void boot(uint32_t fresh_random)
{
    nv_load(&nv);
    boot_id = fresh_random;
    state = nv.accepted_seq == nv.done_seq ? LK_STATE_READY : LK_STATE_INTERRUPTED; /* nothing is resumed */
}

static void end(uint16_t fault)
{
    nv.done_seq = nv.accepted_seq;
    nv.done_opcode = nv.accepted_opcode;
    nv.done_arg0 = nv.accepted_arg0;
    nv.result = fault == LK_FAULT_NONE ? LK_RESULT_DONE : LK_RESULT_FAULT;
    nv.fault = fault; /* and carried, held, retained as clauses 6 and 7 say */
    nv_save(&nv);
    state = LK_STATE_READY;
}

/* FC16 to LK_COMMAND_ADDRESS; the exception to answer with, 0 for the normal answer. */
uint8_t command_written(const uint16_t *registers, size_t count, uint16_t slots)
{
    lk_unit unit;
    lk_command command;
    lk_verdict verdict;
    uint16_t fault;
    unit.kind = LK_KIND_DISPENSER;
    unit.capacity = slots;
    unit.state = state;
    unit.boot_id = boot_id;
    unit.accepted_seq = nv.accepted_seq;
    verdict = lk_judge(registers, count, &unit, &command);
    if (verdict != LK_VERDICT_ACCEPT) {
        return lk_exception(verdict);
    }
    fault = lk_interlock(command.opcode, sensors_now());
    nv.accepted_seq = command.seq;
    nv.accepted_opcode = command.opcode;
    nv.accepted_arg0 = command.arg0;
    nv_save(&nv); /* durable before the answer and before motor power */
    state = LK_STATE_RUNNING;
    if (fault != LK_FAULT_NONE) {
        end(fault);
    } else {
        motor_start(command.opcode, command.arg0);
    }
    return 0u;
}

/* From your main loop. */
void poll(void)
{
    uint16_t fault = LK_FAULT_NONE;
    if (state == LK_STATE_RUNNING && !motor_running(&fault)) {
        end(fault);
    }
}

/* FC3 of the status block: fill `status` from one moment, then encode it. */
void status_read(uint16_t *registers)
{
    lk_status status = {0};
    status.boot_id = boot_id;
    status.state = state;
    status.accepted_seq = nv.accepted_seq;
    status.accepted_opcode = nv.accepted_opcode;
    status.accepted_arg0 = nv.accepted_arg0;
    status.done_seq = nv.done_seq;
    status.done_opcode = nv.done_opcode;
    status.done_arg0 = nv.done_arg0;
    status.result = nv.result;
    status.fault = nv.fault;
    status.dispensed = nv.dispensed;
    status.retained = nv.retained;
    status.sensors = sensors_now();
    status.position = position_now(&nv, status.sensors);
    status.slot = LK_NO_SLOT; /* the slot at your picker */
    lk_encode_status(&status, registers);
}
```
"""
