/* lk_protocol.h - the wires of a lockerd machine, protocol 1.1.
 *
 * Written by `python -m firmware_protocol export`; do not edit. C99, freestanding: no state, no allocation, no I/O.
 * The firmware engineer's text beside it is reference.md, frames with their verdicts are in vectors.json.
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef LK_PROTOCOL_H
#define LK_PROTOCOL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LK_MAGIC 0x4C4Bu /* first register of every block */
#define LK_VERSION_MAJOR 1u /* a block of another major version is refused */
#define LK_VERSION_MINOR 1u /* a newer minor is lived with */
#define LK_VERSION 0x0101u /* second register of every block */
#define LK_MAX_SLOTS 1000u /* largest capacity */
#define LK_NO_SLOT 0xFFFFu /* in status.slot: none, or not known */
#define LK_MAX_ANSWER_MS 500u /* longest answer time that a board may declare */
#define LK_MOTION_MS 30000u /* longest time from acceptance to the end of a command */
#define LK_EXCEPTION_ILLEGAL_FUNCTION 1u /* Modbus exception code */
#define LK_EXCEPTION_ILLEGAL_DATA_ADDRESS 2u /* Modbus exception code */
#define LK_EXCEPTION_ILLEGAL_DATA_VALUE 3u /* Modbus exception code */
#define LK_EXCEPTION_SERVER_DEVICE_FAILURE 4u /* Modbus exception code */
#define LK_EXCEPTION_SERVER_DEVICE_BUSY 6u /* Modbus exception code */
#define LK_SAMV_HEADER {0xAAu, 0xAAu, 0xAAu, 0x96u, 0x69u} /* every frame of the ID-card reader begins so */
#define LK_SAMV_HEADER_LENGTH 5u
#define LK_SAMV_PREFIX_LENGTH 7u /* header and length */
#define LK_SAMV_TEXT_LENGTH 256u /* bytes */
#define LK_SAMV_PHOTO_LENGTH 1024u /* bytes */
#define LK_SAMV_ADDED_ADDRESS_LENGTH 70u /* bytes */
#define LK_SAMV_MAX_REQUEST 16u /* greatest length field of a request */
#define LK_SAMV_MAX_REPLY 2314u /* greatest length field of a reply */

/* The identity block: Who answers. Constant from one boot to the next */
#define LK_IDENTITY_ADDRESS 0x0000u /* 0-based */
#define LK_IDENTITY_COUNT 12u /* registers, CRC included */
#define LK_IDENTITY_KIND 2u /* u16 */
#define LK_IDENTITY_CAPACITY 3u /* u16, 0 to 1000 slots */
#define LK_IDENTITY_SERIAL 4u /* u32 */
#define LK_IDENTITY_MAX_RESPONSE_MS 6u /* u16, 1 to 500 ms */
#define LK_IDENTITY_CRC 11u /* CRC-16/MODBUS over all registers before it */

/* The command block: One command, written in one FC16. It cannot be read back: the status tells what became of it */
#define LK_COMMAND_ADDRESS 0x0100u /* 0-based */
#define LK_COMMAND_COUNT 12u /* registers, CRC included */
#define LK_COMMAND_BOOT_ID 2u /* u32 */
#define LK_COMMAND_SEQ 4u /* u32 */
#define LK_COMMAND_OPCODE 6u /* u16 */
#define LK_COMMAND_ARG0 7u /* u16 */
#define LK_COMMAND_ARG1 8u /* u16 */
#define LK_COMMAND_ARG2 9u /* u16 */
#define LK_COMMAND_CRC 11u /* CRC-16/MODBUS over all registers before it */

