"""The part of a hub that publishes: by its broker, or within the call where there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from ..codecs import Message
from ..constants import CloseCode
from ..errors import BrokerUnavailable, InvalidState, MessageTooBig
from ..options import ServerOptions
from ..runtime.actions import Action, Pending, Settled
from ..runtime.environment import Environment
from .brokers.base import Broker
from .brokers.memory import MemoryBroker
from .names import check_topic
from .patterns import Patterns
from .policy import Policies, TopicPolicy
from .position import Position
from .record import Record, encode_record, record_of
from .topic import Topic

T = TypeVar("T")

MAX_KEY = 200
"""Characters of an idempotency key."""


class Publisher:
    """What a `Hub` is for those who publish.

    Attributes:
        environment: of the server's loop.
        options: the server's.
        policies: what is promised of topics.
        patterns: those that connections are subscribed to.
        broker: what carries messages between nodes; None where this node is alone, or the hub is stopped.
    """

    def __init__(
        self, environment: Environment, options: ServerOptions, policies: Policies, patterns: Patterns
    ) -> None:
        self.environment = environment
        self.options = options
        self.policies = policies
        self.patterns = patterns
        self.broker: Broker | None = None
        self._memory: MemoryBroker | None = None
        self._topics: dict[str, Topic] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def publish(self, topic: str, data: Message, key: str | None = None) -> Action[Position | None]:
        """See `WebSocketServer.publish`."""
        return self.publish_record(topic, record_of(data), key)

    def publish_record(self, topic: str, record: Record, key: str | None = None) -> Action[Position | None]:
        """The same, of what is a record already."""
        known = self._topics.get(topic)
        policy = self.policies.of(check_topic(topic)) if known is None else known.policy
        if key is not None:
            _check_key(key)
        most = self.options.max_message_size
        if most is not None and len(record.payload) > most:
            text = f"a message of {len(record.payload)} bytes is longer than max_message_size={most}"
            raise MessageTooBig(text, CloseCode.MESSAGE_TOO_BIG)
        memory = self._memory
        if memory is None:
            return Pending(self.run(self._publish(self._need_broker(), topic, policy, record, key)))
        data = encode_record(record) if policy.has_history else b""
        position, new = memory.add(topic, policy, data, key)
        if new:
            if known is not None:
                known.published(position, record)
            self.patterns.deliver(topic, position, record)
        return Settled(position)

    async def _publish(
        self, broker: Broker, topic: str, policy: TopicPolicy, record: Record, key: str | None
    ) -> Position | None:
        try:
            return await broker.publish(topic, policy, encode_record(record), key)
        except BrokerUnavailable:
            if policy.fails_in_outage:
                raise
        known = self._topics.get(topic)
        if known is not None:
            known.deliver_here(record)
        self.patterns.deliver(topic, None, record)
        return None

    def _need_broker(self) -> Broker:
        if self.broker is None:
            raise InvalidState("nothing can be published before the server is started, or once it has stopped")
        return self.broker

    def run(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run it in a task, which is cancelled when the hub stops."""
        task = self.environment.run(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise TypeError(f"an idempotency key is a str, not {key!r:.75}")
    if not 0 < len(key) <= MAX_KEY:
        raise ValueError(f"an idempotency key has 1 to {MAX_KEY} characters, and this one has {len(key)}")
