# Messages that wait: the twin of `runtime/queue.py`, and a reader's short way to them.

cdef extern from *:
    """
    /* How an iterator ends without a traceback, which would cost more than the rest of it. */
    #define end_iteration() return NULL
    """
    void end_iteration() noexcept
    void PyErr_SetObject(PyObject *type, PyObject *value) noexcept
    PyObject *PyExc_StopIteration
    bint PyCoro_CheckExact(object)
    int PyIter_Send(object iterator, object sent, PyObject **result) except -1
    int PYGEN_NEXT


cdef Py_ssize_t MAX_BYTES = MAX_QUEUE_BYTES

cdef object NOTHING = iter(())
"""An iterator at its end."""


@cython.final
cdef class Queue:
    """Messages in the order they came."""

    cdef list _messages
    cdef Py_ssize_t _at         # of the oldest one
    cdef Py_ssize_t _count      # how many wait
    cdef readonly Py_ssize_t most
    cdef readonly Py_ssize_t size
    cdef public bint pulled

    def __init__(self, Py_ssize_t most):
        self._messages = []
        self.most = most

    cdef bint is_full(self) noexcept:
        return self._count >= self.most or self.size >= MAX_BYTES

    cdef bint are_few(self) noexcept:
        return self._count <= self.most // 4 and self.size <= MAX_BYTES // 4

    @property
    def full(self):
        """Whether reading is to pause."""
        return self.is_full()

    @property
    def few(self):
        """Whether reading, where it pauses, may go on."""
        return self.are_few()

    def __len__(self):
        return self._count

    cpdef put(self, messages, Py_ssize_t size):
        """Add messages, of so many bytes together."""
        self._messages += messages
        self._count = len(self._messages) - self._at
        self.size += size

    cpdef take(self):
        """The oldest one."""
        if not self._count:
            raise IndexError("no message waits")
        data = self._messages[self._at]
        self._messages[self._at] = None
        self._at += 1
        self._count -= 1
        self.size -= len(data)
        if not self._count:
            self._messages.clear()
            self._at = 0
        elif self._at >= 256:
            del self._messages[: self._at]
            self._at = 0
        return data

    cpdef clear(self):
        """Forget all of them."""
        self._messages = []
        self._at = self._count = self.size = 0


@cython.final
cdef class CallWithEach:
    """Call a connection's one message callback with each message as it comes, and await what it returns."""

    cdef object _inbox
    cdef object _connection
    cdef object _failed

    def __init__(self, inbox, connection, failed):
        self._inbox = inbox
        self._connection = connection
        self._failed = failed

    def __await__(self):
        cdef Shortcuts shortcuts = _shortcuts
        cdef Queue queue = self._inbox.queue
        cdef PyObject *inbox = <PyObject *>self._inbox
        cdef PyObject *slots = <PyObject *>self._connection
        cdef PyObject *given
        cdef Parking parking
        loop = self._connection._owner.environment.loop
        event = None
        while True:
            callback = <object>slot_of(slots, shortcuts.message)
            if callback is None or type(callback) is tuple:
                return
            if not queue._count:
                if slot_of(inbox, shortcuts.last) == TRUE:
                    return
                event = callback = result = None  # and what they hold is let go
                parking = Parking(loop)
                set_slot(inbox, shortcuts.parked, <PyObject *>parking)
                try:
                    parking._asyncio_future_blocking = True
                    yield parking
                    parking.result()
                finally:
                    set_slot(inbox, shortcuts.parked, <PyObject *>None)
                continue
            data = queue.take()
            if slot_of(slots, shortcuts.pauses) != shortcuts.zero and queue.are_few():
                self._inbox.resume()
            event = event_again(event, slots, data)
            data = None
            try:
                result = callback(event)
                if PyCoro_CheckExact(result):
                    if PyIter_Send(result, None, &given) == PYGEN_NEXT:
                        first = <object>given
                        Py_DECREF(first)
                        yield from _rest(result, first)
                    else:
                        Py_DECREF(<object>given)
                elif shortcuts.must_run(result):
                    yield from result.__await__()
            except Exception as error:
                self._failed(error)
            except CancelledError as error:
                shortcuts.cancelled(error, self._failed)


call_with_each = CallWithEach


def _rest(coroutine, waits_for):
    """What `yield from` does after a coroutine's first step (PEP 380)."""
    try:
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as error:
                waits_for = coroutine.throw(error)
            else:
                waits_for = coroutine.send(sent)
    except StopIteration:
        return


cdef event_again(event, PyObject *connection, data):
    """The event of a message: the last one's, where nobody has kept that."""
    cdef Shortcuts shortcuts = _shortcuts
    if event is None or Py_REFCNT(event) > 1:
        return make_event_of(connection, data)
    set_slot(<PyObject *>event, shortcuts.data, <PyObject *>data)
    set_slot(<PyObject *>event, shortcuts.json, <PyObject *>None)
    return event


