/* What waits to be written on one connection: a list of chunks, each with memory of its own or of somebody else's.
 *
 * Small writes are copied and gathered; a large payload is referred to, and its owner is
 * handed back once it is written. Chunks come from a pool that all connections of an
 * engine share, so that a connection with nothing to write owns none.
 */
#ifndef WSMASH_OUTPUT_H
#define WSMASH_OUTPUT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define WS_VECTOR 64
/* Chunks written with one call at most. */

typedef struct ws_chunk {
    struct ws_chunk *next;
    void *owner;         /* whose memory `data` is; NULL: that behind this head */
    const uint8_t *data; /* what is not written yet begins at `begin` */
    size_t begin;
    size_t end;
    size_t room; /* of memory of its own: bytes that it can hold */
} ws_chunk;

typedef struct {
    ws_chunk *first;
    ws_chunk *last;
    size_t size; /* bytes that wait */
} ws_output;

#define WS_CLASSES 3

typedef struct {
    ws_chunk *free[WS_CLASSES];
    unsigned count[WS_CLASSES];
} ws_pool;

/* Room for `size` bytes behind what waits, in one piece; NULL where there is no memory. */
uint8_t *ws_output_room(ws_output *, ws_pool *, size_t size);

/* So many bytes of that room were written to, and wait from now on. */
void ws_output_add(ws_output *, size_t size);

/* Let bytes of somebody else's memory wait, which must not change until `owner` is handed back. -1: no memory. */
int ws_output_refer(ws_output *, ws_pool *, void *owner, const uint8_t *data, size_t size);

/* The bytes that wait, the first WS_VECTOR chunks of them; returns how many chunks. */
int ws_output_vector(const ws_output *, struct iovec vector[WS_VECTOR]);

/* So many bytes of that vector were written. Returns how many `owners` are to be let go. */
int ws_output_taken(ws_output *, ws_pool *, size_t size, void *owners[WS_VECTOR]);

/* Drop the first chunk, if there is one: 1, and its owner or NULL in `owner`; 0 where nothing waits. Without a pool its
 * memory is freed. */
int ws_output_drop(ws_output *, ws_pool *, void **owner);

/* Give the pool's memory back. */
void ws_pool_free(ws_pool *);

#endif