/* The status block: All that a unit says of itself, of one moment */
#define LK_STATUS_ADDRESS 0x0200u /* 0-based */
#define LK_STATUS_COUNT 32u /* registers, CRC included */
#define LK_STATUS_BOOT_ID 2u /* u32 */
#define LK_STATUS_STATE 4u /* u16 */
#define LK_STATUS_ACCEPTED_SEQ 5u /* u32 */
#define LK_STATUS_DONE_SEQ 7u /* u32 */
#define LK_STATUS_DONE_OPCODE 9u /* u16 */
#define LK_STATUS_RESULT 10u /* u16 */
#define LK_STATUS_STEP 11u /* u16 */
#define LK_STATUS_POSITION 12u /* u16 */
#define LK_STATUS_SLOT 13u /* u16 */
#define LK_STATUS_SENSORS 14u /* u32 */
#define LK_STATUS_FAULT 16u /* u16 */
#define LK_STATUS_DISPENSED 17u /* u32 cards */
#define LK_STATUS_RETAINED 19u /* u32 cards */
#define LK_STATUS_DETAIL 21u /* u16 */
#define LK_STATUS_DETAIL_COUNT 7u
#define LK_STATUS_ACCEPTED_OPCODE 28u /* u16 */
#define LK_STATUS_ACCEPTED_ARG0 29u /* u16 */
#define LK_STATUS_DONE_ARG0 30u /* u16 */
#define LK_STATUS_CRC 31u /* CRC-16/MODBUS over all registers before it */

/* What the detail registers of the status are in each kind of unit: index into detail[]. */
#define LK_DISPENSER_RETRACT_COUNT 0u /* u16 cards; Cards in the retract position now */
#define LK_RECYCLER_BIN_COUNT 0u /* u16 cards; Cards in the bin since EMPTY_BIN; non-volatile */
#define LK_CABINET_TEMPERATURE 0u /* s16, -400 to 1000 0.1 deg C; Temperature inside */
#define LK_CABINET_BATTERY 1u /* u16, 0 to 100 %; Charge of the battery */
#define LK_CABINET_LIGHTS 2u /* u16; Lights that are on */
#define LK_CABINET_FAN 3u /* u16, 0 to 100 %; Speed that the fan was told to run at */
#define LK_CABINET_HEATER 4u /* u16, 0 to 1; Whether the heater is on */

#define LK_KIND_DISPENSER 0x0001u /* carousel of up to 1,000 slots, picker, load throat, exit gate and retract position */
#define LK_KIND_RECYCLER 0x0002u /* old-card throat with shutter, escrow position, bin with a counter, and return path */
#define LK_KIND_CABINET 0x0003u /* doors, tamper contact, key switch, lights, temperature, fan, heater, mains and battery */

#define LK_OPCODE_RESET 0x0001u /* home the mechanics; a card in the path stays in it, where a sensor sees it; a cabinet switches all off */
#define LK_OPCODE_ALIGN 0x0010u /* turn the carousel so that slot arg0 stands at the picker; no card moves */
#define LK_OPCODE_LOAD 0x0011u /* draw the top card of the load throat in */
#define LK_OPCODE_STORE 0x0012u /* put the card into slot arg0, turning the carousel first */
#define LK_OPCODE_PICK 0x0013u /* take the card out of slot arg0, turning the carousel first */
#define LK_OPCODE_PRESENT 0x0014u /* open the gate and hold the card out for the citizen */
#define LK_OPCODE_RETRACT 0x0015u /* draw a card that was not taken back in and close the gate */
#define LK_OPCODE_CAPTURE 0x0016u /* put the card into the retract position, from where only staff take it */
#define LK_OPCODE_REJECT 0x0017u /* put the card into the staff's reject lane, out of the machine */
#define LK_OPCODE_OPEN 0x0020u /* open the shutter and let a card be inserted */
#define LK_OPCODE_CLOSE 0x0021u /* close the shutter of an empty throat */
#define LK_OPCODE_ACCEPT 0x0022u /* draw the inserted card in and close the shutter */
#define LK_OPCODE_RETURN 0x0023u /* give the card in escrow back: open the shutter and hold it out for the citizen */
#define LK_OPCODE_RETAIN 0x0024u /* drop the card in escrow into the bin */
#define LK_OPCODE_EMPTY_BIN 0x0025u /* staff emptied the bin: its counter starts again at 0 */
#define LK_OPCODE_LIGHT 0x0030u /* switch on exactly the lights in arg0; bits without a lamp are ignored */
#define LK_OPCODE_FAN 0x0031u /* run the fan at arg0 per cent, 0 is off */
#define LK_OPCODE_HEATER 0x0032u /* switch the heater off (0) or on (1) */

#define LK_STATE_READY 0x0001u /* nothing runs; the last command is done, or there was none */
#define LK_STATE_RUNNING 0x0002u /* the accepted command runs */
#define LK_STATE_INTERRUPTED 0x0003u /* booted with accepted_seq != done_seq: a command was begun and its end is unknown; only RESET is accepted */

