"""A node that is measured: `python -m benchmarks.scaling.node SETTING`.

The setting is JSON: `broker`, a URL or "memory"; `history`, how many messages its topics
keep, 0 for none; `presence`, whether the topics below "room." have it; `protocols`. A plain
connection is subscribed to the topic that its path names; clients that speak `wsmash.v1` may
do what they like.

The first line written is the port. After that each line read is a command, in JSON, and each
line written its answer:

* `["publish", TOPIC, COUNT, WINDOW]`: so many messages, so many under way at once; the last one's position.
* `["publish each", PREFIX, TOPICS, COUNT]`: so many on each of so many topics; the position of each topic's first.
* `["positions", PREFIX, TOPICS]`: ask the broker where these are.
* `["cast", BODY, COUNT]`: tell the other nodes so often that this one lives ("beat"), or that a member came ("join").
* `["asked"]`: what the broker has been asked, as often as that.
* `["wire"]`: bytes sent to the broker, and received from it.
* `["subscribers", TOPIC]`: how many there are here.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

import wsmash
from benchmarks.topics.node import message
from wsmash.topics.brokers.base import MAX_READ, Broker, History
from wsmash.topics.brokers.choice import make_broker
from wsmash.topics.casts import NODE_SIZE, TOKEN_SIZE, Beat, Change, Changes, encode_cast
from wsmash.topics.policy import TopicPolicy
from wsmash.topics.position import Position

SIZE = 128
"""Bytes of a message."""

HISTORY_TTL = 600
TOGETHER = 500
"""Messages under way, where it does not matter how many."""

_ACKED, _RECEIVED = 120, 128  # where Linux's tcp_info has these sums of bytes, of 8 bytes each


class Watched:
    """A broker that counts what it is asked."""

    def __init__(self, broker: Broker) -> None:
        self.asked: Counter[str] = Counter()
        self._broker = broker

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def follow(self, topics: Sequence[tuple[str, TopicPolicy]]) -> None:
        """See `Broker.follow`."""
        self.asked["topics followed"] += len(topics)
        await self._broker.follow(topics)

    async def positions(self, topics: Sequence[tuple[str, TopicPolicy]]) -> list[Position]:
        """See `Broker.positions`."""
        self.asked["positions"] += len(topics)
        return await self._broker.positions(topics)

    async def read(self, topic: str, policy: TopicPolicy, after: int, limit: int = MAX_READ) -> History:
        """See `Broker.read`."""
        self.asked["histories read"] += 1
        return await self._broker.read(topic, policy, after, limit)


class Node:
    """The server, and what is done with it."""

    def __init__(self, setting: dict[str, Any]) -> None:
        url = setting["broker"]
        self._address = urlsplit(url).port
        self._broker: Any = None if url == "memory" else Watched(make_broker(url, "wsmash"))
        self.server = wsmash.create_server(
            port=0, host="127.0.0.1", path="/{topic}", broker=self._broker or "memory", authorize=lambda _: True,
            protocols=setting.get("protocols", ()), compression=None, ping_interval=None,
        )  # fmt: skip
        if setting.get("history"):
            self.policy = TopicPolicy(history_size=setting["history"], history_ttl=HISTORY_TTL)
            self.server.topic(">", history_size=setting["history"], history_ttl=HISTORY_TTL)
        else:
            self.policy = TopicPolicy()
        if setting.get("presence"):
            self.server.topic("room.>", presence=True)
        self.server.on("connection", self._connected)

    def _connected(self, event: wsmash.ConnectionEvent) -> None:
        if event.client.subprotocol is None:
            event.client.subscribe(event.request.params["topic"])

    # -- commands

    async def publish(self, topic: str, count: int, window: int) -> list[Any]:
        """Messages on one topic."""
        for begin in range(0, count, window):
            some = min(window, count - begin)
            positions = await asyncio.gather(*(self._publish(topic) for _ in range(some)))
        return positions[-1]

    async def publish_each(self, prefix: str, topics: int, count: int) -> list[list[Any]]:
        """Messages on many topics."""
        first: list[list[Any]] = []
        for begin in range(0, topics, TOGETHER):
            names = [f"{prefix}.{number}" for number in range(begin, min(topics, begin + TOGETHER))]
            for at in range(count):
                found = await asyncio.gather(*map(self._publish, names))
                first += found if at == 0 else []
        return first

    async def _publish(self, topic: str) -> list[Any]:
        position = await self.server.publish(topic, message(SIZE))
        return list(position or ())

    async def positions(self, prefix: str, topics: int) -> None:
        """Where topics are."""
        await self._broker.positions([(f"{prefix}.{number}", self.policy) for number in range(topics)])

    async def cast(self, body: str, count: int) -> None:
        """What nodes with presence tell each other."""
        identity = bytes(NODE_SIZE)
        for number in range(1, count + 1):
            said = Beat(number, False, bytes(TOKEN_SIZE))
            came = Changes(number, [Change("room.kitchen", f"{number:032x}", b'{"name":"Ann"}')])
            await self._broker.cast(encode_cast(identity, said if body == "beat" else came))

    async def asked(self) -> dict[str, int]:
        """What the broker was asked."""
        return {} if self._broker is None else dict(self._broker.asked)

    async def wire(self) -> list[int]:
        """What the connections to the broker have carried."""
        return self._carried()

    def _carried(self) -> list[int]:
        """As the system counts it."""
        found = [0, 0]
        for each in list(Path("/proc/self/fd").iterdir()):
            try:
                if not str(each.readlink()).startswith("socket:"):
                    continue
                with socket.socket(fileno=os.dup(int(each.name))) as sock:
                    if sock.family != socket.AF_INET or sock.getpeername()[1] != self._address:
                        continue
                    told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 136)
            except OSError:  # a listening socket, or the folder itself
                continue
            for at, start in enumerate((_ACKED, _RECEIVED)):
                found[at] += int.from_bytes(told[start : start + 8], sys.byteorder)
        return found

    async def subscribers(self, topic: str) -> int:
        """How many there are."""
        return self.server.get_subscriber_count(topic)

    async def obey(self) -> None:
        """Do what the lines say, until there are none."""
        lines = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            name, *arguments = json.loads(line)
            print(json.dumps(await getattr(self, name.replace(" ", "_"))(*arguments)), flush=True)


async def main(setting: dict[str, Any]) -> None:
    """Serve until there are no commands any more."""
    node = Node(setting)
    async with node.server:
        print(node.server.port, flush=True)
        await node.obey()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(json.loads(sys.argv[1])))
