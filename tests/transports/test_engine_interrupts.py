"""An interrupt that is raised within a turn of the native engine: it leaves at once, and nothing is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import wsmash
from fixtures.driver import Bench, End
from fixtures.frames import text
from fixtures.in_loop import turns, until
from fixtures.native import Peer, served
from wsmash.transports.base import ITEMS_PER_TURN


@contextmanager
def own_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that the test runs piece by piece, as it must where one piece ends by an interrupt."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        yield loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


class InterruptOnce:
    """Raises KeyboardInterrupt at a message, the first time."""

    def __init__(self, at: str) -> None:
        self._left = [at]

    def heard(self, what: tuple[Any, ...]) -> None:
        """What a recorder does."""
        self(what[1])

    def __call__(self, data: Any) -> None:
        if data in self._left:
            self._left.clear()
            raise KeyboardInterrupt


def test_an_interrupt_loses_nothing_of_others(natives: Bench) -> None:
    """KeyboardInterrupt in a handler leaves the loop at once; run again, all that had come is delivered."""
    messages = [str(each) for each in range(ITEMS_PER_TURN + 10)]
    with own_loop() as loop:

        async def begin() -> list[End]:
            return [natives.attach() for _ in range(4)]

        ends = loop.run_until_complete(begin())
        for number, end in enumerate(ends):
            end.handler.act = InterruptOnce("1" if number < 2 else "").heard
            end.upgrade(received=b"".join(text(each, masked=True) for each in messages))
        for _ in range(2):
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(turns())
        loop.run_until_complete(turns(20))
        for end in ends:
            assert end.handler.messages == messages
            end.channel.abort()
        loop.run_until_complete(turns())


@pytest.mark.parametrize("kind", ["plain", "coroutine", "iteration"])
@pytest.mark.parametrize("size", [1, 300_000], ids=["small", "large"])
def test_an_interrupt_leaves_connections_usable(native_engine: None, kind: str, size: int) -> None:
    """However its messages are taken and however long they are, the bytes behind one that interrupts are kept."""
    heard: list[str] = []
    interrupt = InterruptOnce("1" * size)

    def take(data: Any) -> None:
        heard.append(data[0])
        interrupt(data)

    async def later(message: wsmash.MessageEvent) -> None:
        take(message.data)

    async def each(client: wsmash.ServerConnection) -> None:
        async for data in client:
            try:
                take(data)
            except KeyboardInterrupt:
                asyncio.get_running_loop().call_soon(each_again, client)
                raise

    def each_again(client: wsmash.ServerConnection) -> None:
        tasks.append(asyncio.get_running_loop().create_task(each(client)))

    def connected(event: wsmash.ConnectionEvent) -> None:
        if kind == "iteration":
            each_again(event.client)
        else:
            event.client.on("message", later if kind == "coroutine" else lambda message: take(message.data))

    tasks: list[asyncio.Task[None]] = []
    with own_loop() as loop:
        block = served(1, connected)
        _, [peer] = loop.run_until_complete(block.__aenter__())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(asyncio.wait_for(_say_and_wait(peer, size), 5))
        if kind != "coroutine":  # whose task has ended with the interrupt
            loop.run_until_complete(asyncio.wait_for(until(lambda: len(heard) == 4), 5))
            assert heard == ["0", "1", "2", "3"]
        loop.run_until_complete(block.__aexit__(None, None, None))
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))


async def _say_and_wait(peer: Peer, size: int) -> None:
    await peer.say(*(str(number) * size for number in range(4)))
    await asyncio.sleep(5)
