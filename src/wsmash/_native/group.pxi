# Fan-out: one message framed once, for many. The twin of `transports/group.py`.


@cython.final
cdef class Group:
    """See `transports.base.Group`. Members are kept in the order they came."""

    cdef dict _members
    cdef object _on_slow

    def __init__(self, on_slow):
        self._members = {}
        self._on_slow = on_slow

    def add(self, Channel channel not None):
        """Send to it too."""
        self._members[channel] = None

    def discard(self, channel):
        """Send to it no more."""
        self._members.pop(channel, None)

    def send(self, message, skip=frozenset()):
        """Send to every member but `skip`; returns how many took it."""
        cdef Py_ssize_t took = 0, waiting
        cdef bint skips = bool(skip)
        cdef Channel channel
        cdef list slow = None
        cdef bytes frame = message.frame(None)
        for each in self._members:
            channel = <Channel>each
            if skips and channel in skip:
                continue
            waiting = channel.send_prepared(message, frame)
            took += waiting >= 0
            if channel._above:
                if slow is None:
                    slow = []
                slow.append((channel, waiting == REFUSED))
        # Told afterwards, since whoever hears it may change the members.
        if slow is not None:
            for each, refused in slow:
                self._on_slow(each, refused)
        return took
