/* Bytes in, frames and parts of frames out: the reading half of RFC 6455 5, for either role.
 *
 * Twin of `sansio/receiver.py`: one function for each state of the parser, with the same
 * names in the same order, and the same rules in the same order. Where the pure one puts a
 * message together, this one hands out its pieces, still masked, and leaves memory to others.
 */
#include "wire.h"

#include <string.h>

#define CONTROL 0x8
/* The bit of an opcode that makes it a control frame's. */

#define IDLE 0
/* In place of an opcode: no message is under way. */

static ws_step fail(ws_receiver *, uint8_t violation, ws_item *);
static ws_step read_head(ws_receiver *, const uint8_t *data, size_t have, size_t *used, ws_item *);
static uint8_t judge(const ws_receiver *, uint8_t first, uint8_t second);
static uint8_t judge_length(const ws_receiver *, uint8_t first, uint64_t length, size_t size);
static ws_step read_control(ws_receiver *, size_t have, size_t head, size_t *used, ws_item *);
static int begin(ws_receiver *, uint8_t first, uint64_t length, const uint8_t *mask);
static ws_step read_payload(ws_receiver *, const uint8_t *data, size_t have, size_t *used, ws_item *);
static ws_step absorb(ws_receiver *, const uint8_t *piece, size_t size, ws_item *);
static uint64_t long_length(const uint8_t *data, size_t size);
static uint64_t longest_on_wire(uint64_t size);

static int is_whole(uint8_t first)
{
    return first == (WS_FIN | WS_OPCODE_TEXT) || first == (WS_FIN | WS_OPCODE_BINARY);
}

void ws_receiver_init(ws_receiver *self, int masked, int deflate, uint64_t max_message_size, uint32_t max_fragments)
{
    memset(self, 0, sizeof *self);
    self->max_message_size = max_message_size;
    self->max_fragments = max_fragments;
    self->masked = masked ? WS_MASKED : 0;
    self->deflate = deflate != 0;
    self->fin = 1;
}

ws_step ws_receive(ws_receiver *self, const uint8_t *data, size_t size, size_t *used, ws_item *item)
{
    *used = 0;
    if (self->over) {
        *used = size;
        return WS_MORE;
    }
    ws_step step = self->left ? read_payload(self, data, size, used, item) : read_head(self, data, size, used, item);
    if (step == WS_VIOLATION)
        *used = size;
    return step;
}

ws_step ws_received(ws_receiver *self, const uint8_t *data, size_t size, ws_item *item)
{
    return absorb(self, data, size, item);
}

void ws_receiver_stop(ws_receiver *self)
{
    self->over = 1;
    self->left = 0;
}

static ws_step fail(ws_receiver *self, uint8_t violation, ws_item *item)
{
    item->violation = violation;
    ws_receiver_stop(self);
    return WS_VIOLATION;
}

/* -- the head */

static ws_step read_head(ws_receiver *self, const uint8_t *data, size_t have, size_t *used, ws_item *item)
{
    if (have < 2)
        return WS_MORE;
    uint8_t first = data[0], second = data[1], fault;
    if (!(is_whole(first) && (second & WS_MASKED) == self->masked && self->message == IDLE)) {
        fault = judge(self, first, second);
        if (fault)
            return fail(self, fault, item);
    }

    uint64_t length = second & WS_LENGTH;
    size_t size = 2;
    if (length > WS_MAX_CONTROL_PAYLOAD) {
        size = length == 126 ? 4 : 10;
        if (have < size)
            return WS_MORE;
        length = long_length(data, size);
    }
    fault = judge_length(self, first, length, size);
    if (fault)
        return fail(self, fault, item);
    memset(item->mask, 0, 4);
    if (self->masked) {
        size += 4;
        if (have < size)
            return WS_MORE;
        memcpy(item->mask, data + size - 4, 4);
    }
    item->opcode = first & WS_OPCODE;
    item->data = data + size;
    item->size = (size_t)length;
    item->offset = 0;
    if (first & CONTROL)
        return read_control(self, have - size, size, used, item);
    *used = size;
    if (is_whole(first) && self->message == IDLE && have - size >= length) {
        *used += (size_t)length;
        return WS_MESSAGE;
    }
    if (!begin(self, first, length, item->mask))
        return fail(self, WS_FAULT_TOO_MANY_FRAGMENTS, item);
    return read_payload(self, data + size, have - size, used, item);
}

