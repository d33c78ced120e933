"""How callbacks are added, called and awaited: plain ones where the event is, coroutine ones in one real task."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Generator
from contextvars import ContextVar
from typing import Any

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, end, frames, open_client_end, open_pair, open_server_end, texts
from wsmash.constants import Opcode, State
from wsmash.errors import ConnectionClosed, SlowConsumer
from wsmash.runtime.events import MessageEvent

who: ContextVar[str] = ContextVar("who", default="nobody")


def arrive(call: Callable[..., object], *args: object) -> None:
    """Have it happen as the network's events do: from the loop, outside any task."""
    asyncio.get_running_loop().call_soon(call, *args)


def fail(_: object) -> None:
    """A callback with a bug."""
    raise KeyError("mine")


# -- on and off


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


# -- tasks


@virtual
async def test_plain_callbacks_run_without_any_task() -> None:
    """No task is made for a plain callback."""
    client, channel = open_client_end()
    tasks: list[object] = []
    for name in ("message", "close"):
        client.on(name, lambda _: tasks.append(asyncio.current_task()))
    before = asyncio.all_tasks()
    arrive(channel.message, "x")
    arrive(channel.lose)
    await idle()
    assert tasks == [None, None] and asyncio.all_tasks() == before


@virtual
async def test_a_coroutine_message_callback_runs_in_one_task_for_all_messages() -> None:
    """The task is started by the first message and is the same for each, also after a pause."""
    client, channel = open_client_end()
    tasks: list[object] = []

    async def callback(_: object) -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)

    client.on("message", callback)
    before = asyncio.all_tasks()
    assert len(asyncio.all_tasks() - before) == 0
    arrive(channel.message, "a", "b")
    await idle()
    await elapse(1)
    arrive(channel.message, "c")
    await idle()
    assert len(tasks) == 3 and len(set(tasks)) == 1
    assert isinstance(tasks[0], asyncio.Task)
    channel.lose()
    await idle()
    assert tasks[0].done()


@virtual
async def test_timeouts_and_task_groups_work_in_a_coroutine_callback() -> None:
    """`asyncio.timeout`, `TaskGroup` and `current_task` find a real task."""
    client, channel = open_client_end()
    seen: list[object] = []

    async def child() -> None:
        await elapse(0.5)
        seen.append("child")

    async def callback(_: object) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
        try:
            async with asyncio.timeout(1):
                await elapse(10)
        except TimeoutError:
            seen.append("timeout")

    client.on("message", callback)
    channel.message("a", "b")
    await elapse(10)
    assert seen == ["child", "timeout"] * 2
    channel.lose()
    await idle()


@virtual
async def test_a_task_group_that_fails_in_a_callback_does_not_end_delivery() -> None:
    """A child's exception comes out of the group and is the callback's failure; the next message is delivered."""
    client, channel = open_client_end()
    record = Record(client, "error")
    got: list[object] = []

    async def fail_later() -> None:
        raise KeyError("child")

    async def callback(event: MessageEvent) -> None:
        got.append(event.data)
        if event.data == "a":
            async with asyncio.TaskGroup() as group:
                group.create_task(fail_later())
                group.create_task(elapse(10))

    client.on("message", callback)
    channel.message("a", "b")
    await idle()
    assert got == ["a", "b"] and isinstance(record.last.error, ExceptionGroup)
    channel.lose()
    await idle()


@virtual
async def test_a_cancelled_future_awaited_in_a_callback_does_not_end_delivery() -> None:
    """The CancelledError of something awaited in a callback is that callback's failure and nothing more."""
    client, channel = open_client_end()
    got: list[object] = []

    async def callback(event: MessageEvent) -> None:
        got.append(event.data)
        if event.data == "a":
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

    client.on("message", callback)
    channel.message("a", "b")
    await idle()
    assert got == ["a", "b"] and client.is_open()
    channel.lose()
    await idle()


