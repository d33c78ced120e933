# cython: boundscheck=False, wraparound=False, initializedcheck=False, embedsignature=False, freethreading_compatible=False
"""The engine: all sockets of one event loop under one epoll descriptor, which the loop watches as one of its own.

The loop wakes `Engine.poll` once for any number of ready sockets. What their
callbacks send during the turn is gathered, and each connection is written to once
at its end. Channels are in `channel.pxi`, with their halves in `input.pxi` and
`output.pxi`, fan-out is in `group.pxi`, what is done without asking Python in
`shortcuts.pxi` and `queue.pxi`.

What wakes when:

* Descriptors are watched level-triggered, inside and outside, so a turn may stop
  anywhere and lose nothing but what was read already.
* A channel that holds bytes it has not delivered stands on the ready list; while
  that is not empty, the loop is asked for another turn, since no descriptor is
  readable for those bytes.
* A channel that has used up its share of a turn is greedy: it goes on, and reads
  more, from the ready list only, whose turn comes when all others were looked
  after and have been written to. So these wait for a share or two, however many
  send all they can. An opening is read from that list too, and nobody is accepted
  while it is long: a crowd at the door does not keep those inside waiting.
* A channel with output that is to leave at the end of the turn stands on the
  dirty list. Outside of a turn the first message of a channel is written at once;
  the ones after it wait for a flush, which the loop is asked for.
"""

import os
import ssl
import weakref
from asyncio import CancelledError, current_task
from socket import socket

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from cpython.buffer cimport PyBUF_READ, PyBUF_WRITE
from cpython.object cimport PyObject
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.errno cimport EAGAIN, ECONNABORTED, EINTR, ENOMEM, errno
from libc.stddef cimport size_t
from libc.stdint cimport SIZE_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from wsmash._native.codec cimport MaskPool, Receiver, Sender
from wsmash._native.io cimport *
from wsmash._native.wire cimport *

from wsmash.constants import MAX_QUEUE_BYTES
from wsmash.transports import base
from wsmash.transports.base import ChannelInfo
from wsmash.transports.stream import NOT_OPEN as _NOT_OPEN
from wsmash.transports.tls import fault

cdef size_t READ_SIZE = base.READ_SIZE
cdef Py_ssize_t REFUSED = base.REFUSED
cdef Py_ssize_t NOT_OPEN = _NOT_OPEN
cdef int ITEMS_PER_TURN = base.ITEMS_PER_TURN
cdef int ACCEPTS_PER_TURN = base.ACCEPTS_PER_TURN

cdef enum:
    ITEMS_PER_LOOK = 16     # at the clock
    REFERRED = 16384        # bytes from which a payload is referred to in place of copied
    MOST_OF_RECORD = 16384  # bytes of plaintext in a TLS record (RFC 8446 5.1)
    RECORDS_AT_ONCE = 128   # given to OpenSSL before what it answers is looked at

cdef extern from "Python.h":
    unsigned long PyThread_get_thread_ident()
    int PyContext_Enter(object context) except -1
    int PyContext_Exit(object context) except -1
    void *PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    PyObject *PyList_GET_ITEM(object list, Py_ssize_t index)
    Py_ssize_t Py_REFCNT(object)


_engines = weakref.WeakSet()
"""All of this process, for a child that is forked."""


cdef class Entry:
    """What has a slot in the reactor."""

    cdef Engine _engine
    cdef int _fd
    cdef uint32_t _slot
    cdef uint32_t _watched

    def __cinit__(self):
        self._fd = -1

    cdef int happened(self, uint32_t events) except -1:
        """The reactor saw these events."""
        return 0

    cdef int failed(self, error) except -1:
        """The system, or memory, failed it in its turn: the others go on."""
        return 0

    cdef int watch(self, uint32_t events) except -1:
        """Be told of these events from now on."""
        cdef int number
        if events != self._watched:
            number = ws_reactor_watch(&self._engine._reactor, self._slot, self._fd, self._watched, events)
            if number:
                raise OSError(number, os.strerror(number))
            self._watched = events
        return 0

    cdef void forget(self) noexcept:
        """Out of the reactor, before the descriptor is closed: a copy of it elsewhere would go on reporting."""
        if self._watched:
            ws_reactor_watch(&self._engine._reactor, self._slot, self._fd, self._watched, 0)
            self._watched = 0