#define LK_RESULT_NONE 0x0000u /* no command has ever finished */
#define LK_RESULT_DONE 0x0001u /* the sensors confirm it */
#define LK_RESULT_FAULT 0x0002u /* it ended early; fault and the sensors say where the card is */

#define LK_POSITION_NONE 0x0000u /* no card is in the path */
#define LK_POSITION_LOAD 0x0001u /* in the load throat; never reported in position */
#define LK_POSITION_TRANSPORT 0x0002u /* before the exit reader, behind the gate */
#define LK_POSITION_EXIT 0x0003u /* held at the open gate */
#define LK_POSITION_RETRACT 0x0004u /* in the retract position; never reported in position */
#define LK_POSITION_THROAT 0x0005u /* in the old-card throat */
#define LK_POSITION_ESCROW 0x0006u /* before the throat reader, behind the shutter */
#define LK_POSITION_BIN 0x0007u /* in the bin; never reported in position */
#define LK_POSITION_UNKNOWN 0x0008u /* the non-volatile memory says that a card is in the path and no sensor sees it, or two sensors see one */

#define LK_SENSOR_HOME UINT32_C(0x00000001) /* the mechanics are homed */
#define LK_SENSOR_LOAD UINT32_C(0x00000002) /* a card lies in the load throat */
#define LK_SENSOR_TRANSPORT UINT32_C(0x00000004) /* a card is at the transport position */
#define LK_SENSOR_EXIT UINT32_C(0x00000008) /* a card is at the exit */
#define LK_SENSOR_GATE_OPEN UINT32_C(0x00000010) /* the exit gate is open */
#define LK_SENSOR_SLOT UINT32_C(0x00000020) /* a card lies in the slot that stands at the picker */
#define LK_SENSOR_RETRACT_FULL UINT32_C(0x00000040) /* the retract position takes no more card */
#define LK_SENSOR_THROAT UINT32_C(0x00000100) /* a card is in the old-card throat */
#define LK_SENSOR_ESCROW UINT32_C(0x00000200) /* a card is at the escrow position */
#define LK_SENSOR_SHUTTER_OPEN UINT32_C(0x00000400) /* the shutter is open */
#define LK_SENSOR_BIN_FULL UINT32_C(0x00000800) /* the bin takes no more card */
#define LK_SENSOR_DOOR_OPEN UINT32_C(0x00010000) /* the service door is open */
#define LK_SENSOR_TAMPER UINT32_C(0x00020000) /* the tamper contact is open */
#define LK_SENSOR_KEY_SWITCH UINT32_C(0x00040000) /* the staff's key switch is on */
#define LK_SENSOR_MAINS UINT32_C(0x00080000) /* mains power is present */
#define LK_SENSOR_HATCH_OPEN UINT32_C(0x00100000) /* the staff's loading hatch is open */
#define LK_SENSOR_FAN_TURNS UINT32_C(0x00200000) /* the fan turns */

#define LK_FAULT_NONE 0x0000u /* nothing is wrong */
#define LK_FAULT_JAM 0x0001u /* the card or the mechanics stopped on the way */
#define LK_FAULT_SLOT_EMPTY 0x0002u /* no card lies in the slot */
#define LK_FAULT_TARGET_OCCUPIED 0x0003u /* a card lies where this one should go; nothing moved */
#define LK_FAULT_NO_CARD 0x0004u /* no card lies where this one should come from */
#define LK_FAULT_SENSOR 0x0005u /* the sensors contradict each other or the motion */
#define LK_FAULT_MOTOR 0x0006u /* a motor does not follow */
#define LK_FAULT_GATE_BLOCKED 0x0007u /* gate or shutter cannot close */
#define LK_FAULT_BIN_FULL 0x0008u /* the bin or the retract position takes no more card; nothing moved */
#define LK_FAULT_DOOR_OPEN 0x0009u /* a door is open, motors have no power */
#define LK_FAULT_OTHER 0xFFFFu /* never sent: how a host reads a code that a newer minor brought */

#define LK_LIGHT_READER 0x0001u /* at the counter's card reader */
#define LK_LIGHT_THROAT 0x0002u /* at the old-card throat */
#define LK_LIGHT_EXIT 0x0004u /* at the exit */
#define LK_LIGHT_CAMERA 0x0008u /* at the camera */
#define LK_LIGHT_LOAD 0x0010u /* at the load throat */

