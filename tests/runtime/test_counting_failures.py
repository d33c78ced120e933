"""Why open connections were failed: each is in one counter, once."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import nothing, open_client_end, open_server_end
from wsmash.endpoint import ServerConnection
from wsmash.runtime.owner import Counters
from wsmash.sansio.violations import Violation
from wsmash.transports.scripted import ScriptedChannel

Act = Callable[[ServerConnection, ScriptedChannel], object]

LIMITS = {Violation.MESSAGE_TOO_BIG, Violation.TOO_MANY_FRAGMENTS}


def counted(counters: Counters) -> dict[str, int]:
    """Those that are not nought."""
    return {name: count for name, count in dataclasses.asdict(counters).items() if count}


def raising(_: object) -> None:
    """A callback with a bug."""
    raise KeyError("mine")


def parsing(event: Any) -> None:
    """One that takes a message for what it is not."""
    event.json()


async def cancelled(_: object) -> None:
    """One whose task is cancelled from outside."""
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


def raise_in_fragments(connection: ServerConnection, _: ScriptedChannel) -> None:
    with pytest.raises(ZeroDivisionError):
        connection.send_fragments(str(1 // (1 - at)) for at in range(2))


def overwhelm(connection: ServerConnection, channel: ScriptedChannel) -> None:
    channel.stuck = True
    for _ in range(2):
        connection.send("x" * 100)
    with pytest.raises(Exception, match="does not read"):
        connection.send("x" * 100)


@pytest.mark.parametrize("violation", Violation)
@virtual
async def test_a_peer_that_breaks_the_protocol_or_a_limit(violation: Violation) -> None:
    """A limit of size is told from a fault, on a server and on a client; a second fault does not count again."""
    for connection, channel in (open_server_end(), open_client_end()):
        channel.violate(violation)
        connection.violated(violation)
        channel.lose()
        expected = "failed_limit" if violation in LIMITS else "failed_protocol"
        assert counted(connection._owner.counters) == {expected: 1}
    await idle()


@pytest.mark.parametrize(
    ("callback", "act", "options", "expected"),
    [
        (raising, lambda _, channel: channel.message("x", "y"), {}, "failed_callback"),
        (cancelled, lambda _, channel: channel.message("x"), {}, "failed_callback"),
        (nothing, raise_in_fragments, {}, "failed_callback"),
        (parsing, lambda _, channel: channel.message("{"), {}, "failed_message"),
        (
            nothing,
            lambda _, channel: channel.message("{"),
            {"message_type": dict, "invalid_message": 1008},
            "failed_message",
        ),
        (nothing, lambda _, channel: channel.message("x", "y"), {"message_rate": 1}, "closed_rate"),
        (nothing, overwhelm, {"max_write_buffer": 250, "write_high_water": 50}, "closed_slow"),
        (nothing, lambda *_: None, {"auth_timeout": 1}, "closed_unauthenticated"),
        (nothing, lambda *_: None, {"ping_interval": 1, "ping_timeout": 1}, "timed_out"),
    ],
)
@virtual
async def test_each_other_reason(callback: Any, act: Act, options: dict[str, Any], expected: str) -> None:
    """Whatever this end fails a connection for is in the counter of that, and in no other."""
    connection, channel = open_server_end(lambda each: each.on("message", callback), **options)
    await idle()
    act(connection, channel)
    await elapse(3)
    assert not connection.is_open() and counted(connection._owner.counters) == {expected: 1}
    channel.lose()
    await idle()


@virtual
async def test_a_peer_that_leaves_is_no_failure() -> None:
    """One that closes, and one that is gone without a word, are in none of them."""
    for leave in (ScriptedChannel.close_frame, ScriptedChannel.lose):
        connection, channel = open_server_end()
        leave(channel)
        channel.lose()
        await idle()
        assert counted(connection._owner.counters) == {}
