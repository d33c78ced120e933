/* Checks of native/mask.c, utf8.c, frame.c and receiver.c against naive ones, made to run under sanitizers.
 *
 * Every buffer is as long as its bytes, so that a sanitizer sees the first one read or
 * written outside. The receiver is fed the same stream whole, byte by byte and in random
 * pieces, and must make the same of it. `LLVMFuzzerTestOneInput` is what a fuzzer calls.
 */
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(truth) \
    do { \
        if (!(truth)) { \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #truth); \
            abort(); \
        } \
    } while (0)

static uint64_t seed = 1;

/* A number below `end` (xorshift64). */
static uint32_t below(uint32_t end)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % end;
}

static uint8_t *filled(size_t size)
{
    uint8_t *data = malloc(size ? size : 1);
    CHECK(data != NULL);
    for (size_t at = 0; at < size; at++)
        data[at] = (uint8_t)below(256);
    return data;
}

/* -- masks */

static void check_mask(size_t size, size_t from, size_t to, uint64_t offset)
{
    uint8_t *src = filled(from + size), *dst = filled(to + size), *want = filled(size);
    uint8_t mask[4] = {(uint8_t)below(256), 0, 0xFF, (uint8_t)below(256)};
    uint8_t all = 0, every = 0;
    if (below(2)) /* ASCII, as most text is */
        for (size_t at = 0; at < size; at++)
            src[from + at] &= 0x7F;
    for (size_t at = 0; at < size; at++) {
        want[at] = src[from + at] ^ mask[(offset + at) % 4];
        all |= want[at];
        every |= src[from + at];
    }
    CHECK(ws_copy(dst + to, src + from, size) == every);
    CHECK(memcmp(dst + to, src + from, size) == 0);
    CHECK(ws_mask(dst + to, src + from, size, mask, offset) == all);
    CHECK(memcmp(dst + to, want, size) == 0);
    CHECK(ws_mask(src + from, src + from, size, mask, offset) == all); /* in place */
    CHECK(memcmp(src + from, want, size) == 0);
    free(src);
    free(dst);
    free(want);
}

static void check_masks(void)
{
    for (size_t size = 0; size < 140; size++)
        for (size_t from = 0; from < 9; from++)
            for (size_t to = 0; to < 9; to++)
                check_mask(size, from, to, size + from * 3 + to);
    for (size_t size = 240; size < 420; size++)
        for (uint64_t offset = 0; offset < 5; offset++)
            check_mask(size, size % 7, size % 5, UINT64_MAX - offset);
    check_mask(1000003, 1, 2, 3);
}

/* -- UTF-8 */

enum { UNFINISHED = 99 };

/* By arithmetic alone: what a prefix may still become decides. A surrogate is refused when it is whole. */
static int naive_utf8(const uint8_t *data, size_t size)
{
    for (size_t at = 0; at < size;) {
        uint32_t lead = data[at++], point, least;
        int more;
        if (lead < 0x80)
            continue;
        if (lead >= 0xC0 && lead < 0xE0)
            point = lead & 0x1F, more = 1, least = 0x80;
        else if (lead >= 0xE0 && lead < 0xF0)
            point = lead & 0x0F, more = 2, least = 0x800;
        else if (lead >= 0xF0 && lead < 0xF8)
            point = lead & 0x07, more = 3, least = 0x10000;
        else
            return WS_UTF8_INVALID;
        while (more && at < size) {
            if ((data[at] & 0xC0) != 0x80)
                return WS_UTF8_INVALID;
            point = point << 6 | (data[at++] & 0x3F);
            more--;
        }
        uint32_t lowest = point << 6 * more, highest = lowest | ((1u << 6 * more) - 1);
        if (highest < least || lowest > 0x10FFFF || (!more && point >= 0xD800 && point < 0xE000))
            return WS_UTF8_INVALID;
        if (more)
            return UNFINISHED;
    }
    return WS_UTF8_WHOLE;
}

static int in_short(uint32_t state)
{
    return state > WS_UTF8_INVALID ? UNFINISHED : (int)state;
}

