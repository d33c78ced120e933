# The output of one connection: what is sent is framed into it, gathered, and written once a turn.

cdef extern from *:
    """
    static inline void clear_message(struct msghdr *message) { memset(message, 0, sizeof(*message)); }
    """
    void clear_message(msghdr *message) noexcept


cdef class Output(Entry):
    """The writing half of a channel."""

    cdef Sender _sender
    cdef Records _tls           # None without TLS
    cdef ws_output _output      # on its way to the socket; what TLS has not encrypted waits in `_tls`
    cdef size_t _high_water
    cdef size_t _most           # SIZE_MAX for no limit
    cdef double _written_at
    cdef uint64_t _sent_in      # the turn in which output left at once
    cdef bint _gathers          # a task answers several messages at a time: what it sends leaves together
    cdef bint _dirty            # on the engine's dirty list
    cdef bint _above            # output went above high water and has not drained
    cdef bint _closing          # nothing is sent or delivered any more
    cdef bint _broken           # the socket takes no more output
    cdef bint _blocked          # nor does it just now
    cdef bint _gone

    cdef int finish(self, error) except -1:
        """The connection is gone."""
        return 0

    cdef int ended_output(self) except -1:
        """In closing, all has been written."""
        return 0

    cdef int broke_output(self, error) except -1:
        """The socket takes no more. What the peer sent before that is still to be read, a close frame above all."""
        return 0

    cdef size_t buffered(self) noexcept:
        return self._output.size if self._tls is None else self._output.size + self._tls.plain.size

    cdef int put_message(
        self, int opcode, const uint8_t *data, size_t size, owner, bint compress
    ) except -1:
        """Frame a whole message."""
        cdef uint8_t head[WS_MAX_HEAD]
        cdef uint8_t key[4]
        cdef const uint8_t *mask = NULL
        cdef uint8_t *place
        cdef size_t length
        cdef ws_output *output
        if not self._sender.plain:
            self.put_bytes(self._sender.message(opcode, owner, compress))
            return 0
        if self._broken:
            return 0
        output = self.begin_output()
        if self._sender.masks:
            memcpy(key, self._engine._masks.take(), 4)  # the pool may be renewed by what a finalizer sends
            mask = key
        length = ws_frame_head(head, 0x80 | opcode, size, mask)
        if size >= REFERRED and owner is not None and mask == NULL:
            place = self.room(output, length)
            memcpy(place, head, length)
            ws_output_add(output, length)
            self.refer(output, owner, data, size)
            return 0
        place = self.room(output, length + size)
        memcpy(place, head, length)
        if mask != NULL:
            ws_mask(place + length, data, size, mask, 0)
        elif size:
            memcpy(place + length, data, size)
        ws_output_add(output, length + size)
        return 0

    cdef int put_bytes(self, bytes data) except -1:
        if PyBytes_GET_SIZE(data):
            self.put(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), data)
        return 0

    cdef int put(self, const uint8_t *data, size_t size, owner) except -1:
        """Let bytes wait, by reference where they are many."""
        cdef ws_output *output
        if self._broken or not size:
            return 0
        output = self.begin_output()
        if size >= REFERRED:
            self.refer(output, owner, data, size)
        else:
            memcpy(self.room(output, size), data, size)
            ws_output_add(output, size)
        return 0

    cdef ws_output *begin_output(self) except NULL:
        if not self.buffered():
            self._written_at = self._engine.time()
        return &self._output if self._tls is None else &self._tls.plain

    cdef uint8_t *room(self, ws_output *output, size_t size) except NULL:
        cdef uint8_t *place = ws_output_room(output, &self._engine._pool, size)
        if place == NULL:
            self.finish(MemoryError("no memory for what is sent"))
            raise MemoryError
        return place

    cdef int refer(self, ws_output *output, owner, const uint8_t *data, size_t size) except -1:
        if ws_output_refer(output, &self._engine._pool, <void *>owner, data, size):
            self.finish(MemoryError("no memory for what is sent"))  # its head may have been written already
            raise MemoryError
        Py_INCREF(owner)
        return 0

    cdef int transmitted(self) except -1:
        """Something waits to be written: now, or at the end of the turn together with what follows."""
        cdef Engine engine = self._engine
        if self.buffered() > self._high_water:
            if not self._blocked:
                self.flush()
        elif engine._polling or self._dirty or self._gathers or self._sent_in == engine._turn:
            engine.list_dirty(self)
        elif not self._blocked:
            self._sent_in = engine._turn
            self.flush()
        return 0

    cdef int flush(self) except -1:
        """Write as much as the socket takes."""
        cdef iovec vector[WS_VECTOR]
        cdef void *owners[WS_VECTOR]
        cdef msghdr message
        cdef ssize_t taken
        cdef int count, number, at
        if self._gone:
            return 0
        if self._tls is not None:
            if self._engine._in_tls:
                return self._engine.list_dirty(self)
            self._tls.encrypt(self)
            if self._gone:
                return 0
        while self._output.size and not self._blocked:
            count = ws_output_vector(&self._output, vector)
            if count == 1:
                taken = send(self._fd, vector[0].iov_base, vector[0].iov_len, MSG_NOSIGNAL)
            else:
                clear_message(&message)
                message.msg_iov = vector
                message.msg_iovlen = count
                taken = sendmsg(self._fd, &message, MSG_NOSIGNAL)
            if taken < 0:
                number = errno
                if number == EINTR:
                    continue
                if number != EAGAIN:
                    self.break_output(OSError(number, os.strerror(number)))
                    return 0
                self._blocked = True
                break
            count = ws_output_taken(&self._output, &self._engine._pool, taken, owners)
            for at in range(count):
                Py_DECREF(<object>owners[at])
            self._written_at = self._engine.time()
        if not self._output.size:
            self._blocked = False
        if self._blocked:
            self.watch(self._watched | EPOLLOUT)
        elif self._watched & EPOLLOUT:
            self.watch(self._watched & ~EPOLLOUT)
        if self._closing and not self.buffered() and (self._tls is None or not self._tls.shakes_hands()):
            self.ended_output()
        if self._above and self.buffered() <= self._high_water // 4:
            self._above = False
            self._engine._call_soon(self._tell_drained)
        return 0

    cdef int break_output(self, error) except -1:
        self._broken = True
        self._blocked = False
        self.drop_output()
        if self._watched & EPOLLOUT:
            self.watch(self._watched & ~EPOLLOUT)
        return self.broke_output(error)

    cdef bint is_full(self, size_t size) except -1:
        cdef size_t held
        if self._most == SIZE_MAX:
            return False
        # What is held back until the last fragment of a message is no fault of the peer's, but bounded all the same.
        held = 0 if self._sender is None else self._sender.held
        if held + self.buffered() + size > self._most and self.buffered() and not self._blocked:
            self.flush()  # gathered is not the same as not taken
        held += self.buffered()
        if held > 0 and held + size > self._most:
            self._above = True  # whatever waits: who was refused is told when there is room again
            return True
        return False

    cdef Py_ssize_t measure(self) noexcept:
        cdef size_t waiting = self.buffered()
        if self._broken:
            return self._high_water + 1  # never to be taken: who sends on has to wait for the end
        if waiting > self._high_water:
            self._above = True
        return waiting

    cdef void drop_output(self) noexcept:
        """Let go of what waits."""
        cdef ws_pool *pool = NULL if self._engine is None else &self._engine._pool  # None: both are being collected
        drop(&self._output, pool)
        if self._tls is not None:
            drop(&self._tls.plain, pool)


cdef void drop(ws_output *output, ws_pool *pool) noexcept:
    cdef void *owner
    while ws_output_drop(output, pool, &owner):
        if owner != NULL:
            Py_DECREF(<object>owner)
