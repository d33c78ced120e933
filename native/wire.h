/* The wire of RFC 6455 5, as plain C: frame heads, masks, UTF-8, and the receiver that cuts bytes into messages.
 *
 * Nothing here allocates, calls out, reads a clock or knows of Python. It is the twin
 * of `sansio/frames.py` and `sansio/receiver.py`: the same rules in the same order.
 */
#ifndef WSMASH_WIRE_H
#define WSMASH_WIRE_H

#include <stddef.h>
#include <stdint.h>

#include "tables.h"

#define WS_MAX_HEAD 14
/* Bytes of the longest frame head: 2, a length of 8, a mask of 4. */

#define WS_MAX_HELD (WS_MAX_HEAD + WS_MAX_CONTROL_PAYLOAD)
/* Bytes that a receiver may leave unused at the end of what it is fed: less than a head, or than a control frame. */

/* -- heads and masks */

/* Write the head of a frame, its length in the shortest form; returns its size. `mask` is NULL where a server sends. */
size_t ws_frame_head(uint8_t out[WS_MAX_HEAD], uint8_t first, uint64_t length, const uint8_t *mask);

/* Copy `size` bytes and mask or unmask them (5.3); `dst` may be `src`. `offset` is how many bytes of the payload came
 * before. Returns all bytes written, or-ed: below 0x80 where all of them are ASCII. */
uint8_t ws_mask(uint8_t *dst, const uint8_t *src, size_t size, const uint8_t mask[4], uint64_t offset);

/* Copy without a mask; returns the same. */
uint8_t ws_copy(uint8_t *dst, const uint8_t *src, size_t size);

/* -- UTF-8 (RFC 3629), checked piece by piece */

#define WS_UTF8_WHOLE 0   /* the state at the start, and wherever no character is unfinished */
#define WS_UTF8_INVALID 1 /* no continuation makes it valid; for good */

uint32_t ws_utf8(uint32_t state, const uint8_t *data, size_t size);

/* -- the receiver */

typedef enum {
    WS_MORE,     /* nothing more can be told from these bytes: keep those unused, and feed more */
    WS_MESSAGE,  /* a whole, uncompressed message in one frame */
    WS_PIECE,    /* the next bytes of a message, perhaps none */
    WS_CONTROL,  /* a whole control frame */
    WS_VIOLATION /* a fault; nothing is read any more */
} ws_step;

typedef struct {
    const uint8_t *data; /* in the buffer that was fed, still masked */
    size_t size;
    uint8_t mask[4]; /* zeros where there is none */
    uint64_t offset; /* of `data` in its frame's payload, for the mask */
    uint64_t frame;  /* WS_PIECE: bytes of this frame that are still to come */
    uint8_t opcode;  /* of the message or the control frame, never CONTINUATION */
    uint8_t first;   /* WS_PIECE: whether the message begins here */
    uint8_t last;    /* WS_PIECE: whether it ends here */
    uint8_t compressed;
    uint8_t violation; /* WS_VIOLATION: a number of `sansio/violations.py` */
} ws_item;

typedef struct {
    uint64_t max_message_size; /* UINT64_MAX for no limit */
    uint64_t left;             /* bytes of the data frame under way that are still to come */
    uint64_t offset;           /* bytes of it that came */
    uint64_t size;             /* bytes of the message that came, on the wire */
    uint32_t max_fragments;    /* UINT32_MAX for no limit */
    uint32_t fragments;
    uint32_t pieces; /* frames and parts of frames that messages came in; tells whether one goes on */
    uint8_t mask[4];
    uint8_t masked;     /* what the MASK bit must be */
    uint8_t deflate;    /* whether RSV1 may be set */
    uint8_t message;    /* opcode of the message under way, 0 where there is none */
    uint8_t compressed; /* whether that is */
    uint8_t fin;        /* of the data frame under way */
    uint8_t fresh;      /* whether none of the message's bytes were handed out */
    uint8_t over;       /* nothing is read any more */
} ws_receiver;

/* `masked`: whether the peer is a client, and must mask. */
void ws_receiver_init(ws_receiver *, int masked, int deflate, uint64_t max_message_size, uint32_t max_fragments);

/* Read on; `used` is how many of the bytes are done with. Call again, from there on, until it returns WS_MORE. */
ws_step ws_receive(ws_receiver *, const uint8_t *data, size_t size, size_t *used, ws_item *);

/* The same for bytes of the data frame under way (`left`) that were received into their place: always WS_PIECE. */
ws_step ws_received(ws_receiver *, const uint8_t *data, size_t size, ws_item *);

/* Read nothing more (5.5.1, 7.1.7). */
void ws_receiver_stop(ws_receiver *);

#endif