#define LK_SAMV_COMMAND_RESET_SAM 0x10FFu /* reset the SAM */
#define LK_SAMV_COMMAND_SAM_STATUS 0x11FFu /* status of the SAM */
#define LK_SAMV_COMMAND_SAM_ID 0x12FFu /* identification of the SAM: 16 bytes */
#define LK_SAMV_COMMAND_FIND 0x2001u /* find a card; FOUND with 4 bytes of 0, or FIND_FAILED */
#define LK_SAMV_COMMAND_SELECT 0x2002u /* select the card found; OK with 8 bytes of 0, or SELECT_FAILED */
#define LK_SAMV_COMMAND_READ_TEXT_PHOTO 0x3001u /* read text (256 bytes) and photo (1024 bytes), two lengths before them */
#define LK_SAMV_COMMAND_READ_ADDED_ADDRESS 0x3003u /* read the added address: 70 bytes, no length before them */
#define LK_SAMV_COMMAND_READ_TEXT_PHOTO_FINGERPRINT 0x3010u /* the same and the fingerprint (0, 512 or 1024 bytes), three lengths before them */
#define LK_SAMV_COMMAND_SET_MAX_RF_BYTES 0x61FFu /* set the greatest number of bytes on the radio; one byte of data: 0x50 */

#define LK_SAMV_STATUS_OK 0x0090u /* done */
#define LK_SAMV_STATUS_FOUND 0x009Fu /* a card is found */
#define LK_SAMV_STATUS_NO_CONTENT 0x0091u /* the card has no such content */
#define LK_SAMV_STATUS_BAD_CHECKSUM 0x0010u /* the request's check is wrong */
#define LK_SAMV_STATUS_BAD_LENGTH 0x0011u /* the request's length is wrong */
#define LK_SAMV_STATUS_BAD_COMMAND 0x0021u /* no such command */
#define LK_SAMV_STATUS_UNAUTHORISED 0x0023u /* not allowed */
#define LK_SAMV_STATUS_UNKNOWN 0x0024u /* unknown error */
#define LK_SAMV_STATUS_CARD_TO_SAM_FAILED 0x0031u /* the card did not accept the SAM */
#define LK_SAMV_STATUS_SAM_TO_CARD_FAILED 0x0032u /* the SAM did not accept the card */
#define LK_SAMV_STATUS_VERIFICATION_FAILED 0x0033u /* what was read is not authentic */
#define LK_SAMV_STATUS_UNKNOWN_CARD 0x0040u /* unknown type of card */
#define LK_SAMV_STATUS_READ_FAILED 0x0041u /* the card could not be read */
#define LK_SAMV_STATUS_RANDOM_FAILED 0x0047u /* no random number from the card */
#define LK_SAMV_STATUS_SELF_TEST_FAILED 0x0060u /* the SAM's self-test failed */
#define LK_SAMV_STATUS_SAM_UNAUTHORISED 0x0066u /* the SAM is not authorised */
#define LK_SAMV_STATUS_FIND_FAILED 0x0080u /* no card is found */
#define LK_SAMV_STATUS_SELECT_FAILED 0x0081u /* the card could not be selected */

#define LK_SENSORS_OF_DISPENSER UINT32_C(0x0000007F) /* sensors that it has */
#define LK_SENSORS_OF_RECYCLER UINT32_C(0x00000F01) /* sensors that it has */
#define LK_SENSORS_OF_CABINET UINT32_C(0x003F0001) /* sensors that it has */

typedef enum lk_flaw {
    LK_FLAW_NONE = 0,
    LK_FLAW_COUNT = 1,
    LK_FLAW_CRC = 3,
    LK_FLAW_MAGIC = 4,
    LK_FLAW_MAJOR = 5,
    LK_FLAW_VALUE = 6
} lk_flaw;

typedef enum lk_verdict {
    LK_VERDICT_ACCEPT = 1, /* persist accepted_seq, opcode and args, then power the motor */
    LK_VERDICT_REPEATED = 2, /* seq is accepted_seq: acknowledge, do nothing */
    LK_VERDICT_BAD_BLOCK = 3, /* no whole block with a good CRC, magic and major version */
    LK_VERDICT_BAD_ARGUMENT = 4, /* the unit has no such opcode, or arg0 is outside its range */
    LK_VERDICT_FOREIGN_BOOT = 5, /* boot_id is not this boot's */
    LK_VERDICT_OUT_OF_ORDER = 6, /* seq is not accepted_seq + 1 */
    LK_VERDICT_BUSY = 7 /* RUNNING; or INTERRUPTED, and the command is not RESET */
} lk_verdict;

