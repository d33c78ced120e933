/* The output and the reactor against naive ones: what is put in comes out, whole and in order, whatever is taken when. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "reactor.h"

#define CHECK(condition)                                                      \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "line %d: %s does not hold\n", __LINE__, #condition); \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

enum { MOST = 1 << 24, STEPS = 4000 };

static uint32_t state = 1;

static uint32_t any(uint32_t below) {
    state = state * 1664525 + 1013904223;
    return (state >> 8) % below;
}

static size_t any_size(void) {
    static const size_t EDGES[] = {1, 2, 14, 125, 2000, 2048, 16383, 16384, 65536, 66560, 66561, 200000};
    size_t edge = EDGES[any(sizeof EDGES / sizeof *EDGES)];
    return any(2) ? edge : 1 + any((uint32_t)edge);
}

/* What was put in, and how much of it was taken; each reference is counted. */
static uint8_t *all;
static size_t put, taken;
static int referred;

static void fill(uint8_t *place, size_t size) {
    for (size_t at = 0; at < size; at++) place[at] = all[put + at] = (uint8_t)(put + at) ^ (uint8_t)((put + at) >> 8);
    put += size;
}

static void let_go(void *owner) {
    if (!owner) return;
    free(owner);
    referred--;
}

static void put_some(ws_output *output, ws_pool *pool) {
    size_t size = any_size();
    if (put + size > MOST) return;
    if (any(4)) {
        uint8_t *place = ws_output_room(output, pool, size);
        CHECK(place);
        fill(place, size);
        ws_output_add(output, size);
    } else {
        uint8_t *own = malloc(size);
        fill(own, size);
        CHECK(!ws_output_refer(output, pool, own, own, size));
        referred++;
    }
    CHECK(output->size == put - taken);
}

static void take_some(ws_output *output, ws_pool *pool) {
    struct iovec vector[WS_VECTOR];
    void *owners[WS_VECTOR];
    int count = ws_output_vector(output, vector), at;
    size_t offered = 0, some;
    for (at = 0; at < count; at++) {
        CHECK(!memcmp(vector[at].iov_base, all + taken + offered, vector[at].iov_len));
        offered += vector[at].iov_len;
    }
    CHECK(offered <= output->size && (count == WS_VECTOR || offered == output->size));
    if (!offered) return;
    some = any(3) ? offered : 1 + any((uint32_t)offered);
    count = ws_output_taken(output, pool, some, owners);
    for (at = 0; at < count; at++) let_go(owners[at]);
    taken += some;
    CHECK(output->size == put - taken);
}

static void check_output(void) {
    ws_pool pool = {0};
    all = malloc(MOST);
    for (int round = 0; round < 20; round++) {
        ws_output output = {0};
        void *owner;
        put = taken = 0;
        for (int step = 0; step < STEPS / 20; step++)
            if (any(3)) put_some(&output, &pool);
            else take_some(&output, &pool);
        if (round % 2)
            while (output.size) take_some(&output, &pool);
        while (ws_output_drop(&output, round % 3 ? &pool : NULL, &owner)) let_go(owner);
        CHECK(!output.size && !output.first && !output.last && !referred);
    }
    ws_pool_free(&pool);
    free(all);
}

static void check_reactor(void) {
    ws_reactor reactor = WS_REACTOR;
    struct epoll_event events[WS_EVENTS], old;
    int ends[2];
    int64_t slots[300];
    CHECK(!ws_reactor_open(&reactor) && !pipe(ends));
    for (int at = 0; at < 300; at++) CHECK((slots[at] = ws_reactor_enter(&reactor)) == at);
    CHECK(!ws_reactor_watch(&reactor, 7, ends[0], 0, EPOLLIN) && !ws_reactor_poll(&reactor, events));
    CHECK(write(ends[1], "x", 1) == 1);
    CHECK(ws_reactor_poll(&reactor, events) == 1 && ws_reactor_slot(&reactor, events) == 7);
    old = events[0];
    CHECK(!ws_reactor_watch(&reactor, 7, ends[0], EPOLLIN, 0) && !ws_reactor_poll(&reactor, events));
    ws_reactor_leave(&reactor, 7);
    CHECK(ws_reactor_slot(&reactor, &old) == -1);
    ws_reactor_leave(&reactor, 9);
    CHECK(ws_reactor_enter(&reactor) == 9 && ws_reactor_enter(&reactor) == 7 && ws_reactor_enter(&reactor) == 300);
    CHECK(ws_reactor_slot(&reactor, &old) == -1); /* the slot is another's */
    CHECK(!ws_reactor_watch(&reactor, 7, ends[0], 0, EPOLLIN));
    CHECK(ws_reactor_poll(&reactor, events) == 1 && ws_reactor_slot(&reactor, events) == 7);
    CHECK(ws_reactor_watch(&reactor, 8, -1, 0, EPOLLIN));
    old = events[0];
    ws_reactor_leave(&reactor, 7);
    ws_reactor_rest(&reactor);
    CHECK(!ws_reactor_open(&reactor) && !ws_reactor_poll(&reactor, events) && ws_reactor_slot(&reactor, &old) == -1);
    close(ends[0]);
    close(ends[1]);
    ws_reactor_close(&reactor);
}

int main(void) {
    check_output();
    check_reactor();
    puts("all is well");
    return 0;
}
