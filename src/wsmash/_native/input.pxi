# The input of one connection: what a read brings is decrypted, cut into messages, and handed on.
#
# Bytes that were received and could not be worked off are kept in `_tail`: the beginning of a
# frame head, or, where a pause or the turn's end stopped the channel (`_more`), all that is
# left of one read.


cdef class Input(Output):
    """The reading half of a channel."""

    cdef object _handler
    cdef Receiver _receiver
    cdef bytes _early           # given to `attach`, not yet looked at
    cdef uint8_t *_tail
    cdef size_t _tail_size
    cdef double _received_at
    cdef double _message_at
    cdef PyObject *_entered     # the context that callbacks run in at the moment
    cdef bint _quick            # the handler is a connection that shortcuts are for
    cdef bint _answers_later    # messages wait in an inbox for a task
    cdef bint _listed           # on the engine's ready list
    cdef bint _greedy           # it had more than its share of a turn the last time
    cdef bint _unread           # it has something to read, and its turn comes from the ready list
    cdef bint _paused           # by the handler
    cdef bint _more             # the tail can be worked off
    cdef bint _ended            # their direction is ended: acted on when what came before it has been delivered

    cdef int happened(self, uint32_t events) except -1:
        if events & EPOLLOUT or (events & (EPOLLHUP | EPOLLERR) and self._output.size):
            self._blocked = False
            self.flush()
            if self._gone:
                return 0
        if self._paused or self._ended:
            # Not to be told of it again before somebody listens: a hang-up would be reported at every turn.
            self.watch(EPOLLOUT if self._blocked else 0)
        elif events & (EPOLLIN | EPOLLHUP | EPOLLERR) and not self._listed:
            if (self._greedy or self._receiver is None) and not self._closing:
                self._unread = True
                self.watch(EPOLLOUT if self._blocked else 0)  # or it would be reported until its turn comes
                self._engine.list_ready(self)
            else:
                self.read()
        return 0

    cdef int failed(self, error) except -1:
        self.leave_context()
        return self.finish(error)

    cdef int read(self) except -1:
        """Take what the socket has, one read of it, and work it off."""
        cdef Engine engine = self._engine
        cdef uint8_t *start = engine._buffer + WS_MAX_HELD
        cdef iovec vector[2]
        cdef uint8_t *place = NULL
        cdef size_t room = 0
        cdef ssize_t count
        cdef int number
        if self._receiver is not None and self._tls is None and not self._closing and not self._tail_size:
            place = self._receiver.room(&room)
        if place != NULL:
            vector[0].iov_base, vector[0].iov_len = place, room
            vector[1].iov_base, vector[1].iov_len = start, READ_SIZE
            count = readv(self._fd, vector, 2)
        else:
            count = recv(self._fd, start, READ_SIZE, 0)
        if count <= 0:
            number = errno
            if count == 0:
                self.received_at_now()
                self.end_input()
            elif number != EAGAIN and number != EINTR:
                self.finish(OSError(number, os.strerror(number)))
            return 0
        self.received_at_now()
        if place != NULL:
            self.arrived_in_place(<size_t>count, room, start)
        else:
            self.arrived(start, <size_t>count)
        return 0

    cdef int received_at_now(self) except -1:
        self._received_at = self._engine._now if self._engine._polling else self._engine.time()
        return 0

    cdef int arrived(self, uint8_t *data, size_t size) except -1:
        """Bytes of the socket's, with room for a frame's head in front of them."""
        if self._tls is not None:
            self.decrypt(data, size)
        else:
            self.understood(data, size)
        return 0

    cdef int decrypt(self, uint8_t *data, size_t size) except -1:
        """Ciphertext came: what it holds is worked off, and TLS may have something to say by itself."""
        cdef uint8_t *plaintext = NULL
        cdef size_t length = 0
        ended = self._tls.receive(self, data, size, &plaintext, &length)
        failed = ended is not None and ended is not True
        if length:
            if failed:
                self._tls.pump.failure = ended
            self.understood(plaintext, length)
        if self._gone:
            return 0
        if not failed:
            if self.buffered() or self._closing:
                self._engine.list_dirty(self)
            return 0 if ended is None else self.end_input()
        if length:
            self.flush()  # the alert
            return self.end_input()
        if not self._closing or self._tls.shakes_hands():  # else nothing is listened to any more, sound or not
            self.flush()
            self.finish(ended)
        return 0

    cdef int understood(self, uint8_t *data, size_t size) except -1:
        """Bytes of the peer's, decrypted where that was needed, with room for a frame's head in front of them."""
        cdef size_t tail = self._tail_size
        if self._closing or self._gone:
            return 0
        if self._receiver is None:
            self._handler.bytes_received(PyBytes_FromStringAndSize(<const char *>data, size))
            return 0
        if self._more or tail > WS_MAX_HELD:
            self.keep(data, size)  # behind what waits already
            return 0
        if tail:
            data -= tail
            memcpy(data, self._tail, tail)
            self.forget_tail()
        self.deliver(data, size + tail)
        return 0

    cdef int arrived_in_place(self, size_t count, size_t room, uint8_t *rest) except -1:
        """The bytes of a large message went where they belong, and those that are not its own to `rest`."""
        cdef size_t placed = count if count < room else room
        cdef bint whole = self._receiver.received(placed)
        self._message_at = self._received_at
        cdef bint raised = True
        try:
            if whole:
                self.hand_on(self._receiver.opcode)
                self.end_read()
            raised = False
        finally:
            if raised:
                self.leave_context()
            if count > placed and not (self._gone or self._closing):
                if self._paused or raised:
                    self.keep(rest, count - placed)
                    self._more = True
                    if not self._paused:
                        self._engine.list_ready(self)
                else:
                    self.deliver(rest, count - placed)
        return 0

    cdef int deliver(self, const uint8_t *data, size_t size) except -1:
        """Hand on the messages in these bytes until a pause or the turn's end stops it, and keep what is left."""
        cdef Receiver receiver = self._receiver
        cdef Engine engine = self._engine
        cdef uint32_t pieces = receiver.wire.pieces
        cdef size_t at = 0, used = 0, inflated = receiver.inflated
        cdef int count = 0
        cdef bint reading = False
        self._more = True
        self._greedy = False
        engine._share_ends = 0
        try:
            while not (self._paused or self._closing or self._gone):
                if count and (
                    count == ITEMS_PER_TURN or engine.share_is_over() or receiver.inflated - inflated > READ_SIZE
                ):
                    self._greedy = True
                    break
                reading = True  # what raises between here and there is no handler
                if not receiver.step(data + at, size - at, &used):
                    at += used
                    self._more = reading = False
                    break
                reading = False
                at += used
                count += 1
                self.hand_on(receiver.opcode)
        finally:
            if reading:
                self.finish(MemoryError("no memory for what the peer sent"))
            try:
                self.end_read()
            finally:  # an interrupt loses no bytes
                self._gathers = self._answers_later and count > 1
                if receiver.wire.pieces != pieces or not receiver.wire.message:
                    self._message_at = self._received_at
                if self._closing or self._gone:
                    self._more = False
                elif at < size:
                    self.keep(data + at, size - at)
                if self._more and not self._paused:
                    engine.list_ready(self)
        return 0

    cdef int end_read(self) except -1:
        """All that one read brought is handed on."""
        try:
            fill_inbox(self._engine)
        finally:
            self.leave_context()
        return 0

    cdef int hand_on(self, int opcode) except -1:
        """Give one item to who listens."""
        cdef PyObject *connection
        cdef PyObject *callback
        cdef PyObject *inbox
        cdef Shortcuts shortcuts
        data, self._receiver.data = self._receiver.data, None
        if opcode == 1 or opcode == 2:
            if self._quick:
                shortcuts = _shortcuts
                connection = <PyObject *>self._handler
                callback = slot_of(connection, shortcuts.message)
                inbox = slot_of(connection, shortcuts.inbox)
                self._answers_later = inbox != <PyObject *>None
                if (
                    slot_of(connection, shortcuts.life) == shortcuts.open
                    and slot_of(connection, shortcuts.gate) == <PyObject *>None
                ):
                    if inbox != <PyObject *>None:
                        self.leave_context()  # the task that is filled goes on in its own
                        if put_in_inbox(self._engine, inbox, callback, data):
                            return 0
                    elif callback != <PyObject *>None and type(<object>callback) is not tuple:
                        function = <object>callback  # held: it may be taken off by what it does
                        self.enter_context(slot_of(connection, shortcuts.context))
                        return call_back(self, connection, function, data)
            self.leave_context()
            self._handler.message(opcode, data)
        else:
            fill_inbox(self._engine)
            self.leave_context()
            if opcode < 0:
                self._handler.violated(data)
            else:
                self._handler.control(opcode, data)
        return 0

    cdef int enter_context(self, PyObject *context) except -1:
        """A connection's context is entered once for all that one read brings."""
        if self._entered == NULL:
            PyContext_Enter(<object>context)
            Py_INCREF(<object>context)
            self._entered = context
        return 0

    cdef int leave_context(self) except -1:
        cdef PyObject *context = self._entered
        if context != NULL:
            self._entered = NULL
            PyContext_Exit(<object>context)
            Py_DECREF(<object>context)
        return 0

    cdef int go_on(self) except -1:
        """Work off what is left, after a pause or where the last turn ended."""
        cdef bytes early
        cdef uint8_t *tail
        cdef size_t size
        if self._gone:
            return 0
        if self._early is not None and not self._paused:
            early, self._early = self._early, None
            self.arrived_early(early)
        if self._paused or self._closing or self._gone:
            return 0
        if self._more:
            tail, size = self._tail, self._tail_size
            self._tail, self._tail_size = NULL, 0
            try:
                self.deliver(tail, size)
            finally:
                free(tail)
        if not (self._more or self._paused or self._closing or self._gone):
            if self._ended:
                self.end()
            else:
                self.listen()
                if self._unread:
                    self._unread = False
                    self.read()
        return 0

    cdef int arrived_early(self, bytes early) except -1:
        """What was given to `attach`, read by read."""
        cdef const uint8_t *data = <const uint8_t *>PyBytes_AS_STRING(early)
        cdef size_t size = PyBytes_GET_SIZE(early), at = 0, some
        while at < size and not self._gone:
            some = min(size - at, READ_SIZE)
            memcpy(self._engine._buffer + WS_MAX_HELD, data + at, some)
            self.arrived(self._engine._buffer + WS_MAX_HELD, some)
            at += some
        return 0

    cdef int keep(self, const uint8_t *data, size_t size) except -1:
        """Put bytes behind the tail."""
        cdef uint8_t *grown = <uint8_t *>malloc(self._tail_size + size)
        if grown == NULL:
            raise MemoryError
        if self._tail_size:
            memcpy(grown, self._tail, self._tail_size)
        memcpy(grown + self._tail_size, data, size)
        free(self._tail)
        self._tail = grown
        self._tail_size += size
        return 0

    cdef void forget_tail(self) noexcept:
        free(self._tail)
        self._tail = NULL
        self._tail_size = 0

    cdef bint holds_part(self) noexcept:
        return self._tail_size != 0 and not self._receiver.wire.over

    cdef int listen(self) except -1:
        """Be told of what the peer sends."""
        if not self._ended:
            self.watch(EPOLLIN | (EPOLLOUT if self._blocked else 0))
        return 0

    cdef int end_input(self) except -1:
        """The peer has ended its direction."""
        self._ended = True
        self.watch(EPOLLOUT if self._blocked else 0)
        if self._closing or not (self._paused or self._more):
            self.end()
        return 0

    cdef int end(self) except -1:
        """What came before the peer's end is delivered. What we still write in closing may go out first."""
        if self.buffered():
            self.flush()  # answers to what came with the end
        if not (self._closing and self.buffered()):
            self.finish(None if self._tls is None else self._tls.pump.failure)
        return 0