@cython.final
cdef class Finished:
    """The outcome of every action that needs no waiting: the twin of that in `runtime/actions.py`."""

    def __await__(self):
        return NOTHING

    def send(self, value):
        raise StopIteration

    def throw(self, typ, val=None, tb=None):
        raise typ if isinstance(typ, BaseException) else val or typ()

    def close(self):
        """There is nothing to close."""

    def done(self):
        """Always."""
        return True

    def __repr__(self):
        return "<Action done>"


@cython.final
@cython.freelist(16)
cdef class Parking:
    """Where a task waits for messages: the twin of that in `runtime/parking.py`."""

    cdef public bint _asyncio_future_blocking
    cdef object _loop
    cdef object _resume
    cdef object _context
    cdef bint _yielded
    cdef bint _done
    cdef bint _cancelled

    def __cinit__(self, loop):
        self._loop = loop

    cpdef wake(self):
        """Let the task go on in the next turn."""
        if not self._done:
            self._done = True
            if self._resume is not None:
                self._loop.call_soon(self._resume, self, context=self._context)

    cpdef wake_at_once(self):
        """Let the task go on now."""
        if self._done or self._resume is None or self._context is None or current_task(self._loop) is not None:
            self.wake()
            return
        self._done = True
        PyContext_Enter(self._context)
        try:
            self._resume(self)
        finally:
            PyContext_Exit(self._context)

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        if self._yielded:
            self.result()
            end_iteration()
        self._yielded = self._asyncio_future_blocking = True
        return self

    def get_loop(self):
        return self._loop

    def add_done_callback(self, callback, *, context=None):
        self._resume = callback
        self._context = context

    def remove_done_callback(self, callback):
        self._resume = None
        return 1

    def cancel(self, msg=None):
        if self._done:
            return False
        self._cancelled = True
        self.wake()
        return True

    def cancelled(self):
        return self._cancelled

    def done(self):
        return self._done

    cpdef result(self):
        if self._cancelled:
            raise CancelledError


@cython.final
@cython.freelist(16)
cdef class Next:
    """What `__anext__` gives: a coroutine that is done at its first step where a message waits by then."""

    cdef object _connection
    cdef object _slow
    cdef object _run            # where it had to wait

    def __await__(self):
        return self

    def __iter__(self):
        return self

    def __next__(self):
        cdef PyObject *inbox
        cdef Queue queue
        if self._run is None:
            inbox = slot_of(<PyObject *>self._connection, _shortcuts.inbox)
            if type(<object>inbox) is _shortcuts.inbox_type:
                queue = <object>slot_of(inbox, _shortcuts.queue)
                # The first time, and where another reader waits, the long way knows what to do.
                if queue.pulled and slot_of(inbox, _shortcuts.parked) == <PyObject *>None:
                    if queue._count:
                        data = take_from(queue, <PyObject *>self._connection, <object>inbox)
                        PyErr_SetObject(PyExc_StopIteration, <PyObject *>data)
                        data = None
                        end_iteration()
                    if slot_of(inbox, _shortcuts.last) != TRUE:
                        self._run = self.wait(<object>inbox)
            if self._run is None:
                self._run = self._slow(self._connection).__await__()
        return next(self._run)

    def wait(self, inbox):
        """Wait for a message; what else may come of that, the long way knows."""
        cdef Queue queue = inbox.queue
        cdef Parking parking = Parking(self._connection._owner.environment.loop)
        set_slot(<PyObject *>inbox, _shortcuts.parked, <PyObject *>parking)
        try:
            parking._asyncio_future_blocking = True
            yield parking
            parking.result()
        finally:
            set_slot(<PyObject *>inbox, _shortcuts.parked, <PyObject *>None)
        if queue._count:
            return take_from(queue, <PyObject *>self._connection, inbox)
        return (yield from self._slow(self._connection, inbox).__await__())

    def send(self, value):
        return next(self) if value is None else self._run.send(value)

    def throw(self, *error):
        if self._run is not None:
            return self._run.throw(*error)
        raise error[0]

    def close(self):
        if self._run is not None:
            self._run.close()


cdef take_from(Queue queue, PyObject *connection, inbox):
    """The oldest message, and reading goes on once there is room again."""
    data = queue.take()
    if slot_of(connection, _shortcuts.pauses) != _shortcuts.zero and queue.are_few():
        inbox.resume()
    return data


def shortened_next(slow):
    """The method `__anext__` of a connection, with a short way before it."""
    def __anext__(self):
        cdef Next coming
        if _shortcuts is None or not isinstance(self, _shortcuts.connection):
            return slow(self)
        coming = Next.__new__(Next)
        coming._connection, coming._slow = self, slow
        return coming

    return __anext__


SHORTENED = {"send": shortened_send, "__anext__": shortened_next}
"""What puts the engine's way before a method of this name."""
