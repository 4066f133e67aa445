/* A dispenser built from the exported header and libmodbus: what a board maker would write, with a carousel of memory.
 *
 *   board tcp PORT FOLDER SLOTS MOTION_MS      board rtu DEVICE FOLDER SLOTS MOTION_MS      board hand FOLDER ACT
 *
 * FOLDER keeps what survives a power cut: `memory` is the board's non-volatile memory, `world` is where the cards really
 * are. Lines on standard input are hands: "feed CARD" puts a card into the load throat, "take" takes the one at the exit,
 * "jam" stops the next motion midway, "free" undoes that, "empty" takes all cards out of the load throat, "full 1" and "exit 1"
 * hold the sensor of the retract position and of the exit as if a card were there, with 0 no longer. Each change of the world is told on standard output. SIGKILL is a power cut; `board
 * hand` is a hand while the power is off.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

#include "lk_protocol.h"

#define MAX_CARDS 64
#define LAST_REGISTER (LK_STATUS_ADDRESS + LK_STATUS_COUNT)

typedef struct memory { /* non-volatile: replaced whole, before motor power and after the sensors confirm */
    uint32_t magic;
    uint32_t boots;
    uint32_t accepted_seq, done_seq;
    uint16_t accepted_opcode, accepted_arg0, done_opcode, done_arg0, result, fault;
    uint32_t dispensed, retained;
    uint16_t carried, held;
} memory;

typedef enum place { LOAD = 1, TRANSPORT, SLOT, EXIT, RETRACT, BETWEEN, OUTSIDE, REJECTED } place;

typedef struct card {
    char name[16];
    place at;
    uint16_t slot;
} card;

typedef struct world { /* physical: a power cut leaves it as it is */
    card cards[MAX_CARDS];
    int count;
    int turned;
    int gate_open;
} world;

static memory nv;
static world real;
static const char *folder;
static uint16_t capacity;
static long motion_ms;
static uint32_t boot_id;
static uint16_t state;
static uint16_t step;
static int jam_next;
static int hold_full, hold_exit; /* sensors that a hand covers */
static long long due; /* when the running motion takes its next step, ms */
static int moving;    /* index of the card that the motion carries, -1 for none */

