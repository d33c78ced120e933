# Listening sockets: connections are accepted as they come, some at a time.


@cython.final
cdef class Accepted:
    """A connection that was accepted: what `Engine.attach` takes in place of a socket."""

    cdef int _fd
    cdef sockaddr_storage _peer
    cdef socklen_t _peer_size

    def fileno(self):
        """Its descriptor, -1 once it is somebody else's."""
        return self._fd

    def getpeername(self):
        """Where it came from."""
        if self._peer.ss_family in (AF_INET, AF_INET6):
            return _ip_address(&self._peer)
        return _address(self._fd, True)

    def close(self):
        """Let go of it."""
        if self._fd >= 0:
            close(self._fd)
            self._fd = -1

    def detach(self):
        """Give the descriptor away."""
        fd, self._fd = self._fd, -1
        return fd

    def __dealloc__(self):
        if self._fd >= 0:
            close(self._fd)


@cython.final
cdef class Listener(Entry):
    """See `transports.base.Listener`."""

    cdef object _socket
    cdef object _on_socket
    cdef object _on_failure

    def __init__(self, Engine engine, sock, on_socket, on_failure):
        cdef int on = 1
        self._socket = sock
        self._on_socket = on_socket
        self._on_failure = on_failure
        engine.enter(self, sock.fileno())
        # Connections inherit it. Where it is no TCP socket the system refuses, and it is not needed.
        setsockopt(self._fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on))
        try:
            self.watch(EPOLLIN)
        except OSError:
            engine.leave(self)
            raise

    def pause(self):
        """Accept no more for now."""
        if self._socket is not None and not self._engine._dead:
            self.watch(0)

    def resume(self):
        """Accept again."""
        if self._socket is not None and not self._engine._dead:
            try:
                self.watch(EPOLLIN)
            except OSError as error:
                self._on_failure(error)

    def close(self):
        """Stop listening."""
        if self._socket is not None:
            sock, self._socket = self._socket, None
            self._engine.leave(self)
            sock.close()

    cdef int failed(self, error) except -1:
        if self._socket is not None:
            self._on_failure(OSError(ENOMEM, os.strerror(ENOMEM)))
        return 0

    cdef int happened(self, uint32_t events) except -1:
        cdef Accepted accepted
        cdef int fd, number
        cdef int64_t until = nanoseconds() + self._engine._share_takes
        for _ in range(ACCEPTS_PER_TURN):
            if not self._watched or len(self._engine._ready) >= ACCEPTS_PER_TURN or nanoseconds() > until:
                return 0  # those that wait are reported again
            accepted = Accepted.__new__(Accepted)
            accepted._fd = -1
            accepted._peer_size = sizeof(sockaddr_storage)
            fd = accept4(
                self._fd, <sockaddr *>&accepted._peer, &accepted._peer_size, SOCK_NONBLOCK | SOCK_CLOEXEC
            )
            if fd < 0:
                number = errno
                if number != EAGAIN and number != EINTR and number != ECONNABORTED:
                    self._on_failure(OSError(number, os.strerror(number)))
                return 0
            accepted._fd = fd
            self._on_socket(accepted)
        return 0
