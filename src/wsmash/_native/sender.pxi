# Messages as bytes: the twin of `sansio/sender.py`, method by method.

cdef Py_ssize_t HELD_OVERHEAD = pure_sender.HELD_OVERHEAD


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
