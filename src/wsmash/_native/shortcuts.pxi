# What the engine does for a connection without asking Python, message by message.
#
# A connection and its events are Python objects with slots. The engine reads the slots
# where they stand in memory, as the descriptors of their class would, so that there is
# one truth about a connection: wherever a slot says that a message is not the simple
# case (an open connection with one plain callback, and nothing that waits), it is handed
# to the connection's own `message` or `send`.

cdef extern from *:
    """
    #include <structmember.h> /* PyMemberDef, before Python 3.12 */
    static Py_ssize_t slot_offset(PyObject *descriptor)
    {
        if (!Py_IS_TYPE(descriptor, &PyMemberDescr_Type)) return -1;
        return ((PyMemberDescrObject *)descriptor)->d_member->offset;
    }
    static inline PyObject *slot_of(PyObject *object, Py_ssize_t offset)
    {
        PyObject *value = *(PyObject **)((char *)object + offset);
        return value ? value : Py_None; /* of an object whose __init__ has not run */
    }
    static inline void set_slot(PyObject *object, Py_ssize_t offset, PyObject *value)
    {
        PyObject **place = (PyObject **)((char *)object + offset), *before = *place;
        Py_XINCREF(value);
        *place = value;
        Py_XDECREF(before);
    }
    static inline PyObject *bare(PyObject *type) /* an instance whose slots are all empty */
    {
        return ((PyTypeObject *)type)->tp_alloc((PyTypeObject *)type, 0);
    }
    """
    PyObject *FALSE "Py_False"  # Cython takes `False` for a number
    PyObject *TRUE "Py_True"
    Py_ssize_t slot_offset(object descriptor)
    PyObject *slot_of(PyObject *object, Py_ssize_t offset) noexcept
    void set_slot(PyObject *object, Py_ssize_t offset, PyObject *value) noexcept
    object bare(object type)


cdef class Shortcuts:
    """Where the slots are, and what they are compared with."""

    cdef type connection
    cdef type event
    cdef PyObject *open
    cdef PyObject *done
    cdef object must_run
    cdef object cancelled
    cdef object is_plain
    cdef Py_ssize_t channel, life, inbox, gate, message, context, congested, pauses
    cdef Py_ssize_t queue, parked, last
    cdef type inbox_type
    cdef PyObject *zero
    cdef Py_ssize_t client, data, json
    cdef object _kept

    def __init__(self, *, connection, event, inbox, open, done, must_run, cancelled, is_plain):
        self.connection = connection
        self.event = event
        self.open = <PyObject *>open
        self.done = <PyObject *>done
        zero = 0
        self.zero = <PyObject *>zero
        self._kept = open, done, zero
        self.inbox_type = inbox
        self.must_run = must_run
        self.cancelled = cancelled
        self.is_plain = is_plain
        self.channel = _offset(connection, "_channel")
        self.life = _offset(connection, "_life")
        self.inbox = _offset(connection, "_inbox")
        self.gate = _offset(connection, "_gate")
        self.message = _offset(connection, "_on_message")
        self.context = _offset(connection, "_context")
        self.congested = _offset(connection, "_congested")
        self.pauses = _offset(connection, "_pauses")
        self.queue = _offset(inbox, "queue")
        self.parked = _offset(inbox, "_parked")
        self.last = _offset(inbox, "last")
        self.client = _offset(event, "client")
        self.data = _offset(event, "data")
        self.json = _offset(event, "_json")


cdef Py_ssize_t _offset(type owner, str name) except -1:
    cdef Py_ssize_t offset = slot_offset(getattr(owner, name))
    if offset < 0:
        raise TypeError(f"{owner.__name__}.{name} is no slot")
    return offset


cdef Shortcuts _shortcuts = None


def take_shortcuts(**what):
    """Say what a simple case looks like.

    Args:
        connection: the class with the slots `_channel`, `_life`, `_inbox`, `_gate`,
            `_on_message`, `_context`, `_congested` and `_pauses`.
        event: the class of a message's event, with the slots `client`, `data` and `_json`.
        inbox: the class of an inbox, with the slots `queue`, `_parked` and `last`.
        open: what `_life` is while messages may pass.
        done: what a `send` returns that needs no waiting.
        must_run: whether what a callback returned is to be awaited.
        cancelled: hears of the cancellation that a callback let out.
        is_plain: whether messages of a connection need nothing but its callback.
    """
    global _shortcuts
    _shortcuts = Shortcuts(**what)