static void check_text(const uint8_t *text, size_t size)
{
    uint8_t *data = filled(size);
    memcpy(data, text, size);
    int want = naive_utf8(data, size);
    CHECK(in_short(ws_utf8(WS_UTF8_WHOLE, data, size)) == want);
    size_t at = below((uint32_t)size + 1);
    CHECK(in_short(ws_utf8(ws_utf8(WS_UTF8_WHOLE, data, at), data + at, size - at)) == want);
    free(data);
}

static void check_characters(void)
{
    static const uint8_t borders[] = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xE0, 0xF0, 0xFF};
    for (unsigned first = 0; first < 256; first++)
        for (unsigned second = 0; second < 256; second++)
            for (unsigned third = 0; third < 256; third += first < 0xE0 ? 51 : 1) {
                uint8_t text[4] = {(uint8_t)first, (uint8_t)second, (uint8_t)third, 0};
                for (size_t size = 1; size < 4; size++)
                    CHECK(in_short(ws_utf8(WS_UTF8_WHOLE, text, size)) == naive_utf8(text, size));
                for (size_t at = 0; at < sizeof borders; at++) {
                    text[3] = borders[at];
                    CHECK(in_short(ws_utf8(WS_UTF8_WHOLE, text, 4)) == naive_utf8(text, 4));
                }
            }
}

static void check_texts(void)
{
    static const char *const parts[] = {
        "a", "plain text, and more of it", "\xC3\xA9", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80",
        "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF",
        /* and what is no text */
        "\x80", "\xC3", "\xE0\x80", "\xED\xA0\x80", "\xF0\x9F", "\xF4\x90", "\xFF",
    };
    for (int round = 0; round < 10000; round++) {
        uint8_t text[512];
        size_t size = 0;
        unsigned kinds = below(4) ? 9 : 16;
        for (unsigned count = below(12); count; count--) {
            const char *part = parts[below(kinds)];
            memcpy(text + size, part, strlen(part));
            size += strlen(part);
        }
        check_text(text, size);
    }
}

/* -- the receiver */

typedef struct {
    uint64_t digest; /* of all items, however they were cut */
    uint64_t items;
    uint8_t message[1 << 17]; /* the one under way */
    size_t size;
} story;

static void tell(story *self, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t at = 0; at < size; at++)
        self->digest = (self->digest ^ bytes[at]) * UINT64_C(0x100000001B3);
}

static void tell_item(story *self, uint8_t kind, const uint8_t *data, size_t size)
{
    tell(self, &kind, 1);
    tell(self, &size, sizeof size);
    tell(self, data, size);
    self->items++;
}

static void take(story *self, ws_step step, const ws_item *item)
{
    if (step == WS_VIOLATION) {
        tell_item(self, 0x80 | item->violation, NULL, 0);
        return;
    }
    if (step == WS_CONTROL) {
        uint8_t payload[WS_MAX_CONTROL_PAYLOAD];
        CHECK(item->size <= sizeof payload);
        ws_mask(payload, item->data, item->size, item->mask, item->offset);
        tell_item(self, item->opcode, payload, item->size);
        return;
    }
    if (step == WS_MESSAGE || item->first)
        self->size = 0;
    CHECK(self->size + item->size <= sizeof self->message);
    ws_mask(self->message + self->size, item->data, item->size, item->mask, item->offset);
    self->size += item->size;
    if (step == WS_MESSAGE || item->last) {
        int compressed = step == WS_PIECE && item->compressed;
        tell_item(self, item->opcode | (uint8_t)(compressed << 6), self->message, self->size);
    }
}

