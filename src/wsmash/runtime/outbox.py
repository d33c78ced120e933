"""What happens when the peer reads more slowly than is sent to it.

Below high water a connection has no outbox. Above it, whoever awaits a `send`
waits here for room, only the newest ping is answered, and under the policy
"conflate" messages with a key wait outside the write buffer, one for each key.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from typing import TYPE_CHECKING

from ..constants import CloseCode, Opcode
from ..errors import ConnectionClosed, SlowConsumer
from ..sansio.states import Life
from ..transports.base import REFUSED
from .actions import DONE, Action, Pending, finished_with

if TYPE_CHECKING:
    from .connection import WebSocketConnection

Pieces = Iterable[str] | Iterable[bytes] | AsyncIterable[str] | AsyncIterable[bytes]


KEYED_OVERHEAD = 128
"""What a message that waits for its key's turn counts beside its bytes: many small ones take more memory."""


class Outbox:
    """What waits for room in one connection's write buffer."""

    __slots__ = ("_connection", "_keyed", "_keyed_size", "_room", "ended", "fragmented", "pong")

    def __init__(self, connection: WebSocketConnection) -> None:
        self._connection = connection
        self._room: Pending[None] | None = None  # one for all who wait: what each adds is its own waiting alone
        self._keyed: dict[str, tuple[int, bytes]] = {}
        self._keyed_size = 0
        self.pong: bytes | None = None  # the newest ping that is not answered
        self.fragmented: deque[_Fragments] = deque()  # messages in fragments: the first one is under way
        self.ended: ConnectionClosed | None = None

    @property
    def held(self) -> int:
        """Bytes of messages that wait for their key's turn."""
        return self._keyed_size

    def room(self) -> Pending[None]:
        """Ends when the write buffer has drained; fails when the connection is lost."""
        if self._room is None:
            connection = self._connection
            if connection._life is Life.LOST:
                return finished_with(connection._closed_error())  # nothing would ever end the waiting
            self._room = Pending(connection._owner.environment.loop.create_future())
        return self._room

    def conflate(self, key: str, opcode: int, payload: bytes) -> bool:
        """Keep the message outside the buffer, in place of an older one of its key; False where all are too many."""
        connection = self._connection
        older = self._keyed.get(key)
        size = self._keyed_size + len(payload) - len(older[1]) if older else self._keyed_size + _cost(key, payload)
        most = connection._owner.options.max_write_buffer
        if most is not None and size > most:
            return False
        connection._owner.counters.conflated += older is not None
        self._keyed[key] = opcode, payload
        self._keyed_size = size
        return True

    def drained(self) -> None:
        """There is room: what waited goes first, then those who wait to send."""
        connection = self._connection
        if self.pong is not None:
            payload, self.pong = self.pong, None
            connection._put(Opcode.PONG, payload)
        while self._keyed and not connection._congested:
            self._put_keyed()
        if not connection._congested and self._room is not None:
            room, self._room = self._room.future, None
            if not room.done():
                room.set_result(None)

    def flush(self) -> None:
        """Messages that wait for room go at once: the close frame of an orderly close comes after them."""
        while self._keyed:
            self._put_keyed()

    def _put_keyed(self) -> None:
        """Hand on the message that has waited longest; where it does not fit it is dropped, and counted."""
        key = next(iter(self._keyed))
        opcode, payload = self._keyed.pop(key)
        self._keyed_size -= _cost(key, payload)
        if self._connection._put(opcode, payload) == REFUSED:
            self._connection._owner.counters.dropped += 1

    def forget(self) -> None:
        """Nothing is sent any more."""
        self._keyed.clear()
        self._keyed_size = 0
        self.pong = None

    def end(self, error: ConnectionClosed) -> None:
        """The connection is gone."""
        if self._room is not None and not self._room.done():
            self._room.future.set_exception(error)
        self.ended = error
        for message in self.fragmented:
            message.cut_off()


def _cost(key: str, payload: bytes) -> int:
    return len(payload) + len(key) + KEYED_OVERHEAD


def refused(connection: WebSocketConnection) -> None:
    """A message did not fit: apply the policy.

    Raises:
        SlowConsumer: unless the policy is "drop".
    """
    options, counters = connection._owner.options, connection._owner.counters
    if options.slow_consumer == "drop":
        counters.dropped += 1
        return
    error = SlowConsumer(
        f"the peer does not read: more than max_write_buffer={options.max_write_buffer} bytes wait for it"
    )
    if options.slow_consumer != "raise":
        counters.closed_slow += 1
        connection._fail(CloseCode.TRY_AGAIN_LATER, "the peer reads too slowly", error)
    raise error


def refused_broadcast(connection: WebSocketConnection) -> None:
    """A broadcast did not fit: apply the policy, and raise nothing."""
    try:
        refused(connection)
    except SlowConsumer:
        connection._owner.counters.dropped += connection._owner.options.slow_consumer == "raise"


