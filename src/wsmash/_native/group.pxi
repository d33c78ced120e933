# Fan-out: one message framed once, for many. The twin of `transports/group.py`.


@cython.final
cdef class Group:
    """See `transports.base.Group`. Members are kept in the order they came, other drivers' channels among them."""

    cdef dict _members
    cdef object _on_slow

    def __init__(self, on_slow):
        self._members = {}
        self._on_slow = on_slow

    def add(self, channel):
        """Send to it too."""
        self._members[channel] = None

    def discard(self, channel):
        """Send to it no more."""
        self._members.pop(channel, None)

    def send(self, message, skip=frozenset()):
        """Send to every member but `skip`; returns how many took it."""
        cdef Py_ssize_t took = 0, waiting
        cdef bint skips = bool(skip)
        cdef bint above
        cdef list slow = None
        cdef bytes frame = message.frame(None)
        for channel in self._members:
            if skips and channel in skip:
                continue
            if type(channel) is Channel:
                waiting = (<Channel>channel).send_prepared(message, frame)
                above = (<Channel>channel)._above
            else:
                waiting = channel.send_prepared(message)
                above = channel.above_high_water
            took += waiting >= 0
            if above and waiting != NOT_OPEN:
                if slow is None:
                    slow = []
                slow.append((channel, waiting == REFUSED))
        # Told afterwards, since whoever hears it may change the members.
        if slow is not None:
            for each, refused in slow:
                self._on_slow(each, refused)
        return took
