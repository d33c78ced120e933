/* UTF-8 (RFC 3629) checked piece by piece, a fault being known at the byte where CPython's incremental decoder knows
 * it: the first one that no continuation makes valid, but for a surrogate, which is noticed one byte later.
 *
 * An automaton that takes one shift for each byte (Per Vognsen's form of Björn Höhrmann's decoder): the row of a byte
 * holds, in the six bits that the present state points at, where the next one points. Runs of ASCII are passed over.
 */
#include "wire.h"

#include <string.h>

/* The states. The first two are those of wire.h; the others say what the next byte must be. */
enum {
    WHOLE = WS_UTF8_WHOLE,
    INVALID = WS_UTF8_INVALID,
    ONE,       /* the last continuation, 80-BF */
    TWO,       /* two more, 80-BF */
    THREE,     /* three more, 80-BF */
    AFTER_E0,  /* A0-BF, for two bytes would have done below it; then ONE */
    AFTER_ED,  /* 80-9F, then ONE; above it are surrogates */
    SURROGATE, /* nothing will do, but CPython waits for it */
    AFTER_F0,  /* 90-BF, for three bytes would have done below it; then TWO */
    AFTER_F4   /* 80-8F, for Unicode ends at 10FFFF; then TWO */
};

#define BITS 6
#define FIELD ((1u << BITS) - 1)

/* A row leads from everywhere to INVALID, but for what is added to it. A sum modulo 2**64 leaves each field right. */
#define EVERY_FIELD                                                                                              \
    (UINT64_C(1) | UINT64_C(1) << 6 | UINT64_C(1) << 12 | UINT64_C(1) << 18 | UINT64_C(1) << 24 | UINT64_C(1) << 30 | \
     UINT64_C(1) << 36 | UINT64_C(1) << 42 | UINT64_C(1) << 48 | UINT64_C(1) << 54)
#define NEVER (EVERY_FIELD * INVALID * BITS)
#define STEP(from, to) ((((uint64_t)(to) - INVALID) * BITS) << ((from) * BITS))
#define BEGINS(to) (NEVER + STEP(WHOLE, to))
#define CONTINUES (NEVER + STEP(ONE, WHOLE) + STEP(TWO, ONE) + STEP(THREE, TWO))

static const uint64_t ROWS[256] = {
    [0x00 ... 0x7F] = BEGINS(WHOLE),
    [0x80 ... 0x8F] = CONTINUES + STEP(AFTER_ED, ONE) + STEP(AFTER_F4, TWO),
    [0x90 ... 0x9F] = CONTINUES + STEP(AFTER_ED, ONE) + STEP(AFTER_F0, TWO),
    [0xA0 ... 0xBF] = CONTINUES + STEP(AFTER_ED, SURROGATE) + STEP(AFTER_E0, ONE) + STEP(AFTER_F0, TWO),
    [0xC0 ... 0xC1] = NEVER, /* one byte would have done */
    [0xC2 ... 0xDF] = BEGINS(ONE),
    [0xE0] = BEGINS(AFTER_E0),
    [0xE1 ... 0xEC] = BEGINS(TWO),
    [0xED] = BEGINS(AFTER_ED),
    [0xEE ... 0xEF] = BEGINS(TWO),
    [0xF0] = BEGINS(AFTER_F0),
    [0xF1 ... 0xF3] = BEGINS(THREE),
    [0xF4] = BEGINS(AFTER_F4),
    [0xF5 ... 0xFF] = NEVER,
};

#define BLOCK 32

static int is_ascii(const uint8_t *data)
{
    uint64_t words[BLOCK / 8];
    memcpy(words, data, BLOCK);
    return !((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080));
}

uint32_t ws_utf8(uint32_t state, const uint8_t *data, size_t size)
{
    uint64_t shift = (uint64_t)state * BITS;
    while (size) {
        size_t block = size < BLOCK ? size : BLOCK;
        if (shift != WHOLE || block < BLOCK || !is_ascii(data)) {
            for (size_t at = 0; at < block; at++)
                shift = ROWS[data[at]] >> shift & FIELD;
            if (shift == INVALID * BITS)
                return WS_UTF8_INVALID;
        }
        data += block;
        size -= block;
    }
    return (uint32_t)(shift / BITS);
}