@virtual
async def test_a_callbacks_task_that_is_cancelled_closes_the_connection() -> None:
    """A connection whose delivery somebody cancelled from outside does not stay open and deaf."""
    connection, channel = open_server_end()
    record = Record(connection, "close")

    async def callback(_: object) -> None:
        await elapse(100)

    connection.on("message", callback)
    channel.message("a", "b")
    await idle()
    for task in connection._owner.tasks:
        task.cancel()
    await idle()
    assert connection.get_state() is State.CLOSING and channel.closed
    channel.lose()
    await idle()
    assert record.names == ["close"] and record.last.sent == (1011, "internal error")


@virtual
async def test_a_plain_callback_may_raise_cancelled_error() -> None:
    """`CancelledError` out of a plain callback passes through, as every BaseException does."""
    client, channel = open_client_end()

    def callback(_: object) -> None:
        raise asyncio.CancelledError

    client.on("message", callback)
    with pytest.raises(asyncio.CancelledError):
        channel.message("x")
    end(client)


# -- context


@virtual
async def test_all_callbacks_of_a_connection_see_one_context() -> None:
    """What one callback sets, plain or coroutine, the others of its connection see, and nobody else."""
    seen: list[tuple[str, str]] = []

    def opened(_: object) -> None:
        seen.append(("open", who.get()))
        who.set("opened")

    async def message(event: MessageEvent) -> None:
        seen.append((str(event.data), who.get()))
        who.set(str(event.data))

    def closed(_: object) -> None:
        seen.append(("close", who.get()))

    who.set("starter")

    def prepare(connection: Any) -> None:
        connection.on("open", opened)
        connection.on("message", message)
        connection.on("close", closed)

    _, channel = open_server_end(prepare)
    who.set("changed later")
    _, other_channel = open_server_end(prepare)
    arrive(channel.message, "a", "b")
    await idle()
    arrive(channel.lose)
    await idle()
    assert seen == [("open", "starter"), ("open", "changed later"), ("a", "opened"), ("b", "a"), ("close", "b")]
    assert who.get() == "changed later"
    other_channel.lose()
    await idle()


@virtual
async def test_error_callbacks_are_in_the_context_too() -> None:
    """`error`, coroutine or plain, is called in the connection's context."""
    seen: list[str] = []

    async def hear(_: object) -> None:
        seen.append(who.get())

    def set_and_fail(_: object) -> None:
        who.set("failing")
        raise KeyError("x")

    client, channel = open_client_end()
    client.on("message", set_and_fail)
    client.on("error", hear)
    client.on("error", lambda _: seen.append(who.get()))
    arrive(channel.message, "a")
    await idle()
    assert seen == ["failing", "failing"]
    end(client)


# -- a callback that raises


@virtual
async def test_a_failing_callback_is_logged_once_and_fires_error(caplog: pytest.LogCaptureFixture) -> None:
    """The exception is logged once with its traceback and fires the connection's `error`."""
    client, channel = open_client_end()
    record = Record(client, "error")

    client.on("message", fail)
    channel.message("x")
    await idle()
    assert len(record.events) == 1 and isinstance(record.last.error, KeyError) and record.last.client is client
    logged = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(logged) == 1 and logged[0].name == "wsmash"
    assert logged[0].exc_info is not None and isinstance(logged[0].exc_info[1], KeyError)
    end(client)


@virtual
async def test_a_clients_connection_stays_open_when_a_callback_raises() -> None:
    """A client's own bug costs it one message, not its connection."""
    client, channel = open_client_end()
    got = []

    def callback(event: MessageEvent) -> None:
        got.append(event.data)
        raise KeyError("mine")

    client.on("message", callback)
    channel.message("x", "y")
    await idle()
    assert got == ["x", "y"] and client.is_open() and channel.sent == []
    end(client)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@virtual
async def test_a_servers_connection_is_closed_with_1011_when_a_callback_raises(kind: str) -> None:
    """Nothing of the exception is on the wire."""
    connection, channel = open_server_end()
    record = Record(connection, "error", "close")

    def plain(_: object) -> None:
        raise KeyError("a secret")

    async def coroutine(_: object) -> None:
        await elapse(1)
        raise KeyError("a secret")

    connection.on("message", plain if kind == "plain" else coroutine)
    channel.message("x")
    await elapse(2)
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload == b"\x03\xf3internal error" and channel.closed
    channel.lose()
    await idle()
    assert record.names == ["error", "close"]
    assert record.last.code == 1006 and record.last.sent == (1011, "internal error")


