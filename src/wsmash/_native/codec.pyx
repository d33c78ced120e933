# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True, binding=True
"""The codec twin: what `native/*.c` finds as Python objects, and what is sent as bytes.

No rule of the protocol stands here. The receiver's are in `native/receiver.c`; the
sender has none of its own but what `sansio/sender.py` has, method by method.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.stdint cimport UINT32_MAX, UINT64_MAX, uint64_t

from wsmash._native.wire cimport (
    WS_CONTROL,
    WS_FAULT_DEFLATE_INVALID,
    WS_FAULT_MESSAGE_TOO_BIG,
    WS_FAULT_TEXT_INVALID,
    WS_FIN,
    WS_MAX_HEAD,
    WS_MESSAGE,
    WS_MORE,
    WS_OPCODE_TEXT,
    WS_PIECE,
    WS_RSV1,
    WS_UTF8_INVALID,
    WS_UTF8_WHOLE,
    ws_copy,
    ws_frame_head,
    ws_item,
    ws_mask,
    ws_receive,
    ws_received,
    ws_receiver_init,
    ws_receiver_stop,
    ws_step,
    ws_utf8,
)

import os

from wsmash.constants import Role
from wsmash.sansio import sender as pure_sender
from wsmash.sansio.deflate import Deflater, Inflater, InvalidDeflate, MessageTooLong
from wsmash.sansio.receiver import VIOLATION as pure_violation
from wsmash.sansio.violations import Violation


cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    str PyUnicode_New(Py_ssize_t, Py_UCS4)
    uint8_t *PyUnicode_1BYTE_DATA(object)
    PyObject *PyUnicode_DecodeUTF8(const char *, Py_ssize_t, const char *)


cdef int VIOLATION = pure_violation
cdef Py_ssize_t HELD_OVERHEAD = pure_sender.HELD_OVERHEAD

cdef tuple VIOLATIONS = (None, *(Violation(number) for number in range(1, len(Violation) + 1)))
"""Each one at its number."""

cdef size_t LEAST_ROOM = 4096
"""Fewer bytes than these are not worth a place of their own: they come through the buffer."""

cdef size_t AMPLE_ROOM = 65536
"""While there is as much room as one read takes, none is added."""

cdef Py_ssize_t POOL = 4096
"""Bytes that are drawn from the system at once."""


# -- masking keys

cdef unsigned long _forks = 0


def _forked():
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


cdef class MaskPool:
    """Unpredictable masking keys (RFC 6455 10.3), drawn from the system many at a time.

    A forked child has a copy of the pool, whose keys its parent will use: it draws anew.
    """

    def __cinit__(self):
        self._pool = b""
        self._at = 0
        self._forks = _forks

    def __call__(self, Py_ssize_t count):
        """So many unpredictable bytes, as `os.urandom` gives them."""
        if count != 4:
            return os.urandom(count)
        return PyBytes_FromStringAndSize(<const char *>self.take(), 4)

    cdef const uint8_t *take(self) except NULL:
        """The next four bytes, there until the next call."""
        if self._at + 4 > PyBytes_GET_SIZE(self._pool) or self._forks != _forks:
            self._pool = os.urandom(POOL)
            self._forks = _forks
            self._at = 0
        self._at += 4
        return <const uint8_t *>PyBytes_AS_STRING(self._pool) + self._at - 4


# -- the receiver

cdef class Receiver:
    """Reads what the peer of `role` sends."""

    def __cinit__(self, role, limits, compression=None):
        size, fragments = limits.max_message_size, limits.max_fragments
        self._room = size
        if compression is not None:
            self.inflater = Inflater(*compression.window(Role.CLIENT if role is Role.SERVER else Role.SERVER))
        # A limit that no count reaches is none.
        ws_receiver_init(
            &self.wire,
            role is Role.SERVER,
            compression is not None,
            UINT64_MAX if size is None else min(size, UINT64_MAX),
            UINT32_MAX if fragments is None else min(fragments, UINT32_MAX),
        )
        self._utf8 = WS_UTF8_WHOLE
        self._fed = b""

    @property
    def unfinished(self):
        """Whether the peer has begun a frame or a message and not ended it."""
        return not self.wire.over and (self.wire.message != 0 or PyBytes_GET_SIZE(self._fed) > 0)

    @property
    def in_message(self):
        """Whether a message has begun and not ended."""
        return self.wire.message != 0

    @property
    def pieces(self):
        """Frames and parts of frames that messages came in; tells whether one goes on."""
        return self.wire.pieces

    def feed(self, bytes data not None):
        """Take bytes from the transport."""
        if self.wire.over:
            return
        self._fed = self._fed[self._pos:] + data if self._pos < <size_t>PyBytes_GET_SIZE(self._fed) else data
        self._pos = 0

    def receive(self):
        """The next message, control frame or violation, or None until more is fed."""
        cdef bytes fed = self._fed  # held here: what is inflated meanwhile may let another thread feed
        cdef size_t used = 0
        cdef bint found = self.step(
            <const uint8_t *>PyBytes_AS_STRING(fed) + self._pos, PyBytes_GET_SIZE(fed) - self._pos, &used
        )
        self._pos += used
        if not found or self.wire.over:
            self._fed = self._fed[self._pos:]
            self._pos = 0
        if not found:
            return None
        item, self.data = (self.opcode, self.data), None
        return item

    cdef bint step(self, const uint8_t *data, size_t size, size_t *used) except -1:
        """Read on until there is an item (True), or until nothing more can be told (False)."""
        cdef ws_item item
        cdef ws_step step
        cdef size_t took
        used[0] = 0
        while True:
            step = ws_receive(&self.wire, data, size, &took, &item)
            data += took
            size -= took
            used[0] += took
            if step == WS_MESSAGE or step == WS_CONTROL:
                self.opcode = item.opcode
                if item.opcode == WS_OPCODE_TEXT:
                    return self._read_text(&item)
                self.data = self._payload(&item)
                if self.wire.over:
                    self._drop()
                return True
            if step == WS_PIECE:
                if self._absorb(&item):
                    return True
            elif step == WS_MORE:
                return False
            else:
                return self._fail(item.violation)

    cdef bint _fail(self, int violation) except -1:
        """A violation is the item, and the last one."""
        self.opcode = VIOLATION
        self.data = VIOLATIONS[violation]
        ws_receiver_stop(&self.wire)
        self._drop()
        return True

    cdef int _drop(self) except -1:
        """Keep nothing of what is not read any more."""
        self._message = self.inflater = None
        self._size = 0
        return 0

    # -- whole messages

    cdef uint8_t _copy(self, uint8_t *place, const ws_item *item) noexcept:
        """Unmask a payload into its place; the bytes, or-ed."""
        if self.wire.masked:
            return ws_mask(place, item.data, item.size, item.mask, item.offset)
        return ws_copy(place, item.data, item.size)

    cdef bytes _payload(self, const ws_item *item):
        cdef bytes payload = PyBytes_FromStringAndSize(NULL, item.size)
        self._copy(<uint8_t *>PyBytes_AS_STRING(payload), item)
        return payload

    cdef bint _read_text(self, const ws_item *item) except -1:
        """Most texts are ASCII, so it is unmasked right into one that is; else that is no more than a buffer."""
        cdef str text = PyUnicode_New(item.size, 127)
        if self._copy(PyUnicode_1BYTE_DATA(text), item) >= 0x80:
            return self._decode(<const char *>PyUnicode_1BYTE_DATA(text), item.size)
        self.data = text
        return True

    cdef bint _decode(self, const char *data, size_t size) except -1:
        """Bytes that must be UTF-8 are the item, or the fault is."""
        cdef PyObject *text = PyUnicode_DecodeUTF8(data, size, NULL)
        if text is NULL:
            if not PyErr_ExceptionMatches(UnicodeDecodeError):
                return -1  # out of memory
            PyErr_Clear()
            return self._fail(WS_FAULT_TEXT_INVALID)
        self.data = <object>text
        Py_DECREF(<object>text)
        return True

    # -- fragments, unfinished frames, compressed messages

    cdef bint _absorb(self, const ws_item *item) except -1:
        """Add a piece to the message; whether that is an item."""
        cdef uint8_t *place
        cdef uint8_t every = 0
        if item.first:
            self._utf8 = WS_UTF8_WHOLE
        if item.compressed:
            return self._inflate(item)
        place = self._place(item.size, item.frame, item.last)
        if item.size:
            every = self._copy(place, item)
        return self._go_on(item, place, item.size, every)

    cdef bint _inflate(self, const ws_item *item) except -1:
        cdef bytes piece = self._payload(item)
        cdef uint8_t opcode = item.opcode
        cdef uint8_t *place
        try:
            piece = self.inflater.inflate(piece, None if self._room is None else self._room - self._size, item.last)
        except MessageTooLong:
            return self._fail_inside(WS_FAULT_MESSAGE_TOO_BIG, opcode)
        except InvalidDeflate:
            return self._fail_inside(WS_FAULT_DEFLATE_INVALID, opcode)
        if item.last and self._message is None:
            self._message = piece  # all of the message: it is not copied
            place = <uint8_t *>PyBytes_AS_STRING(piece)
            return self._go_on(item, place, PyBytes_GET_SIZE(piece), 0xFF)
        place = self._place(PyBytes_GET_SIZE(piece), 0, item.last)
        ws_copy(place, <const uint8_t *>PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        return self._go_on(item, place, PyBytes_GET_SIZE(piece), 0xFF)

    cdef bint _go_on(self, const ws_item *item, const uint8_t *place, size_t size, uint8_t every) except -1:
        """So many bytes are in their place, `every` one of them or-ed: check them, and finish."""
        self._size += size
        if item.opcode == WS_OPCODE_TEXT:
            if self._utf8 != WS_UTF8_WHOLE or every >= 0x80:
                self._utf8 = ws_utf8(self._utf8, place, size)
            if self._utf8 == WS_UTF8_INVALID or (item.last and self._utf8 != WS_UTF8_WHOLE):
                return self._fail_inside(WS_FAULT_TEXT_INVALID, item.opcode)
        return self._finish(item.opcode) if item.last else False

    cdef bint _fail_inside(self, int violation, uint8_t opcode) except -1:
        """A fault of the last bytes leaves the message as unfinished as one before them."""
        self.wire.message = opcode
        return self._fail(violation)

    cdef bint _finish(self, uint8_t opcode) except -1:
        """The message is whole."""
        cdef size_t size = self._size
        cdef object message
        self.opcode = opcode
        self._size = 0
        if self._message is None:
            self.data = "" if opcode == WS_OPCODE_TEXT else b""
        elif opcode == WS_OPCODE_TEXT:
            message, self._message = self._message, None
            return self._decode(PyBytes_AS_STRING(message), size)
        else:
            if <size_t>PyBytes_GET_SIZE(self._message) != size:
                self._resize(size)
            self.data, self._message = self._message, None
        return True

    # -- the place of a message, which becomes what the user gets

    cdef uint8_t *_place(self, size_t size, uint64_t rest, bint last) except? NULL:
        """Where the next bytes of the message go, with room for them and for what of `rest` may be reserved."""
        cdef size_t end = self._size + size
        if self._message is None or <size_t>PyBytes_GET_SIZE(self._message) < end:
            self._resize(end if last else self._reservation(end, rest))
        return <uint8_t *>PyBytes_AS_STRING(self._message) + self._size

    cdef size_t _reservation(self, size_t size, uint64_t rest) noexcept:
        """How much to hold for a message of which `size` bytes have come, and `rest` of the frame are to come.

        What is announced is not believed: no more than four times what came. Where
        more frames may follow, an eighth is added, so that small ones don't move it each time.
        """
        cdef size_t most = size + <size_t>rest if rest < 3 * size else 4 * size
        cdef size_t more = size + size // 8 + 16
        return more if (not self.wire.fin or self.wire.compressed) and more > most else most

    cdef int _resize(self, size_t size) except -1:
        cdef PyObject *message
        try:
            if self._message is None:
                self._message = PyBytes_FromStringAndSize(NULL, size)
                return 0
            # The only reference is taken out, as resizing demands, and what came of it is put back.
            message = <PyObject *>self._message
            Py_INCREF(<object>message)
            self._message = None
            _PyBytes_Resize(&message, size)
            self._message = <object>message
            Py_DECREF(<object>message)
        except MemoryError:
            # The message is gone, and nothing may be read into its place.
            ws_receiver_stop(&self.wire)
            self._drop()
            raise
        return 0

    cdef uint8_t *room(self, size_t *size) except? NULL:
        """Where the rest of the frame under way may be received in place, and how much of it; NULL where it may not."""
        cdef uint64_t left = self.wire.left
        cdef size_t free, wanted
        size[0] = 0
        if left < LEAST_ROOM or self.wire.compressed or not self._size:
            return NULL
        free = <size_t>PyBytes_GET_SIZE(self._message) - self._size
        if free < left and free < AMPLE_ROOM:
            wanted = self._reservation(self._size, left)
            if wanted > self._size + free:
                self._resize(wanted)
                free = wanted - self._size
        if free < LEAST_ROOM:
            return NULL
        size[0] = free if free < left else <size_t>left
        return <uint8_t *>PyBytes_AS_STRING(self._message) + self._size

    cdef bint received(self, size_t size) except -1:
        """So many bytes were received where `room` said, nothing having been done between: whether that is an item."""
        cdef ws_item item
        cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(self._message) + self._size
        cdef uint8_t every = 0xFF
        ws_received(&self.wire, place, size, &item)
        if self.wire.masked:
            every = ws_mask(place, place, size, item.mask, item.offset)
        return self._go_on(&item, place, size, every)


# -- the sender

cdef class Sender:
    """Writes what `role` sends.

    Args:
        role: this end of the connection.
        compression: what was agreed on, None where nothing is compressed.
        entropy: gives so many unpredictable bytes (RFC 6455 10.3); a `MaskPool` is asked without a call.

    Attributes:
        held: what messages that wait for the end of one sent in fragments cost, in bytes.
    """

    def __cinit__(self, role, compression, entropy):
        self.masks = role is Role.CLIENT
        self._entropy = entropy
        if compression is not None:
            bits, takeover = compression.window(role)
            self.deflater = Deflater(bits, takeover, compression.settings.level)
            self._window = bits, compression.settings.level
            self._threshold = compression.settings.threshold
        self.plain = compression is None

    cpdef bytes message(self, int opcode, payload, bint compress=True):
        """A whole message. Empty where a message in fragments holds it back: its last fragment brings it."""
        if self._unfinished:
            return self._hold(self._frame(WS_FIN | opcode, payload))
        if compress and self.deflater is not None and len(payload) >= self._threshold:
            return self._frame(WS_FIN | WS_RSV1 | opcode, self.deflater.compress(payload))
        return self._frame(WS_FIN | opcode, payload)

    cpdef bytes prepared(self, message):
        """A message that other connections are sent too, as one and the same bytes.

        A shared compressed frame was made with a window of its own, which the peer's
        inflater now holds and this end's compressor does not: so that is dropped.
        """
        window = self._window if len(message.payload) >= self._threshold else None
        if self._unfinished:
            return self._hold(message.frame(None))
        if window is not None and self.deflater is not None:
            self.deflater.release()
        return message.frame(window)

    cpdef bytes fragment(self, int opcode, payload, bint final, bint compress=True):
        """A piece of a message: the first has the message's opcode, the others CONTINUATION (RFC 6455 5.4)."""
        cdef int first = opcode
        if opcode:
            self._unfinished = True
            self.plain = False
            self._compressed = compress and self.deflater is not None
            if self._compressed:
                first |= WS_RSV1
        if self._compressed and self.deflater is not None:
            payload = self.deflater.compress_fragment(payload, final)
        if not final:
            return self._frame(first, payload)
        self._unfinished = False
        self.plain = self.deflater is None
        held, self._held, self.held = self._held or (), None, 0
        return b"".join((self._frame(WS_FIN | first, payload), *held))

    cpdef bytes control(self, int opcode, bytes payload):
        """A control frame; never held back (RFC 6455 5.4)."""
        return self._frame(WS_FIN | opcode, payload)

    cdef bytes _hold(self, bytes frame):
        # What is held back is not compressed: a context would be used out of order.
        if self._held is None:
            self._held = []
        self._held.append(frame)
        self.held += PyBytes_GET_SIZE(frame) + HELD_OVERHEAD
        return b""

    cdef bytes _frame(self, int first, payload):
        cdef Py_buffer view
        PyObject_GetBuffer(_contiguous(payload), &view, PyBUF_SIMPLE)
        try:
            return self._framed(first, <const uint8_t *>view.buf, view.len)
        finally:
            PyBuffer_Release(&view)

    cdef bytes _framed(self, int first, const uint8_t *payload, size_t size):
        cdef uint8_t head[WS_MAX_HEAD]
        cdef size_t start
        cdef bytes frame, key
        cdef const uint8_t *mask = NULL
        if self.masks:
            if type(self._entropy) is MaskPool:
                mask = (<MaskPool>self._entropy).take()
            else:
                key = _checked(self._entropy(4))
                mask = <const uint8_t *>PyBytes_AS_STRING(key)
        start = ws_frame_head(head, first, size, mask)
        frame = PyBytes_FromStringAndSize(NULL, start + size)
        cdef uint8_t *place = <uint8_t *>PyBytes_AS_STRING(frame)
        ws_copy(place, head, start)
        if mask is NULL:
            ws_copy(place + start, payload, size)
        else:
            ws_mask(place + start, payload, size, mask, 0)
        return frame


