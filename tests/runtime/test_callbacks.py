"""How callbacks are added and removed, what they may return, and how they act on connections."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, end, open_client_end, open_pair, open_server_end, texts
from wsmash.constants import State
from wsmash.runtime.events import MessageEvent


def arrive(call: Callable[..., object], *args: object) -> None:
    """Have it happen as the network's events do: from the loop, outside any task."""
    asyncio.get_running_loop().call_soon(call, *args)


@virtual
async def test_on_returns_the_callback() -> None:
    """`on` returns what it was given, and so does its decorator."""
    client, _ = open_client_end()

    def callback(_: object) -> None: ...

    assert client.on("message", callback) is callback
    assert client.on("close")(callback) is callback
    end(client)


@virtual
async def test_the_decorator_adds_the_callback() -> None:
    """A function under `@client.on("message")` is called with the event."""
    client, channel = open_client_end()
    got: list[object] = []

    @client.on("message")
    def _(event: MessageEvent) -> None:
        got.append(event.data)

    channel.message("x")
    assert got == ["x"]
    end(client)


@virtual
async def test_the_same_callback_added_twice_runs_twice() -> None:
    """`on` adds; it does not compare."""
    client, channel = open_client_end()
    got: list[object] = []
    client.on("message", got.append)
    client.on("message", got.append)
    channel.message("x")
    assert len(got) == 2
    end(client)


@virtual
async def test_off_removes_one_callback_that_equals_the_one_given() -> None:
    """`off` compares with ==, so a bound method is found again, and removes one of several."""
    client, channel = open_client_end()

    class Listener:
        def __init__(self) -> None:
            self.heard = 0

        def hear(self, _: object) -> None:
            self.heard += 1

    listener = Listener()
    for _ in range(3):
        client.on("message", listener.hear)
    client.off("message", listener.hear)
    channel.message("x")
    assert listener.heard == 2
    client.off("message", listener.hear)
    client.off("message", listener.hear)
    channel.message("x")
    assert listener.heard == 2
    end(client)


@virtual
async def test_off_ignores_what_is_not_there() -> None:
    """Removing a callback that was never added does nothing."""
    client, channel = open_client_end()
    got: list[object] = []
    client.on("message", got.append)
    client.off("message", print)
    client.off("close", print)
    channel.message("x")
    assert len(got) == 1
    end(client)


@virtual
async def test_an_unknown_event_is_a_value_error_that_lists_the_valid_ones() -> None:
    """A misspelt event name never fails in silence."""
    client, _ = open_client_end()
    for action in (lambda: client.on("mesage", print), lambda: client.off("mesage", print)):  # type: ignore[call-overload]
        with pytest.raises(ValueError, match=r"'mesage'.*open, message, close, error"):
            action()
    end(client)


@virtual
async def test_what_cannot_be_called_is_a_type_error() -> None:
    """A callback must be callable."""
    client, _ = open_client_end()
    with pytest.raises(TypeError, match="callable"):
        client.on("message", "x")  # type: ignore[call-overload]
    end(client)


@virtual
async def test_callbacks_removed_during_delivery_are_called_to_its_end() -> None:
    """Changes made while an event is delivered take effect from the next event."""
    client, channel = open_client_end()
    calls: list[str] = []

    def first(_: object) -> None:
        calls.append("first")
        client.off("message", first)
        client.off("message", second)
        client.on("message", third)

    def second(_: object) -> None:
        calls.append("second")

    def third(_: object) -> None:
        calls.append("third")

    client.on("message", first)
    client.on("message", second)
    channel.message("x")
    assert calls == ["first", "second"]
    channel.message("y")
    assert calls == ["first", "second", "third"]
    end(client)


@virtual
async def test_coroutine_callbacks_may_change_the_callbacks_during_delivery_too() -> None:
    """The same holds where the delivery is in a task."""
    client, channel = open_client_end()
    calls: list[str] = []

    async def first(_: object) -> None:
        calls.append("first")
        client.off("message", first)
        client.off("message", second)
        client.on("message", third)

    async def second(_: object) -> None:
        calls.append("second")

    async def third(_: object) -> None:
        calls.append("third")

    client.on("message", first)
    client.on("message", second)
    channel.message("x", "y")
    await idle()
    assert calls == ["first", "second", "third"]
    channel.lose()
    await idle()