/* CRC-16/MODBUS: polynomial 0xA001 reflected, start 0xFFFF; of "123456789" it is 0x4B37. */
static inline uint16_t lk_crc16_step(uint16_t crc, uint8_t byte)
{
    unsigned bits = (unsigned)crc ^ byte;
    int i;
    for (i = 0; i < 8; i++) {
        bits = (bits & 1u) != 0u ? (bits >> 1) ^ 0xA001u : bits >> 1;
    }
    return (uint16_t)bits;
}

static inline uint16_t lk_crc16(const uint8_t *data, size_t length)
{
    uint16_t crc = 0xFFFFu;
    size_t i;
    for (i = 0; i < length; i++) {
        crc = lk_crc16_step(crc, data[i]);
    }
    return crc;
}

/* The same over registers, each high byte first. */
static inline uint16_t lk_crc16_registers(const uint16_t *registers, size_t count)
{
    uint16_t crc = 0xFFFFu;
    size_t i;
    for (i = 0; i < count; i++) {
        crc = lk_crc16_step(crc, (uint8_t)(registers[i] >> 8));
        crc = lk_crc16_step(crc, (uint8_t)(registers[i] & 0xFFu));
    }
    return crc;
}

/* Check byte of a SAM-V frame: XOR of everything between the header and itself. */
static inline uint8_t lk_samv_check(const uint8_t *data, size_t length)
{
    unsigned check = 0u;
    size_t i;
    for (i = 0; i < length; i++) {
        check ^= data[i];
    }
    return (uint8_t)check;
}

/* 32 bits lie in two registers, high word first. */
static inline uint32_t lk_get_u32(const uint16_t *registers)
{
    return (uint32_t)registers[0] << 16 | registers[1];
}

static inline void lk_put_u32(uint16_t *registers, uint32_t value)
{
    registers[0] = (uint16_t)(value >> 16);
    registers[1] = (uint16_t)(value & 0xFFFFu);
}

/* Writes magic, version and CRC of a block of `count` registers. */
static inline void lk_seal(uint16_t *registers, size_t count)
{
    registers[0] = LK_MAGIC;
    registers[1] = LK_VERSION;
    registers[count - 1u] = lk_crc16_registers(registers, count - 1u);
}

typedef struct lk_identity {
    uint16_t kind; /* Which unit this is; equals its Modbus address */
    uint16_t capacity; /* Slots of the carousel, 0 in a unit without one */
    uint32_t serial; /* Serial number of the board */
    uint16_t max_response_ms; /* Longest time from the end of a request to the beginning of its answer, at any load */
} lk_identity;

/* Fills all LK_IDENTITY_COUNT registers, CRC included. */
static inline void lk_encode_identity(const lk_identity *from, uint16_t *registers)
{
    size_t i;
    for (i = 0; i < LK_IDENTITY_COUNT; i++) {
        registers[i] = 0;
    }
    registers[LK_IDENTITY_KIND] = from->kind;
    registers[LK_IDENTITY_CAPACITY] = from->capacity;
    lk_put_u32(registers + LK_IDENTITY_SERIAL, from->serial);
    registers[LK_IDENTITY_MAX_RESPONSE_MS] = from->max_response_ms;
    lk_seal(registers, LK_IDENTITY_COUNT);
}

typedef struct lk_status {
    uint32_t boot_id; /* Another one at each boot: drawn at random, or counted in non-volatile memory */
    uint16_t state; /* What the firmware is doing */
    uint32_t accepted_seq; /* seq of the last accepted command; non-volatile */
    uint32_t done_seq; /* seq of the last finished command; non-volatile */
    uint16_t done_opcode; /* opcode of the last finished command; non-volatile */
    uint16_t result; /* How the last finished command ended; non-volatile */
    uint16_t step; /* Sub-steps of the running motion so far: progress, never evidence */
    uint16_t position; /* Where the path sensors see the unit's one card outside the storage */
    uint16_t slot; /* Slot that stands at the picker; 0xffff: none, or not known */
    uint32_t sensors; /* Level of every sensor now */
    uint16_t fault; /* Why the last finished command ended early; non-volatile */
    uint32_t dispensed; /* Cards that a hand took, at EXIT, or at THROAT after RETURN; non-volatile, never reset */
    uint32_t retained; /* Cards that went into the retract position or the bin; non-volatile, never reset */
    uint16_t detail[7]; /* Values of this kind of unit, see below */
    uint16_t accepted_opcode; /* opcode of the last accepted command; non-volatile */
    uint16_t accepted_arg0; /* arg0 of the last accepted command; non-volatile */
    uint16_t done_arg0; /* arg0 of the last finished command; non-volatile */
} lk_status;

