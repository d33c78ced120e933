"""The script beside a naive model of it: whatever is published, read, lost or forged, in any order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fixtures.brokers import RedisServer
from fixtures.receiver import Push, Seen
from wsmash.topics.brokers.base import Entry
from wsmash.topics.brokers.redis import RedisBroker
from wsmash.topics.policy import TopicPolicy
from wsmash.topics.position import Position

ANY = TopicPolicy(history_size=4, history_ttl=600), TopicPolicy(history_size=9, history_ttl=600), TopicPolicy()

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["publish"] * 6 + ["key", "key", "read", "read", "forget", "move", "back", "forge"]),
        st.integers(0, 12),
        st.integers(1, 6),
    ),
    max_size=40,
)


@dataclass
class Model:
    """One topic, as it should be."""

    size: int | None
    epoch: str | None = None
    offset: int = 0
    kept: list[Entry] = field(default_factory=list)
    results: dict[int, Position] = field(default_factory=dict)
    pushes: list[Push] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)

    def see(self, position: Position) -> None:
        """The first look at a stream, perhaps a new one, says its epoch: one that there never was before."""
        if self.epoch is None:
            assert position.epoch not in self.dead
            self.epoch, self.offset, self.kept = position.epoch, 0, []

    def end(self) -> None:
        """What there was cannot be trusted any more."""
        if self.epoch is not None:
            self.dead.add(self.epoch)
        self.epoch = None


class Play:
    """One run of steps on Redis and on the model."""

    def __init__(self, server: RedisServer, broker: RedisBroker, topic: str, policy: TopicPolicy) -> None:
        self.server, self.broker, self.topic, self.policy = server, broker, topic, policy
        self.model = Model(policy.history_size)
        self.forged = False  # what was is in the way of the next message
        self.doubled: set[str | None] = set()  # epochs with two messages at an offset
        self.meta, self.stream = f"wsmash:{{{topic}}}:meta", f"wsmash:{{{topic}}}:stream"

    async def step(self, what: str, first: int, second: int) -> None:
        """One of them."""
        model = self.model
        if what in ("publish", "key"):
            await self.publish(b"%d %d" % (first, second), first if what == "key" else None)
        elif what == "read":
            await self.read(max(model.offset - first, 0), second)
        elif what == "forget":
            self.server.call("DEL", self.meta)
            model.end()
        elif what == "move":
            self.server.call("HSET", self.meta, "lineage", "another")
            model.end()
        elif what == "back" and model.offset > 1 and model.epoch is not None:
            self.server.call("HSET", self.meta, "offset", model.offset - 1)
            model.end()  # the node knows better: it follows the topic
        elif what == "forge" and model.kept and not self.forged:
            self.server.call("XADD", self.stream, f"{model.offset + first}-99999999999999", "d", "forged")
            self.forged = True
            if first == 0:
                self.doubled.add(model.epoch)

    async def publish(self, data: bytes, key: int | None) -> None:
        model = self.model
        position = await self.broker.publish(self.topic, self.policy, data, None if key is None else str(key))
        if key is not None and key in model.results:
            assert position == model.results[key]
            return
        if self.forged and position.epoch != model.epoch:
            model.end()  # what was forged stands in the way of the next offset
        self.forged = False
        model.see(position)
        model.offset += 1
        assert position == (model.epoch, model.offset)
        if model.size is not None:
            model.kept = [*model.kept, Entry(model.offset, data)][-model.size :]
        if key is not None:
            model.results[key] = position
        model.pushes.append(Push(self.topic, position.epoch, model.offset - 1, model.offset, data))

    async def read(self, after: int, limit: int) -> None:
        model = self.model
        history = await self.broker.read(self.topic, self.policy, after, limit)
        model.see(Position(history.epoch, history.top))
        assert (history.epoch, history.top) == (model.epoch, model.offset)
        wanted = [entry for entry in model.kept if entry.offset > after][-limit:]
        if history.complete or model.epoch not in self.doubled:
            assert list(history.entries) == wanted
            assert history.complete == (len(wanted) == model.offset - after)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One for all examples."""
    folder: Path = tmp_path_factory.mktemp("model") / "redis"
    with RedisServer(folder, appendonly="no") as found:
        yield found


names = count()


@pytest.mark.case(107, 112, 114, 116)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(ANY), STEPS)
def test_the_script_does_what_the_model_says(server: RedisServer, policy: TopicPolicy, steps: list[Step]) -> None:
    """Positions, histories, what is complete, and pushes: each the next one's, and no epoch ever comes again."""

    async def scenario() -> None:
        broker, seen = RedisBroker(server.url), Seen()
        await broker.start(seen)
        try:
            play = Play(server, broker, f"topic.{next(names)}", policy)
            await broker.follow([(play.topic, policy)])
            await broker.positions([(play.topic, policy)])
            play.model.see((await broker.positions([(play.topic, policy)]))[0])
            for step in steps:
                await play.step(*step)
            await seen.until(lambda: len(seen.pushes) >= len(play.model.pushes))
            assert seen.pushes == play.model.pushes
        finally:
            await broker.stop()

    asyncio.run(scenario())