@virtual
async def test_callbacks_after_one_that_raises_are_called() -> None:
    """Each callback of an event is called, whatever those before it did."""
    client, channel = open_client_end()
    calls: list[str] = []

    def plain(_: object) -> None:
        calls.append("plain")
        raise KeyError

    async def coroutine(_: object) -> None:
        calls.append("coroutine")
        raise KeyError

    for each in (plain, coroutine, plain):
        client.on("message", each)
    channel.message("x")
    await idle()
    assert calls == ["plain", "coroutine", "plain"]
    channel.lose()
    await idle()


@pytest.mark.parametrize("error", [ConnectionClosed(1001, ""), SlowConsumer("slow")])
@virtual
async def test_the_peers_doings_that_escape_a_callback_are_logged_at_debug(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """`ConnectionClosed` and `SlowConsumer` are no bug of the callback's: one line at DEBUG, nothing else."""
    caplog.set_level(logging.DEBUG, "wsmash")
    connection, channel = open_server_end()
    record = Record(connection, "error")

    async def callback(_: object) -> None:
        raise error

    connection.on("message", callback)
    channel.message("x")
    await idle()
    assert [each.levelno for each in caplog.records if each.name == "wsmash"] == [logging.DEBUG]
    assert record.events == [] and connection.is_open()
    channel.lose()
    await idle()


@virtual
async def test_invalid_json_closes_a_servers_connection_with_1007(caplog: pytest.LogCaptureFixture) -> None:
    """`InvalidMessage` out of `event.json()` is the peer's fault: 1007, and one log line without traceback."""
    connection, channel = open_server_end()
    record = Record(connection, "error")
    connection.on("message", lambda event: event.json()["x"])
    channel.message("{not json")
    await idle()
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload[:2] == (1007).to_bytes(2)
    logged = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert len(logged) == 1 and logged[0].exc_info is None
    assert len(record.events) == 1
    channel.lose()
    await idle()


@virtual
async def test_invalid_json_leaves_a_client_open() -> None:
    """A client hears of it by `error` and goes on."""
    client, channel = open_client_end()
    record = Record(client, "error")
    client.on("message", lambda event: event.json())
    channel.message("{not json")
    await idle()
    assert len(record.events) == 1 and client.is_open()
    end(client)


@pytest.mark.parametrize("kind", ["plain", "coroutine"])
@virtual
async def test_an_error_callback_that_raises_is_only_logged(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """It fires no further `error`, and closes nothing more."""
    client, channel = open_client_end()
    heard: list[object] = []

    def plain(event: object) -> None:
        heard.append(event)
        raise ValueError("again")

    async def coroutine(event: object) -> None:
        plain(event)

    client.on("error", plain if kind == "plain" else coroutine)
    client.on("message", fail)
    channel.message("x")
    await idle()
    assert len(heard) == 1 and client.is_open()
    assert [each.getMessage().endswith("an error callback failed") for each in caplog.records] == [False, True]
    end(client)


@virtual
async def test_a_close_callback_that_raises_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing may follow the `close` event, so it fires no `error`; the callbacks after it are called."""
    client, channel = open_client_end()
    record = Record(client, "error")
    client.on("close", fail)
    client.on("close", record.events.append)
    channel.lose()
    await idle()
    assert record.names == ["close"]
    assert len(caplog.records) == 1 and caplog.records[0].exc_info
    await client.wait_closed()


@virtual
async def test_a_base_exception_passes_through() -> None:
    """`SystemExit` and its like are not ours to catch."""
    client, channel = open_client_end()

    def callback(_: object) -> None:
        raise SystemExit(3)

    client.on("message", callback)
    with pytest.raises(SystemExit):
        channel.message("x")
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
