"""The parts of the C header that are the same for every declaration: C99, no state, no allocation, no I/O."""

HEAD = """\
/* lk_protocol.h - the wires of a lockerd machine, protocol @VERSION@.
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
#endif"""

BASICS = """\
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
}"""

OPENING = """\
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
}"""

JUDGE = """\
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
@EXCEPTIONS@
    case LK_VERDICT_ACCEPT:
    case LK_VERDICT_REPEATED:
    default:
        return 0u;
    }
}"""

TAIL = """\
#ifdef __cplusplus
}
#endif

#endif /* LK_PROTOCOL_H */"""