def send_fragments(connection: WebSocketConnection, pieces: Pieces) -> Action[None]:
    """See `WebSocketConnection.send_fragments`.

    A message begins at the call, so that what is sent after it comes after it;
    that of an asynchronous iterable begins when its first piece comes.
    """
    message = _Fragments(connection, pieces)
    if message.first and message.begin():
        return DONE
    return message.go_on()


class _Fragments:
    """One message in fragments.

    A piece of a plain iterable is held back until there is another, so that the last
    one can be sent as the last. Those of an asynchronous one are sent as they come,
    which may be slowly, and an empty frame ends the message.
    """

    def __init__(self, connection: WebSocketConnection, pieces: Pieces) -> None:
        self._connection = connection
        self._pieces = pieces if isinstance(pieces, AsyncIterable) else iter(pieces)
        self._opcode = -1
        self._started = False
        self._held = b""
        self._turn: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._outcome: asyncio.Future[None] = connection._owner.environment.loop.create_future()
        self._outbox = connection._need_outbox()  # that of this life: a client may connect again
        self._queue = self._outbox.fragmented
        self._queue.append(self)

    @property
    def first(self) -> bool:
        """Whether no other message in fragments is to be sent before this one."""
        return self._queue[0] is self

    def begin(self) -> bool:
        """Send what there is and is room for. Whether that is all."""
        if isinstance(self._pieces, AsyncIterable):
            return False
        try:
            for piece in self._pieces:
                self._add(piece)
                if self._connection._congested:
                    return False
            self._send(final=True)
        except BaseException as error:
            self._leave()
            self._fail(error)
            raise
        self._leave()
        return True

    def go_on(self) -> Action[None]:
        """Send the rest in a task."""
        self._task = task = self._connection._owner.run(self._finish(), None)
        task.add_done_callback(self._finished)
        return Pending(self._outcome, on_cancel=task.cancel)

    def cut_off(self) -> None:
        """The connection is gone: a source that would give its next piece late, or never, is not waited for."""
        if self._task is not None:
            self._task.cancel()

    async def _finish(self) -> None:
        """Send the rest, each piece when there is room for it."""
        if not self.first:
            self._turn = asyncio.get_running_loop().create_future()
            await self._turn
        if isinstance(self._pieces, AsyncIterable):
            await self._send_each(aiter(self._pieces))
        else:
            for part in self._pieces:
                await self._room()
                self._add(part)
        await self._room()
        self._send(final=True)

    async def _send_each(self, pieces: AsyncIterator[object]) -> None:
        try:
            async for piece in pieces:
                await self._room()
                self._take(piece)
                self._send(final=False)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()

    def _finished(self, task: asyncio.Task[None]) -> None:
        # The task may have been cancelled before it began, so that what it would raise is decided here.
        self._leave()
        outcome = self._outcome
        error = (self._outbox.ended or asyncio.CancelledError()) if task.cancelled() else task.exception()
        self._fail(error)
        if error is None:
            outcome.set_result(None)
        elif isinstance(error, asyncio.CancelledError):
            outcome.cancel()
        else:
            outcome.set_exception(error)

    def _leave(self) -> None:
        self._queue.remove(self)
        if self._queue:
            turn = self._queue[0]._turn
            if turn is not None and not turn.done():
                turn.set_result(None)

    def _fail(self, error: BaseException | None) -> None:
        if error is None or isinstance(error, ConnectionClosed) or self._outbox.ended is not None:
            return
        connection = self._connection
        if connection._fail(CloseCode.INTERNAL_ERROR, "a message in fragments was not finished", None):
            connection._owner.counters.failed_callback += 1

    async def _room(self) -> None:
        while self._connection._congested:
            self._check_open()
            await self._outbox.room()

    def _check_open(self) -> None:
        if self._outbox.ended is not None:
            raise self._outbox.ended
        self._connection._check_open()

    def _add(self, piece: object) -> None:
        if self._opcode >= 0:
            self._send(final=False)
        self._take(piece)

    def _take(self, piece: object) -> None:
        if isinstance(piece, str):
            opcode, payload = Opcode.TEXT, piece.encode()
        elif isinstance(piece, (bytes, bytearray, memoryview)):
            opcode, payload = Opcode.BINARY, bytes(piece)
        else:
            raise TypeError(f"fragments are str or bytes, not {type(piece).__name__}")
        if self._opcode < 0:
            self._opcode = opcode
        elif opcode != self._opcode:
            raise TypeError("the fragments of one message are all str or all bytes")
        self._held = payload

    def _send(self, *, final: bool) -> None:
        self._check_open()
        opcode = Opcode.CONTINUATION if self._started else max(self._opcode, Opcode.TEXT)  # no pieces: an empty text
        self._started = True
        held, self._held = self._held, b""
        self._connection._put(opcode, held, final=final)
