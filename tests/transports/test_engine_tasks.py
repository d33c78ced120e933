"""Messages of the native engine as tasks and callbacks see them: events that are used again, contexts, cancellation."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import wsmash
from fixtures.in_loop import in_loop, turns, until
from fixtures.native import Peer, served

pytestmark = pytest.mark.usefixtures("native_engine")

NUMBER = contextvars.ContextVar[int]("NUMBER")

MESSAGES = [str(number) for number in range(50)]


class Kept:
    """What callbacks keep of their events, each in a way of its own, and what can be read of it afterwards."""

    def __init__(self) -> None:
        self.read: list[Callable[[], object]] = []

    def in_a_list(self, event: wsmash.MessageEvent) -> None:
        kept = [event]
        self.read.append(lambda: kept[0].data)

    def in_a_closure(self, event: wsmash.MessageEvent) -> None:
        self.read.append(lambda: event.data)

    def in_a_partial(self, event: wsmash.MessageEvent) -> None:
        self.read.append(partial(getattr, event, "data"))

    def in_a_generator(self, event: wsmash.MessageEvent) -> None:
        def later() -> Iterator[object]:
            yield event.data

        self.read.append(later().__next__)

    def in_a_traceback(self, event: wsmash.MessageEvent) -> None:
        try:
            raise ValueError
        except ValueError as error:
            traceback = error.__traceback__
            assert traceback is not None
            self.read.append(lambda: traceback.tb_frame.f_locals["event"].data)

    def in_a_frame(self, event: wsmash.MessageEvent) -> None:
        frame = sys._getframe()
        self.read.append(lambda: frame.f_locals["event"].data)

    def in_a_task(self, event: wsmash.MessageEvent) -> None:
        async def later() -> object:
            await asyncio.sleep(0)
            return event.data

        self.read.append(asyncio.ensure_future(later()).result)

    async def in_a_coroutine(self, event: wsmash.MessageEvent) -> None:
        await asyncio.sleep(0)
        data = event.data
        self.read.append(lambda: data)

    async def of_a_coroutine(self, event: wsmash.MessageEvent) -> None:
        self.read.append(lambda: event.data)

    async def of_a_coroutine_that_waited(self, event: wsmash.MessageEvent) -> None:
        await asyncio.sleep(0)
        self.read.append(lambda: event.data)


WAYS = [name for name in vars(Kept) if "a_" in name]


@pytest.mark.parametrize("way", WAYS)
@in_loop
async def test_an_event_that_is_kept_never_changes(way: str) -> None:
    """However a callback keeps its event, that is of the message that it was made for."""
    kept = Kept()

    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", getattr(kept, way))

    async with served(1, connected) as (_, [peer]):
        await peer.say(*MESSAGES[:25])
        await until(lambda: len(kept.read) == 25)
        await peer.say(*MESSAGES[25:])
        await until(lambda: len(kept.read) == 50)
        await turns()
        assert [read() for read in kept.read] == MESSAGES


def _has(heard: list[object], count: int) -> bool:
    return len(heard) == count


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@in_loop
async def test_an_event_that_nobody_keeps_is_used_again(kind: str) -> None:
    """It is whole all the same: its message, its connection, and JSON of no other message."""
    objects: set[int] = set()
    heard: list[object] = []

    def plain(event: wsmash.MessageEvent) -> None:
        objects.add(id(event))
        heard.append((event.json(), event.json(), event.client.state["name"]))

    async def coroutine(event: wsmash.MessageEvent) -> None:
        plain(event)

    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.state["name"] = len(everyone)
        everyone.append(event.client)
        event.client.on("message", plain if kind == "plain" else coroutine)

    everyone: list[Any] = []
    count = 0
    async with served(2, connected) as (_, peers):
        for _ in range(3):
            for peer in peers:
                await peer.say(*MESSAGES[:10])
                count += 10
                await until(partial(_has, heard, count))
        assert heard == [(number, number, name) for name in (0, 1) for number in range(10)] * 3
        assert len(objects) < 20, "of sixty messages"


# Callbacks


@pytest.mark.parametrize("kind", ["plain", "coroutine", "waits"])
@in_loop
async def test_contexts(kind: str) -> None:
    """A callback runs in its connection's context, which it may change for itself and for nobody else."""
    heard: list[tuple[object, int]] = []

    def plain(event: wsmash.MessageEvent) -> None:
        before = NUMBER.get(0)
        NUMBER.set(before + 1)
        heard.append((event.data, before))

    async def coroutine(event: wsmash.MessageEvent) -> None:
        plain(event)

    async def waits(event: wsmash.MessageEvent) -> None:
        plain(event)
        await asyncio.sleep(0)

    callback = {"plain": plain, "coroutine": coroutine, "waits": waits}[kind]
    NUMBER.set(100)
    async with served(3, lambda event: event.client.on("message", callback)) as (_, peers):
        NUMBER.set(200)
        for peer in peers:
            await peer.say("a", "b")
            await peer.say("c")
        await until(lambda: len(heard) == 9)
        assert NUMBER.get() == 200
        assert sorted(heard, key=str) == sorted([("a", 100), ("b", 101), ("c", 102)] * 3, key=str)