# -- what a callback may return


@virtual
async def test_what_a_callback_returns_is_run_if_it_is_awaitable() -> None:
    """A function that returns a coroutine, a future or any other awaitable has it awaited."""
    client, channel = open_client_end()
    ran: list[str] = []

    async def work(name: str) -> None:
        await elapse(1)
        ran.append(name)

    class Custom:
        def __await__(self) -> Generator[Any, None, None]:
            ran.append("custom")
            yield from ()

    def returns_future(_: object) -> Awaitable[None]:
        return asyncio.ensure_future(work("future"))

    client.on("message", lambda _: work("coroutine"))
    client.on("message", returns_future)
    client.on("message", lambda _: Custom())
    client.on("message", functools.partial(lambda name, _: work(name), "partial"))
    channel.message("x")
    await elapse(5)
    assert ran == ["coroutine", "future", "custom", "partial"]
    channel.lose()
    await idle()


@virtual
async def test_our_own_awaitables_are_ignored() -> None:
    """`lambda e: client.send(e.data)` needs no task and waits for nothing, not even where the peer is slow."""
    connection, channel = open_server_end(max_write_buffer=None)
    channel.stuck = True
    connection.on("message", lambda event: event.client.send(event.data))
    channel.message("x" * 50_000, "x" * 50_000, "y")
    assert len(texts(channel)) == 3
    assert connection._inbox is None and not connection._owner.tasks
    end(connection)


@virtual
async def test_other_values_are_ignored() -> None:
    """What a callback returns beside awaitables means nothing."""
    client, channel = open_client_end()
    for value in (False, 1, "x", [1]):
        client.on("message", functools.partial(lambda value, _: value, value))
    got = Record(client, "message")
    channel.message("x")
    assert got.data == ["x"]
    end(client)


# -- callbacks that act on connections


@virtual
async def test_a_callback_may_close_its_own_connection() -> None:
    """`close()` in a message callback: the messages after it are discarded, `close` fires once."""
    server, client = open_pair()
    record = Record(server)
    server.on("message", lambda event: event.client.close(4000, "enough"))
    got = Record(client, "close")
    for text in "abc":
        client.send(text)
    await client.wait_closed()
    await server.wait_closed()
    assert record.names == ["message", "close"] and record.data == ["a"]
    assert got.last.code == 4000 and got.last.reason == "enough" and got.last.was_clean


@virtual
async def test_a_callback_may_await_the_closing_of_its_own_connection() -> None:
    """`await client.close()` in a coroutine callback ends with the socket: it does not wait for itself."""
    server, client = open_pair()
    steps: list[str] = []

    async def callback(event: MessageEvent) -> None:
        await event.client.close()
        steps.append("closed")

    server.on("message", callback)
    server.on("close", lambda _: steps.append("event"))
    client.send("x")
    await idle()
    assert sorted(steps) == ["closed", "event"]
    await client.wait_closed()


@virtual
async def test_a_callback_may_wait_for_its_own_connections_close_event() -> None:
    """`await client.wait_closed()` in a coroutine callback ends too, with nothing left in the inbox."""
    server, client = open_pair()
    steps: list[str] = []

    async def callback(event: MessageEvent) -> None:
        event.client.close()
        await event.client.wait_closed()
        steps.append("closed")

    server.on("message", callback)
    client.send("x")
    client.send("y")
    await idle()
    assert steps == ["closed"]
    await client.wait_closed()


@virtual
async def test_a_callback_may_close_another_connection() -> None:
    """One connection's callback closes another whose messages came in the same turn."""
    one, one_channel = open_server_end()
    other, other_channel = open_server_end()
    got = Record(other, "message")
    one.on("message", lambda _: other.close())
    arrive(one_channel.message, "x")
    arrive(other_channel.message, "y")
    await idle()
    assert got.events == [] and other.get_state() is State.CLOSING
    for channel in (one_channel, other_channel):
        channel.lose()
    await idle()
