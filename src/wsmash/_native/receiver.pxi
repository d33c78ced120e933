# The pieces that `native/receiver.c` hands out, put together to what the user gets: the twin of `sansio/receiver.py`.
#
# A whole message is unmasked right into its object. An unfinished one grows in a bytes object that is
# its own, and no more is reserved than four times what has come, whatever its head announced.

cdef extern from "Python.h":
    int _PyBytes_Resize(PyObject **, Py_ssize_t) except -1
    str PyUnicode_New(Py_ssize_t, Py_UCS4)
    uint8_t *PyUnicode_1BYTE_DATA(object)
    PyObject *PyUnicode_DecodeUTF8(const char *, Py_ssize_t, const char *)


cdef int VIOLATION = pure_violation

cdef tuple VIOLATIONS = (None, *(Violation(number) for number in range(1, len(Violation) + 1)))
"""Each one at its number."""

cdef size_t LEAST_ROOM = 4096
"""Fewer bytes than these are not worth a place of their own: they come through the buffer."""

cdef size_t AMPLE_ROOM = 65536
"""While there is as much room as one read takes, none is added."""


cdef class Receiver:
    """Reads what the peer of `role` sends."""

    def __cinit__(self, role, limits, compression=None):
        size, fragments = limits.max_message_size, limits.max_fragments
        self._room = size
        self._most = SIZE_MAX >> 2 if size is None else min(size, SIZE_MAX >> 2)
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
        return not self.wire.over and (self.wire.message != 0 or self._pos < <size_t>PyBytes_GET_SIZE(self._fed))

    @property
    def in_message(self):
        """Whether a message has begun and not ended."""
        return self.wire.message != 0

    @property
    def pieces(self):
        """Frames and parts of frames that messages came in; tells whether one goes on."""
        return self.wire.pieces

    cdef size_t kept(self) noexcept:
        return PyBytes_GET_SIZE(self._fed) - self._pos + (0 if self._message is None else PyBytes_GET_SIZE(self._message))

    @property
    def held(self):
        """Bytes that are kept: the room of an unfinished message, and those fed that were not read yet."""
        return self.kept()

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
        cdef size_t start = self._size, size
        cdef const uint8_t *place
        room = None if self._room is None else self._room - start
        try:
            piece = self.inflater.inflate(piece, room, item.last, self._keep)
        except MessageTooLong:
            return self._fail_inside(WS_FAULT_MESSAGE_TOO_BIG, opcode)
        except InvalidDeflate:
            return self._fail_inside(WS_FAULT_DEFLATE_INVALID, opcode)
        if item.last and self._message is None:
            self._message = piece  # all of the message: it is not copied
            self._size = PyBytes_GET_SIZE(piece)
        else:
            self._keep(piece)
        size = self._size - start
        self.inflated += size
        self._size = start
        place = <const uint8_t *>PyBytes_AS_STRING(self._message) + start
        return self._go_on(item, place, size, 0xFF)

    def _keep(self, bytes piece not None):
        """Append what was inflated to the message."""
        cdef size_t size = PyBytes_GET_SIZE(piece), end = self._size + size
        if self._message is None or <size_t>PyBytes_GET_SIZE(self._message) < end:
            self._resize(self._inflated_reservation(end))
        ws_copy(
            <uint8_t *>PyBytes_AS_STRING(self._message) + self._size, <const uint8_t *>PyBytes_AS_STRING(piece), size
        )
        self._size = end

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
        return more if not self.wire.fin and more > most else most

    cdef size_t _inflated_reservation(self, size_t size) noexcept:
        """The same where nothing was announced: all that the message may be, or a quarter of it, or a quarter of that.

        Why is said in `sansio/place.py`.
        """
        cdef size_t most = self._most
        while most >> 2 >= size and most:
            most >>= 2
        return most if most > size else size

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