@pytest.mark.case(72)
@in_loop
async def test_tasks_of_callbacks() -> None:
    """A plain callback runs in no task; a coroutine's in one, the same for each message of a connection."""
    heard: list[object] = []

    def plain(event: wsmash.MessageEvent) -> None:
        heard.append(asyncio.current_task())

    async def coroutine(event: wsmash.MessageEvent) -> None:
        heard.append(asyncio.current_task())
        await asyncio.sleep(0)
        heard.append(asyncio.current_task())

    callbacks: list[Any] = [plain, coroutine]
    async with served(2, lambda event: event.client.on("message", callbacks.pop(0))) as (_, [one, other]):
        await one.say("a", "b")
        await until(lambda: len(heard) == 2)
        assert heard == [None, None]
        await other.say("a")
        await turns()
        await other.say("b")
        await until(lambda: len(heard) == 6)
        [task] = set(heard[2:])
        assert isinstance(task, asyncio.Task)
        assert task is not asyncio.current_task()


@in_loop
async def test_timeouts_and_groups_inside_callbacks() -> None:
    """`asyncio.timeout` and `TaskGroup` work in a coroutine callback, and the next message finds nothing of them."""
    heard: list[object] = []

    async def received(event: wsmash.MessageEvent) -> None:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.sleep(10)
        except TimeoutError:
            heard.append("timeout")
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(asyncio.sleep(0))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(asyncio.sleep(10))
                raise ValueError(event.data)
        except* ValueError as errors:
            heard.append(str(errors.exceptions[0]))
        task = asyncio.current_task()
        assert task is not None
        heard.append(task.cancelling())

    async with served(1, lambda event: event.client.on("message", received)) as (_, [peer]):
        await peer.say("a", "b", "c")
        await until(lambda: len(heard) == 9)
        assert heard == ["timeout", "a", 0, "timeout", "b", 0, "timeout", "c", 0]


# Readers


async def reader(peer_count: int = 1) -> Any:
    """A context of a server whose connections are read by the test: the peers and the connections."""
    connections: list[Any] = []
    return served(peer_count, lambda event: connections.append(event.client)), connections


Take = Callable[[Any], Any]

TAKES: dict[str, Take] = {"recv": lambda connection: connection.recv(), "anext": anext}


@pytest.mark.case(42)
@pytest.mark.parametrize("take", TAKES)
@in_loop
async def test_cancelling_loses_nothing(take: str) -> None:
    """A task that waits for a message may be cancelled before, with and after what comes: the next reader has it."""
    block, connections = await reader()
    async with block as (_, [peer]):
        [connection] = connections
        heard: list[object] = []
        for number in range(60):
            task = asyncio.create_task(_run(TAKES[take], connection))
            if number % 3 == 0:
                await turns(number % 4)
            peer_says = asyncio.ensure_future(peer.say(str(number)))
            await turns(number % 5)
            task.cancel()
            try:
                heard.append(await task)
            except asyncio.CancelledError:
                heard.append(await asyncio.wait_for(TAKES[take](connection), 5))
            await peer_says
        assert heard == [str(number) for number in range(60)]


