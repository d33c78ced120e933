"""What only native code sees of the codec: a message received in its place, and whether a sender is plain."""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from wsmash._native.codec cimport Receiver, Sender

placed = 0
"""How many bytes were received in their place."""


cdef class Placing:
    """A receiver that is fed as the engine feeds it: what has a place of its own is received there."""

    cdef Receiver receiver
    cdef bytes fed

    def __init__(self, role, limits, compression=None):
        self.receiver = Receiver(role, limits, compression)
        self.fed = b""

    @property
    def unfinished(self):
        return not self.receiver.wire.over and (self.receiver.in_message or len(self.fed) > 0)

    @property
    def in_message(self):
        return self.receiver.in_message

    @property
    def pieces(self):
        return self.receiver.pieces

    @property
    def inflater(self):
        return self.receiver.inflater

    def feed(self, bytes data):
        self.fed += data

    def receive(self):
        global placed
        cdef size_t size, used
        cdef uint8_t *place
        cdef bint found = False
        while self.fed and not found:
            place = self.receiver.room(&size)
            if place is NULL:
                found = self.receiver.step(<const uint8_t *>self.fed, len(self.fed), &used)
                self.fed = self.fed[used:]
                if not found:
                    break
            else:
                used = min(size, <size_t>len(self.fed))
                memcpy(place, <const uint8_t *>self.fed, used)
                placed += used
                self.fed = self.fed[used:]
                found = self.receiver.received(used)
        if not found:
            return None
        return self.receiver.opcode, self.receiver.data


def is_plain(Sender sender):
    """Whether the engine may frame by itself what this sender would."""
    return sender.plain
