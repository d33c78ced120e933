"""What an action returns: a Coroutine that never warns and may be awaited late, repeatedly or never."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Coroutine

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import URL, end, frames, open_client_end, open_server_end, texts
from wsmash.client import WebSocketClient
from wsmash.constants import Opcode, State
from wsmash.errors import ConnectionClosed, InvalidState
from wsmash.runtime.actions import DONE, Count, Pending, finished_with

FULL = "x" * 70_000
"""A message above high water."""


@virtual
async def test_send_acts_at_the_call() -> None:
    """What is sent is on its way before anything is awaited."""
    client, channel = open_client_end()
    client.send("x")
    assert texts(channel) == ["x"]
    end(client)


@virtual
async def test_send_that_need_not_wait_returns_one_shared_object() -> None:
    """A `send` that needs no waiting returns one shared, finished object."""
    client, _ = open_client_end()
    one, other = client.send("x"), client.send("y")
    assert one is other
    for _ in range(2):
        await one
    end(client)


@pytest.mark.case(76)
@virtual
async def test_awaited_send_waits_until_the_peer_keeps_up() -> None:
    """`await send(...)` above high water ends when the peer has read."""
    client, channel = open_client_end()
    channel.stuck = True
    waiting = asyncio.create_task(client.send(FULL))
    await idle()
    assert not waiting.done()
    channel.drain()
    await waiting
    end(client)


@virtual
async def test_send_below_high_water_does_not_wait() -> None:
    """A buffer that holds something, but no more than high water, makes nobody wait."""
    client, channel = open_client_end()
    channel.stuck = True
    assert client.send("x" * 60_000) is DONE
    end(client)


@virtual
async def test_every_action_is_a_coroutine() -> None:
    """What an action returns is a `collections.abc.Coroutine`, whether it has to wait or not."""
    client, channel = open_client_end()
    channel.stuck = True
    actions = [client.send("x"), client.send(FULL), client.ping(), client.send_fragments(["a", "b"]), client.close()]
    assert all(isinstance(each, Coroutine) for each in actions)
    end(client)
    await idle()


@virtual
async def test_actions_are_taken_by_tasks_and_task_groups() -> None:
    """`create_task`, `TaskGroup`, `gather` and `wait_for` take an action, the finished one and a count too."""
    client, channel = open_client_end()
    channel.stuck = True
    asyncio.get_running_loop().call_later(1, channel.drain)
    async with asyncio.TaskGroup() as group:
        group.create_task(client.send(FULL))
        group.create_task(client.send("y"))
    assert list(await asyncio.gather(client.send("x"), Count(3))) == [None, 3]
    await asyncio.wait_for(client.send("x"), 1)
    await asyncio.create_task(client.send("x"))
    assert await asyncio.create_task(Count(3)) == 3
    end(client)


@virtual
async def test_an_action_may_be_awaited_repeatedly_and_late() -> None:
    """Every awaiting gives the outcome, also long after it was known."""
    client, channel = open_client_end()
    pinged = client.ping(b"p")
    await elapse(0.5)
    channel.control(Opcode.PONG, b"p")
    await elapse(5)
    assert await pinged == await pinged == pytest.approx(0.5)
    end(client)


@virtual
async def test_an_action_may_be_awaited_by_many_at_once() -> None:
    """Several tasks that await one action, the same object, all get its outcome."""
    client, channel = open_client_end()
    pinged = client.ping(b"p")
    tasks = [asyncio.create_task(pinged) for _ in range(3)]
    await idle()
    channel.control(Opcode.PONG, b"p")
    assert len(await asyncio.gather(*tasks)) == 3
    end(client)


@virtual
async def test_an_action_left_alone_never_warns() -> None:
    """Nothing is reported of actions that nobody awaits, whatever becomes of them."""
    client, channel = open_client_end()
    channel.stuck = True
    client.send(FULL)
    client.ping()
    client.send_fragments(["a", "b"])
    client.close()
    channel.lose()
    await idle()
    gc.collect()  # what was never retrieved, or never awaited, is reported now: both fail the test


@virtual
async def test_the_networks_error_is_raised_at_the_await() -> None:
    """The caller that awaits a send gets `ConnectionClosed` when the connection is lost in the meantime."""
    client, channel = open_client_end()
    channel.stuck = True
    sending = client.send(FULL)
    channel.lose(ConnectionResetError("reset by peer"))
    with pytest.raises(ConnectionClosed) as raised:
        await sending
    assert raised.value.code == 1006 and "reset by peer" in raised.value.reason


@virtual
async def test_a_failed_action_raises_at_every_await() -> None:
    """The error is raised each time, long after too."""
    client, channel = open_client_end()
    pinged = client.ping()
    channel.lose()
    for _ in range(2):
        with pytest.raises(ConnectionClosed):
            await pinged
        await elapse(1)


@virtual
async def test_the_callers_mistakes_are_raised_at_the_call() -> None:
    """A wrong type, code or state is raised where the call is, with nothing awaited."""
    client, channel = open_client_end()
    with pytest.raises(TypeError):
        client.send(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="1005"):
        client.close(1005)
    with pytest.raises(ValueError, match="125"):
        client.ping(b"x" * 126)
    client.close()
    with pytest.raises(ConnectionClosed):
        client.send("x")
    with pytest.raises(ConnectionClosed):
        client.ping()
    with pytest.raises(ConnectionClosed):
        client.send_fragments(["x"])
    channel.lose()
    await idle()


@pytest.mark.case(127)
@virtual
async def test_actions_from_another_thread_are_a_runtime_error() -> None:
    """Only the thread of the event loop may act; the error says how to get there."""
    client, channel = open_client_end()
    actions: list[Callable[[], object]] = [
        lambda: client.send("x"),
        client.ping,
        client.close,
        lambda: client.send_fragments(["x"]),
    ]
    met: list[BaseException] = []

    def act() -> None:
        for action in actions:
            try:
                action()
            except RuntimeError as error:
                met.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
    assert len(met) == len(actions)
    assert all("call_soon_threadsafe" in str(each) for each in met)
    assert channel.sent == [] and client.get_state() is State.OPEN
    end(client)


@pytest.mark.case(63)
@virtual
async def test_cancelling_an_awaited_send_ends_only_the_waiting() -> None:
    """The message stays sent, the connection stays open, and others go on waiting."""
    client, channel = open_client_end()
    channel.stuck = True
    sending = client.send(FULL)
    cancelled, other = asyncio.create_task(sending), asyncio.create_task(sending)
    await idle()
    cancelled.cancel()
    await idle()
    assert cancelled.cancelled() and not other.done() and client.is_open()
    channel.drain()
    await other
    assert texts(channel) == [FULL]
    end(client)


@virtual
async def test_cancelling_an_awaited_close_ends_only_the_waiting() -> None:
    """The closing goes on."""
    client, channel = open_client_end()
    closing = asyncio.create_task(client.close())
    await idle()
    closing.cancel()
    await idle()
    assert client.get_state() is State.CLOSING and not channel.aborted
    channel.close_frame()
    channel.lose()
    await client.wait_closed()


@virtual
async def test_cancelling_an_awaited_ping_ends_only_the_waiting() -> None:
    """The pong is still counted."""
    client, channel = open_client_end()
    pinging = asyncio.create_task(client.ping(b"p"))
    await idle()
    pinging.cancel()
    await elapse(1)
    channel.control(Opcode.PONG, b"p")
    assert client.latency == pytest.approx(1, abs=0.01)
    end(client)


@virtual
async def test_an_action_cancelled_before_its_task_began_hears_of_it() -> None:
    """A task that is cancelled before its first step cancels what it was to await, as one that waits does."""
    heard: list[str] = []
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(Pending(future, on_cancel=lambda: heard.append("cancelled")))
    task.cancel()
    await idle()
    assert task.cancelled() and heard == ["cancelled"]


@virtual
async def test_an_outcome_that_does_not_reach_its_awaiter_is_abandoned_too() -> None:
    """Who is cancelled in the turn in which the outcome comes will never know of what there is now."""
    heard: list[str] = []
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(Pending(future, on_cancel=lambda: heard.append("cancelled")))
    await idle()
    future.set_result(1)
    task.cancel()
    await idle()
    assert task.cancelled() and heard == ["cancelled"]


@virtual
async def test_an_outcome_that_was_known_is_not_abandoned() -> None:
    """A task that is cancelled before it looked at what is long there takes nothing away."""
    heard: list[str] = []
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future.set_result(1)
    task = asyncio.create_task(Pending(future, on_cancel=lambda: heard.append("cancelled")))
    task.cancel()
    await idle()
    assert task.cancelled() and heard == []


@virtual
async def test_an_action_shows_whether_it_is_done() -> None:
    """`done()` and the repr say so."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    action = Pending(future)
    assert not action.done() and repr(action) == "<Action under way>"
    future.set_result(None)
    assert action.done() and repr(action) == "<Action done>"
    assert DONE.done() and repr(DONE) == "<Action done>"