async def _run(take: Take, connection: Any) -> object:
    return await take(connection)


@pytest.mark.case(42)
@pytest.mark.parametrize("seconds", [0, 0.0001, 0.002])
@pytest.mark.parametrize("take", TAKES)
@in_loop
async def test_polling_with_a_timeout_loses_nothing(take: str, seconds: float) -> None:
    """`wait_for` again and again, with no time at all too, is a way to look whether there is a message."""
    block, connections = await reader()
    async with block as (_, [peer]):
        [connection] = connections
        heard: list[object] = []
        saying = asyncio.create_task(_say_slowly(peer))
        while len(heard) < len(MESSAGES):
            try:
                heard.append(await asyncio.wait_for(TAKES[take](connection), seconds))
            except TimeoutError:
                if seconds == 0:
                    heard.append(await TAKES[take](connection))
        assert heard == MESSAGES
        await saying


async def _say_slowly(peer: Peer) -> None:
    for number, message in enumerate(MESSAGES):
        await peer.say(message)
        if number % 3 == 0:
            await asyncio.sleep(0.001)


@in_loop
async def test_what_anext_gives_is_a_coroutine() -> None:
    """`create_task`, `gather` and `wait_for` take it, whether a message waits or not."""
    block, connections = await reader(3)
    async with block as (_, peers):
        waiting = [asyncio.create_task(anext(connection)) for connection in connections]
        gathered = asyncio.gather(*waiting)
        await turns()
        for number, peer in enumerate(peers):
            await peer.say(f"{number}", f"{number}+", f"{number}++")
        assert sorted(await gathered) == ["0", "1", "2"]
        assert sorted(await asyncio.gather(*map(anext, connections))) == ["0+", "1+", "2+"]
        found = [await asyncio.wait_for(anext(connection), 1) for connection in connections]
        assert sorted(found) == ["0++", "1++", "2++"]
        unused = anext(connections[0])
        unused.close()
        peers[0].sock.close()


@in_loop
async def test_the_default_of_anext() -> None:
    """`anext` with a default gives that at the end, and the messages before it."""
    block, connections = await reader()
    async with block as (_, [peer]):
        [connection] = connections
        await peer.say("a")
        assert await anext(connection, None) == "a"
        task = asyncio.ensure_future(_run(lambda each: anext(each, "none"), connection))
        await turns()
        await peer.write(b"\x88\x82\0\0\0\0\x03\xe8")
        assert await task == "none"


@in_loop
async def test_two_readers() -> None:
    """A second reader is refused, and the first one has the message all the same."""
    block, connections = await reader()
    async with block as (_, [peer]):
        [connection] = connections
        first = asyncio.create_task(anext(connection))
        await turns()
        for second in TAKES.values():
            with pytest.raises(RuntimeError, match="another recv is waiting"):
                await second(connection)
        await peer.say("a")
        assert await first == "a"


@in_loop
async def test_a_reader_is_cancelled_from_a_callback_of_the_same_turn() -> None:
    """One connection's callback cancels the task of another whose message is in the same turn: it is kept."""
    connections: list[Any] = []
    tasks: list[asyncio.Task[object]] = []

    def connected(event: wsmash.ConnectionEvent) -> None:
        connections.append(event.client)
        if len(connections) == 1:
            event.client.on("message", lambda _: tasks[0].cancel())

    async with served(2, connected) as (_, [one, other]):
        for first, second in ((one, other), (other, one)):
            tasks[:] = [asyncio.create_task(_run(anext, connections[1]))]
            await turns()
            for peer in (first, second):
                peer.sock.send(b"\x81\x81\0\0\0\0x")
            try:
                heard = await tasks[0]
            except asyncio.CancelledError:
                heard = await asyncio.wait_for(anext(connections[1]), 5)
            assert heard == "x"
            await turns()
