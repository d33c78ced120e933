"""A server among its other nodes: what they cast to it, and what it casts to them, by way of the broker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..constants import CloseCode, Opcode
from ..errors import BrokerUnavailable, InvalidMessage, MessageTooBig
from ..runtime.reports import Reports
from .brokers.base import Broker
from .casts import Broadcast, decode_cast, encode_cast
from .dialect import Dialect, Encoded
from .members import Member, Move, encode_info
from .presence import Presence
from .record import Kind, Record, decode_record, encode_record

if TYPE_CHECKING:
    from .hub import Hub
    from .subscriber import Subscriber
    from .topic import Topic

MAX_CASTS: Final = 1000
"""Casts that wait for the broker at once: those beyond are left out and counted."""

INFO: Final = "presence"
"""Under which key of a connection's `state` its server says what others may know of it."""

_USER = "user"
_GOODBYE = 0.5  # seconds that a stop takes to say so
_LOOK = 0.1  # seconds between two looks whether a topic's members are known, where nothing else happens


class Nodes:
    """What a running server knows of its other nodes, and tells them (`topics.listener.Presence`).

    Args:
        hub: its topics.
        moved: hears who comes to a topic, and who leaves it.
        deliver: sends a message, of an opcode and a payload, to all connections of this node.
        reports: the records of what others bring about.

    Attributes:
        tick: as every entry of a wheel has it.
    """

    def __init__(
        self,
        hub: Hub,
        *,
        moved: Callable[[Move, bool], object],
        deliver: Callable[[int, bytes], object],
        reports: Reports,
    ) -> None:
        self._hub = hub
        self._on_move = moved
        self._deliver = deliver
        self._reports = reports
        self._wheel = hub.environment.wheel
        self._broker: Broker | None = None  # where there may be other nodes
        self._presence = Presence(self._wheel.clock(), alone=True)
        self._gossips = False
        self._stopped = False
        self._casting = 0
        self._turning = False
        self._turned: asyncio.Future[None] | None = None  # of those who wait for something to be known
        self.tick = -1

    # -- a run of the server

    def start(self) -> None:
        """The broker is there."""
        broker = self._hub.broker
        if broker is None or not broker.shared:
            return
        self._broker = broker
        self._presence = Presence(self._wheel.clock())
        self._gossips = any(policy.presence for policy in self._hub.policies.all().values())
        if self._gossips:
            self._turn_soon()

    async def stop(self) -> None:
        """Say that the members of this node leave, all at once; what becomes of each is not told any more."""
        self._stopped = True
        self._wheel.forget(self)
        self._wake()
        if self._broker is not None and self._gossips:
            self._gossips, self._presence.alone = False, True
            with suppress(BrokerUnavailable, MessageTooBig, TimeoutError):
                async with asyncio.timeout(_GOODBYE):
                    await self._broker.cast(self._presence.goodbye())

    # -- broadcasts

    def check_broadcast(self, payload: bytes) -> None:
        """Refuse what the other nodes would not take.

        Raises:
            MessageTooBig: it is longer than `max_message_size`.
        """
        most = self._hub.options.max_message_size
        if self._broker is not None and most is not None and len(payload) > most:
            text = f"a broadcast of {len(payload)} bytes to all nodes is longer than max_message_size={most}"
            raise MessageTooBig(text, CloseCode.MESSAGE_TOO_BIG)

    def broadcast(self, opcode: int, payload: bytes) -> None:
        """Have each other node send a message to all its connections."""
        if self._broker is not None:
            record = Record(Kind.BINARY if opcode == Opcode.BINARY else Kind.TEXT, payload)
            self._cast(self._broker, encode_cast(self._presence.node, Broadcast(encode_record(record))))

    # -- what the broker tells

    def cast(self, data: bytes) -> None:
        """See `Receiver`."""
        most = self._hub.options.max_message_size
        try:
            cast = decode_cast(data, most)
            if isinstance(cast.body, Broadcast):
                if not self._presence.is_own(cast.node):
                    kind, payload = decode_record(cast.body.record, most)
                    self._deliver(Opcode.BINARY if kind == Kind.BINARY else Opcode.TEXT, payload)
                return
        except InvalidMessage as error:
            self._hub.counters.invalid_casts += 1
            self._reports.log(logging.WARNING, "a cast of another node is left out: %s", error)
            return
        if self._gossips:
            self._presence.receive(cast, self._wheel.clock())
            self._turn_soon()

    def lost(self) -> None:
        """Casts may be lost: whoever is not heard of again in time is taken for dead."""
        self._wake()

    def restored(self) -> None:
        """They come again: have every node say where it is."""
        if self._gossips:
            self._presence.ask_all(self._wheel.clock())
            self._turn_soon()

    # -- who is on a topic

    def joined(self, topic: Topic, connection: Subscriber, info: Any) -> None:
        """A connection was subscribed to a topic with presence, or something else is said of it."""
        if info is None:
            info = self._info_of(connection)
        self._presence.join(topic.name, connection.id, info, self._wheel.clock())
        self._turn_soon()

    def left(self, topic: Topic, connection: Subscriber) -> None:
        """It is that no more."""
        self._presence.leave(topic.name, connection.id)
        self._turn_soon()

    async def members(self, topic: str) -> tuple[Member, ...]:
        """Who is on a topic, on all nodes; where no member of this one is, the others are asked."""
        presence = self._presence
        presence.watch(topic, self._wheel.clock())
        self._turn_soon()
        try:
            while not self._is_known(topic):
                if self._turned is None:
                    self._turned = self._hub.environment.loop.create_future()
                await asyncio.wait((self._turned,), timeout=_LOOK)
            return presence.members(topic)
        finally:
            presence.unwatch(topic)

    def _is_known(self, topic: str) -> bool:
        away = self._stopped or self._hub.away
        return away or self._presence.is_ready(topic, self._wheel.clock())

    def _info_of(self, connection: Subscriber) -> Any:
        """What was said by nobody who subscribed it: the server may have put it where it keeps its own data."""
        state = connection._state or {}
        user = state.get(_USER)
        info = state.get(INFO, user if isinstance(user, str) else None)
        try:
            encode_info(info)
        except (TypeError, ValueError) as error:
            self._reports.log(logging.ERROR, "%s: state[%r] is not told to others: %s", connection, INFO, error)
            return None
        return info

    # -- turns

    def due(self, now: float) -> None:
        """A beat, an answer, or the end of a node that is silent is due."""
        self._turn()

    def _turn_soon(self) -> None:
        if not self._turning:
            self._turning = True
            self._hub.environment.loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Cast what is to be cast, and tell who has come and gone."""
        self._turning = False
        presence, now = self._presence, self._wheel.clock()
        if self._gossips and self._broker is not None:
            presence.due(now)
            for data in presence.take_casts(now):
                self._cast(self._broker, data)
            self._wheel.ask(self, presence.due_at())
        self._hub.counters.left_out_members += presence.left_out
        presence.left_out = 0
        for move in presence.take_moves():
            self._hub.tell(move.topic, partial(_moved, move))
            self._on_move(move, presence.is_own(bytes.fromhex(move.member.node)))
        self._wake()

    def _wake(self) -> None:
        """Let those look again who wait for something to be known."""
        turned, self._turned = self._turned, None
        if turned is not None and not turned.done():
            turned.set_result(None)

    # -- casting

    def _cast(self, broker: Broker, data: bytes) -> None:
        """In a task of its own: casts are taken in their order, though none waits for the one before it."""
        if self._hub.away or self._hub.broker is None:
            return
        if self._casting >= MAX_CASTS:
            self._hub.counters.dropped_casts += 1
            return
        self._casting += 1
        self._hub.run(self._taken(broker, data))

    async def _taken(self, broker: Broker, data: bytes) -> None:
        try:
            await broker.cast(data)
        except BrokerUnavailable as error:
            self._reports.log(logging.DEBUG, "a cast to the other nodes is lost: %s", error)
        except MessageTooBig as error:
            self._hub.counters.dropped_casts += 1
            self._reports.log(logging.ERROR, "a broadcast does not reach the other nodes: %s", error)
        finally:
            self._casting -= 1


def _moved(move: Move, dialect: Dialect) -> Encoded | None:
    return dialect.moved(move)
