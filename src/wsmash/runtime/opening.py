"""A server's side of an opening: from a connection's first byte to its 101, or to the HTTP answer it gets instead.

One request, one answer: every answer but 101 ends the connection. Reading stops
when a head is complete, so that what follows it is bounded by one read while an
asynchronous hook decides; an upgrade hands these bytes on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any, BinaryIO, NamedTuple, Protocol, cast

from ..grammar import shown
from ..options import ConnectionOptions
from ..sansio.head import RemoteAddress, Request, Response
from ..sansio.http1 import (
    BadHead,
    HeadLimits,
    HeadReader,
    ParsedHead,
    encode_response,
    parse_request,
    whole_head,
)
from ..transports.base import TLS, Channel, Connected, named
from .counters import ServerCounters
from .delivery import FAILURES, cancelled
from .environment import Environment
from .reports import Reports

RETRY_AFTER = 5
"""Seconds after which a client that was refused for want of room may ask again."""


class Admission(NamedTuple):
    """A request that becomes a WebSocket: its 101, and who takes the channel from then on."""

    head: bytes
    take_over: Callable[[Channel, bytes], None]
    """Called with the channel, paused, and the bytes that followed the request."""


class Download(NamedTuple):
    """An answer whose body is read while it is sent."""

    response: Response
    file: BinaryIO
    size: int


Answer = Response | Admission | Download

PIECE = 128 * 1024
"""Bytes of a file that are read at once, and wait to be written at most, beside one piece more."""

LOOK_INTERVAL = 0.02
"""Seconds until it is looked at again how much of a file the peer has taken. Where that is not enough for the next
piece, it is twice as long each time: nobody waits more than as long again as was needed anyhow."""

LONGEST_LOOK = 1.0
"""Seconds that this is at most: a thousand who take nothing cost a thousand looks a second, not fifty thousand."""


class Door(Protocol):
    """Who decides on requests: the server."""

    head_limits: HeadLimits
    counters: ServerCounters
    reports: Reports

    def answer(self, opening: ServerOpening, head: ParsedHead) -> Answer | Awaitable[Answer]: ...

    def opening_ended(self, opening: ServerOpening) -> None:
        """It became a connection, or it is gone."""


def head_limits(options: ConnectionOptions) -> HeadLimits:
    """The bounds of a head, as the options say."""
    return HeadLimits(options.max_headers, options.max_header_line, options.max_head_size)


def try_later(status: int, text: str, seconds: int = RETRY_AFTER) -> Response:
    """A refusal that is not for ever (RFC 9110 10.2.3)."""
    return Response(status, text, [("Retry-After", str(seconds))])


class ServerOpening:
    """One accepted socket, until it is a connection or gone.

    Attributes:
        head: that of the request, once it is complete.
    """

    __slots__ = (
        "_answered",
        "_channel",
        "_deadline",
        "_door",
        "_environment",
        "_head_only",
        "_heard",
        "_options",
        "_reader",
        "_rest",
        "_task",
        "head",
        "tick",
    )

    def __init__(self, door: Door, environment: Environment, options: ConnectionOptions) -> None:
        self._door = door
        self._environment = environment
        self._options = options
        self._channel: Channel | None = None
        self._reader: HeadReader | None = None  # of a head that did not come in one read
        self._task: asyncio.Task[None] | None = None
        self._answered = False
        self._head_only = False
        self._heard = False
        self._rest = b""
        self._deadline: float | None = None
        self.head: bytes | None = None
        self.tick = -1

    def start(self, sock: Connected, tls: TLS | None) -> None:
        """Begin with a socket."""
        self._channel = self._environment.driver.attach(sock, self, tls)
        self._ask(self._options.open_timeout)

    def _ask(self, timeout: float | None) -> None:
        wheel = self._environment.wheel
        if self.tick >= 0:
            wheel.forget(self)
        if timeout is not None:
            self._deadline = wheel.clock() + timeout
            wheel.ask(self, self._deadline)

    def hurry(self, timeout: float) -> None:
        """The server is stopping: what is not a whole request yet has so many seconds to become one."""
        if not self._answered and self._task is None:
            now = self._environment.wheel.clock()
            self._ask(timeout if self._deadline is None else min(timeout, self._deadline - now))

    def due(self, now: float) -> float | None:
        """The time is up: for the opening, or for the drain after an answer."""
        if self._deadline is not None and now < self._deadline:
            return self._deadline
        if not self._answered and self._task is not None:
            self._door.reports.log(
                logging.WARNING, "a request found no answer within open_timeout: process_request takes too long"
            )
            self._task.cancel()
            self._door.counters.unfinished += 1
            self.respond(try_later(503, "no answer was found in time\n"))
        elif not self._answered and self._heard:
            self._door.counters.unfinished += 1
            self.respond(Response(408, "the request was not complete in time\n"))
        elif self._channel is not None:
            return self._drain(self._channel, now)
        return None

    @property
    def active_at(self) -> float:
        """When bytes last came, or were last taken."""
        if self._channel is None:
            return 0.0
        info = self._channel.info()
        return max(info.received_at, info.written_at)

    @property
    def answered(self) -> bool:
        """Whether it has its answer, and is counted by that."""
        return self._answered

    @property
    def decides(self) -> bool:
        """Whether it has a whole request, and waits for the hook that may answer it."""
        return self._task is not None and not self._answered

    def runs(self, task: asyncio.Task[Any]) -> bool:
        """Whether this task is its hook's."""
        return self._task is task

    def _drain(self, channel: Channel, now: float) -> float | None:
        """An answer was given: a peer that goes on reading it has time; then it has `close_timeout` to end."""
        info = channel.info()
        patience = self._options.write_timeout if info.buffered else self._options.close_timeout
        if self._answered and (patience is None or now < info.written_at + patience):
            return now + self._options.close_timeout if patience is None else info.written_at + patience
        if not self._answered:
            self._door.counters.unfinished += 1
        self.abort()
        return None

    @property
    def peer(self) -> RemoteAddress:
        """The address that the connection comes from."""
        return None if self._channel is None else named(self._channel.info().remote_address)

    # -- what the channel tells

    def bytes_received(self, data: bytes) -> None:
        """Part of the request."""
        if self._answered:
            return
        self._heard = True
        if self.head is not None:
            self._rest += data
            return
        try:
            head = self._read(data)
            if head is None:
                return
            cast(Channel, self._channel).pause_reading()
            parsed = parse_request(head)
        except BadHead as error:
            self._door.reports.log(logging.DEBUG, "a request was refused: %s", error)
            self._door.counters.malformed += 1
            self.respond(Response(error.status, f"{error}\n"))
            return
        self._head_only = parsed.method == "HEAD"
        try:
            answer = self._door.answer(self, parsed)
        except FAILURES as error:
            self._broken(error)
            return
        if isinstance(answer, (Admission, Response, Download)):
            self._give(answer)
        else:
            self._task = self._environment.run(self._wait(answer))

    def _read(self, data: bytes) -> bytes | None:
        """The request's head, once it is complete."""
        if self._reader is None:
            limits = self._door.head_limits
            found = whole_head(data, limits)
            if found is not None:
                self.head, self._rest = found
                return self.head
            self._reader = HeadReader(limits, request=True)
        self.head = self._reader.feed(data)
        self._rest = self._reader.rest
        return self.head

    async def _wait(self, answer: Awaitable[Answer]) -> None:
        try:
            self._give(await answer)
        except Exception as error:
            self._broken(error)
        except asyncio.CancelledError as error:
            cancelled(error, self._broken)

    def _broken(self, error: BaseException) -> None:
        self._door.counters.failed_hook += not self._answered  # or it counts already, as late or as gone
        request = Request(cast(bytes, self.head), remote_address=self.peer)
        self._door.reports.log(logging.ERROR, "%r could not be answered", request, error=error)
        self.respond(Response(500, "internal error\n"))

    def lost(self, error: Exception | None) -> None:
        """The peer has gone."""
        if error is not None:
            self._door.reports.log(logging.DEBUG, "a connection ended before it was open: %s", shown(str(error)))
        if not self._answered:
            self._door.counters.unopened += 1
        self._end()
        self._cancel()

    def _cancel(self) -> None:
        """End a hook, or the sending of a file; when it has begun, or there would be a warning of what never did."""
        if self._task is not None:
            self._environment.loop.call_soon(self._task.cancel)

    # -- what the peer is answered

    def _give(self, answer: Answer) -> None:
        if isinstance(answer, Response):
            self.respond(answer)
        elif isinstance(answer, Download):
            self._task = self._environment.run(self._send_file(answer))
            # Also where it is cancelled before it begins.
            self._task.add_done_callback(lambda _: answer.file.close())
        elif not self._answered:
            channel = cast(Channel, self._channel)
            self._end()
            channel.write(answer.head)
            answer.take_over(channel, self._rest)

    def respond(self, response: Response) -> None:
        """Answer with plain HTTP, and end the connection."""
        if self._begin(response) and self._channel is not None:
            self._channel.close()

    def _begin(self, response: Response, more: int = 0) -> bool:
        """Write the answer, but for `more` bytes of its body; whether that could be done."""
        if self._answered or self._channel is None:
            return False
        self._answered = True
        date = formatdate(usegmt=True)
        self._channel.write(encode_response(response, head_only=self._head_only, date=date, more=more))
        self._ask(self._options.close_timeout)
        return True

    async def _send_file(self, answer: Download) -> None:
        """Send a file as fast as the peer takes it."""
        channel, loop, left = cast(Channel, self._channel), self._environment.loop, answer.size
        try:
            if not self._begin(answer.response, left):
                return
            while left and not self._head_only:
                piece = await loop.run_in_executor(None, answer.file.read, min(left, PIECE))
                if not piece:
                    channel.abort()  # it is shorter than was announced, which a clean end would hide
                    return
                left -= len(piece)
                channel.write(piece)
                await _room(channel)
            channel.close()
        except OSError as error:
            self._door.reports.log(logging.ERROR, "a file could not be read: %s", error)
            channel.abort()

    def abort(self) -> None:
        """Drop the connection as it is."""
        self._answered = True
        self._cancel()
        if self._channel is not None:
            self._channel.abort()

    def _end(self) -> None:
        self._answered = True
        self._environment.wheel.forget(self)
        self._door.opening_ended(self)


async def _room(channel: Channel) -> None:
    """Wait until the next piece of a file may be written. A byte pipe does not tell when it has drained."""
    interval = LOOK_INTERVAL
    while channel.info().buffered > PIECE:
        await asyncio.sleep(interval)
        interval = min(2 * interval, LONGEST_LOOK)
