/* Answers on standard output what the exported rule says to each line of standard input:
 *   J kind capacity state boot accepted count registers...   -> verdict exception seq opcode arg0
 *   F expected count registers...                            -> flaw of a block
 *   L opcode sensors                                         -> fault of the interlock
 *   C bytes...                                               -> CRC-16
 *   X bytes...                                               -> check byte of a SAM-V frame
 *   I kind capacity serial answer_ms                         -> registers of the identity
 *   S the fields of the status in their order, 7 details     -> registers of the status
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lk_protocol.h"

#define MOST 4096

static unsigned long numbers[MOST];

static size_t parse(char *line)
{
    size_t count = 0;
    char *word = strtok(line, " \n");
    while (word != NULL && count < MOST) {
        numbers[count++] = strtoul(word, NULL, 0);
        word = strtok(NULL, " \n");
    }
    return count;
}

static void take(uint16_t *registers, size_t from, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        registers[i] = (uint16_t)numbers[from + i];
    }
}

static void print(const uint16_t *registers, size_t count)
{
    size_t i;
    for (i = 0; i < count; i++) {
        printf("%u ", (unsigned)registers[i]);
    }
    printf("\n");
}

static void answer_judge(void)
{
    uint16_t registers[MOST];
    lk_unit unit;
    lk_command command = {0u, 0u, 0u, 0u, 0u, 0u};
    lk_verdict verdict;
    const size_t count = numbers[5];
    unit.kind = (uint16_t)numbers[0];
    unit.capacity = (uint16_t)numbers[1];
    unit.state = (uint16_t)numbers[2];
    unit.boot_id = (uint32_t)numbers[3];
    unit.accepted_seq = (uint32_t)numbers[4];
    take(registers, 6, count);
    verdict = lk_judge(registers, count, &unit, &command);
    printf("%d %u %" PRIu32 " %u %u\n", (int)verdict, (unsigned)lk_exception(verdict), command.seq,
        (unsigned)command.opcode, (unsigned)command.arg0);
}

static void answer_status(void)
{
    uint16_t registers[LK_STATUS_COUNT];
    lk_status status;
    size_t i;
    status.boot_id = (uint32_t)numbers[0];
    status.state = (uint16_t)numbers[1];
    status.accepted_seq = (uint32_t)numbers[2];
    status.done_seq = (uint32_t)numbers[3];
    status.done_opcode = (uint16_t)numbers[4];
    status.result = (uint16_t)numbers[5];
    status.step = (uint16_t)numbers[6];
    status.position = (uint16_t)numbers[7];
    status.slot = (uint16_t)numbers[8];
    status.sensors = (uint32_t)numbers[9];
    status.fault = (uint16_t)numbers[10];
    status.dispensed = (uint32_t)numbers[11];
    status.retained = (uint32_t)numbers[12];
    for (i = 0; i < LK_STATUS_DETAIL_COUNT; i++) {
        status.detail[i] = (uint16_t)numbers[13 + i];
    }
    status.accepted_opcode = (uint16_t)numbers[20];
    status.accepted_arg0 = (uint16_t)numbers[21];
    status.done_arg0 = (uint16_t)numbers[22];
    lk_encode_status(&status, registers);
    print(registers, LK_STATUS_COUNT);
}

static void answer_identity(void)
{
    uint16_t registers[LK_IDENTITY_COUNT];
    lk_identity identity;
    identity.kind = (uint16_t)numbers[0];
    identity.capacity = (uint16_t)numbers[1];
    identity.serial = (uint32_t)numbers[2];
    identity.max_response_ms = (uint16_t)numbers[3];
    lk_encode_identity(&identity, registers);
    print(registers, LK_IDENTITY_COUNT);
}

int main(void)
{
    static char line[1 << 16];
    while (fgets(line, sizeof line, stdin) != NULL) {
        uint16_t registers[MOST];
        uint8_t bytes[MOST];
        size_t i;
        const size_t count = parse(line + 1);
        for (i = 0; i < count; i++) {
            bytes[i] = (uint8_t)numbers[i];
        }
        switch (line[0]) {
        case 'J':
            answer_judge();
            break;
        case 'F':
            take(registers, 2, numbers[1]);
            printf("%d\n", (int)lk_open(registers, numbers[1], numbers[0]));
            break;
        case 'L':
            printf("%u\n", (unsigned)lk_interlock((uint16_t)numbers[0], (uint32_t)numbers[1]));
            break;
        case 'C':
            printf("%u\n", (unsigned)lk_crc16(bytes, count));
            break;
        case 'X':
            printf("%u\n", (unsigned)lk_samv_check(bytes, count));
            break;
        case 'I':
            answer_identity();
            break;
        case 'S':
            answer_status();
            break;
        default:
            return 1;
        }
    }
    return 0;
}
