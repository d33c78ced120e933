# TLS on the engine: the twin of `transports/tls.py`, which shakes hands and says goodbye for both.
#
# All connections of an engine share two memories that OpenSSL reads from and writes to. A
# memory never shrinks below the most it held; but it is empty whenever a call is over, since
# OpenSSL is given whole records only, and what it writes is taken out at once. So a
# connection owns none, and large pieces pass at a time. Between the beginning of a call and
# the taking out (`Engine._in_tls`) anything of Python's may run a finalizer, and that may send
# on another connection: it is listed, and written when the memories are empty again.


@cython.final
cdef class Records:
    """The TLS records of one connection."""

    cdef Engine _engine
    cdef object pump
    cdef ws_output plain        # waits to be encrypted
    cdef bytes _part            # the beginning of a record
    cdef uint32_t _left         # bytes of its body that are to come
    cdef uint8_t _head          # bytes of its head that came
    cdef bint _shook_hands
    cdef bint _said_goodbye
    cdef bint _answered         # TLS has said something by itself that may wait yet

    def __cinit__(self, Engine engine, pump):
        self._engine = engine
        self.pump = pump
        self._part = b""

    def __dealloc__(self):
        drop(&self.plain, NULL)  # where the collector took it from its channel before that could

    cdef bint shakes_hands(self) except -1:
        """Whether what is written waits for the end of the handshake."""
        if not self._shook_hands:
            self._shook_hands = not self.pump.shaking_hands
        return not self._shook_hands

    cdef receive(self, Output output, uint8_t *data, size_t size, uint8_t **plaintext, size_t *length):
        """Decrypt. Whether the peer has ended its side (True or None), or what is wrong after the plaintext.

        What TLS has to say by itself (tickets, alerts, key updates) waits in the output afterwards.
        """
        if self._answered and not output._output.size:
            self._answered = False
            self.pump.answered = 0  # it has gone out
        self._engine._in_tls = True
        try:
            try:
                return self.decrypt(output, data, size, plaintext, length)
            finally:
                if self.pump.incoming.pending:
                    self.pump.incoming.read()  # behind a fault, or a goodbye: not to be another connection's
                self.put_answers(output, self.pump.output())
        finally:
            self._engine._in_tls = False

    cdef decrypt(self, Output output, uint8_t *data, size_t size, uint8_t **plaintext, size_t *length):
        cdef size_t at = 0, some, whole, room
        cdef int records
        cdef bytes part
        part, self._part = self._part, b""
        if self.shakes_hands() or output._closing:
            while at < size:
                at += self.count(data + at, size - at, &records, &whole)
            # The pump keeps the beginning of a record by itself.
            return self.decrypt_slowly(part + PyBytes_FromStringAndSize(<const char *>data, size), plaintext, length)
        incoming = self.pump.incoming
        room = PyBytes_GET_SIZE(part) + size + MOST_OF_RECORD
        plaintext[0] = self._engine.plaintext(room)
        while at < size:
            some = self.count(data + at, size - at, &records, &whole)
            if not whole:  # and so there is no more behind it
                self._part = part + PyBytes_FromStringAndSize(<const char *>data + at, some)
                return None
            self._part = PyBytes_FromStringAndSize(<const char *>data + at + whole, some - whole)
            if part:
                incoming.write(part)
                part = b""
            incoming.write(PyMemoryView_FromMemory(<char *>data + at, whole, PyBUF_READ))
            at += some
            outcome = self.read(incoming, records, plaintext[0], room, length)
            if outcome is None and self.pump.outgoing.pending:
                outcome = self.pump.refusal(self.pump.outgoing.pending)
            if outcome is not None:
                return outcome
        return None

    cdef read(self, incoming, int records, uint8_t *plaintext, size_t room, size_t *length):
        """Read so many records, each of which gives plaintext, or is TLS's own."""
        cdef Py_ssize_t some
        session = self.pump.session
        try:
            while records > 0 or incoming.pending:
                if length[0] + MOST_OF_RECORD > room:
                    return fault("DATA_LENGTH_TOO_LONG", "a record holds more than may be in it")
                some = session.read(
                    MOST_OF_RECORD, PyMemoryView_FromMemory(<char *>plaintext + length[0], MOST_OF_RECORD, PyBUF_WRITE)
                )
                if not some:
                    return True
                length[0] += some
                records -= 1
            return None
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError as error:
            return error

    cdef decrypt_slowly(self, bytes ciphertext, uint8_t **plaintext, size_t *length):
        """The same by the pump of the portable driver, which knows of handshakes."""
        cdef bytes found
        self._answered = True  # it counts by itself
        try:
            found, ended = self.pump.receive(ciphertext)
        except ssl.SSLError as error:
            return error
        length[0] = PyBytes_GET_SIZE(found)
        plaintext[0] = self._engine.plaintext(length[0])
        memcpy(plaintext[0], PyBytes_AS_STRING(found), length[0])
        return self.pump.failure or ended or None

    cdef size_t count(self, const uint8_t *data, size_t size, int *records, size_t *whole) noexcept:
        """How many bytes were looked at, how many records end in them, and where the last one does.

        RFC 8446 5.1: a head of five bytes, whose last two are the length of what
        follows. One that is longer than any may be is handed on as it comes, to be refused.
        """
        cdef size_t at = 0, some
        records[0] = 0
        whole[0] = 0
        while at < size and records[0] < RECORDS_AT_ONCE:
            if self._head < 5:
                if self._head >= 3:
                    self._left = self._left << 8 | data[at]
                self._head += 1
                at += 1
            else:
                some = min(size - at, <size_t>self._left)
                self._left -= <uint32_t>some
                at += some
            if self._head == 5 and not self._left:
                self._head = 0
                records[0] += 1
                whole[0] = at
            elif self._head == 5 and self._left > MOST_OF_RECORD + 2048:
                whole[0] = at
        return at

    cdef int encrypt(self, Output output) except -1:
        """Everything that waits, once the handshake is done; in closing, the goodbye behind it."""
        self._engine._in_tls = True
        try:
            if not self.shakes_hands():
                while self.plain.size and not output._gone:
                    self.encrypt_first(output)
                if output._closing and not output._gone and not self._said_goodbye:
                    self._said_goodbye = True
                    self.pump.close()
            self.put_ciphertext(output, self.pump.output())
        except ssl.SSLError as error:
            output.break_output(error)
        finally:
            if self.pump.outgoing.pending:
                self.pump.outgoing.read()
            self._engine._in_tls = False
        return 0

    cdef int encrypt_first(self, Output output) except -1:
        """The chunk that has waited longest. It is taken before anything runs that might drop the output."""
        cdef iovec vector[WS_VECTOR]
        cdef void *owners[WS_VECTOR]
        cdef int count
        ws_output_vector(&self.plain, vector)
        if self.plain.first.owner != NULL:
            data = PyMemoryView_FromMemory(<char *>vector[0].iov_base, vector[0].iov_len, PyBUF_READ)
            count = ws_output_taken(&self.plain, &self._engine._pool, vector[0].iov_len, owners)
            owner = <object>owners[0]
            Py_DECREF(owner)
        else:
            data = PyBytes_FromStringAndSize(<const char *>vector[0].iov_base, vector[0].iov_len)
            ws_output_taken(&self.plain, &self._engine._pool, vector[0].iov_len, owners)
        if self.pump.failure is None:
            self.pump.session.write(data)
            self.put_ciphertext(output, self.pump.output())
        return 0

    cdef int put_answers(self, Output output, bytes data) except -1:
        """What TLS says by itself; after the handshake it is counted, until it has gone out."""
        if data and self._shook_hands:
            self._answered = True
            self.pump.answered += PyBytes_GET_SIZE(data)
        return self.put_ciphertext(output, data)

    cdef int put_ciphertext(self, Output output, bytes data) except -1:
        cdef size_t size = PyBytes_GET_SIZE(data)
        if size and not (output._broken or output._gone):
            if not output.buffered():
                output._written_at = self._engine.time()
            if size >= 1024:
                output.refer(&output._output, data, <const uint8_t *>PyBytes_AS_STRING(data), size)
            else:
                memcpy(output.room(&output._output, size), PyBytes_AS_STRING(data), size)
                ws_output_add(&output._output, size)
        return 0
