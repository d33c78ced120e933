"""`native/wire.h`."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t


cdef extern from "wire.h" nogil:
    enum:
        WS_MAX_HEAD
        WS_MAX_HELD
        WS_UTF8_WHOLE
        WS_UTF8_INVALID
        # of tables.h
        WS_FIN
        WS_RSV1
        WS_OPCODE_TEXT
        WS_FAULT_TEXT_INVALID
        WS_FAULT_DEFLATE_INVALID
        WS_FAULT_MESSAGE_TOO_BIG

    size_t ws_frame_head(uint8_t *out, uint8_t first, uint64_t length, const uint8_t *mask)
    uint8_t ws_mask(uint8_t *dst, const uint8_t *src, size_t size, const uint8_t *mask, uint64_t offset)
    uint8_t ws_copy(uint8_t *dst, const uint8_t *src, size_t size)
    uint32_t ws_utf8(uint32_t state, const uint8_t *data, size_t size)

    ctypedef enum ws_step:
        WS_MORE
        WS_MESSAGE
        WS_PIECE
        WS_CONTROL
        WS_VIOLATION

    ctypedef struct ws_item:
        const uint8_t *data
        size_t size
        uint8_t mask[4]
        uint64_t offset
        uint64_t frame
        uint8_t opcode
        uint8_t first
        uint8_t last
        uint8_t compressed
        uint8_t violation

    ctypedef struct ws_receiver:
        uint64_t left
        uint64_t size
        uint32_t pieces
        uint8_t masked
        uint8_t message
        uint8_t compressed
        uint8_t fin
        uint8_t over

    void ws_receiver_init(ws_receiver *, bint masked, bint deflate, uint64_t max_message_size, uint32_t max_fragments)
    ws_step ws_receive(ws_receiver *, const uint8_t *data, size_t size, size_t *used, ws_item *)
    ws_step ws_received(ws_receiver *, const uint8_t *data, size_t size, ws_item *)
    void ws_receiver_stop(ws_receiver *)