cdef make_event_of(PyObject *connection, object data):
    cdef Shortcuts shortcuts = _shortcuts
    event = bare(shortcuts.event)
    set_slot(<PyObject *>event, shortcuts.client, connection)
    set_slot(<PyObject *>event, shortcuts.data, <PyObject *>data)
    set_slot(<PyObject *>event, shortcuts.json, <PyObject *>None)
    return event


def make_event(connection, data):
    """The event of a message, as its class makes it."""
    return make_event_of(<PyObject *>connection, data)


cdef int call_back(Input channel, PyObject *connection, object callback, object data) except -1:
    """Call a connection's one message callback with an event."""
    cdef Shortcuts shortcuts = _shortcuts
    cdef Engine engine = channel._engine
    event, engine._event = engine._event, None
    if event is None or Py_REFCNT(event) > 1:
        event = make_event_of(connection, data)
    else:
        set_slot(<PyObject *>event, shortcuts.client, connection)
        set_slot(<PyObject *>event, shortcuts.data, <PyObject *>data)
        set_slot(<PyObject *>event, shortcuts.json, <PyObject *>None)
    try:
        result = callback(event)
    except (Exception, CancelledError) as error:
        channel.leave_context()
        (<object>connection)._callback_failed(error)
        return 0
    if result is not None and <PyObject *>result != shortcuts.done and shortcuts.must_run(result):
        channel.leave_context()
        (<object>connection)._await_callback(result, event)
    elif Py_REFCNT(event) == 1:
        set_slot(<PyObject *>event, shortcuts.client, NULL)
        set_slot(<PyObject *>event, shortcuts.data, NULL)
        set_slot(<PyObject *>event, shortcuts.json, NULL)
        engine._event = event
    return 0


cdef bint put_in_inbox(Engine engine, PyObject *inbox, PyObject *callback, data) except -1:
    """Keep a message for an inbox, which gets what one read brings at once; False where it must see each."""
    cdef Queue queue
    if engine._inbox is None:
        queue = <object>slot_of(inbox, _shortcuts.queue)
        if queue.pulled or callback != <PyObject *>None:
            engine._room, engine._space = queue.most - queue._count, MAX_BYTES - queue.size
        else:
            engine._room, engine._space = (<object>inbox).room()
        if engine._room <= 0 or engine._space <= 0:
            return False
        engine._inbox = <object>inbox
    engine._messages.append(data)
    engine._size += len(data)
    if len(engine._messages) >= engine._room or engine._size >= engine._space:
        fill_inbox(engine)
    return True


cdef int fill_inbox(Engine engine) except -1:
    """Put into the inbox what was kept for it; its task, where it waits, works that off now."""
    cdef Queue queue
    if engine._inbox is None:
        return 0
    inbox, engine._inbox = engine._inbox, None
    messages, engine._messages = engine._messages, []
    size, engine._size = engine._size, 0
    queue = <object>slot_of(<PyObject *>inbox, _shortcuts.queue)
    queue.put(messages, size)
    parked = <object>slot_of(<PyObject *>inbox, _shortcuts.parked)
    try:
        if parked is not None:
            (<Parking>parked).wake_at_once()
    finally:
        if queue.is_full():
            inbox.pause_if_full()
    return 0


def shortened_send(slow):
    """The method `send` of a connection, with the engine's short way before it."""
    def send(self, data, *, key=None, compress=True):
        cdef Shortcuts shortcuts = _shortcuts
        cdef PyObject *channel
        cdef Py_ssize_t waiting
        if (
            key is None
            and compress is True
            and shortcuts is not None
            and (type(data) is str or type(data) is bytes)
            and isinstance(self, shortcuts.connection)
            and slot_of(<PyObject *>self, shortcuts.life) == shortcuts.open
            and slot_of(<PyObject *>self, shortcuts.congested) == FALSE
        ):
            channel = slot_of(<PyObject *>self, shortcuts.channel)
            if type(<object>channel) is Channel and (<Channel>channel)._engine._thread == PyThread_get_thread_ident():
                waiting = (<Channel>channel).send_short(data)
                if waiting >= 0:
                    if waiting > <Py_ssize_t>(<Channel>channel)._high_water:
                        return self._sent_above_high_water()
                    return <object>shortcuts.done
        return slow(self, data, key=key, compress=compress)

    return send
