"""Subscribers of one node while everything happens at once: each has every offset once and in order, or a gap."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.clock import elapse, virtual
from fixtures.nodes import Node, Spoken, text
from fixtures.scripted_broker import ScriptedBroker
from wsmash.constants import Opcode
from wsmash.topics.dialect import Encoded
from wsmash.topics.position import Position
from wsmash.topics.record import Record
from wsmash.topics.subscriber import Subscribed

KIB = 1024

ACTIONS = st.sampled_from([
    "publish", "publish", "publish", "flood", "lose", "hold", "slow", "outage", "renew", "trim", "come", "come", "come",
    "stick", "stick", "missed", "moment", "moment", "wait",
])  # fmt: skip
"""What is said twice is undone by the second: losing and holding back pushes, an outage, coming, not reading."""


class Traced(Spoken):
    """Says where everything is, by epoch and offset."""

    def message(self, topic: str, pattern: str | None, position: Position | None, record: Record) -> Encoded:
        return Opcode.TEXT, f"message {where(position)} {record.payload.decode()}".encode()

    def gap(self, name: str, position: Position | None, reason: str, pattern: str | None = None) -> Encoded:
        return Opcode.TEXT, f"gap {where(position)} {reason}".encode()

    def subscribed(self, name: str, found: Subscribed) -> Encoded:
        return Opcode.TEXT, f"subscribed {where(found.position)} {found.recovered}".encode()


def where(position: Position | None) -> str:
    """A position in two words."""
    return "- -" if position is None else f"{position.epoch} {position.offset}"


class Reader:
    """One who follows the topic by what it is sent, as a client would, and remembers where it was."""

    def __init__(self, node: Node, published: dict[str, list[int]], name: str = "news") -> None:
        self.client = node.client()
        self.name = name
        self.position: Position | None = None
        self.subscribed = False
        self._published = published
        self._began = False
        self._since: Position | None = None

    def come_or_go(self) -> None:
        """Subscribe, after the first time from where it was; or end that, and keep the position."""
        self.read()
        if self.subscribed:
            self.client.connection.unsubscribe(self.name)
            self.read()
        else:
            if self.name != "news":
                self.position = None  # a pattern has none: it may begin anywhere
            self._began, self._since = False, self.position
            self.client.connection.subscribe(self.name, since=self.position)
        self.subscribed = not self.subscribed

    def read(self) -> None:
        """Look at what it was sent, and judge it."""
        for line in self.client.got:
            kind, *rest = line.split()
            if kind in ("degraded", "restored", "unsubscribed"):
                continue
            epoch, offset = rest[0], rest[1]
            position = None if epoch == "-" else Position(epoch, int(offset))
            if kind == "subscribed":
                self._began = True
                assert rest[2] == "False" or self._since is None or position in (None, self._since)
                self.position = position or self.position
            elif kind == "gap":
                self.position = position
            elif position is not None:
                self._message(position)

    def _message(self, position: Position) -> None:
        assert self._began, "a message before the reply"
        if self.position is None and self.name != "news":
            self.position = position
            return
        assert self.position is not None and self.position.epoch == position.epoch, "another epoch without a gap"
        due = [each for each in self._published[position.epoch] if each > self.position.offset]
        assert due[:1] == [position.offset], f"{position.offset} came after {self.position}, and {due[:3]} were due"
        self.position = position


@pytest.mark.case(115)
@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(ACTIONS, st.integers(0, 2)), min_size=20, max_size=60),
    st.integers(1, 3),
    st.sampled_from([5, 100]),
)
def test_whatever_happens_each_message_comes_once_or_as_a_gap(
    actions: list[tuple[str, int]], step: int, size: int
) -> None:
    """Also to who comes back, reads slowly, has a pattern, or sees the broker restart empty and lose pushes."""

    @virtual
    async def scenario() -> None:
        broker = ScriptedBroker()
        broker.step = step
        async with Node(broker, dialect=Traced(), slow_consumer="drop", max_write_buffer=100 * KIB) as node:
            node.topic("news", history_size=size)
            published: dict[str, list[int]] = {}
            readers = [Reader(node, published, name) for name in ("news", "news", "*")]
            for reader in readers:
                reader.come_or_go()
            await elapse(0.1)
            for action, who in actions:
                await act(action, readers[who], broker, published, size)
                for reader in readers:
                    reader.read()
            await settle(readers, broker, published, size)

    scenario()


async def act(
    action: str, reader: Reader, broker: ScriptedBroker, published: dict[str, list[int]], size: int
) -> None:
    """One thing happens."""
    channel = reader.client.channel
    if action in ("publish", "flood"):
        for _ in range(6 if action == "flood" else 1):
            publish(broker, published, size, 30 * KIB if action == "flood" else 1)
    elif action == "lose":
        broker.losing = not broker.losing
    elif action == "hold" and broker.held is None:
        broker.held = []
    elif action == "hold":
        broker.release()
    elif action == "slow":
        broker.slowness = 0.3 - broker.slowness
    elif action == "outage":
        outage(broker)
    elif action == "renew":
        broker.renew("news")
    elif action == "trim" and "news" in broker.streams:
        broker.trim("news", 1)
    elif action == "come":
        reader.come_or_go()
    elif action == "stick" and not channel.stuck:
        channel.stuck = True
    elif action == "stick":
        channel.drain()
    await after(action, broker)


def outage(broker: ScriptedBroker) -> None:
    """The broker goes away, or comes back."""
    if broker.away:
        broker.come_back()
    else:
        broker.leave()
        broker.held = None


async def after(action: str, broker: ScriptedBroker) -> None:
    """Some things take time, and all leave a moment for others."""
    if action == "missed" and not broker.away:
        broker.receiver.missed("said so")
    await elapse({"moment": 0.1, "wait": 1.0}.get(action, 0.0))


def publish(broker: ScriptedBroker, published: dict[str, list[int]], size: int, length: int) -> None:
    """Another node publishes."""
    data = text("x" * length)
    position = broker.add("news", data, size)
    published.setdefault(position.epoch, []).append(position.offset)


async def settle(readers: list[Reader], broker: ScriptedBroker, published: dict[str, list[int]], size: int) -> None:
    """All faults end: every subscriber is where the stream is, and what is published now reaches it."""
    broker.losing, broker.slowness = False, 0
    broker.release()
    if broker.away:
        broker.come_back()
    for reader in readers:
        reader.client.channel.drain()
    await elapse(40)
    publish(broker, published, size, 1)
    await elapse(1)
    stream = broker.streams["news"]
    for reader in readers:
        reader.read()
        if reader.subscribed:
            assert reader.position == Position(stream.epoch, stream.top)
