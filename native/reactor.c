#include "reactor.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int ws_reactor_open(ws_reactor *reactor) {
    if (reactor->epoll < 0) reactor->epoll = epoll_create1(EPOLL_CLOEXEC);
    return reactor->epoll < 0 ? errno : 0;
}

void ws_reactor_rest(ws_reactor *reactor) {
    if (reactor->epoll >= 0) close(reactor->epoll);
    reactor->epoll = -1;
}

void ws_reactor_close(ws_reactor *reactor) {
    ws_reactor_rest(reactor);
    free(reactor->slots);
    reactor->slots = NULL;
    reactor->count = reactor->room = reactor->free = 0;
}

static int grow(ws_reactor *reactor) {
    uint32_t room = reactor->room ? 2 * reactor->room : 64;
    ws_slot *slots = realloc(reactor->slots, room * sizeof(ws_slot));
    if (!slots) return -1;
    reactor->slots = slots;
    reactor->room = room;
    return 0;
}

int64_t ws_reactor_enter(ws_reactor *reactor) {
    uint32_t slot = reactor->free;
    if (slot == reactor->count) {
        if (slot == reactor->room && grow(reactor)) return -1;
        reactor->slots[slot].generation = 0;
        reactor->free = ++reactor->count;
    } else {
        reactor->free = reactor->slots[slot].next;
    }
    return slot;
}

void ws_reactor_leave(ws_reactor *reactor, uint32_t slot) {
    reactor->slots[slot].generation++;
    reactor->slots[slot].next = reactor->free;
    reactor->free = slot;
}

int ws_reactor_watch(ws_reactor *reactor, uint32_t slot, int fd, uint32_t before, uint32_t events) {
    struct epoll_event event = {.events = events};
    event.data.u64 = (uint64_t)reactor->slots[slot].generation << 32 | slot;
    int operation = !before ? EPOLL_CTL_ADD : events ? EPOLL_CTL_MOD : EPOLL_CTL_DEL;
    if (before == events) return 0;
    return epoll_ctl(reactor->epoll, operation, fd, &event) ? errno : 0;
}

int ws_reactor_poll(ws_reactor *reactor, struct epoll_event events[WS_EVENTS]) {
    int count = epoll_wait(reactor->epoll, events, WS_EVENTS, 0);
    return count < 0 ? -errno : count;
}

int64_t ws_reactor_slot(const ws_reactor *reactor, const struct epoll_event *event) {
    uint32_t slot = (uint32_t)event->data.u64, generation = (uint32_t)(event->data.u64 >> 32);
    return slot < reactor->count && reactor->slots[slot].generation == generation ? (int64_t)slot : -1;
}