cdef class Engine:
    """The sockets of one event loop. All calls must come from the loop's thread."""

    cdef object __weakref__
    cdef object _loop
    cdef object _clock
    cdef object _call_soon
    cdef ws_reactor _reactor
    cdef ws_pool _pool
    cdef list _entries          # by slot; None where one is free
    cdef Py_ssize_t _count
    cdef list _dirty
    cdef list _ready
    cdef MaskPool _masks
    cdef unsigned long _thread
    cdef bint _attached         # the loop watches the reactor
    cdef bint _polling
    cdef bint _turn_asked
    cdef bint _flush_asked
    cdef bint _in_tls           # the memories that all TLS shares are in use
    cdef bint _dead             # this is a forked child: the reactor is its parent's
    cdef bint _late             # the turn has taken its time
    cdef uint32_t _first        # which of the events is looked at first
    cdef double _now
    cdef uint64_t _turn         # moves whenever output may be written at once again
    cdef unsigned _frames
    cdef int64_t _turn_takes    # nanoseconds
    cdef int64_t _turn_ends
    cdef int64_t _share_takes
    cdef int64_t _share_ends    # 0 until the clock is looked at
    cdef uint8_t *_buffer
    cdef uint8_t *_plaintext
    cdef size_t _plaintext_room
    cdef object _event          # one that nobody else holds, to be used again
    # What one read brings for an inbox, put there together:
    cdef object _inbox          # None where it takes nothing unseen
    cdef list _messages
    cdef Py_ssize_t _size
    cdef Py_ssize_t _room       # messages that it still takes
    cdef Py_ssize_t _space      # and bytes

    def __cinit__(self):
        self._reactor.epoll = -1

    def __init__(self, loop):
        self._buffer = <uint8_t *>malloc(WS_MAX_HELD + READ_SIZE)
        if self._buffer == NULL:
            raise MemoryError
        self._loop = loop
        self._clock = loop.time
        self._call_soon = loop.call_soon
        self._thread = PyThread_get_thread_ident()
        self._turn_takes = <int64_t>(base.SECONDS_PER_TURN * 1e9)
        self._share_takes = <int64_t>(base.SECONDS_PER_SHARE * 1e9)
        self._entries = []
        self._dirty = []
        self._ready = []
        self._messages = []
        self._masks = MaskPool()
        _engines.add(self)

    def __dealloc__(self):
        ws_reactor_close(&self._reactor)
        ws_pool_free(&self._pool)
        free(self._buffer)
        free(self._plaintext)

    def fileno(self):
        """The reactor's descriptor."""
        return self._reactor.epoll

    def __len__(self):
        """How many sockets it holds."""
        return self._count

    # -- what it holds

    cdef int enter(self, Entry entry, int fd) except -1:
        """Hold a socket."""
        cdef int64_t slot
        cdef int number
        if self._dead:
            raise RuntimeError("this event loop's sockets belong to the parent of this process")
        number = ws_reactor_open(&self._reactor)
        if number:
            raise OSError(number, os.strerror(number))
        if not self._attached:
            self._loop.add_reader(self._reactor.epoll, self.poll)
            self._attached = True
        slot = ws_reactor_enter(&self._reactor)
        if slot < 0:
            raise MemoryError
        entry._engine = self
        entry._fd = fd
        entry._slot = <uint32_t>slot
        if slot == len(self._entries):
            self._entries.append(entry)
        else:
            self._entries[slot] = entry
        self._count += 1
        return 0

    cdef int leave(self, Entry entry) except -1:
        """Hold it no more. Its descriptor is closed afterwards."""
        if self._dead:
            return 0
        entry.forget()
        self._entries[entry._slot] = None
        ws_reactor_leave(&self._reactor, entry._slot)
        self._count -= 1
        if not self._count and self._attached:
            self._attached = False
            if not self._loop.is_closed():
                self._loop.remove_reader(self._reactor.epoll)
            ws_reactor_rest(&self._reactor)  # a loop that has ended may wait for the collector with its engine
        return 0

    def forked(self):
        """This is the child: close what is the parent's, and touch neither its epoll nor its peers."""
        cdef Entry entry
        self._dead = True
        self._dirty.clear()
        self._ready.clear()
        for each in self._entries:
            entry = each
            if entry is not None:
                entry._watched = 0
                if isinstance(entry, Channel):
                    (<Channel>entry).orphaned()
        if self._reactor.epoll >= 0:
            close(self._reactor.epoll)
            self._reactor.epoll = -1

    # -- turns

    cdef double time(self) except -1:
        """The loop's; within a turn that of its beginning."""
        return self._now if self._polling else <double>self._clock()

    cdef bint share_is_over(self) noexcept:
        """Whether a channel has to stop. Called for each frame; looks at the clock now and then."""
        cdef int64_t now
        self._frames += 1
        if self._frames % ITEMS_PER_LOOK == 0:
            now = nanoseconds()
            if now > self._turn_ends:
                self._late = True
            if not self._share_ends:
                self._share_ends = now + self._share_takes
            elif now > self._share_ends:
                return True
        return self._late

    cdef int list_ready(self, Input channel) except -1:
        """It has something to deliver that no descriptor will tell of."""
        if not channel._listed:
            self._ready.append(channel)
            channel._listed = True
            if not self._polling:
                self.ask_turn()
        return 0

    cdef int list_dirty(self, Output channel) except -1:
        """It has something to write at the end of the turn."""
        if not channel._dirty:
            self._dirty.append(channel)
            channel._dirty = True
            if not self._polling:
                self.ask_flush()
        return 0

    cdef int ask_flush(self) except -1:
        if not self._flush_asked:
            self._call_soon(self.flush)
            self._flush_asked = True
        return 0

    cdef int ask_turn(self) except -1:
        if not self._turn_asked and not self._dead:
            self._call_soon(self.poll)
            self._turn_asked = True
        return 0

    def poll(self):
        """One turn: work off what the sockets have, then write what was sent."""
        if self._polling or self._in_tls or self._dead:
            return  # a loop inside a callback of the loop
        self._turn_asked = False
        self._now = self._clock()
        self._turn_ends = nanoseconds() + self._turn_takes
        self._late = False
        self._polling = True
        try:
            self.work()
        finally:
            self._polling = False
            self.end_turn()

    cdef int work(self) except -1:
        cdef Py_ssize_t waiting = len(self._ready)
        self.work_events()
        if waiting:
            self.flush_dirty()  # whoever was answered does not wait for those that want more
            self._turn_ends = nanoseconds() + self._share_takes
            self._late = False
            self.work_ready(waiting)
        return 0

    cdef int work_ready(self, Py_ssize_t waiting) except -1:
        """Go on with channels that hold what they have not delivered: with one of them at least."""
        cdef list ready
        cdef Py_ssize_t at = 0
        cdef Channel channel
        ready, self._ready = self._ready, []
        try:
            while at < waiting and (not at or nanoseconds() < self._turn_ends):
                channel = <Channel>ready[at]
                at += 1
                channel._listed = False
                try:
                    channel.go_on()
                except (OSError, MemoryError) as error:
                    channel.failed(error)
        finally:
            if at < len(ready):
                self._ready[:0] = ready[at:]  # before those that have had their turn
        return 0

    cdef int work_events(self) except -1:
        """Look after the sockets that report something."""
        cdef epoll_event events[WS_EVENTS]
        cdef int count, at, passed
        cdef int64_t slot
        count = ws_reactor_poll(&self._reactor, events)
        for passed in range(count):
            at = <int>((self._first + <uint32_t>passed) % <uint32_t>count)
            slot = ws_reactor_slot(&self._reactor, &events[at])
            if slot >= 0:
                entry = <object>PyList_GET_ITEM(self._entries, slot)
                try:
                    (<Entry>entry).happened(events[at].events)
                except (OSError, MemoryError) as error:
                    (<Entry>entry).failed(error)
                if self._late or nanoseconds() > self._turn_ends:
                    self._first += passed + 1  # epoll tells of them in the same order again
                    break
        return 0

    cdef int end_turn(self) except -1:
        self.flush_dirty()
        self._turn += 1
        if self._ready:
            self.ask_turn()
        return 0

    def flush(self):
        """The end of a turn of the loop in which something was sent outside of `poll`."""
        self._flush_asked = False
        if not self._dead:
            self._turn += 1
            self.flush_dirty()

    cdef int flush_dirty(self) except -1:
        cdef list dirty
        cdef Py_ssize_t at
        cdef Channel channel
        while self._dirty:
            dirty, self._dirty = self._dirty, []
            at = 0
            try:
                while at < len(dirty):
                    channel = <Channel>dirty[at]
                    at += 1
                    channel._dirty = False
                    try:
                        channel.flush()
                    except (OSError, MemoryError) as error:
                        channel.failed(error)
            finally:
                if at < len(dirty):
                    self._dirty += dirty[at:]
                    self.ask_flush()
        return 0

    cdef uint8_t *plaintext(self, size_t size) except NULL:
        """Memory for what TLS decrypts in one read, with room for what a frame's head left in front of it."""
        if self._plaintext_room < size:
            free(self._plaintext)
            self._plaintext_room = 0
            self._plaintext = <uint8_t *>malloc(WS_MAX_HELD + size)
            if self._plaintext == NULL:
                raise MemoryError
            self._plaintext_room = size
        return self._plaintext + WS_MAX_HELD

    # -- what a driver does

    def listen(self, sock, on_socket, on_failure):
        """See `transports.base.Driver`."""
        return Listener(self, sock, on_socket, on_failure)

    def attach(self, sock, handler, pump, bytes received):
        """See `transports.base.Driver`; `pump` is that of TLS, or None."""
        cdef Channel channel = Channel.__new__(Channel)
        channel.start(self, sock, handler, pump, received)
        return channel

    def pump(self, make, tls, incoming, outgoing):
        """A new TLS session on these memories; on its own where they are in use."""
        if self._in_tls:
            return make(tls)
        self._in_tls = True
        try:
            return make(tls, incoming, outgoing)
        finally:
            self._in_tls = False

    def group(self, on_slow):
        """See `transports.base.Driver`."""
        return Group(on_slow)


cdef inline int64_t nanoseconds() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <int64_t>now.tv_sec * 1000000000 + now.tv_nsec


def _forked():
    for engine in tuple(_engines):
        (<Engine>engine).forked()


os.register_at_fork(after_in_child=_forked)


include "addresses.pxi"
include "listener.pxi"
include "shortcuts.pxi"
include "queue.pxi"
include "tls.pxi"
include "output.pxi"
include "input.pxi"
include "channel.pxi"
include "group.pxi"
