"""What this node publishes to one stream: many at once, in the order of the calls.

The messages leave one after the other without waiting for each other's answers. One
that nobody took (the stream has another epoch, its cluster has no leader) is
certainly not stored: it is sent again, before all that came after it, unless one
of those has been stored already, which would turn their order around.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from ...constants import CloseCode
from ...errors import BrokerError, BrokerUnavailable, MessageTooBig, OutcomeUnknown
from ..position import Position
from .base import TIMEOUT
from .nats_api import parse_answer
from .nats_client import Message, shown
from .nats_connection import Connection, Forbidden, is_refused
from .nats_stream import Stream

WINDOW: Final = 1024
"""Messages of a stream that wait for JetStream's answer; it takes 10 000 from all of its publishers together."""

WINDOW_SIZE: Final = 4 * 1024 * 1024
"""Bytes of them: a ping behind them has its answer in time."""

_TOO_MANY, _TOO_BIG = 10167, 10054
_SPARE = 1024  # bytes beside the data: what JetStream writes into the headers of a push
_WAITS = 0.02, 0.5  # seconds before it is tried again: at first, and at most


class Publication:
    """One message on its way.

    Attributes:
        answer: its position, or why it has none.
        sent: whether it has left, so that it may be stored.
    """

    __slots__ = ("answer", "data", "key", "number", "sent", "timer", "top", "topic")

    def __init__(self, topic: str, data: bytes, key: str | None) -> None:
        loop = asyncio.get_running_loop()
        self.topic = topic
        self.data = data
        self.key = key
        self.number = 0
        self.top = 0
        self.sent = False
        self.answer: asyncio.Future[Position] = loop.create_future()
        self.timer = loop.call_later(TIMEOUT, self._expire)
        self.answer.add_done_callback(self._done)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

    def fail_unknown(self, reason: object) -> None:
        self.fail(OutcomeUnknown(f"the message may have been published, or not: {reason}", self.key))

    def _expire(self) -> None:
        reason = f"NATS has not answered in {TIMEOUT:g} s"
        if self.sent:
            self.fail_unknown(reason)
        else:
            self.fail(BrokerUnavailable(reason))

    def _done(self, answer: asyncio.Future[Position]) -> None:
        self.timer.cancel()
        if not answer.cancelled():
            answer.exception()  # whoever published may have been cancelled


