"""The server's end of `wsmash.v1`: what the clients of one connection ask for, and how they are answered.

A session is the gate of its connection: it takes the envelopes, and lets ordinary
messages pass. Commands are taken up one after another, in the order in which they
came, by one task that runs while there are any; what then takes its time (a
request, the acknowledgement of a publication, the reading of a history) goes on
beside those after it. Too many that wait let reading pause, so that a client that
floods waits for itself (cases 69 and 71).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from ..constants import MAX_QUEUE_BYTES
from ..errors import (
    BrokerUnavailable,
    ConnectionClosed,
    InvalidMessage,
    InvalidState,
    MessageTooBig,
    OutcomeUnknown,
    RequestError,
)
from ..runtime.actions import Pending
from ..runtime.core import SESSION
from ..runtime.delivery import FAILURES
from ..runtime.limits import Gate
from ..sansio.states import Life
from ..topics.names import check_pattern, check_topic, is_pattern
from ..topics.position import Position
from ..topics.record import Record
from ..transports.base import SECONDS_PER_TURN
from .answers import Answers, raise_if_cancelled
from .envelopes import (
    Cancel,
    Code,
    FromClient,
    Presence,
    Present,
    Publish,
    Reply,
    Request,
    Subscribe,
    Unsubscribe,
    Unsupported,
    decode_from_client,
    encode,
    is_envelope,
)
from .methods import Method
from .requests import Requests

if TYPE_CHECKING:
    from ..runtime.connection import WebSocketConnection
    from ..topics.access import TopicAction
    from ..topics.hub import Hub
    from ..topics.subscriber import Subscribed, Subscriber

MAX_COMMANDS: Final = 64
"""Commands of one connection that wait; so does reading, while there are as many."""

CLIENTS_KEYS: Final = "client/"
"""What the idempotency keys of clients begin with for the broker."""


class Session:
    """One connection's.

    Args:
        connection: it.
        hub: its server's topics.
        methods: what it may call, by name.
        rate: what else looks at each of its messages, and before this does.
    """

    __slots__ = (
        "_answers", "_bucket", "_connection", "_hub", "_queue", "_rate", "_requests", "_slow", "_worker", "held"
    )  # fmt: skip

    def __init__(
        self, connection: Subscriber, hub: Hub, methods: Mapping[str, Method], rate: Gate | None = None
    ) -> None:
        self._connection = connection
        self._hub = hub
        self._rate = rate
        self._bucket = hub.access.bucket()
        self._queue: list[tuple[FromClient | Unsupported, int]] = []  # short, and takes no memory when it is empty
        self._worker: asyncio.Task[Any] | None = None
        self._slow: list[asyncio.Task[Any]] = []  # commands that were taken up, and are not done
        self._answers = Answers(connection)
        self._requests = Requests(self._answers, methods)
        self.held = 0  # bytes of what waits

    # -- what comes

    def take(self, connection: WebSocketConnection, data: str | bytes) -> bool:
        """Take what is an envelope."""
        if self._rate is not None and self._rate.take(connection, data):
            return True
        if not is_envelope(data):
            return False
        try:
            command = decode_from_client(cast(str, data))
        except InvalidMessage as error:
            self._answers.fail(error)
            return True
        self.held += len(data)
        self._queue.append((command, len(data)))
        if self._worker is None:
            self._worker = self._answers.run(self._work())
        if self._crowded():
            connection._pause(SESSION)
        return True

    def end(self) -> None:
        """The connection is gone: nobody waits for answers any more."""
        self._queue.clear()
        self.held = 0
        self._requests.end()
        for task in (self._worker, *self._slow):
            if task is not None:
                task.cancel()

    def _crowded(self) -> bool:
        return len(self._queue) + len(self._slow) >= MAX_COMMANDS or self.held >= MAX_QUEUE_BYTES

    def _settled(self, size: int) -> None:
        """A command that waited does not any more."""
        self.held = max(0, self.held - size)
        if not self._crowded():
            self._connection._resume(SESSION)

    # -- one command after another

    async def _work(self) -> None:
        """Take up commands while there are any."""
        clock = self._hub.environment.wheel.clock
        began = clock()
        try:
            while self._queue and self._connection._life is Life.OPEN:
                if clock() - began > SECONDS_PER_TURN:
                    await asyncio.sleep(0)  # what publishing takes depends on how many are subscribed
                    began = clock()
                command, size = self._queue.pop(0)
                slow = await self._answered(command, self._take_up(command))
                if slow is None:
                    self._settled(size)
                else:
                    task = self._answers.run(self._answered(command, slow))
                    self._slow.append(task)
                    task.add_done_callback(partial(self._slow_settled, slow, size))
        finally:
            self._worker = None

    def _slow_settled(self, slow: Coroutine[Any, Any, Any], size: int, task: asyncio.Task[Any]) -> None:
        slow.close()  # where the connection ended before the task began, nobody has
        self._slow.remove(task)
        self._settled(size)

    async def _take_up(self, command: FromClient | Unsupported) -> Coroutine[Any, Any, Any] | None:
        """Do what has to be done before the next command; what is left of it is returned."""
        match command:
            case Subscribe():
                return await self._subscribe(command)
            case Publish():
                return await self._publish(command)
            case Request():
                self._requests.begin(command)
            case Unsubscribe():
                self._hub.unsubscribe(self._connection, command.topic)
                self._answers.tell(Reply(command.id))
            case Cancel():
                self._requests.cancel(command.id)
            case Presence():
                return await self._presence(command)
            case Unsupported():
                raise RequestError(Code.UNSUPPORTED, "this server does not know such a command")
        return None

    async def _answered(
        self, command: FromClient | Unsupported, doing: Coroutine[Any, Any, Coroutine[Any, Any, Any] | None]
    ) -> Coroutine[Any, Any, Any] | None:
        """Do a part of a command; where that fails, its error is the answer."""
        try:
            return await doing
        except RequestError as error:
            self._answers.refuse(command.id, error.code, error.message)
        except BrokerUnavailable as error:
            self._unanswered(command, error)
            self._answers.refuse(command.id, Code.UNAVAILABLE, "the broker is away, or takes nothing at the moment")
        except OutcomeUnknown as error:
            self._unanswered(command, error)
            self._answers.refuse(command.id, Code.OUTCOME_UNKNOWN, "the broker has not answered")
        except MessageTooBig as error:
            self._answers.refuse(command.id, Code.TOO_BIG, str(error))
        except ConnectionClosed:
            pass  # nobody is there to be told
        except Exception as error:
            self._answers.report(error, type(command).__name__)
            self._answers.refuse(command.id, Code.INTERNAL)
        return None

    def _unanswered(self, command: FromClient | Unsupported, error: Exception) -> None:
        """Where the broker is, and what it says, is in the log: clients are strangers."""
        level = logging.DEBUG if self._hub.degraded else logging.WARNING  # an outage has its own record
        name = type(command).__name__
        self._connection._owner.reports.log(level, "%s: a %s failed: %s", self._connection, name, error)

    # -- topics

    async def _subscribe(self, command: Subscribe) -> Coroutine[Any, Any, Any] | None:
        name, connection = command.topic, self._connection
        since = None if command.since is None else Position(command.since.epoch, command.since.offset)
        if since is not None and is_pattern(_checked(check_pattern, name)):
            raise RequestError(Code.BAD_TOPIC, "since goes with one topic, and not with a pattern")
        await self._pace()
        try:
            await self._authorize("subscribe", _checked(check_pattern, name))
        except RequestError:
            self._hub.unsubscribe(connection, name)  # what it had, it may not have any more
            raise
        if since is not None:
            self._hub.unsubscribe(connection, name)
        begun = partial(self._subscribed, command)
        try:
            action = self._hub.subscribe(connection, name, since=since, begun=begun)
        except InvalidState as error:
            raise RequestError(Code.TOO_MANY, str(error)) from None
        return _begun(action) if _is_under_way(action) else None

    async def _pace(self) -> None:
        """Let a client that subscribes too often wait, with all that it sends: it is not refused what it resumes."""
        clock = self._hub.environment.wheel.clock
        if self._bucket is not None and not self._bucket.take(clock()):
            await asyncio.sleep(self._bucket.wait())
            self._bucket.take(clock())

    def _subscribed(self, command: Subscribe, found: Subscribed) -> None:
        epoch, offset = (None, None) if found.position is None else found.position
        recovered, reason = None, None
        if command.since is not None and epoch is not None:
            recovered, reason = found.recovered, found.reason
        degraded = epoch is None and self._hub.degraded is not None
        self._answers.tell(Reply(command.id, epoch, offset, recovered, reason, degraded))

    async def _publish(self, command: Publish) -> Coroutine[Any, Any, Any] | None:
        await self._authorize("publish", _checked(check_topic, command.topic))
        # Its own room of names: no client takes a key that the server itself is going to publish with.
        key = None if command.key is None else f"{CLIENTS_KEYS}{command.key}"
        action = self._hub.publish_record(command.topic, cast(Record, command.record), key)
        acknowledged = self._acknowledge(command.id, action)
        if _is_under_way(action):
            return acknowledged
        await acknowledged
        return None

    async def _acknowledge(self, id: int, action: Awaitable[Position | None]) -> None:
        position = await action
        self._answers.tell(Reply(id) if position is None else Reply(id, position.epoch, position.offset))

    async def _presence(self, command: Presence) -> Coroutine[Any, Any, Any]:
        topic = _checked(check_topic, command.topic)
        await self._authorize("presence", topic)
        if not self._hub.policies.of(topic).presence:
            raise RequestError(Code.NO_PRESENCE, "who is on this topic is not kept")
        return self._tell_members(command)

    async def _tell_members(self, command: Presence) -> None:
        members = await self._hub.members(command.topic)
        reply = Reply(command.id, members=[Present(each.id, each.node, each.info) for each in members])
        most = self._connection._owner.options.max_write_buffer
        if most is not None and len(encode(reply)) > most:
            raise RequestError(Code.TOO_BIG, f"{len(members)} members take more than max_write_buffer")
        self._answers.tell(reply)

    async def _authorize(self, action: TopicAction, topic: str) -> None:
        """Whether the client may; a function that raises has not said so."""
        try:
            await self._hub.access.check(self._connection, action, topic)
        except RequestError:
            raise
        except FAILURES as error:
            raise_if_cancelled(error)
            self._answers.report(error, "function authorize")
            raise RequestError(Code.FORBIDDEN, "this could not be authorized") from None
        self._connection._check_open()  # that may have taken its time


def _checked(check: Callable[[object], str], name: str) -> str:
    try:
        return check(name)
    except ValueError as error:
        raise RequestError(Code.BAD_TOPIC, str(error)) from None


def _is_under_way(action: object) -> bool:
    return isinstance(action, Pending) and not action.done()


async def _begun(action: Awaitable[Any]) -> None:
    """Wait for a subscription to begin, unless it ends before that."""
    try:
        await action
    except InvalidState as error:
        raise RequestError(Code.CANCELLED, str(error)) from None
