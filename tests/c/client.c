/* A host on libmodbus: orders one PICK of a dispenser, repeats it, breaks it, and prints what it saw.
 *   client tcp HOST PORT SLOT      client rtu DEVICE BAUD SLOT
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lk_protocol.h"

static modbus_t *line;

static void need(int good, const char *what)
{
    if (!good) {
        fprintf(stderr, "client: %s: %s\n", what, modbus_strerror(errno));
        exit(1);
    }
}

static void read_status(uint16_t *status)
{
    need(modbus_read_registers(line, LK_STATUS_ADDRESS, LK_STATUS_COUNT, status) == LK_STATUS_COUNT, "status");
    need(lk_open(status, LK_STATUS_COUNT, LK_STATUS_COUNT) == LK_FLAW_NONE, "status block");
}

/* 0 for the normal answer, otherwise the exception. */
static int write_command(const uint16_t *command, int count)
{
    if (modbus_write_registers(line, LK_COMMAND_ADDRESS, count, command) == count) {
        return 0;
    }
    need(errno > MODBUS_ENOBASE && errno < EMBXGTAR + 1, "command");
    return errno - MODBUS_ENOBASE;
}

int main(int argc, char **argv)
{
    uint16_t identity[LK_IDENTITY_COUNT];
    uint16_t status[LK_STATUS_COUNT];
    uint16_t command[LK_COMMAND_COUNT] = {0u};
    const struct timespec pause = {0, 5000000};
    uint32_t seq;
    int looks;
    need(argc == 5, "arguments");
    line = strcmp(argv[1], "tcp") == 0 ? modbus_new_tcp(argv[2], atoi(argv[3]))
                                       : modbus_new_rtu(argv[2], atoi(argv[3]), 'N', 8, 1);
    need(line != NULL && modbus_set_slave(line, LK_KIND_DISPENSER) == 0, "line");
    modbus_set_response_timeout(line, 2, 0);
    need(modbus_connect(line) == 0, "connect");
    need(modbus_read_registers(line, LK_IDENTITY_ADDRESS, LK_IDENTITY_COUNT, identity) == LK_IDENTITY_COUNT, "identity");
    need(lk_open(identity, LK_IDENTITY_COUNT, LK_IDENTITY_COUNT) == LK_FLAW_NONE, "identity block");
    printf("kind %u capacity %u\n", (unsigned)identity[LK_IDENTITY_KIND], (unsigned)identity[LK_IDENTITY_CAPACITY]);
    read_status(status);
    seq = lk_next_seq(lk_get_u32(status + LK_STATUS_ACCEPTED_SEQ));
    lk_put_u32(command + LK_COMMAND_BOOT_ID, lk_get_u32(status + LK_STATUS_BOOT_ID));
    lk_put_u32(command + LK_COMMAND_SEQ, seq);
    command[LK_COMMAND_OPCODE] = LK_OPCODE_PICK;
    command[LK_COMMAND_ARG0] = (uint16_t)atoi(argv[4]);
    lk_seal(command, LK_COMMAND_COUNT);
    command[LK_COMMAND_ARG0] ^= 1u;
    printf("damaged %d\n", write_command(command, LK_COMMAND_COUNT));
    command[LK_COMMAND_ARG0] ^= 1u;
    printf("half %d\n", write_command(command, 6));
    printf("good %d\n", write_command(command, LK_COMMAND_COUNT));
    printf("repeated %d\n", write_command(command, LK_COMMAND_COUNT));
    for (looks = 0; looks < 2000; looks++) {
        read_status(status);
        if (lk_get_u32(status + LK_STATUS_DONE_SEQ) == seq) {
            break;
        }
        nanosleep(&pause, NULL);
    }
    printf("result %u position %u slot %u done_arg0 %u\n", (unsigned)status[LK_STATUS_RESULT],
        (unsigned)status[LK_STATUS_POSITION], (unsigned)status[LK_STATUS_SLOT], (unsigned)status[LK_STATUS_DONE_ARG0]);
    command[LK_COMMAND_OPCODE] = LK_OPCODE_ACCEPT;
    lk_put_u32(command + LK_COMMAND_SEQ, lk_next_seq(seq));
    lk_seal(command, LK_COMMAND_COUNT);
    printf("foreign opcode %d\n", write_command(command, LK_COMMAND_COUNT));
    printf("past the end %d\n",
        modbus_read_registers(line, LK_STATUS_ADDRESS, LK_STATUS_COUNT + 1, status) < 0 ? errno - MODBUS_ENOBASE : 0);
    printf("one register (FC6) %d\n",
        modbus_write_register(line, LK_COMMAND_ADDRESS, 1) < 0 ? errno - MODBUS_ENOBASE : 0);
    modbus_close(line);
    modbus_free(line);
    return 0;
}
