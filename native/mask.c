/* Masking (RFC 6455 5.3) while copying, and whether what was copied is ASCII.
 *
 * Every byte that the user gets, or sends as a client, passes here once. So it goes in
 * vectors where the compiler has them, twice as wide where the processor does; -DWS_PLAIN
 * leaves the loop over bytes, which is what the others must equal.
 */
#include "wire.h"

#include <string.h>

#if !defined(__GNUC__) && !defined(WS_PLAIN)
#define WS_PLAIN
#endif

#ifdef WS_PLAIN

static uint8_t exclusive_or(uint8_t *dst, const uint8_t *src, size_t size, const uint8_t key[4])
{
    uint8_t all = 0;
    for (size_t at = 0; at < size; at++)
        all |= dst[at] = src[at] ^ key[at & 3];
    return all;
}

#else

/* A vector of 32 bytes is one register of AVX2, and two of SSE2 or NEON. Loads and stores go through memcpy, which
 * compiles to unaligned ones. */
typedef uint64_t vector __attribute__((vector_size(32)));

#define WIDE 256
/* Bytes from which on it is worth asking for the wider registers. */

#define INLINE static inline __attribute__((always_inline))

/* All bytes of a word, or-ed. */
INLINE uint8_t folded(uint64_t word)
{
    word |= word >> 32;
    word |= word >> 16;
    return (uint8_t)(word | word >> 8);
}

/* Fewer than 32 bytes, from a place where the key begins. */
INLINE uint8_t xor_words(uint8_t *dst, const uint8_t *src, size_t size, uint64_t key)
{
    uint64_t all = 0, word;
    uint32_t half;
    uint8_t bytes[4];
    for (; size >= 8; dst += 8, src += 8, size -= 8) {
        memcpy(&word, src, 8);
        word ^= key;
        memcpy(dst, &word, 8);
        all |= word;
    }
    if (size & 4) {
        memcpy(&half, src, 4);
        half ^= (uint32_t)key;
        memcpy(dst, &half, 4);
        all |= half;
        dst += 4, src += 4;
    }
    half = (uint32_t)key;
    memcpy(bytes, &half, 4);
    for (size_t at = 0; at < (size & 3); at++)
        all |= dst[at] = src[at] ^ bytes[at];
    return folded(all);
}

INLINE uint8_t xor_vectors(uint8_t *dst, const uint8_t *src, size_t size, uint64_t key)
{
    vector keys = {key, key, key, key}, all = {0}, more = {0}, one, two;
    for (; size >= 64; dst += 64, src += 64, size -= 64) {
        memcpy(&one, src, 32);
        memcpy(&two, src + 32, 32);
        one ^= keys;
        two ^= keys;
        memcpy(dst, &one, 32);
        memcpy(dst + 32, &two, 32);
        all |= one;
        more |= two;
    }
    if (size & 32) {
        memcpy(&one, src, 32);
        one ^= keys;
        memcpy(dst, &one, 32);
        all |= one;
        dst += 32, src += 32;
    }
    all |= more;
    return folded(all[0] | all[1] | all[2] | all[3]) | xor_words(dst, src, size & 31, key);
}

#if defined(__x86_64__) && !defined(__AVX2__)

__attribute__((target("avx2"))) static uint8_t xor_wide(uint8_t *dst, const uint8_t *src, size_t size, uint64_t key)
{
    return xor_vectors(dst, src, size, key);
}

static uint8_t xor_long(uint8_t *dst, const uint8_t *src, size_t size, uint64_t key)
{
    if (size >= WIDE && __builtin_cpu_supports("avx2"))
        return xor_wide(dst, src, size, key);
    return xor_vectors(dst, src, size, key);
}

#else

#define xor_long xor_vectors

#endif

INLINE uint8_t exclusive_or(uint8_t *dst, const uint8_t *src, size_t size, const uint8_t key[4])
{
    uint32_t half;
    memcpy(&half, key, 4);
    /* Both halves are the same four bytes, so it is the same word on either kind of machine. */
    uint64_t word = half | (uint64_t)half << 32;
    return size < 32 ? xor_words(dst, src, size, word) : xor_long(dst, src, size, word);
}

#endif

uint8_t ws_mask(uint8_t *dst, const uint8_t *src, size_t size, const uint8_t mask[4], uint64_t offset)
{
    uint8_t key[4];
    for (int at = 0; at < 4; at++)
        key[at] = mask[(offset + (unsigned)at) & 3];
    return exclusive_or(dst, src, size, key);
}

uint8_t ws_copy(uint8_t *dst, const uint8_t *src, size_t size)
{
    static const uint8_t none[4] = {0};
    return exclusive_or(dst, src, size, none);
}