/* What is wrong with the first two bytes, length aside; 0 for nothing. */
static uint8_t judge(const ws_receiver *self, uint8_t first, uint8_t second)
{
    uint8_t opcode = first & WS_OPCODE;
    int begins = opcode == WS_OPCODE_TEXT || opcode == WS_OPCODE_BINARY;
    if (first & WS_RESERVED || (first & WS_RSV1 && !(self->deflate && begins)))
        return WS_FAULT_RESERVED_BITS; /* RFC 6455 5.2, RFC 7692 6 */
    if (opcode & CONTROL) {
        if (opcode > WS_OPCODE_PONG)
            return WS_FAULT_RESERVED_OPCODE; /* RFC 6455 5.2 */
        if (!(first & WS_FIN))
            return WS_FAULT_CONTROL_FRAGMENTED; /* RFC 6455 5.5 */
        if ((second & WS_LENGTH) > WS_MAX_CONTROL_PAYLOAD)
            return WS_FAULT_CONTROL_TOO_LONG; /* RFC 6455 5.5 */
    } else if (opcode > WS_OPCODE_BINARY) {
        return WS_FAULT_RESERVED_OPCODE;
    } else if (begins != (self->message == IDLE)) { /* RFC 6455 5.4 */
        return begins ? WS_FAULT_MESSAGE_UNFINISHED : WS_FAULT_CONTINUATION_FIRST;
    }
    if ((second & WS_MASKED) != self->masked)
        return self->masked ? WS_FAULT_UNMASKED : WS_FAULT_MASKED; /* RFC 6455 5.1 */
    return 0;
}

/* What is wrong with the length, `size` being the bytes of the head up to its end; 0 for nothing.
 *
 * The one place where a length meets a limit. A compressed message is held to `max_message_size` as it inflates; here
 * it may be longer on the wire by what incompressible data grows, so that no length is ever taken on trust. */
static uint8_t judge_length(const ws_receiver *self, uint8_t first, uint64_t length, size_t size)
{
    uint64_t most = self->max_message_size;
    if (length > WS_MAX_LENGTH)
        return WS_FAULT_LENGTH_OUT_OF_RANGE; /* RFC 6455 5.2 */
    if ((size == 4 && length < 126) || (size == 10 && length < 0x10000))
        return WS_FAULT_LENGTH_NOT_MINIMAL; /* RFC 6455 5.2 */
    if (most == UINT64_MAX || first & CONTROL)
        return 0;
    if (first & WS_RSV1 || (!(first & WS_OPCODE) && self->compressed))
        most = longest_on_wire(most);
    /* Not by a sum, which might not fit. */
    return length > most || self->size > most - length ? WS_FAULT_MESSAGE_TOO_BIG : 0;
}

/* -- control frames, the common case of a whole message being in `read_head` */

/* A control frame is at most 125 bytes: wait for all of it. */
static ws_step read_control(ws_receiver *self, size_t have, size_t head, size_t *used, ws_item *item)
{
    if (have < item->size)
        return WS_MORE;
    *used = head + item->size;
    if (item->opcode == WS_OPCODE_CLOSE)
        ws_receiver_stop(self); /* RFC 6455 5.5.1 */
    return WS_CONTROL;
}

/* -- fragments, unfinished frames, compressed messages */

/* A data frame whose head was in order: its payload follows. False where it is one too many. */
static int begin(ws_receiver *self, uint8_t first, uint64_t length, const uint8_t *mask)
{
    if (first & WS_OPCODE) {
        self->message = first & WS_OPCODE;
        self->compressed = (first & WS_RSV1) != 0;
        self->fresh = 1;
        self->size = self->fragments = 0;
    }
    self->fragments++;
    if (self->max_fragments != UINT32_MAX && self->fragments > self->max_fragments)
        return 0;
    self->fin = (first & WS_FIN) != 0;
    self->left = length;
    self->offset = 0;
    memcpy(self->mask, mask, 4);
    self->pieces++;
    return 1;
}

/* As much of the current frame as has arrived. */
static ws_step read_payload(ws_receiver *self, const uint8_t *data, size_t have, size_t *used, ws_item *item)
{
    size_t size = self->left < have ? (size_t)self->left : have;
    if (self->left && !size)
        return WS_MORE;
    *used += size;
    return absorb(self, data, size, item);
}

/* Count bytes of the message, and hand them out. After the last ones no message is under way. */
static ws_step absorb(ws_receiver *self, const uint8_t *piece, size_t size, ws_item *item)
{
    item->data = piece;
    item->size = size;
    memcpy(item->mask, self->mask, 4);
    item->offset = self->offset;
    item->opcode = self->message;
    item->compressed = self->compressed;
    item->first = self->fresh;
    self->pieces++;
    self->fresh = 0;
    self->offset += size;
    self->size += size;
    self->left -= size;
    item->frame = self->left;
    item->last = self->fin && !self->left;
    if (item->last) {
        self->message = IDLE;
        self->compressed = 0;
        self->size = 0;
    }
    return WS_PIECE;
}

/* The 2 or 8 bytes of a long length, most significant first; `size` is that of the head up to their end. */
static uint64_t long_length(const uint8_t *data, size_t size)
{
    uint64_t length = 0;
    for (size_t at = 2; at < size; at++)
        length = length << 8 | data[at];
    return length;
}

/* What a deflater may make of `size` bytes that do not compress, with a flush for each of many fragments. */
static uint64_t longest_on_wire(uint64_t size)
{
    uint64_t more = size / 8 + 65536;
    return size > UINT64_MAX - more ? UINT64_MAX : size + more;
}
