/* Readiness: an epoll descriptor, and a slot for each socket in it.
 *
 * An event names its socket by slot and generation, never by a pointer: the socket of an
 * event may have been closed by what an earlier event of the same turn did, and its
 * descriptor and its slot be another's by then.
 */
#ifndef WSMASH_REACTOR_H
#define WSMASH_REACTOR_H

#include <stdint.h>
#include <sys/epoll.h>

#define WS_EVENTS 256
/* Events taken from the system at once. */

typedef struct {
    uint32_t generation;
    uint32_t next; /* the free slot after this one, where it is free */
} ws_slot;

typedef struct {
    int epoll;
    ws_slot *slots;
    uint32_t count; /* slots that were ever used */
    uint32_t room;
    uint32_t free; /* the first free one among them; `count` where there is none */
} ws_reactor;

/* What a reactor is before it is first opened. */
#define WS_REACTOR {.epoll = -1}

/* Make the descriptor, where there is none: 0, or an errno. */
int ws_reactor_open(ws_reactor *);

/* Close the descriptor while no socket is in it. Slots keep their generations: an old event stays nobody's. */
void ws_reactor_rest(ws_reactor *);

/* Close the descriptor and give the memory back; the sockets are somebody else's. */
void ws_reactor_close(ws_reactor *);

/* A slot for a socket; -1 where there is no memory. */
int64_t ws_reactor_enter(ws_reactor *);

/* The slot is free; events of it that are under way are nobody's. */
void ws_reactor_leave(ws_reactor *, uint32_t slot);

/* Be told of these events of a socket in place of those; none takes it out of epoll. 0, or an errno. */
int ws_reactor_watch(ws_reactor *, uint32_t slot, int fd, uint32_t before, uint32_t events);

/* Events that are there now, without waiting; how many, or an errno below zero. */
int ws_reactor_poll(ws_reactor *, struct epoll_event events[WS_EVENTS]);

/* The slot that an event is about; -1 where it is about a socket that has left. */
int64_t ws_reactor_slot(const ws_reactor *, const struct epoll_event *event);

#endif