class Publisher:
    """The publications of one stream.

    Args:
        stream: theirs.
        connection: what there is now, or None.
    """

    def __init__(self, stream: Stream, connection: Callable[[], Connection | None]) -> None:
        self._stream = stream
        self._connection = connection
        self._queue: deque[Publication] = deque()
        self._refused: list[Publication] = []
        self._waiting = self._waiting_size = 0
        self._number = 0
        self._stored = 0
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def publish(self, topic: str, data: bytes, key: str | None) -> Position:
        """As `Broker.publish`."""
        publication = Publication(topic, data, key)
        self._queue.append(publication)
        self._start()
        return await publication.answer

    def stop(self) -> None:
        """Let go of all."""
        if self._task is not None:
            self._task.cancel()
        self._fail_unsent(BrokerUnavailable("the broker was stopped"))

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._send_all())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail_unsent(error if isinstance(error, BrokerError) else BrokerUnavailable(f"NATS: {error!r:.300}"))
        if self._queue or self._refused:
            self._start()

    def _fail_unsent(self, error: Exception) -> None:
        queue, self._queue = self._queue, deque()
        refused, self._refused = self._refused, []
        for publication in (*refused, *queue):
            publication.fail(error)

    async def _send_all(self) -> None:
        wait = _WAITS[0]
        while self._queue or self._refused:
            connection = self._connection()
            if connection is None:
                raise BrokerUnavailable("NATS is away")
            if self._refused:
                await self._take_back()
                await asyncio.sleep(wait)
                wait = min(wait * 2, _WAITS[1])
                await self._stream.open(connection, again=True)
            await self._stream.open(connection)
            await self._send_some(connection)
            while self._waiting and not self._queue and not self._refused:
                await self._changed()

    async def _send_some(self, connection: Connection) -> None:
        """Send what there is to send, for as long as nothing of it is refused."""
        while self._queue and not self._refused and self._stream.reader is connection:
            if self._waiting >= WINDOW or self._waiting_size >= WINDOW_SIZE:
                await self._changed()
                continue
            publication = self._queue.popleft()
            if not publication.answer.done():
                await self._send(connection, publication)

    async def _send(self, connection: Connection, publication: Publication) -> None:
        epoch, topic = self._stream.epoch, publication.topic
        headers = None
        if publication.key is not None:
            # The same key on another topic, or in another epoch, is another message; and a key may be long.
            digest = hashlib.sha256(f"{topic} {publication.key}".encode()).hexdigest()
            headers = {"Nats-Msg-Id": f"{epoch}:{digest}"}
        if len(publication.data) + _SPARE > connection.max_payload:
            text = f"a message of {len(publication.data)} bytes: NATS takes {connection.max_payload - _SPARE} of it"
            publication.fail(MessageTooBig(f"{text} (max_payload)", CloseCode.MESSAGE_TOO_BIG))
            return
        self._number += 1
        publication.number, publication.top = self._number, self._stream.top
        try:
            answer = await connection.send(self._stream.subject(topic), publication.data, headers)
        except BrokerUnavailable as error:
            publication.fail(error)
            return
        publication.sent = True
        self._waiting += 1
        self._waiting_size += len(publication.data)
        answer.add_done_callback(partial(self._answered, publication, epoch))

    def _answered(self, publication: Publication, epoch: str, answer: asyncio.Future[Message]) -> None:
        self._waiting -= 1
        self._waiting_size -= len(publication.data)
        self._room.set()
        error = answer.exception()
        if isinstance(error, Forbidden):
            publication.fail(error)
        elif error is not None:
            publication.fail_unknown(error)
        elif is_refused(answer.result()):
            self._take_refusal(publication)
        else:
            try:
                self._take_answer(publication, epoch, parse_answer(answer.result()))
            except (BrokerError, KeyError, TypeError, ValueError) as problem:
                publication.fail_unknown(problem)

    def _take_refusal(self, publication: Publication) -> None:
        if publication.answer.done():
            return
        publication.sent = False
        self._refused.append(publication)

    def _take_answer(self, publication: Publication, epoch: str, found: dict[str, Any]) -> None:
        error = found.get("error")
        if error is not None:
            number = error.get("err_code")
            if number == _TOO_MANY:
                self._take_refusal(publication)
            elif number == _TOO_BIG:
                publication.fail(MessageTooBig("JetStream takes no message of this size", CloseCode.MESSAGE_TOO_BIG))
            else:
                publication.fail(BrokerUnavailable(f"JetStream has not stored it: {shown(error.get('description'))}"))
            return
        offset = int(found["seq"])
        if not found.get("duplicate") and offset <= publication.top and epoch == self._stream.epoch:
            # The stream has been where this message is now: it has lost what was acknowledged (case 113).
            self._stream.reader = None
            publication.fail_unknown("JetStream has lost messages that it had acknowledged")
            return
        self._stored = max(self._stored, publication.number)
        self._stream.saw(epoch, offset)
        if not publication.answer.done():
            publication.answer.set_result(Position(epoch, offset))

    async def _take_back(self) -> None:
        """Put what was refused at the head of the queue, when it is known what became of all that was sent."""
        while self._waiting:
            await self._changed()
        refused, self._refused = sorted(self._refused, key=lambda each: each.number), []
        for publication in reversed(refused):
            if publication.number < self._stored:
                text = "nobody took it, and a later one was stored: sent again, it would come after that"
                publication.fail(BrokerUnavailable(text))
            else:
                self._queue.appendleft(publication)

    async def _changed(self) -> None:
        self._room.clear()
        await self._room.wait()