@virtual
async def test_an_action_that_failed_at_once_raises_when_awaited() -> None:
    """`finished_with` is the network's error without a wait."""
    action = finished_with(ConnectionClosed(1006, "gone"))
    assert action.done()
    with pytest.raises(ConnectionClosed):
        await action


@virtual
async def test_asyncios_debug_mode_can_show_an_action() -> None:
    """The repr of a task that drives an action works, in debug mode too."""
    asyncio.get_running_loop().set_debug(True)
    client, channel = open_client_end()
    channel.stuck = True
    task = asyncio.create_task(client.send(FULL))
    await idle()
    assert "Pending" in repr(task)
    channel.drain()
    await task
    end(client)
    await idle()


def test_the_finished_action_may_be_driven_by_hand() -> None:
    """`send`, `throw` and `close` of the shared object do what a finished coroutine's do."""
    with pytest.raises(StopIteration):
        DONE.send(None)
    with pytest.raises(KeyError):
        DONE.throw(KeyError("x"))
    with pytest.raises(KeyError):
        DONE.throw(KeyError)
    DONE.close()


@virtual
async def test_an_action_may_be_driven_and_closed_by_hand() -> None:
    """A run that was begun with `send` ends with `close`, and the action may be awaited afterwards."""
    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    action = Pending(future)
    action.send(None)
    action.close()
    action.close()
    future.set_result(1)
    assert await action == 1


@virtual
async def test_a_server_connection_acts_both_ways_too() -> None:
    """What a server hands out has the same actions."""
    connection, channel = open_server_end()
    connection.send("left alone")
    await connection.send("awaited")
    assert texts(channel) == ["left alone", "awaited"]
    end(connection)


@virtual
async def test_send_before_open_is_an_invalid_state() -> None:
    """`send` and `ping` while CONNECTING are `InvalidState`, which is a `RuntimeError`."""
    client = WebSocketClient(URL)
    for action in (lambda: client.send("x"), client.ping, lambda: client.send_fragments(["x"])):
        with pytest.raises(InvalidState, match="not open yet"):
            action()


@virtual
async def test_only_one_close_frame_is_sent() -> None:
    """`close()` again does nothing, and may be awaited like the first."""
    client, channel = open_client_end()
    first, second = client.close(1000, "one"), client.close(1001, "two")
    channel.close_frame()
    channel.lose()
    await first
    await second
    await client.close()
    assert len(frames(channel, Opcode.CLOSE)) == 1
