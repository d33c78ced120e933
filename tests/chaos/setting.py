"""What the programs of a run are told when they are started, and which topics there are."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec

from chaos.records import Log
from wsmash.topics.policy import TopicPolicy

POLICIES = {
    "deep.>": TopicPolicy(history_size=2000, history_ttl=600),
    "shallow.>": TopicPolicy(history_size=60, history_ttl=5),
    "free.>": TopicPolicy(),
}
"""On every node: one history that holds whatever anybody misses, one that is soon trimmed, and none."""

TOPICS = {
    **{f"deep.{number}": 2000 for number in range(12)},
    **{f"shallow.{number}": 60 for number in range(4)},
    **{f"free.{number}": 0 for number in range(4)},
}
"""Those that are published on, and how many messages they keep."""

PLAIN_TOPICS = ("deep.0", "shallow.0", "free.0")
"""Those that a server subscribes clients to that do not speak the sub-protocol."""

PATTERN = "deep.>"
"""What one client of each program subscribes to in place of names."""


class Setting(msgspec.Struct, frozen=True):
    """One program's.

    Attributes:
        folder: where it writes its log.
        program: its name.
        port: where all nodes listen; the system chooses one for each connection.
        broker: its URL, as a node reaches it.
        rate: messages a second that it publishes.
        sabotage: what it does wrong, so that the checker has something to find.
    """

    folder: str
    program: str
    port: int = 0
    broker: str = ""
    rate: float = 0.0
    sabotage: list[str] = []

    def log(self) -> Log:
        """A file of its own for this run."""
        return Log(Path(self.folder), self.program)

    @property
    def url(self) -> str:
        """Of any node."""
        return f"ws://127.0.0.1:{self.port}/"


def told() -> Setting:
    """That of this program."""
    return msgspec.json.decode(sys.argv[1], type=Setting)


async def input_lines() -> AsyncIterator[bytes]:
    """What is written to this program, until whoever started it has gone or wants its end."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        yield line


async def until_input_ends() -> None:
    """The same, where nothing is written."""
    async for _ in input_lines():
        pass
