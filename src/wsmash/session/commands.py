"""What a client has asked of its server and has no answer to, over all its connections; in the order it was asked.

A publication goes out again on the next connection, with its key, until its time
is over: the server adds it once. A request does not: it may have been executed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..codecs import decode_json
from ..constants import CloseCode
from ..errors import (
    BrokerUnavailable,
    ConnectionClosed,
    InvalidMessage,
    MessageTooBig,
    OutcomeUnknown,
    RequestError,
    RequestTimeout,
    SlowConsumer,
    WebSocketError,
)
from ..runtime.actions import retrieve
from ..topics.members import Member
from ..topics.record import Kind, Record
from .envelopes import Code, Error, FromClient, Present, Reply, encode

if TYPE_CHECKING:
    from .subscription import Subscription

MAX_UNANSWERED: Final = 1024
"""Publications, requests and the like of one client that have no answer."""

MAX_UNANSWERED_BYTES: Final = 16 * 1024 * 1024
"""The same in bytes: who publishes more while these wait gets `SlowConsumer`."""

MAX_RUNNING: Final = 16
"""Requests that a server is given at once, as many as it takes: the others wait here."""


class Command:
    """Something that was asked.

    Attributes:
        id: by which the answer is known.
        payload: its envelope.
        outcome: what it came to; None where nobody waits for that.
        sent: whether it ever left, on any connection.
        out: whether it is on its way on the present one.
    """

    __slots__ = ("_timer", "id", "out", "outcome", "payload", "sent")

    runs = False

    def __init__(self, envelope: FromClient, outcome: asyncio.Future[Any] | None = None) -> None:
        self.id = envelope.id
        self.payload = encode(envelope)
        self.outcome = outcome
        self.sent = self.out = False
        self._timer: asyncio.TimerHandle | None = None
        if outcome is not None:
            outcome.add_done_callback(retrieve)

    def expire_in(self, seconds: float | None, late: Callable[[Command], None]) -> None:
        """Call this when the time is over."""
        if self.outcome is not None and seconds is not None:
            self._timer = self.outcome.get_loop().call_later(seconds, late, self)

    @property
    def outlives(self) -> bool:
        """Whether it goes on with the next connection, where this one is lost."""
        return not self.sent

    def answered(self, reply: Reply) -> None:
        """The server has done it."""
        self.succeed(None)

    def refused(self, error: Error) -> None:
        """The server has not."""
        self.fail(RequestError(error.code, error.message))

    def late(self) -> WebSocketError:
        """What it comes to where its time is over."""
        return RequestTimeout("the server has not answered in time" if self.sent else "there was no connection in time")

    def ended(self, closed: WebSocketError) -> WebSocketError:
        """What it comes to where its connection has ended, or no connection will come."""
        return closed

    def succeed(self, value: object) -> None:
        """Tell who waits."""
        self._stop()
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_result(value)

    def fail(self, error: WebSocketError) -> None:
        """The same of a failure."""
        self._stop()
        if self.outcome is not None and not self.outcome.done():
            self.outcome.set_exception(error)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Publication(Command):
    """A message for a topic.

    Attributes:
        key: its idempotency key.
        repeated: whether it went out before, on a connection that was lost: it may have been added then, whatever
            is answered now.
        suspected: whether a connection has ended because of a message that was too big, as this one may have been.
    """

    __slots__ = ("key", "repeated", "suspected")

    def __init__(self, envelope: FromClient, outcome: asyncio.Future[Any], key: str) -> None:
        super().__init__(envelope, outcome)
        self.key = key
        self.repeated = self.suspected = False

    @property
    def outlives(self) -> bool:
        return True  # its key makes that safe

    def answered(self, reply: Reply) -> None:
        self.succeed(reply.position)

    def refused(self, error: Error) -> None:
        if self.repeated:
            text = f"published before its connection was lost, or not; now: {error.code}: {error.message!r:.300}"
            self.fail(OutcomeUnknown(text, self.key))
        elif error.code == Code.UNAVAILABLE:
            self.fail(BrokerUnavailable(f"not published: {error.message!r:.300}"))
        elif error.code in (Code.OUTCOME_UNKNOWN, Code.INTERNAL):  # who knows where the server failed
            self.fail(OutcomeUnknown(f"published or not: {error.message!r:.300}", self.key))
        else:
            super().refused(error)

    def late(self) -> WebSocketError:
        if not self.sent:
            return super().late()
        return OutcomeUnknown("published or not: the server has not answered in time", self.key)

    def ended(self, closed: WebSocketError) -> WebSocketError:
        if not self.sent:
            return closed
        error = OutcomeUnknown("published or not: the connection has ended before the server answered", self.key)
        error.__cause__ = closed
        return error


class Call(Command):
    """A request: that a method of the server be called."""

    __slots__ = ()

    runs = True

    def answered(self, reply: Reply) -> None:
        try:
            self.succeed(None if reply.record is None else value_of(reply.record))
        except InvalidMessage as error:  # deeper than this end reads it
            self.fail(error)

    def refused(self, error: Error) -> None:
        if error.code == Code.TIMEOUT:
            self.fail(RequestTimeout(f"the server has not done it in time: {error.message!r:.300}"))
        else:
            super().refused(error)


class Question(Command):
    """Who is on a topic."""

    __slots__ = ()

    def answered(self, reply: Reply) -> None:
        self.succeed(tuple(member_of(each) for each in reply.members or ()))


class Asking(Command):
    """A subscription."""

    __slots__ = ("subscription",)

    outlives = False  # each connection is asked anew

    def __init__(self, envelope: FromClient, subscription: Subscription) -> None:
        super().__init__(envelope)
        self.subscription = subscription


class Leaving(Command):
    """The end of one, which the end of its connection is too."""

    __slots__ = ()

    outlives = False

    def refused(self, error: Error) -> None:
        self.succeed(None)

    def fail(self, error: WebSocketError) -> None:
        self.succeed(None)


class Commands:
    """Those of one client."""

    __slots__ = ("_all", "_held", "_ids", "_running", "_size", "_waiting")

    def __init__(self) -> None:
        self._all: dict[int, Command] = {}
        self._waiting: deque[Command] = deque()  # for the connection, or for room on it
        self._held: deque[Command] = deque()  # requests, until fewer of them run
        self._running: set[int] = set()  # requests that the server has, also those that were given up here
        self._size = 0
        self._ids = 0

    def __bool__(self) -> bool:
        """Whether any answer is waited for."""
        return bool(self._all)

    def next_id(self) -> int:
        """One that no other command has."""
        self._ids += 1
        return self._ids

    def check_room(self, size: int = 0) -> None:
        """Whether one more may wait for its answer.

        Raises:
            SlowConsumer: too many do.
        """
        if len(self._all) >= MAX_UNANSWERED:
            raise SlowConsumer(f"{MAX_UNANSWERED} publications and requests wait for the server to answer")
        if self._size and self._size + size > MAX_UNANSWERED_BYTES:
            raise SlowConsumer(f"publications and requests of {self._size} bytes wait for the server to answer")

    def add(self, command: Command) -> None:
        """Keep it until it is answered."""
        self._all[command.id] = command
        self._size += len(command.payload)
        self._queue(command)

    def _queue(self, command: Command) -> None:
        if command.runs and len(self._running) >= MAX_RUNNING:
            self._held.append(command)
        else:
            if command.runs:
                self._running.add(command.id)
            self._waiting.append(command)

    def send_again(self, first: Sequence[Command]) -> None:
        """A connection has opened: these go out, then all that waits, in the order in which it was asked."""
        self._waiting.clear()
        self._held.clear()
        self._running.clear()
        old = tuple(self._all.values())
        for command in first:
            self.add(command)
        for command in old:
            command.out = False
            if isinstance(command, Publication):
                command.repeated = command.sent
            self._queue(command)

    @property
    def next(self) -> Command | None:
        """The one to be sent now."""
        while self._waiting and self._waiting[0].id not in self._all:
            self._waiting.popleft()  # it was given up
        return self._waiting[0] if self._waiting else None

    def went(self) -> None:
        """The one to be sent was."""
        command = self._waiting.popleft()
        command.sent = command.out = True

    def pop(self, number: int) -> Command | None:
        """The command that is answered; None where nobody waits for that."""
        self._freed(number)
        command = self._all.pop(number, None)
        if command is not None:
            self._size -= len(command.payload)
        return command

    def _freed(self, number: int) -> None:
        if number in self._running:
            self._running.remove(number)
            while self._held:
                command = self._held.popleft()
                if command.id in self._all:
                    self._queue(command)
                    break

    def give_up(self, command: Command) -> bool:
        """Wait for its answer no more; whether the server has it."""
        known = self._all.pop(command.id, None)
        if known is None:
            return False
        self._size -= len(command.payload)
        if not command.out:
            self._freed(command.id)
        return command.out

    def lost(self, closed: ConnectionClosed, *, lasts: bool) -> None:
        """The connection is gone, and where it does not `last`, no other will come."""
        if closed.code == CloseCode.MESSAGE_TOO_BIG:
            self._suspect(closed)
        for command in tuple(self._all.values()):
            if lasts and command.outlives:
                continue
            self.pop(command.id)
            command.fail(command.ended(closed))
        if not lasts:
            self._waiting.clear()
            self._held.clear()
            self._running.clear()

    def _suspect(self, closed: ConnectionClosed) -> None:
        """Something was too big: of publications the largest, if anything of ours; if it is so twice, it was.

        It would else go out on each connection to come, and end it.
        """
        out = (each for each in self._all.values() if each.out and isinstance(each, Publication))
        largest = max(out, key=lambda each: len(each.payload), default=None)
        if largest is not None and largest.suspected:
            self.pop(largest.id)
            text = f"the server takes no message of {len(largest.payload)} bytes, and was given one twice: {closed}"
            largest.fail(MessageTooBig(text, closed.code))
        elif largest is not None:
            largest.suspected = True

    def fail_all(self, error: WebSocketError) -> None:
        """No answer will come to any."""
        for command in tuple(self._all.values()):
            self.pop(command.id)
            command.fail(error)


def value_of(record: Record) -> Any:
    """What was answered: JSON as its value, text and bytes as they are."""
    if record.kind is Kind.JSON:
        return decode_json(record.payload)
    return record.payload.decode() if record.kind is Kind.TEXT else record.payload


def member_of(present: Present) -> Member:
    """Who is on a topic, as it was told."""
    return Member(present.id, present.info, present.node)


def new_key() -> str:
    """An idempotency key that no other publication has."""
    return secrets.token_urlsafe(16)