static void die(const char *what)
{
    fprintf(stderr, "board: %s: %s\n", what, strerror(errno));
    exit(1);
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void keep(const char *name, const void *data, size_t size)
{
    char path[512];
    char fresh[520];
    int file;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(fresh, sizeof fresh, "%s.new", path);
    file = open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (file < 0 || write(file, data, size) != (ssize_t)size || fsync(file) != 0 || close(file) != 0
        || rename(fresh, path) != 0) {
        die(path);
    }
}

static int find(const char *name, void *data, size_t size)
{
    char path[512];
    int file;
    ssize_t got;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    file = open(path, O_RDONLY);
    if (file < 0) {
        return 0;
    }
    got = read(file, data, size);
    close(file);
    return got == (ssize_t)size;
}

static void keep_memory(void)
{
    keep("memory", &nv, sizeof nv);
}

static void tell_world(void)
{
    static const char *const names[] = {"", "load", "transport", "slot", "exit", "retract", "between", "outside", "rejected"};
    int i;
    keep("world", &real, sizeof real);
    printf("dispensed=%u", (unsigned)nv.dispensed);
    for (i = 0; i < real.count; i++) {
        printf(" %s=%s", real.cards[i].name, names[real.cards[i].at]);
        if (real.cards[i].at == SLOT) {
            printf("%u", (unsigned)real.cards[i].slot);
        }
    }
    printf("\n");
    fflush(stdout);
}

static int card_at(place at)
{
    int i;
    for (i = 0; i < real.count; i++) {
        if (real.cards[i].at == at) {
            return i;
        }
    }
    return -1;
}

static int card_in(uint16_t slot)
{
    int i;
    for (i = 0; i < real.count; i++) {
        if (real.cards[i].at == SLOT && real.cards[i].slot == slot) {
            return i;
        }
    }
    return -1;
}

static uint32_t sensors(void)
{
    uint32_t seen = LK_SENSOR_HOME;
    seen |= card_at(LOAD) >= 0 ? LK_SENSOR_LOAD : 0u;
    seen |= card_at(TRANSPORT) >= 0 ? LK_SENSOR_TRANSPORT : 0u;
    seen |= card_at(EXIT) >= 0 || hold_exit ? LK_SENSOR_EXIT : 0u;
    seen |= hold_full ? LK_SENSOR_RETRACT_FULL : 0u;
    seen |= real.gate_open ? LK_SENSOR_GATE_OPEN : 0u;
    seen |= real.turned >= 0 && card_in((uint16_t)real.turned) >= 0 ? LK_SENSOR_SLOT : 0u;
    return seen;
}

static uint16_t position(uint32_t seen)
{
    const int transport = (seen & LK_SENSOR_TRANSPORT) != 0u;
    const int out = (seen & LK_SENSOR_EXIT) != 0u;
    if (transport && out) {
        return LK_POSITION_UNKNOWN;
    }
    if (transport || out) {
        return transport ? LK_POSITION_TRANSPORT : LK_POSITION_EXIT;
    }
    return nv.carried ? LK_POSITION_UNKNOWN : LK_POSITION_NONE;
}

/* A held card that is gone, while nothing moves, was taken by a hand. */
static void look_for_hands(void)
{
    const int out = (sensors() & LK_SENSOR_EXIT) != 0u;
    if (state == LK_STATE_RUNNING || nv.held == out) {
        return;
    }
    if (nv.held) {
        nv.dispensed++;
        nv.carried = card_at(TRANSPORT) >= 0;
    }
    nv.held = (uint16_t)out;
    keep_memory();
    tell_world();
}

static void fill(uint16_t *registers)
{
    lk_identity identity = {LK_KIND_DISPENSER, 0u, 20261u, 100u};
    lk_status status;
    memset(&status, 0, sizeof status);
    look_for_hands();
    identity.capacity = capacity;
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
    status.step = step;
    status.sensors = sensors();
    status.position = position(status.sensors);
    status.slot = real.turned < 0 ? LK_NO_SLOT : (uint16_t)real.turned;
    status.dispensed = nv.dispensed;
    status.retained = nv.retained;
    status.detail[LK_DISPENSER_RETRACT_COUNT] = (uint16_t)(card_at(RETRACT) >= 0);
    lk_encode_identity(&identity, registers + LK_IDENTITY_ADDRESS);
    lk_encode_status(&status, registers + LK_STATUS_ADDRESS);
}

static void finish(uint16_t fault)
{
    nv.done_seq = nv.accepted_seq;
    nv.done_opcode = nv.accepted_opcode;
    nv.done_arg0 = nv.accepted_arg0;
    nv.result = fault == LK_FAULT_NONE ? LK_RESULT_DONE : LK_RESULT_FAULT;
    nv.fault = fault;
    nv.carried = card_at(TRANSPORT) >= 0 || card_at(EXIT) >= 0 || card_at(BETWEEN) >= 0;
    nv.held = nv.accepted_opcode == LK_OPCODE_PRESENT && fault == LK_FAULT_NONE ? 1u : (uint16_t)(card_at(EXIT) >= 0);
    nv.retained += nv.accepted_opcode == LK_OPCODE_CAPTURE && fault == LK_FAULT_NONE;
    keep_memory();
    state = LK_STATE_READY;
}

/* First step: the card leaves its place. */
static void leave(void)
{
    switch (nv.accepted_opcode) {
    case LK_OPCODE_PICK:
        real.turned = nv.accepted_arg0;
        moving = card_in(nv.accepted_arg0);
        break;
    case LK_OPCODE_ALIGN:
        real.turned = nv.accepted_arg0;
        return;
    case LK_OPCODE_LOAD:
        moving = card_at(LOAD);
        break;
    case LK_OPCODE_RETRACT:
        moving = card_at(EXIT);
        break;
    case LK_OPCODE_RESET:
        moving = card_at(BETWEEN);
        return;
    case LK_OPCODE_STORE:
        real.turned = nv.accepted_arg0;
        if (card_in(nv.accepted_arg0) >= 0) {
            finish(LK_FAULT_TARGET_OCCUPIED);
            return;
        }
        moving = card_at(TRANSPORT);
        break;
    default:
        moving = card_at(TRANSPORT);
        break;
    }
    if (moving < 0) {
        finish(nv.accepted_opcode == LK_OPCODE_PICK ? LK_FAULT_SLOT_EMPTY : LK_FAULT_NO_CARD);
        return;
    }
    real.cards[moving].at = BETWEEN;
}

/* Second step: the card arrives. */
static void arrive(void)
{
    if (jam_next) {
        jam_next = 0;
        finish(LK_FAULT_JAM);
        return;
    }
    if (moving >= 0) {
        card *one = &real.cards[moving];
        switch (nv.accepted_opcode) {
        case LK_OPCODE_STORE:
            one->at = SLOT;
            one->slot = nv.accepted_arg0;
            break;
        case LK_OPCODE_PRESENT:
            one->at = EXIT;
            real.gate_open = 1;
            break;
        case LK_OPCODE_CAPTURE:
            one->at = RETRACT;
            break;
        case LK_OPCODE_REJECT:
            one->at = REJECTED;
            break;
        default:
            one->at = TRANSPORT;
            break;
        }
    }
    if (nv.accepted_opcode == LK_OPCODE_RETRACT || nv.accepted_opcode == LK_OPCODE_RESET) {
        real.gate_open = card_at(EXIT) >= 0;
    }
    tell_world();
    finish(LK_FAULT_NONE);
}

static void move(void)
{
    if (state != LK_STATE_RUNNING || now_ms() < due) {
        return;
    }
    due = now_ms() + motion_ms;
    if (step++ == 0u) {
        leave();
        tell_world();
    } else {
        arrive();
    }
}

/* The mailbox: one rule, one durable record, then the motor. Gives the Modbus exception, 0 for the normal answer. */
static uint8_t command(const uint16_t *registers, size_t count)
{
    lk_command wanted;
    lk_unit unit;
    lk_verdict verdict;
    uint16_t fault;
    look_for_hands();
    unit.kind = LK_KIND_DISPENSER;
    unit.capacity = capacity;
    unit.state = state;
    unit.boot_id = boot_id;
    unit.accepted_seq = nv.accepted_seq;
    verdict = lk_judge(registers, count, &unit, &wanted);
    if (verdict != LK_VERDICT_ACCEPT) {
        return lk_exception(verdict);
    }
    fault = lk_interlock(wanted.opcode, sensors());
    if (fault == LK_FAULT_NONE && position(sensors()) == LK_POSITION_UNKNOWN && wanted.opcode != LK_OPCODE_RESET
        && wanted.opcode != LK_OPCODE_ALIGN) {
        fault = LK_FAULT_SENSOR;
    }
    nv.accepted_seq = wanted.seq;
    nv.accepted_opcode = wanted.opcode;
    nv.accepted_arg0 = wanted.arg0;
    nv.carried = (uint16_t)(nv.carried || (fault == LK_FAULT_NONE && wanted.opcode > LK_OPCODE_ALIGN));
    keep_memory();
    state = LK_STATE_RUNNING;
    step = 0u;
    moving = -1;
    due = now_ms();
    if (fault != LK_FAULT_NONE) {
        finish(fault);
    }
    return 0u;
}

static void hands(const char *line)
{
    char name[16];
    const int out = card_at(EXIT);
    int i;
    if (sscanf(line, "feed %15s", name) == 1 && real.count < MAX_CARDS) {
        for (i = 0; i < real.count && strcmp(real.cards[i].name, name) != 0; i++) {
        }
        if (i == real.count) {
            strcpy(real.cards[real.count++].name, name);
        }
        real.cards[i].at = LOAD; /* a new card, or one that staff took from the reject lane */
    } else if (strncmp(line, "take", 4) == 0 && out >= 0) {
        real.cards[out].at = OUTSIDE;
    } else if (strncmp(line, "jam", 3) == 0) {
        jam_next = 1;
    } else if (strncmp(line, "free", 4) == 0) {
        jam_next = 0;
    } else if (strncmp(line, "empty", 5) == 0) {
        for (i = 0; i < real.count; i++) {
            real.cards[i].at = real.cards[i].at == LOAD ? OUTSIDE : real.cards[i].at;
        }
    } else if (sscanf(line, "full %d", &hold_full) != 1 && sscanf(line, "exit %d", &hold_exit) != 1) {
        fprintf(stderr, "board: no hand can do: %s\n", line);
        exit(2);
    }
    tell_world();
}

static int within(unsigned address, unsigned count, unsigned start, unsigned length)
{
    return address >= start && address + count <= start + length;
}

static void serve(modbus_t *line, modbus_mapping_t *map, const uint8_t *query, int size)
{
    const uint8_t *pdu = query + modbus_get_header_length(line);
    const unsigned address = (unsigned)pdu[1] << 8 | pdu[2];
    const unsigned count = (unsigned)pdu[3] << 8 | pdu[4];
    uint16_t registers[128];
    uint8_t refused = 0u;
    unsigned i;
    if (pdu[-1] != LK_KIND_DISPENSER) { /* on both wires the unit address stands right before the function */
        return;
    }
    if (pdu - query == 7 /* libmodbus looks at neither protocol nor length of an MBAP header */
        && (query[2] != 0u || query[3] != 0u || ((int)query[4] << 8 | query[5]) != size - 6)) {
        return;
    }
    switch (pdu[0]) {
    case 3:
        if (count < 1u || count > 125u) {
            refused = LK_EXCEPTION_ILLEGAL_DATA_VALUE;
        } else if (!within(address, count, LK_IDENTITY_ADDRESS, LK_IDENTITY_COUNT)
                   && !within(address, count, LK_STATUS_ADDRESS, LK_STATUS_COUNT)) {
            refused = LK_EXCEPTION_ILLEGAL_DATA_ADDRESS;
        } else {
            fill(map->tab_registers);
        }
        break;
    case 16:
        if (count < 1u || count > 123u || pdu[5] != 2u * count) {
            refused = LK_EXCEPTION_ILLEGAL_DATA_VALUE;
        } else if (address != LK_COMMAND_ADDRESS) {
            refused = LK_EXCEPTION_ILLEGAL_DATA_ADDRESS;
        } else {
            for (i = 0; i < count; i++) {
                registers[i] = (uint16_t)((unsigned)pdu[6 + 2 * i] << 8 | pdu[7 + 2 * i]);
            }
            refused = command(registers, count);
        }
        break;
    default:
        refused = LK_EXCEPTION_ILLEGAL_FUNCTION;
        break;
    }
    if (refused != 0u) {
        modbus_reply_exception(line, query, refused);
    } else {
        modbus_reply(line, query, size, map);
    }
}

int main(int argc, char **argv)
{
    uint8_t query[MODBUS_MAX_ADU_LENGTH];
    char text[64];
    modbus_t *line;
    modbus_mapping_t *map;
    int listener = -1;
    int client = -1;
    int tcp;
    if (argc == 4 && strcmp(argv[1], "hand") == 0) {
        folder = argv[2];
        find("world", &real, sizeof real);
        hands(argv[3]);
        return 0;
    }
    if (argc != 6) {
        fprintf(stderr, "board tcp|rtu PORT|DEVICE FOLDER SLOTS MOTION_MS, or board hand FOLDER ACT\n");
        return 2;
    }
    tcp = strcmp(argv[1], "tcp") == 0;
    folder = argv[3];
    capacity = (uint16_t)atoi(argv[4]);
    motion_ms = atol(argv[5]);
    setvbuf(stdin, NULL, _IONBF, 0);
    if (!find("memory", &nv, sizeof nv) || nv.magic != LK_MAGIC) {
        memset(&nv, 0, sizeof nv);
        nv.magic = LK_MAGIC;
    }
    find("world", &real, sizeof real);
    nv.boots++;
    keep_memory();
    boot_id = 0xB0A20000u + nv.boots;
    state = nv.accepted_seq == nv.done_seq ? LK_STATE_READY : LK_STATE_INTERRUPTED;
    map = modbus_mapping_new(0, 0, LAST_REGISTER, 0);
    if (tcp) {
        line = modbus_new_tcp("127.0.0.1", atoi(argv[2]));
        listener = line == NULL ? -1 : modbus_tcp_listen(line, 1);
        if (listener < 0) {
            die("listen");
        }
    } else {
        line = modbus_new_rtu(argv[2], 115200, 'N', 8, 1);
        if (line == NULL || modbus_set_slave(line, LK_KIND_DISPENSER) != 0 || modbus_connect(line) != 0) {
            die("open");
        }
        modbus_set_byte_timeout(line, 0, 20000); /* a frame that breaks off is dropped, and the next one heard */
        client = modbus_get_socket(line);
    }
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        struct timeval soon = {0, 2000};
        fd_set ready;
        FD_ZERO(&ready);
        FD_SET(0, &ready);
        if (listener >= 0) {
            FD_SET(listener, &ready);
        }
        if (client >= 0) {
            FD_SET(client, &ready);
        }
        if (select((client > listener ? client : listener) + 1, &ready, NULL, NULL, &soon) < 0) {
            die("select");
        }
        move();
        look_for_hands();
        if (FD_ISSET(0, &ready)) {
            if (fgets(text, sizeof text, stdin) == NULL) {
                return 0;
            }
            hands(text);
            look_for_hands();
        }
        if (listener >= 0 && FD_ISSET(listener, &ready)) {
            if (client >= 0) {
                close(client);
            }
            client = -1;
            if (modbus_tcp_accept(line, &listener) >= 0) {
                client = modbus_get_socket(line);
            }
        } else if (client >= 0 && FD_ISSET(client, &ready)) {
            const int size = modbus_receive(line, query);
            if (size > 0) {
                serve(line, map, query, size);
            } else if (size < 0 && tcp) {
                close(client);
                client = -1;
            }
        }
    }
}