/* Fills all LK_STATUS_COUNT registers, CRC included. */
static inline void lk_encode_status(const lk_status *from, uint16_t *registers)
{
    size_t i;
    for (i = 0; i < LK_STATUS_COUNT; i++) {
        registers[i] = 0;
    }
    lk_put_u32(registers + LK_STATUS_BOOT_ID, from->boot_id);
    registers[LK_STATUS_STATE] = from->state;
    lk_put_u32(registers + LK_STATUS_ACCEPTED_SEQ, from->accepted_seq);
    lk_put_u32(registers + LK_STATUS_DONE_SEQ, from->done_seq);
    registers[LK_STATUS_DONE_OPCODE] = from->done_opcode;
    registers[LK_STATUS_RESULT] = from->result;
    registers[LK_STATUS_STEP] = from->step;
    registers[LK_STATUS_POSITION] = from->position;
    registers[LK_STATUS_SLOT] = from->slot;
    lk_put_u32(registers + LK_STATUS_SENSORS, from->sensors);
    registers[LK_STATUS_FAULT] = from->fault;
    lk_put_u32(registers + LK_STATUS_DISPENSED, from->dispensed);
    lk_put_u32(registers + LK_STATUS_RETAINED, from->retained);
    for (i = 0; i < LK_STATUS_DETAIL_COUNT; i++) {
        registers[LK_STATUS_DETAIL + i] = from->detail[i];
    }
    registers[LK_STATUS_ACCEPTED_OPCODE] = from->accepted_opcode;
    registers[LK_STATUS_ACCEPTED_ARG0] = from->accepted_arg0;
    registers[LK_STATUS_DONE_ARG0] = from->done_arg0;
    lk_seal(registers, LK_STATUS_COUNT);
}

typedef struct lk_command {
    uint32_t boot_id; /* The unit's boot_id in the status that the host planned with */
    uint32_t seq; /* accepted_seq of that status + 1; after 0xFFFFFFFF comes 1 */
    uint16_t opcode; /* What to do. One that the unit does not have is refused */
    uint16_t arg0; /* Its argument, see the opcodes */
    uint16_t arg1; /* Reserved, 0 */
    uint16_t arg2; /* Reserved, 0 */
} lk_command;

/* What is wrong with `count` registers as a block of `expected` ones, in the order in which it is looked at. */
static inline lk_flaw lk_open(const uint16_t *registers, size_t count, size_t expected)
{
    if (count != expected) {
        return LK_FLAW_COUNT;
    }
    if (lk_crc16_registers(registers, count - 1u) != registers[count - 1u]) {
        return LK_FLAW_CRC;
    }
    if (registers[0] != LK_MAGIC) {
        return LK_FLAW_MAGIC;
    }
    if (registers[1] >> 8 != LK_VERSION_MAJOR) {
        return LK_FLAW_MAJOR;
    }
    return LK_FLAW_NONE;
}

/* Opens a command block of `count` registers; *into is written only when the block is good. */
static inline lk_flaw lk_decode_command(const uint16_t *registers, size_t count, lk_command *into)
{
    const lk_flaw flaw = lk_open(registers, count, LK_COMMAND_COUNT);
    if (flaw != LK_FLAW_NONE) {
        return flaw;
    }
    into->boot_id = lk_get_u32(registers + LK_COMMAND_BOOT_ID);
    into->seq = lk_get_u32(registers + LK_COMMAND_SEQ);
    into->opcode = registers[LK_COMMAND_OPCODE];
    into->arg0 = registers[LK_COMMAND_ARG0];
    into->arg1 = registers[LK_COMMAND_ARG1];
    into->arg2 = registers[LK_COMMAND_ARG2];
    return LK_FLAW_NONE;
}

