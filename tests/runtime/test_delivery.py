"""Where callbacks run: plain ones in no task, coroutine ones in one real task, all in their connection's context."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import Record, end, frames, open_client_end, open_server_end
from wsmash.constants import Opcode, State
from wsmash.runtime.connection import WebSocketConnection
from wsmash.runtime.events import MessageEvent

who: ContextVar[str] = ContextVar("who", default="nobody")


def arrive(call: Callable[..., object], *args: object) -> None:
    """Have it happen as the network's events do: from the loop, outside any task."""
    asyncio.get_running_loop().call_soon(call, *args)


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


@pytest.mark.parametrize("lost", [False, True])
@virtual
async def test_a_callbacks_task_that_is_cancelled_before_its_first_step_does_too(lost: bool) -> None:
    """As by a program that cancels all tasks in the turn in which the task was made; nothing of it has run then."""
    client, channel = open_client_end(patient=True)
    record = Record(client, "close")
    channel.message("a", "b")

    async def callback(_: object) -> None:
        raise AssertionError

    client.on("message", callback)
    for task in client._owner.tasks:
        task.cancel()
    if lost:
        channel.lose()
    await idle()
    if not lost:
        assert client.get_state() is State.CLOSING and channel.closed
        channel.lose()
        await idle()
    assert record.names == ["close"] and client.get_state() is State.CLOSED


@pytest.mark.parametrize("server", [False, True])
@virtual
async def test_a_plain_callback_may_raise_cancelled_error(caplog: pytest.LogCaptureFixture, server: bool) -> None:
    """`CancelledError` out of a plain callback, as of a future's result, is a failure: nothing reaches the loop."""
    connection: WebSocketConnection
    connection, channel = open_server_end() if server else open_client_end()
    got: list[object] = []

    def callback(event: MessageEvent) -> None:
        got.append(event.data)
        if event.data == "x":
            raise asyncio.CancelledError

    connection.on("message", callback)
    channel.message("x")
    channel.message("y")
    assert got == (["x"] if server else ["x", "y"])
    assert [each.payload[:2] for each in frames(channel, Opcode.CLOSE)] == ([b"\x03\xf3"] if server else [])
    assert "a callback failed" in caplog.text
    end(connection)


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