/* Feed a stream, `most` bytes at a time or, where that is 0, in random pieces. */
static void run(story *told, const uint8_t *stream, size_t size, const uint8_t how[4], uint32_t most)
{
    static const uint64_t sizes[] = {UINT64_MAX, UINT64_MAX - 1, 0, 10, 125, 1000, 70000, UINT64_C(1) << 63};
    static const uint32_t counts[] = {UINT32_MAX, 1, 2, 5};
    ws_receiver receiver;
    uint8_t *fed = NULL;
    size_t held = 0;
    int over = 0;
    told->digest = told->items = told->size = 0;
    ws_receiver_init(&receiver, how[0] & 1, how[1] & 1, sizes[how[2] & 7], counts[how[3] & 3]);
    while (size) {
        uint32_t piece = most ? most : 1 + below(64);
        size_t more = piece < size ? piece : size;
        if (receiver.left && !most && !held) { /* straight into its place */
            more = more < receiver.left ? more : (size_t)receiver.left;
            uint8_t *place = filled(more);
            ws_item item;
            memcpy(place, stream, more);
            CHECK(ws_received(&receiver, place, more, &item) == WS_PIECE);
            take(told, WS_PIECE, &item);
            free(place);
            stream += more;
            size -= more;
            continue;
        }
        uint8_t *data = filled(held + more);
        if (held)
            memcpy(data, fed, held);
        memcpy(data + held, stream, more);
        free(fed);
        fed = data;
        held += more;
        stream += more;
        size -= more;
        for (size_t at = 0;;) {
            ws_item item;
            size_t used;
            ws_step step = ws_receive(&receiver, fed + at, held - at, &used, &item);
            CHECK(used <= held - at);
            if (step == WS_MORE) {
                at += used;
                held -= at;
                memmove(fed, fed + at, held);
                CHECK(held < WS_MAX_HELD);
                CHECK(!receiver.left || !held);
                break;
            }
            CHECK(!over && used > 0);
            CHECK(step == WS_VIOLATION || (item.data >= fed + at && item.data + item.size <= fed + held));
            take(told, step, &item);
            over = receiver.over;
            CHECK(over == (step == WS_VIOLATION || (step == WS_CONTROL && item.opcode == WS_OPCODE_CLOSE)));
            at += used;
        }
    }
    free(fed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static story whole, each, random;
    if (size < 4 || size > sizeof whole.message)
        return 0;
    run(&whole, data + 4, size - 4, data, (uint32_t)size);
    run(&each, data + 4, size - 4, data, 1);
    run(&random, data + 4, size - 4, data, 0);
    CHECK(whole.digest == each.digest && whole.items == each.items);
    CHECK(whole.digest == random.digest && whole.items == random.items);
    return 0;
}

/* A frame that is mostly as it should be. */
static size_t put_frame(uint8_t *out, int masked, int inside, int *goes_on)
{
    static const uint32_t sizes[] = {0, 1, 5, 32, 125, 126, 127, 1000, 5000, 65535, 65536, 66000};
    static const uint8_t mask[4] = {0x37, 0xFA, 0x21, 0x3D};
    uint32_t size = sizes[below(below(4) ? 7 : 12)];
    uint8_t first;
    if (!below(4)) {
        first = (uint8_t)(WS_FIN | (WS_OPCODE_PING + below(2)));
        size = size > 125 ? 125 : size;
    } else {
        *goes_on = !below(3);
        first = (uint8_t)((*goes_on ? 0 : WS_FIN) | (inside ? 0 : 1 + below(2)));
        if (!inside && !below(4))
            first |= WS_RSV1;
    }
    if (!below(40))
        first = (uint8_t)below(256);
    uint64_t length = below(60) ? size : UINT64_MAX - below(3) * (UINT64_MAX / 2);
    size_t head = ws_frame_head(out, first, length, masked ? mask : NULL);
    for (size_t at = 0; at < size; at++)
        out[head + at] = (uint8_t)below(256);
    return head + size;
}

static void check_receiver(void)
{
    static uint8_t stream[1 << 17];
    for (int round = 0; round < 2000; round++) {
        uint8_t how[4] = {(uint8_t)below(256), (uint8_t)below(256), (uint8_t)below(256), (uint8_t)below(256)};
        if (below(2))
            how[2] = how[3] = 0; /* no limits */
        size_t size = 4;
        int inside = 0;
        memcpy(stream, how, 4);
        for (unsigned count = 1 + below(6); count && size < sizeof stream - 66100; count--)
            size += put_frame(stream + size, how[0] & 1, inside, &inside);
        if (!below(3))
            stream[4 + below((uint32_t)(size - 4))] ^= (uint8_t)(1u << below(8));
        LLVMFuzzerTestOneInput(stream, size);
    }
    for (int round = 0; round < 3000; round++) {
        size_t size = 4 + below(60);
        uint8_t *noise = filled(size);
        LLVMFuzzerTestOneInput(noise, size);
        free(noise);
    }
}

#ifndef WS_FUZZER
int main(void)
{
    check_masks();
    check_characters();
    check_texts();
    check_receiver();
    puts("all is well");
    return 0;
}
#endif
