#include "output.h"

#include <stdlib.h>

/* The sizes that chunks of their own have, heads included, and how many free ones of each are kept. A connection's first
 * chunk is the smallest that will do, so that a broadcast to many touches little memory; the next ones grow. The largest
 * holds a message of 64 KiB with its head. */
static const size_t SIZES[WS_CLASSES] = {2048, 16384, 66560};
static const unsigned KEPT[WS_CLASSES] = {1024, 64, 32};

static int class_of(size_t size) {
    int class = 0;
    while (class < WS_CLASSES && SIZES[class] - sizeof(ws_chunk) < size) class++;
    return class;
}

static int class_of_chunk(const ws_chunk *chunk) {
    for (int class = 0; class < WS_CLASSES; class++)
        if (SIZES[class] - sizeof(ws_chunk) == chunk->room) return class;
    return WS_CLASSES;
}

static ws_chunk *make_chunk(ws_pool *pool, int class, size_t size) {
    ws_chunk *chunk;
    if (class < WS_CLASSES && pool->free[class]) {
        chunk = pool->free[class];
        pool->free[class] = chunk->next;
        pool->count[class]--;
    } else {
        size_t room = class < WS_CLASSES ? SIZES[class] - sizeof(ws_chunk) : size;
        chunk = malloc(sizeof(ws_chunk) + room);
        if (!chunk) return NULL;
        chunk->room = room;
    }
    chunk->next = NULL;
    chunk->owner = NULL;
    chunk->data = (const uint8_t *)(chunk + 1);
    chunk->begin = chunk->end = 0;
    return chunk;
}

static void free_chunk(ws_pool *pool, ws_chunk *chunk) {
    int class = class_of_chunk(chunk);
    if (!pool || class == WS_CLASSES || pool->count[class] >= KEPT[class]) {
        free(chunk);
        return;
    }
    chunk->next = pool->free[class];
    pool->free[class] = chunk;
    pool->count[class]++;
}

static void append(ws_output *output, ws_chunk *chunk) {
    if (output->last) output->last->next = chunk;
    else output->first = chunk;
    output->last = chunk;
}

uint8_t *ws_output_room(ws_output *output, ws_pool *pool, size_t size) {
    ws_chunk *chunk = output->last;
    if (!chunk || chunk->owner || chunk->room - chunk->end < size) {
        int class = class_of(size);
        if (class < WS_CLASSES && chunk && !chunk->owner) { /* one that fits no class has just the size it needs */
            int grown = class_of_chunk(chunk) + 1;
            if (grown >= WS_CLASSES) grown = WS_CLASSES - 1;
            if (class < grown) class = grown;
        }
        chunk = make_chunk(pool, class, size);
        if (!chunk) return NULL;
        append(output, chunk);
    }
    return (uint8_t *)(chunk + 1) + chunk->end;
}

void ws_output_add(ws_output *output, size_t size) {
    output->last->end += size;
    output->size += size;
}

int ws_output_refer(ws_output *output, ws_pool *pool, void *owner, const uint8_t *data, size_t size) {
    ws_chunk *chunk = make_chunk(pool, 0, 0);
    if (!chunk) return -1;
    chunk->owner = owner;
    chunk->data = data;
    chunk->end = size;
    append(output, chunk);
    output->size += size;
    return 0;
}

int ws_output_vector(const ws_output *output, struct iovec vector[WS_VECTOR]) {
    int count = 0;
    for (const ws_chunk *chunk = output->first; chunk && count < WS_VECTOR; chunk = chunk->next, count++) {
        vector[count].iov_base = (void *)(chunk->data + chunk->begin);
        vector[count].iov_len = chunk->end - chunk->begin;
    }
    return count;
}

int ws_output_taken(ws_output *output, ws_pool *pool, size_t size, void *owners[WS_VECTOR]) {
    int count = 0;
    while (output->first && size >= output->first->end - output->first->begin) {
        size -= output->first->end - output->first->begin;
        void *owner;
        ws_output_drop(output, pool, &owner);
        if (owner) owners[count++] = owner;
    }
    if (size && output->first) {
        output->first->begin += size;
        output->size -= size;
    }
    return count;
}

int ws_output_drop(ws_output *output, ws_pool *pool, void **owner) {
    ws_chunk *chunk = output->first;
    if (!chunk) return 0;
    output->first = chunk->next;
    if (!output->first) output->last = NULL;
    output->size -= chunk->end - chunk->begin;
    *owner = chunk->owner;
    free_chunk(pool, chunk);
    return 1;
}

void ws_pool_free(ws_pool *pool) {
    for (int class = 0; class < WS_CLASSES; class++)
        while (pool->free[class]) {
            ws_chunk *chunk = pool->free[class];
            pool->free[class] = chunk->next;
            free(chunk);
        }
}
