"""What the engine uses of `codec.pyx` without Python between."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from wsmash._native.wire cimport ws_item, ws_receiver


cdef class MaskPool:
    """Unpredictable masking keys (RFC 6455 10.3), drawn from the system many at a time."""

    cdef bytes _pool
    cdef Py_ssize_t _at
    cdef unsigned long _forks  # of this process, when the pool was drawn

    cdef const uint8_t *take(self) except NULL


cdef class Receiver:
    cdef ws_receiver wire
    cdef readonly object inflater
    cdef object _room           # what a compressed message may inflate to, None for any size
    cdef size_t _most           # the same for the place of a message
    cdef object _message        # bytes of the message under way, or of its room, None where there is none
    cdef size_t _size           # how many of them have come
    cdef size_t inflated        # bytes that inflation gave; tells what that took
    cdef uint32_t _utf8
    cdef bytes _fed             # of `feed`; the engine keeps its own
    cdef size_t _pos
    # The latest item:
    cdef int opcode             # VIOLATION where `data` is one
    cdef object data

    # What raises is out of memory, and the message is lost: nothing more is to be read.
    # Read on until there is an item (True), or until nothing more can be told (False): `used` bytes are done with.
    cdef bint step(self, const uint8_t *data, size_t size, size_t *used) except -1
    # Where the rest of the frame under way may be received in place, and how much of it; NULL where it may not.
    cdef uint8_t *room(self, size_t *size) except? NULL
    # So many bytes were: whether there is an item now.
    cdef bint received(self, size_t size) except -1

    # Bytes that are kept.
    cdef size_t kept(self) noexcept

    cdef bint _fail(self, int violation) except -1
    cdef int _drop(self) except -1
    cdef uint8_t _copy(self, uint8_t *place, const ws_item *item) noexcept
    cdef bytes _payload(self, const ws_item *item)
    cdef bint _read_text(self, const ws_item *item) except -1
    cdef bint _decode(self, const char *data, size_t size) except -1
    cdef bint _absorb(self, const ws_item *item) except -1
    cdef bint _inflate(self, const ws_item *item) except -1
    cdef bint _go_on(self, const ws_item *item, const uint8_t *place, size_t size, uint8_t every) except -1
    cdef bint _fail_inside(self, int violation, uint8_t opcode) except -1
    cdef bint _finish(self, uint8_t opcode) except -1
    cdef uint8_t *_place(self, size_t size, uint64_t rest, bint last) except? NULL
    cdef size_t _reservation(self, size_t size, uint64_t rest) noexcept
    cdef size_t _inflated_reservation(self, size_t size) noexcept
    cdef int _resize(self, size_t size) except -1


cdef class Sender:
    cdef bint masks
    cdef bint plain             # nothing is compressed, and no message in fragments is under way
    cdef object _entropy
    cdef readonly object deflater
    cdef object _window
    cdef Py_ssize_t _threshold
    cdef bint _unfinished
    cdef bint _compressed
    cdef list _held
    cdef readonly Py_ssize_t held

    cpdef bytes message(self, int opcode, payload, bint compress=*)
    cpdef bytes prepared(self, message)
    cpdef bytes fragment(self, int opcode, payload, bint final, bint compress=*)
    cpdef bytes control(self, int opcode, bytes payload)

    cdef bytes _hold(self, bytes frame)
    cdef bytes _frame(self, int first, payload)
    cdef bytes _framed(self, int first, const uint8_t *payload, size_t size)
