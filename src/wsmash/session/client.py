"""A client's end of `wsmash.v1`: its subscriptions, and what it has asked of the server, over all its connections.

It stands at the gate of the client's connection, before the inbox: envelopes are
taken here, and nobody has to read the ordinary messages between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..constants import MAX_QUEUE_BYTES, CloseCode, Opcode
from ..errors import InvalidMessage, InvalidState
from ..runtime.actions import DONE, Action, Pending, finished_with, retrieve
from ..runtime.core import SESSION
from ..sansio.states import Life
from ..topics.names import check_pattern, is_pattern
from ..topics.position import Position, is_epoch
from ..transports.base import REFUSED
from .backlog import SLACK
from .commands import Asking, Command, Commands, Leaving
from .envelopes import (
    PROTOCOL,
    At,
    Cancel,
    Error,
    Reply,
    Subscribe,
    Unsubscribe,
    decode_from_server,
    encode,
    is_envelope,
)
from .news import News
from .subscription import Phase, Subscription

if TYPE_CHECKING:
    from ..client import WebSocketClient
    from ..runtime.connection import WebSocketConnection
    from ..runtime.inbox import Inbox
    from .backlog import Backlog


class ClientSession:
    """That of one client, from its making on.

    Attributes:
        client: whose it is.
        subscriptions: those that are not over, by topic or pattern.
        commands: what has no answer.
    """

    __slots__ = ("_full", "_open", "_refused", "client", "commands", "news", "subscriptions")

    held = 0  # looked at on servers alone

    def __init__(self, client: WebSocketClient) -> None:
        self.client = client
        self.subscriptions: dict[str, Subscription] = {}
        self.commands = Commands()
        self.news = News(self)
        self._open = False  # there is a connection that speaks of topics
        self._full = False  # and no room on it
        self._refused: InvalidState | None = None  # why the connection that there is does not

    # -- the connection

    def begin(self) -> None:
        """`connect` was called, for the first time or again."""
        for subscription in self.subscriptions.values():
            subscription._error = None

    def opened(self, subprotocol: str | None) -> None:
        """There is a connection; nothing has come by it yet."""
        client = self.client
        # What nobody reads must not keep envelopes back.
        client._owner.patient = client._patient and subprotocol != PROTOCOL
        if client._inbox is not None:
            client._inbox.patient = client._owner.patient
        if subprotocol != PROTOCOL:
            self._refused = InvalidState(
                f"the server has no topics: it did not agree on the subprotocol {PROTOCOL}, but "
                + ("on none" if subprotocol is None else f"on {subprotocol!r:.75}")
            )
            self.commands.fail_all(self._refused)
            for subscription in tuple(self.subscriptions.values()):
                self.news.refused(subscription, self._refused, Phase.IDLE)
            return
        client._gate = self
        self._open, self._full, self._refused = True, False, None
        self.commands.send_again([self._asking(each) for each in self.subscriptions.values() if not each._given])
        self.reconsider()
        self.flush()

    def lost(self) -> None:
        """It is gone; another one may follow."""
        self._open, self._refused = False, None
        for subscription in tuple(self.subscriptions.values()):
            subscription._interrupt()
            if subscription._given and not subscription._claimed:
                del self.subscriptions[subscription.topic]
        self.commands.lost(self.client._closed_error(), lasts=True)

    def ended(self) -> None:
        """No other follows, until `connect` is called again."""
        self.commands.lost(self.client._closed_error(), lasts=False)
        for subscription in self.subscriptions.values():
            subscription._end(None, Phase.IDLE)

    def discard(self) -> None:
        """This end closes: what waits to be delivered is not."""
        for subscription in self.subscriptions.values():
            subscription._forget()

    def check_coming(self) -> None:
        """Whether there is a connection, or will be.

        Raises:
            InvalidState: `connect` was not called.
            ConnectionClosed: the client is closed.
        """
        client = self.client
        if client._life is Life.LOST and not client._lasts:
            raise client._closed_error()
        if client._context is None:
            raise InvalidState("the client has no connection and none is on its way: call connect() first")

    # -- out

    def ask(self, command: Command) -> None:
        """Send a command, once there is room for it and those before it."""
        self.commands.add(command)
        self.reconsider()
        self.flush()

    def flush(self) -> None:
        """Send what there is room for."""
        client = self.client
        while self._open and not self._full and (command := self.commands.next) is not None:
            waiting = client._put(Opcode.TEXT, command.payload)
            self._full = waiting == REFUSED or waiting > client._owner.limits.high_water
            if waiting != REFUSED:
                self.commands.went()
            elif client._channel is not None and client._channel.info().buffered <= client._owner.limits.high_water:
                self._probe()

    def _probe(self) -> None:
        """A large command found too little room, below high water: of room no `drained` would tell, but a pong does."""
        answered: asyncio.Future[float] = self.client._owner.environment.loop.create_future()
        answered.add_done_callback(retrieve)
        answered.add_done_callback(lambda done: None if done.cancelled() or done.exception() else self.drained())
        self.client._ping(answered=answered, bounded=False)

    def drained(self) -> None:
        """The server keeps up again."""
        self._full = False
        self.flush()

    def check_ready(self, action: str) -> Action[Any] | None:
        """Whether a command may be given now; what it has come to, where this server knows of none.

        Raises:
            RuntimeError: this is another thread.
            InvalidState: `connect` was not called.
            ConnectionClosed: the client is closing or closed.
        """
        client = self.client
        if client._context is not None:
            client._owner.environment.check_thread(action)
        self.check_coming()
        if client._life not in (Life.CONNECTING, Life.OPEN) and not client._lasts:
            raise client._closed_error()
        return None if self._refused is None else finished_with(self._refused)

    def expire(self, command: Command) -> None:
        """The time of a command is over."""
        self.give_up(command)
        command.fail(command.late())

    def give_up(self, command: Command) -> None:
        """Wait for its answer no more, and let a request that the server has be cancelled."""
        if self.commands.give_up(command) and command.runs and self._open:
            self.client._put(Opcode.TEXT, encode(Cancel(command.id)))
        self.reconsider()

    # -- subscriptions

    def subscribe(self, topic: str, since: tuple[str, int] | None) -> Subscription:
        """See `WebSocketClient.subscribe`."""
        check_pattern(topic)
        position = _position(topic, since)
        if self.client._context is not None:
            self.client._owner.environment.check_thread("subscribe")
        known = self.subscriptions.get(topic)
        if known is not None and (known._claimed or not known._given or position is not None):
            raise InvalidState(
                f"this client is subscribed to {topic!r}: add callbacks to client.subscriptions[{topic!r}]"
            )
        if known is not None:
            known._claimed = True
            return known
        self.commands.check_room()
        subscription = self.subscriptions[topic] = Subscription(self, topic, position)
        if self._open:
            self.ask(self._asking(subscription))
        elif self._refused is not None:
            loop = self.client._owner.environment.loop  # its user has not added callbacks yet
            loop.call_soon(partial(self.news.refused, subscription, self._refused, Phase.IDLE))
        return subscription

    def _asking(self, subscription: Subscription) -> Asking:
        subscription._phase, subscription._error = Phase.ASKED, None
        since = subscription._progress.since
        at = None if since is None else At(since.epoch, since.offset)
        return Asking(Subscribe(self.commands.next_id(), subscription.topic, at), subscription)

    def ask_again(self, subscription: Subscription) -> None:
        """The server could not take the subscription a moment ago."""
        subscription._retry = None
        if self._open and subscription._phase is Phase.WAITING:
            self.ask(self._asking(subscription))

    def unsubscribe(self, subscription: Subscription) -> Action[None]:
        """See `Subscription.unsubscribe`."""
        phase = subscription._phase
        if phase is Phase.OVER:
            return DONE
        if self.client._context is not None:
            self.client._owner.environment.check_thread("unsubscribe")
        self.remove(subscription)
        subscription._backlog.clear()
        subscription._end(None, Phase.OVER)
        if not self._open or phase not in (Phase.ASKED, Phase.ACTIVE):
            return DONE
        outcome: asyncio.Future[None] = self.client._owner.environment.loop.create_future()
        self.ask(Leaving(Unsubscribe(self.commands.next_id(), subscription.topic), outcome))
        return Pending(outcome)

    def remove(self, subscription: Subscription) -> None:
        """It is over."""
        subscription._stop_retrying()
        if self.subscriptions.get(subscription.topic) is subscription:
            del self.subscriptions[subscription.topic]

    # -- in

    def take(self, connection: WebSocketConnection, data: str | bytes) -> bool:
        """Look at a message of the connection; whether it was an envelope."""
        if not is_envelope(data):
            return False
        try:
            envelope = decode_from_server(data)  # type: ignore[arg-type]
        except InvalidMessage as error:
            if connection._fail(CloseCode.INVALID_FRAME_PAYLOAD_DATA, "invalid envelope", error):
                connection._owner.counters.failed_message += 1
            return True
        if isinstance(envelope, (Reply, Error)):
            self._answered(envelope)
        elif envelope is not None:
            self.news.tell(envelope, len(data))
        return True

    def _answered(self, answer: Reply | Error) -> None:
        command = self.commands.pop(answer.id)
        if command is None:
            self.flush()  # a request that was given up may have made room for another
            return
        if isinstance(command, Asking):
            self.news.answered(command.subscription, answer)
        elif isinstance(answer, Reply):
            command.answered(answer)
        else:
            command.refused(answer)
        self.reconsider()
        self.flush()

    # -- how much waits to be delivered

    def reconsider(self) -> None:
        """Pause reading where too much waits for callbacks or readers, or go on where it does not any more.

        What is waited for may stand behind what would be read: who awaits an answer in a callback gets some slack.
        """
        client = self.client
        waits, paused = bool(self.commands), bool(client._pauses & SESSION)
        if any(each._backlog.stops(paused=paused, waits=waits) for each in self.subscriptions.values()):
            client._pause(SESSION)
        elif paused:
            client._resume(SESSION)
        inbox = client._inbox
        if inbox is not None and inbox.full:
            if self.spares(inbox):
                client._resume_after_inbox()
            else:
                inbox.pause_if_full()

    def fills(self, backlog: Backlog) -> None:
        """The same, where only this one has changed, and has more."""
        client = self.client
        if not client._pauses & SESSION and backlog.stops(paused=False, waits=bool(self.commands)):
            client._pause(SESSION)

    def spares(self, inbox: Inbox) -> bool:
        """Whether the client's own inbox, which is full, has that slack."""
        queue = inbox.queue
        return bool(self.commands) and len(queue) < queue.most * SLACK and queue.size < MAX_QUEUE_BYTES * SLACK

    @property
    def delivering(self) -> bool:
        """Whether callbacks are yet to be given what came before the end."""
        return any(each._backlog.busy for each in self.subscriptions.values())

    def settled(self) -> None:
        """Callbacks of a subscription have been given all there is: where that was waited for, the client ends."""
        client = self.client
        if client._life is not Life.LOST or client._context is None or self.delivering:
            return
        if client._inbox is None or not client._inbox.end():
            client._owner.environment.loop.call_soon(client._fire_close)

    def all(self) -> Mapping[str, Subscription]:
        """The subscriptions, by topic or pattern."""
        return MappingProxyType(self.subscriptions)


def _position(topic: str, since: object) -> Position | None:
    if since is None:
        return None
    if is_pattern(topic):
        raise ValueError(f"since is a position in one topic, and {topic!r} is a pattern")
    if not isinstance(since, tuple) or len(since) != 2:
        raise TypeError(f"since must be a Position(epoch, offset) or None, not {since!r:.75}")
    epoch, offset = since
    if not is_epoch(epoch) or isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise ValueError(f"since must be a Position of 32 hexadecimal digits and an offset, not {since!r:.75}")
    return Position(epoch, offset)