/* Whether a unit of this kind has the opcode. */
static inline int lk_has_opcode(uint16_t kind, uint16_t opcode)
{
    switch (opcode) {
    case LK_OPCODE_RESET:
        return kind == LK_KIND_DISPENSER || kind == LK_KIND_RECYCLER || kind == LK_KIND_CABINET;
    case LK_OPCODE_ALIGN:
        return kind == LK_KIND_DISPENSER;
    case LK_OPCODE_LOAD:
        return kind == LK_KIND_DISPENSER;
    case LK_OPCODE_STORE:
        return kind == LK_KIND_DISPENSER;
    case LK_OPCODE_PICK:
        return kind == LK_KIND_DISPENSER;
    case LK_OPCODE_PRESENT:
        return kind == LK_KIND_DISPENSER;
    case LK_OPCODE_RETRACT:
        return kind == LK_KIND_DISPENSER;
    case LK_OPCODE_CAPTURE:
        return kind == LK_KIND_DISPENSER;
    case LK_OPCODE_REJECT:
        return kind == LK_KIND_DISPENSER;
    case LK_OPCODE_OPEN:
        return kind == LK_KIND_RECYCLER;
    case LK_OPCODE_CLOSE:
        return kind == LK_KIND_RECYCLER;
    case LK_OPCODE_ACCEPT:
        return kind == LK_KIND_RECYCLER;
    case LK_OPCODE_RETURN:
        return kind == LK_KIND_RECYCLER;
    case LK_OPCODE_RETAIN:
        return kind == LK_KIND_RECYCLER;
    case LK_OPCODE_EMPTY_BIN:
        return kind == LK_KIND_RECYCLER;
    case LK_OPCODE_LIGHT:
        return kind == LK_KIND_CABINET;
    case LK_OPCODE_FAN:
        return kind == LK_KIND_CABINET;
    case LK_OPCODE_HEATER:
        return kind == LK_KIND_CABINET;
    default:
        return 0;
    }
}

/* Whether arg0 of the opcode is within its range; `capacity` is the unit's number of slots. */
static inline int lk_argument_fits(uint16_t opcode, uint16_t arg0, uint16_t capacity)
{
    switch (opcode) {
    case LK_OPCODE_ALIGN:
    case LK_OPCODE_STORE:
    case LK_OPCODE_PICK:
        return arg0 < capacity;
    case LK_OPCODE_FAN:
        return arg0 <= 100u;
    case LK_OPCODE_HEATER:
        return arg0 <= 1u;
    default:
        (void)arg0;
        (void)capacity;
        return 1;
    }
}

/* Why the sensors forbid the motion, LK_FAULT_NONE when they allow it. Ask after the verdict, before motor power;
   a command that is forbidden here is accepted and ends at once with LK_RESULT_FAULT. */
