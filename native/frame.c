/* The head of a frame (RFC 6455 5.2); twin of `frame_head` in `sansio/frames.py`. */
#include "wire.h"

#include <string.h>

/* Most significant byte first. */
static void put_length(uint8_t *out, uint64_t length, size_t size)
{
    while (size--) {
        out[size] = (uint8_t)length;
        length >>= 8;
    }
}

size_t ws_frame_head(uint8_t out[WS_MAX_HEAD], uint8_t first, uint64_t length, const uint8_t *mask)
{
    uint8_t masked = mask == NULL ? 0 : WS_MASKED;
    size_t size = 2;
    out[0] = first;
    if (length < 126) {
        out[1] = masked | (uint8_t)length;
    } else if (length < 0x10000) {
        out[1] = masked | 126;
        put_length(out + 2, length, 2);
        size = 4;
    } else {
        out[1] = masked | 127;
        put_length(out + 2, length, 8);
        size = 10;
    }
    if (mask == NULL)
        return size;
    memcpy(out + size, mask, 4);
    return size + 4;
}
