"""Publishes at a steady rate, and again what may not have been stored, and writes down how each attempt ended."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from random import Random

import wsmash
from chaos.records import Absent, Attempt, Local, Log, Stored, Unknown, now
from wsmash.topics.position import Position

Publish = Callable[[str, str, str], Awaitable[Position | None]]
"""Publishes on a topic a text with an idempotency key."""

PADDING = 24
"""Characters behind a message's name."""

PATIENCE = 60.0
"""Seconds after which nobody tries again: within those in which a key is known."""

PAUSE = 0.25
"""Seconds between two attempts."""

MOST_OPEN = 48
"""Messages that one publisher waits for at most."""

REPEATED = 0.03
"""The share of acknowledged messages that are published once more with their key, as if the answer had been lost."""


def text_of(message: str, topic: str) -> str:
    """The payload of the message with this name, which is all that a plain connection is given."""
    return f"{message} {topic} {'.' * PADDING}"


def name_of(text: str) -> str:
    """The name that a payload has."""
    return text.partition(" ")[0]


class Publisher:
    """One of them.

    Args:
        log: where it writes.
        name: what the names of its messages begin with; no other has the same.
        publish: how it does so.
        random: chooses topics.
        repeats: whether `publish` itself sends again what has no answer.
    """

    def __init__(self, log: Log, name: str, publish: Publish, random: Random, *, repeats: bool) -> None:
        self._log = log
        self._name = name
        self._publish = publish
        self._random = random
        self._repeats = repeats
        self._open: set[asyncio.Task[bool]] = set()

    async def run(self, topics: list[str], rate: float, until: asyncio.Event) -> None:
        """Publish so many a second; returns when each has its outcome."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        for number in itertools.count():
            due = max(due + self._random.uniform(0, 2) / rate, loop.time() - 0.5)  # no flood after a pause
            while not until.is_set() and (due > loop.time() or len(self._open) >= MOST_OPEN):
                await asyncio.sleep(max(due - loop.time(), 0.01))
            if until.is_set():
                break
            task = asyncio.create_task(self.deliver(self._random.choice(topics), f"{self._name}:{number}"))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        if self._open:
            await asyncio.wait(self._open)

    async def deliver(self, topic: str, message: str) -> bool:
        """Publish one message until it is known to be there, or nothing more helps."""
        loop = asyncio.get_running_loop()
        end = loop.time() + PATIENCE
        while (ended := await self.attempt(topic, message)) is None:
            if loop.time() > end:
                return False
            await asyncio.sleep(PAUSE)
        if isinstance(ended, Stored) and self._random.random() < REPEATED:
            await self.attempt(topic, message)
        return True

    async def attempt(self, topic: str, message: str) -> Stored | Local | None:
        """Once; how it succeeded, or None where it did not."""
        self._log.write(Attempt(now(), message, topic, self._repeats))
        try:
            position = await self._publish(topic, text_of(message, topic), message)
        except (wsmash.BrokerUnavailable, wsmash.RequestTimeout) as error:
            self._log.write(Absent(now(), message, str(error)))
        except wsmash.RequestError as error:
            certain = error.code == "unavailable"
            self._log.write((Absent if certain else Unknown)(now(), message, str(error)))
        except (wsmash.WebSocketError, OSError) as error:
            self._log.write(Unknown(now(), message, f"{type(error).__name__}: {error}"))
        else:
            line = Local(now(), message) if position is None else Stored(now(), message, *position)
            self._log.write(line)
            return line
        return None