static inline uint16_t lk_interlock(uint16_t opcode, uint32_t sensors)
{
    switch (opcode) {
    case LK_OPCODE_LOAD:
        if ((sensors & LK_SENSOR_TRANSPORT) != 0u) {
            return LK_FAULT_TARGET_OCCUPIED;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_STORE:
        if ((sensors & LK_SENSOR_TRANSPORT) != LK_SENSOR_TRANSPORT) {
            return LK_FAULT_NO_CARD;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_PICK:
        if ((sensors & LK_SENSOR_TRANSPORT) != 0u) {
            return LK_FAULT_TARGET_OCCUPIED;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_PRESENT:
        if ((sensors & LK_SENSOR_TRANSPORT) != LK_SENSOR_TRANSPORT) {
            return LK_FAULT_NO_CARD;
        }
        if ((sensors & LK_SENSOR_EXIT) != 0u) {
            return LK_FAULT_TARGET_OCCUPIED;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_RETRACT:
        if ((sensors & LK_SENSOR_EXIT) != LK_SENSOR_EXIT) {
            return LK_FAULT_NO_CARD;
        }
        if ((sensors & LK_SENSOR_TRANSPORT) != 0u) {
            return LK_FAULT_TARGET_OCCUPIED;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_CAPTURE:
        if ((sensors & LK_SENSOR_TRANSPORT) != LK_SENSOR_TRANSPORT) {
            return LK_FAULT_NO_CARD;
        }
        if ((sensors & LK_SENSOR_RETRACT_FULL) != 0u) {
            return LK_FAULT_BIN_FULL;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_REJECT:
        if ((sensors & LK_SENSOR_TRANSPORT) != LK_SENSOR_TRANSPORT) {
            return LK_FAULT_NO_CARD;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_CLOSE:
        if ((sensors & LK_SENSOR_THROAT) != 0u) {
            return LK_FAULT_GATE_BLOCKED;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_ACCEPT:
        if ((sensors & LK_SENSOR_THROAT) != LK_SENSOR_THROAT) {
            return LK_FAULT_NO_CARD;
        }
        if ((sensors & LK_SENSOR_ESCROW) != 0u) {
            return LK_FAULT_TARGET_OCCUPIED;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_RETURN:
        if ((sensors & LK_SENSOR_ESCROW) != LK_SENSOR_ESCROW) {
            return LK_FAULT_NO_CARD;
        }
        return LK_FAULT_NONE;
    case LK_OPCODE_RETAIN:
        if ((sensors & LK_SENSOR_ESCROW) != LK_SENSOR_ESCROW) {
            return LK_FAULT_NO_CARD;
        }
        if ((sensors & LK_SENSOR_BIN_FULL) != 0u) {
            return LK_FAULT_BIN_FULL;
        }
        return LK_FAULT_NONE;
    default:
        (void)sensors;
        return LK_FAULT_NONE;
    }
}

/* What the mailbox rule looks at. */
typedef struct lk_unit {
    uint16_t kind;
    uint16_t capacity;
    uint16_t state;
    uint32_t boot_id;
    uint32_t accepted_seq;
} lk_unit;

/* The sequence number after `seq`: 0 is never used after the first command. */
static inline uint32_t lk_next_seq(uint32_t seq)
{
    return seq == UINT32_C(0xFFFFFFFF) ? UINT32_C(1) : seq + 1u;
}

/* The rule: what the unit does with `count` registers written to LK_COMMAND_ADDRESS. *command is written unless the
 * verdict is LK_VERDICT_BAD_BLOCK. On LK_VERDICT_ACCEPT, and only then: make accepted_seq, opcode and args durable,
 * answer, and only then power a motor. The answer to every verdict is lk_exception's. */
static inline lk_verdict lk_judge(const uint16_t *registers, size_t count, const lk_unit *unit, lk_command *command)
{
    if (lk_decode_command(registers, count, command) != LK_FLAW_NONE) {
        return LK_VERDICT_BAD_BLOCK;
    }
    if (command->seq == unit->accepted_seq) {
        return LK_VERDICT_REPEATED; /* before boot_id: a host that lost the answer repeats it after a restart */
    }
    if (command->boot_id != unit->boot_id) {
        return LK_VERDICT_FOREIGN_BOOT;
    }
    if (command->seq != lk_next_seq(unit->accepted_seq)) {
        return LK_VERDICT_OUT_OF_ORDER;
    }
    if (unit->state == LK_STATE_RUNNING || (unit->state == LK_STATE_INTERRUPTED && command->opcode != LK_OPCODE_RESET)) {
        return LK_VERDICT_BUSY;
    }
    if (!lk_has_opcode(unit->kind, command->opcode)
        || !lk_argument_fits(command->opcode, command->arg0, unit->capacity)) {
        return LK_VERDICT_BAD_ARGUMENT;
    }
    return LK_VERDICT_ACCEPT;
}

/* The Modbus exception code that a verdict is answered with; 0: the normal answer to FC16. */
static inline uint8_t lk_exception(lk_verdict verdict)
{
    switch (verdict) {
    case LK_VERDICT_BAD_BLOCK:
    case LK_VERDICT_BAD_ARGUMENT:
        return LK_EXCEPTION_ILLEGAL_DATA_VALUE;
    case LK_VERDICT_FOREIGN_BOOT:
        return LK_EXCEPTION_SERVER_DEVICE_FAILURE;
    case LK_VERDICT_OUT_OF_ORDER:
    case LK_VERDICT_BUSY:
        return LK_EXCEPTION_SERVER_DEVICE_BUSY;
    case LK_VERDICT_ACCEPT:
    case LK_VERDICT_REPEATED:
    default:
        return 0u;
    }
}

#ifdef __cplusplus
}
#endif

#endif /* LK_PROTOCOL_H */