# -- frames


def frame_head(uint8_t first, uint64_t length, bytes mask=None):
    """The head of a frame, with its length in the shortest form.

    Args:
        first: the first byte: FIN, RSV1 and the opcode.
        length: of the payload, in bytes.
        mask: the masking key, four bytes; None where the sender is a server.
    """
    cdef uint8_t head[WS_MAX_HEAD]
    cdef const uint8_t *key = NULL
    if mask is not None:
        key = <const uint8_t *>PyBytes_AS_STRING(_checked(mask))
    cdef size_t size = ws_frame_head(head, first, length, key)
    return PyBytes_FromStringAndSize(<const char *>head, size)


def apply_mask(data, bytes mask not None, offset=0):
    """Mask or unmask a piece of a payload (RFC 6455 5.3).

    Args:
        data: the piece.
        mask: the masking key, four bytes.
        offset: how many bytes of the payload came before the piece.
    """
    cdef Py_buffer view
    cdef bytes result
    cdef uint64_t place = offset & 3
    _checked(mask)
    PyObject_GetBuffer(_contiguous(data), &view, PyBUF_SIMPLE)
    try:
        result = PyBytes_FromStringAndSize(NULL, view.len)
        ws_mask(
            <uint8_t *>PyBytes_AS_STRING(result), <const uint8_t *>view.buf, view.len,
            <const uint8_t *>PyBytes_AS_STRING(mask), place,
        )
        return result
    finally:
        PyBuffer_Release(&view)


cdef bytes _checked(bytes mask):
    if PyBytes_GET_SIZE(mask) != 4:
        raise ValueError(f"a masking key has 4 bytes, not {len(mask)}")
    return mask


cdef object _contiguous(data):
    """The same bytes without gaps."""
    if isinstance(data, memoryview) and not data.c_contiguous:
        return data.tobytes()
    return data
