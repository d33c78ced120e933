# One connection's pipe, of bytes first and of messages then: see `transports.base.Channel` for what it promises.
#
# The twin of `transports/stream.py`; where the two differ it is in how bytes move, never in
# what the handler is told. How they move is in `input.pxi` and `output.pxi`.


@cython.final
cdef class Channel(Input):
    """A channel over a socket."""

    cdef object _remote
    cdef uint8_t _peer[28]      # of a connection that was accepted over TCP, until somebody asks
    cdef bint _shut             # our direction is ended

    cdef int start(self, Engine engine, sock, handler, pump, bytes received) except -1:
        cdef int fd = sock.detach()
        self._high_water = 65536
        self._most = SIZE_MAX
        self._handler = handler
        try:
            self._tls = None if pump is None else Records.__new__(Records, engine, pump)
            engine.enter(self, fd)
        except BaseException:
            close(fd)
            raise
        try:
            self.begin(engine, sock, fd, received)
        except BaseException:  # no memory: its handler hears of nothing
            self.let_go()
            raise
        return 0

    cdef int begin(self, Engine engine, sock, int fd, bytes received) except -1:
        self._received_at = self._written_at = self._message_at = engine.time()
        self._sent_in = <uint64_t>-1
        if type(sock) is Accepted and (<Accepted>sock)._peer.ss_family in (AF_INET, AF_INET6):
            memcpy(self._peer, &(<Accepted>sock)._peer, sizeof(self._peer))
        else:
            self._remote = _address(fd, True)
        self.watch(EPOLLIN)
        if self._tls is not None:
            self.flush()  # the client's hello
        if received:
            self._early = received
            engine.list_ready(self)
        return 0

    def __dealloc__(self):
        # With its engine, after a loop that was closed with connections on it.
        if self._fd >= 0 and not self._gone:
            close(self._fd)
        free(self._tail)
        self.drop_output()

    cdef void orphaned(self) noexcept:
        """In a forked child: the parent's connection goes on, and this copy of it is nobody's."""
        self._gone = True
        self._listed = self._dirty = False
        close(self._fd)
        self._fd = -1

    # -- the seam

    def write(self, bytes data not None):
        """Write bytes, before `upgrade`."""
        if not (self._closing or self._gone):
            self.put(<const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), data)
            self.transmitted()

    def upgrade(self, handler, role, limits, compression, bytes received):
        """Become a message pipe."""
        self._handler = handler
        self._high_water = limits.high_water
        self._most = SIZE_MAX if limits.max_write_buffer is None else limits.max_write_buffer
        self._receiver = Receiver(role, limits, compression)
        self._sender = Sender(role, compression, self._engine._masks)
        self._quick = (
            _shortcuts is not None and isinstance(handler, _shortcuts.connection) and _shortcuts.is_plain(handler)
        )
        if received:
            self.keep(<const uint8_t *>PyBytes_AS_STRING(received), PyBytes_GET_SIZE(received))
            self._more = True
            if not self._paused:
                self._engine.list_ready(self)

    def send(self, int opcode, payload, *, bint final=True, bint compress=True):
        """Send a message, a fragment of one, or a control frame."""
        if self._sender is None or self._closing or self._gone:
            return 0
        try:
            return self.send_any(opcode, payload, final, compress)
        except MemoryError as error:
            self.finish(error)  # its compressor may hold what the peer never gets
            raise

    cdef Py_ssize_t send_any(self, int opcode, payload, bint final, bint compress) except -3:
        cdef const uint8_t[::1] view
        cdef const uint8_t *data = NULL
        if opcode >= 8:
            self.put_bytes(self._sender.control(opcode, bytes(payload)))
        elif not (final and opcode):
            self.put_bytes(self._sender.fragment(opcode, payload, final, compress))
        elif self.is_full(len(payload)):
            return REFUSED
        elif type(payload) is bytes:
            self.put_message(
                opcode, <const uint8_t *>PyBytes_AS_STRING(payload), PyBytes_GET_SIZE(payload), payload, compress
            )
        else:
            view = payload
            if view.shape[0]:
                data = &view[0]
            if self._sender.plain:
                self.put_message(opcode, data, view.shape[0], None, compress)
            else:
                self.put_bytes(self._sender.message(opcode, payload, compress))
        self.transmitted()
        return self.measure()

    cdef Py_ssize_t send_short(self, data) except -3:
        """An exact str or bytes as a message; as `send`, but below 0 too where the long way must be taken."""
        cdef const uint8_t *start
        cdef Py_ssize_t size
        cdef int opcode
        if self._sender is None or self._closing or self._gone:
            return NOT_OPEN
        if type(data) is bytes:
            opcode, start, size = 2, <const uint8_t *>PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)
        elif PyUnicode_IS_COMPACT_ASCII(data):
            opcode, start, size = 1, <const uint8_t *>PyUnicode_DATA(data), PyUnicode_GET_LENGTH(data)
        else:
            return NOT_OPEN
        if self.is_full(size):
            return REFUSED
        if self._sender.plain:
            self.put_message(opcode, start, size, data, True)
        else:
            try:
                payload = data if opcode == 2 else PyBytes_FromStringAndSize(<const char *>start, size)
                self.put_bytes(self._sender.message(opcode, payload, True))
            except MemoryError as error:
                self.finish(error)
                raise
        self.transmitted()
        return self.measure()

    cdef Py_ssize_t send_prepared(self, message, frame) except -3:
        """What a group calls; `frame` is the message's where nothing is compressed."""
        if self._sender is None or self._closing or self._gone:
            return NOT_OPEN
        if self.is_full(len(message.payload)):
            return REFUSED
        try:
            if not self._sender.plain:
                frame = self._sender.prepared(message)
            self.put_bytes(frame)
            self.transmitted()
        except MemoryError as error:
            self.finish(error)  # the other members of the group get it
            return NOT_OPEN
        return self.measure()

    def pause_reading(self):
        """Deliver nothing until `resume_reading`."""
        # It is taken out of the reactor when that reports it: most pauses are over before.
        if not (self._closing or self._gone):
            self._paused = True

    def resume_reading(self):
        """Deliver again."""
        if self._paused and not self._gone:
            self._paused = False
            if self._more or self._ended or self._early is not None:
                # Never from inside this call: the caller may be in the middle of something.
                self._engine.list_ready(self)
            else:
                self.listen()

    def close(self):
        """Write what waits, end our direction, and drain theirs until it ends too."""
        if self._closing or self._gone:
            return
        self._closing = True
        self._paused = self._more = False
        self.forget_tail()
        self.flush()
        if not (self._ended or self._gone):
            self.listen()

    def abort(self):
        """Drop the connection as it is."""
        self.finish(None)

    @property
    def broken(self):
        """Whether the socket takes no more output."""
        return self._broken

    def info(self):
        """A look at the channel."""
        return ChannelInfo(
            self.remote(),
            None if self._gone else _address(self._fd, False),
            None if self._tls is None else self._tls.pump.session,
            self.buffered() or (self._broken and self._receiver is not None),
            self._received_at,
            self._written_at,
            self._receiver is not None and (self._receiver.unfinished or self.holds_part()),
            self._message_at,
            (
                None if self._sender is None else self._sender.deflater,
                None if self._receiver is None else self._receiver.inflater,
            ),
        )

    def held(self):
        """How many bytes are kept."""
        cdef size_t held = self.buffered() + self._tail_size
        if self._receiver is not None:
            held += self._receiver.kept()
        if self._sender is not None:
            held += self._sender.held
        return held

    # -- the end

    cdef int finish(self, error) except -1:
        if self._gone:
            return 0
        self.let_go()
        if not self._engine._loop.is_closed():
            self._engine._call_soon(self._tell_lost, error)
        return 0

    cdef int let_go(self) except -1:
        """Of all that it holds but its handler."""
        if self._gone:
            return 0
        self._gone = True
        self.drop_output()
        self.forget_tail()
        self._early = None
        try:
            self._engine.leave(self)
        finally:
            close(self._fd)
            self._fd = -1
        return 0

    cdef int watch(self, uint32_t events) except -1:
        if events != self._watched:
            try:
                Entry.watch(self, events)
            except OSError as error:  # the system has no memory to watch one more
                self.finish(error)
        return 0

    cdef int ended_output(self) except -1:
        cdef int number
        if not (self._shut or self._gone):
            self._shut = True
            if self._ended:
                self.finish(None)
            elif shutdown(self._fd, SHUT_WR):
                number = errno
                self.finish(OSError(number, os.strerror(number)))
        return 0

    cdef int broke_output(self, error) except -1:
        if self._paused or self._ended:
            self.finish(error)
        return 0

    def _tell_drained(self):
        if not (self._above or self._gone) and self._receiver is not None:
            self._handler.drained()

    def _tell_lost(self, error):
        handler, self._handler = self._handler, None
        self._quick = False
        handler.lost(error)

    cdef remote(self):
        cdef sockaddr_storage peer
        if self._remote is None and (<sockaddr *>self._peer).sa_family:
            memcpy(&peer, self._peer, sizeof(self._peer))
            self._remote = _ip_address(&peer)
        return self._remote
