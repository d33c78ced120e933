"""One connection to Redis that is set up: a pipeline of commands, and the pushes that come between the replies.

Commands leave together once in a turn of the loop, and their replies come in their
order: the caller of a command may go away (be cancelled), and its reply is still
taken for its own (case 108). A connection that does not answer in time is thrown
away with all its commands (case 110).
"""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop, Future, StreamReader, StreamWriter
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from ...errors import BrokerUnavailable, OutcomeUnknown
from .base import TIMEOUT
from .redis_replies import InvalidReply, Replies, Reply, ReplyError, pack

MAX_PENDING: Final = 32 * 1024 * 1024
"""Bytes of commands without a reply; above it there is no room for another one."""

_TICK: Final = 0.25
"""Seconds between two looks for commands that are overdue."""

_PIECE: Final = 65536
"""Bytes that are read, or written, at a time."""

_SHARE: Final = 0.005
"""Seconds of replies and pushes after which others have their turn of the loop."""

_PUSHES: Final = ([b"message"], [b"pmessage"])


class _Command(NamedTuple):
    """One that has no reply yet.

    Attributes:
        future: of its reply; None where nobody waits for it.
        size: in bytes.
        since: when it was called, in the loop's time.
    """

    future: Future[Reply] | None
    size: int
    since: float


class Link:
    """A connection that is set up.

    Args:
        streams: what `Address.connect` gave.
        failed: called once it is over, from the loop, with the reason.
        pushed: called with each push, where the link is for those.

    Attributes:
        error: why it is over; None while it is not.
        lineage: of the server's data, as whoever opened the link has found it.
    """

    def __init__(
        self,
        streams: tuple[StreamReader, StreamWriter],
        failed: Callable[[Exception], None],
        pushed: Callable[[list[Reply]], None] | None = None,
    ) -> None:
        self.error: Exception | None = None
        self.lineage = b""
        self._loop: AbstractEventLoop = asyncio.get_running_loop()
        self._reader, self._writer = streams
        self._failed, self._pushed = failed, pushed
        self._replies = Replies()
        self._waiting: deque[tuple[_Command, bytes]] = deque()
        self._sent: deque[_Command] = deque()
        self._pending = 0  # bytes of both
        self._heard_at = self._loop.time()
        self._stirred = asyncio.Event()
        self._tasks = [self._loop.create_task(self._read()), self._loop.create_task(self._write())]
        self._timer = self._loop.call_later(_TICK, self._look, self._loop.time() + _TICK)

    def call(self, *parts: bytes) -> Future[Reply]:
        """Send a command, in the order of calls.

        Returns:
            A future of its reply. It comes to `ReplyError` for an error; to `BrokerUnavailable` where the command
            was certainly never sent; to `OutcomeUnknown` where it was, and has no reply. Where it is cancelled
            before the command is sent, that is not sent.
        """
        future: Future[Reply] = self._loop.create_future()
        if self.error is not None:
            future.set_exception(_unavailable(self.error))
        elif self._pending > MAX_PENDING:
            future.set_exception(BrokerUnavailable(f"Redis has yet to answer to more than {MAX_PENDING} bytes"))
        else:
            self._add(future, pack(parts))
        return future

    def tell(self, *parts: bytes) -> None:
        """The same where nobody waits for the reply, and an error does not matter."""
        if self.error is None:
            self._add(None, pack(parts))

    def fail(self, error: Exception) -> None:
        """It is over: all commands fail, and nothing is pushed any more."""
        if self.error is not None:
            return
        self.error = error
        self._timer.cancel()
        for task in self._tasks:
            task.cancel()
        self._writer.transport.abort()
        for command, _ in self._waiting:
            if command.future is not None and not command.future.done():
                command.future.set_exception(_unavailable(error))
        for command in self._sent:
            if command.future is not None and not command.future.done():
                unknown = OutcomeUnknown(f"Redis has not answered: {error}")
                unknown.__cause__ = error
                command.future.set_exception(unknown)
        self._waiting.clear()
        self._sent.clear()
        self._loop.call_soon(self._failed, error)

    async def ended(self) -> None:
        """Wait, once it has failed, until nothing is left of it."""
        await asyncio.wait(self._tasks)

    # -- out

    def _add(self, future: Future[Reply] | None, data: bytes) -> None:
        self._waiting.append((_Command(future, len(data), self._loop.time()), data))
        self._pending += len(data)
        self._stirred.set()

    async def _write(self) -> None:
        writer = self._writer
        try:
            while True:
                await self._stirred.wait()
                self._stirred.clear()
                while self._waiting and not writer.transport.is_closing():
                    writer.write(self._take_waiting())
                    await writer.drain()
        except OSError as error:
            self.fail(error)

    def _take_waiting(self) -> bytes:
        """What leaves together; what has to wait for room in the socket is not taken yet, and so was never sent."""
        taken: list[bytes] = []
        size = 0
        while self._waiting and size < _PIECE:
            command, data = self._waiting.popleft()
            if command.future is not None and command.future.cancelled():
                self._pending -= command.size
                continue
            self._sent.append(command)
            taken.append(data)
            size += command.size
        return b"".join(taken)

    # -- in

    async def _read(self) -> None:
        until = 0.0
        try:
            while data := await self._reader.read(_PIECE):
                self._heard_at = now = self._loop.time()
                until = max(until, now + _SHARE) if now > until else until
                for reply in self._replies.feed(data):
                    self._take(reply)
                    if self._loop.time() > until:
                        await asyncio.sleep(0)
                        until = self._loop.time() + _SHARE
            self.fail(ConnectionError("Redis has closed the connection"))
        except (OSError, InvalidReply) as error:
            self.fail(error)

    def _take(self, reply: Reply) -> None:
        if self._pushed is not None and isinstance(reply, list) and reply[:1] in _PUSHES:
            try:
                self._pushed(reply)
            except Exception as error:  # of who is told: the connection is in order
                self._loop.call_exception_handler({"message": "a push from Redis", "exception": error})
            return
        if not self._sent:
            raise InvalidReply("Redis sent a reply to nothing")
        command = self._sent.popleft()
        self._pending -= command.size
        if command.future is None or command.future.done():
            return
        if isinstance(reply, ReplyError):
            command.future.set_exception(reply)
        else:
            command.future.set_result(reply)

    def _look(self, due: float) -> None:
        """Fail where the oldest command is overdue."""
        now = self._loop.time()
        self._timer = self._loop.call_later(_TICK, self._look, now + _TICK)
        if now - due > _TICK:
            return  # the loop, or the machine, stood still: the replies may have come meanwhile
        oldest = self._sent[0] if self._sent else self._waiting[0][0] if self._waiting else None
        if oldest is None:
            return
        # Where pushes come the connection is alive, and the reply behind them.
        since = oldest.since if self._pushed is None else max(oldest.since, self._heard_at)
        if now - since >= TIMEOUT - _TICK:
            self.fail(TimeoutError(f"Redis has not answered for {TIMEOUT:g} s"))


def _unavailable(error: Exception) -> BrokerUnavailable:
    found = BrokerUnavailable(f"Redis is away: {error}")
    found.__cause__ = error
    return found
