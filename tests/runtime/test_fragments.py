"""`send_fragments`: one message in pieces (RFC 6455 5.4)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from fixtures.clock import elapse, idle, virtual
from fixtures.ends import end, frames, open_client_end, open_pair, open_server_end
from wsmash.constants import Opcode, State
from wsmash.errors import ConnectionClosed


async def slowly(*pieces: Any) -> AsyncIterator[Any]:
    """One piece a second."""
    for piece in pieces:
        await elapse(1)
        yield piece


def wire(channel: Any) -> list[tuple[int, bytes, bool]]:
    return [(each.opcode, each.payload, each.final) for each in channel.sent]


@virtual
async def test_each_piece_is_one_frame_of_one_message() -> None:
    """The first has the message's opcode, the others CONTINUATION, and the last one FIN."""
    client, channel = open_client_end()
    await client.send_fragments(["a", "b", "c"])
    pieces: Any = [b"a", bytearray(b"b"), memoryview(b"c")]
    await client.send_fragments(pieces)
    assert wire(channel) == [
        (Opcode.TEXT, b"a", False),
        (Opcode.CONTINUATION, b"b", False),
        (Opcode.CONTINUATION, b"c", True),
        (Opcode.BINARY, b"a", False),
        (Opcode.CONTINUATION, b"b", False),
        (Opcode.CONTINUATION, b"c", True),
    ]
    end(client)


@virtual
async def test_a_single_piece_is_a_whole_message() -> None:
    """One piece is one frame with FIN; no piece at all is an empty text message."""
    client, channel = open_client_end()
    await client.send_fragments(iter(["a"]))
    await client.send_fragments([])
    assert wire(channel) == [(Opcode.TEXT, b"a", True), (Opcode.TEXT, b"", True)]
    end(client)


@virtual
async def test_an_asynchronous_iterable_is_sent_as_it_comes() -> None:
    """Each piece goes out when it is there, and an empty frame ends the message."""
    client, channel = open_client_end()
    sending = asyncio.create_task(client.send_fragments(slowly("a", "b")))
    await elapse(1.5)
    assert wire(channel) == [(Opcode.TEXT, b"a", False)]
    await sending
    assert wire(channel)[1:] == [(Opcode.CONTINUATION, b"b", False), (Opcode.CONTINUATION, b"", True)]
    end(client)


@virtual
async def test_an_asynchronous_iterable_without_pieces_is_an_empty_message() -> None:
    """As a plain one is."""
    client, channel = open_client_end()
    await client.send_fragments(slowly())
    assert wire(channel) == [(Opcode.TEXT, b"", True)]
    end(client)


@virtual
async def test_later_messages_wait_until_the_last_fragment() -> None:
    """What is sent after the call comes after the message, from a plain iterable and from an asynchronous one."""
    server, client = open_pair()
    client.send_fragments(["a", "b"])
    client.send("c")
    sending = client.send_fragments(slowly("d", "e"))
    await elapse(1.5)
    client.send("f")
    assert [await server.recv() for _ in range(4)] == ["ab", "c", "de", "f"]
    await sending
    end(server)
    end(client)


@virtual
async def test_broadcasts_wait_too() -> None:
    """A broadcast to a connection that is amid a message in fragments comes after it."""
    server, client = open_pair()
    server.send_fragments(slowly("a", "b"))
    await elapse(1.5)
    assert server._owner.audience.broadcast(Opcode.TEXT, b"c", None) == 1  # type: ignore[attr-defined]
    assert [await client.recv(), await client.recv()] == ["ab", "c"]
    end(server)
    end(client)


@pytest.mark.case(41)
@virtual
async def test_control_frames_pass_between_the_fragments() -> None:
    """A ping is answered while the message is under way."""
    server, client = open_pair()
    sending = client.send_fragments(slowly("a", "b"))
    await elapse(1.5)
    assert await client.ping() < 0.1
    assert await server.recv() == "ab"
    await sending
    end(server)
    end(client)


@virtual
async def test_messages_in_fragments_are_sent_one_after_another() -> None:
    """A second call waits for the first, a third for the second, whatever they are made of."""
    server, client = open_pair()
    client.send_fragments(slowly("a", "b"))
    client.send_fragments(slowly("c", "d"))
    client.send_fragments(["e", "f"])
    assert [await server.recv() for _ in range(3)] == ["ab", "cd", "ef"]
    end(server)
    end(client)


@virtual
async def test_fragments_wait_for_room() -> None:
    """An endless source is read only as fast as the peer reads."""
    client, channel = open_client_end()
    channel.stuck = True
    asked = 0

    def pieces() -> Iterator[str]:
        nonlocal asked
        for _ in range(100):
            asked += 1
            yield "x" * 10_000

    sending = asyncio.create_task(client.send_fragments(pieces()))
    await idle()
    assert asked < 10
    while not sending.done():
        channel.drain()
        channel.stuck = True
        await idle()
    assert asked == 100 and sum(len(each.payload) for each in channel.sent) == 1_000_000
    end(client)


@virtual
async def test_messages_that_are_held_back_do_not_hold_up_the_fragments() -> None:
    """What waits for the last fragment, however much, counts as nobody's slowness: the fragments go on."""
    server, client = open_pair(server={"max_message_size": None}, client={"max_write_buffer": None})
    client.send_fragments(slowly(*"abc"))
    await elapse(1.5)
    client.send("x" * 500_000)
    assert await server.recv() == "abc"
    assert len(await server.recv()) == 500_000
    end(server)
    end(client)


@virtual
async def test_a_slow_source_is_not_a_slow_peer() -> None:
    """Messages held back for longer than `write_timeout` do not fail the connection."""
    server, client = open_pair(client={"write_timeout": 2})

    async def source() -> AsyncIterator[str]:
        yield "a"
        await elapse(1)
        yield "b"
        await elapse(50)
        yield "c"

    client.send_fragments(source())
    await elapse(2)
    client.send("x")
    assert await server.recv() == "abc" and await server.recv() == "x"
    end(server)
    end(client)


@virtual
async def test_what_is_no_iterable_is_a_type_error() -> None:
    """The connection stays open: nothing was begun."""
    client, channel = open_client_end()
    with pytest.raises(TypeError):
        client.send_fragments(5)  # type: ignore[arg-type]
    assert client.is_open() and channel.sent == []
    await client.send_fragments(["a"])
    end(client)


def failing() -> Iterator[str]:
    """Raises in the middle."""
    yield "a"
    yield "b"
    raise KeyError("source")


async def failing_later() -> AsyncIterator[str]:
    """The same, asynchronously."""
    for piece in failing():
        yield piece


@pytest.mark.parametrize("source", [failing, failing_later])
@virtual
async def test_an_iterable_that_raises_closes_with_1011(source: Any) -> None:
    """Its exception reaches the caller, and the peer gets 1011 and nothing of it."""
    connection, channel = open_server_end()
    with pytest.raises(KeyError, match="source"):
        await connection.send_fragments(source())
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload == b"\x03\xf3a message in fragments was not finished"
    channel.lose()
    await idle()


@pytest.mark.parametrize("pieces", [["a", b"b"], [b"a", "b"], ["a", 1], [None]])
@virtual
async def test_mixed_types_close_with_1011(pieces: Any) -> None:
    """All pieces are str or all are bytes; anything else is a TypeError."""
    client, channel = open_client_end()
    with pytest.raises(TypeError):
        await client.send_fragments(pieces)
    assert len(frames(channel, Opcode.CLOSE)) == 1 and client.get_state() is State.CLOSING
    channel.lose()
    await idle()


@virtual
async def test_a_lone_surrogate_in_a_piece_closes_with_1011() -> None:
    """It is found when the message has begun already."""
    client, channel = open_client_end()
    with pytest.raises(ValueError):
        await client.send_fragments(["a", "\ud800"])
    assert client.get_state() is State.CLOSING
    channel.lose()
    await idle()


@pytest.mark.case(63)
@pytest.mark.parametrize("begun", [False, True])
@virtual
async def test_cancelling_closes_with_1011(begun: bool) -> None:
    """A message that was begun cannot be taken back, and one left unfinished would hold up all others."""
    client, channel = open_client_end()
    sending = asyncio.create_task(client.send_fragments(slowly("a", "b", "c")))
    if begun:
        await elapse(2.5)
    sending.cancel()
    await idle()
    assert sending.cancelled()
    [frame] = frames(channel, Opcode.CLOSE)
    assert frame.payload[:2] == (1011).to_bytes(2)
    channel.lose()
    await idle()


@virtual
async def test_a_failure_frees_those_who_wait_for_their_turn() -> None:
    """They get `ConnectionClosed`."""
    client, channel = open_client_end()
    first = asyncio.create_task(client.send_fragments(failing_later()))
    second = asyncio.create_task(client.send_fragments(["a"]))
    await idle()
    assert isinstance(first.exception(), KeyError)
    assert isinstance(second.exception(), ConnectionClosed)
    channel.lose()
    await idle()


@pytest.mark.case(49)
@virtual
async def test_a_close_ends_a_message_in_fragments() -> None:
    """After `close()` the rest is not sent, and who awaits it gets `ConnectionClosed`."""
    client, channel = open_client_end()
    sending = asyncio.create_task(client.send_fragments(slowly("a", "b", "c")))
    await elapse(2.5)
    client.close()
    with pytest.raises(ConnectionClosed):
        await sending
    assert [each.opcode for each in channel.sent] == [Opcode.TEXT, Opcode.CONTINUATION, Opcode.CLOSE]
    channel.close_frame()
    channel.lose()
    await idle()


@virtual
async def test_losing_the_connection_ends_a_message_that_waits_for_room() -> None:
    """Who awaits it gets `ConnectionClosed`."""
    client, channel = open_client_end()
    channel.stuck = True
    sending = asyncio.create_task(client.send_fragments(["x" * 70_000, "y", "z"]))
    await idle()
    channel.lose()
    with pytest.raises(ConnectionClosed):
        await sending


class Source:
    """Yields one piece and then waits for ever, and tells whether it was closed."""

    def __init__(self) -> None:
        self.closed = False

    async def pieces(self, first: bytes = b"x") -> AsyncIterator[bytes]:
        try:
            yield first
            await asyncio.Event().wait()
        finally:
            self.closed = True


@virtual
async def test_losing_the_connection_ends_a_source_that_never_goes_on() -> None:
    """Its generator is closed, no task stays, and who awaits the message gets `ConnectionClosed`."""
    client, channel = open_client_end()
    source = Source()
    action = client.send_fragments(source.pieces())
    waiting = asyncio.create_task(client.send_fragments(Source().pieces()))
    await idle()
    channel.lose()
    for sending in (action, waiting):
        with pytest.raises(ConnectionClosed):
            await sending
    assert source.closed and not client._owner.tasks


@virtual
async def test_losing_the_connection_closes_a_source_that_waits_for_room() -> None:
    """A generator that stands at a piece which there is no room for is closed too."""
    client, channel = open_client_end()
    channel.stuck = True
    source = Source()
    client.send("x" * 70_000)
    client.send_fragments(source.pieces())
    await idle()
    channel.lose()
    await idle()
    assert source.closed and not client._owner.tasks


@virtual
async def test_a_message_lost_before_its_first_step_is_closed_too() -> None:
    """Its task is cancelled before it runs; the awaiter still gets `ConnectionClosed`, not a cancellation."""
    client, channel = open_client_end()
    action = client.send_fragments(Source().pieces())
    channel.lose()
    with pytest.raises(ConnectionClosed):
        await action
    assert not client._owner.tasks


@virtual
async def test_a_source_that_goes_on_after_the_end_sends_nothing() -> None:
    """One that catches its cancellation is stopped at its next piece."""
    client, channel = open_client_end()

    async def stubborn() -> AsyncIterator[str]:
        yield "a"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            yield "b"

    action = client.send_fragments(stubborn())
    await idle()
    channel.lose()
    with pytest.raises(ConnectionClosed):
        await action
    assert wire(channel) == [(Opcode.TEXT, b"a", False)] and not client._owner.tasks


@virtual
async def test_room_after_the_end_fails_at_once() -> None:
    """Nobody waits for the drain of a connection that is lost."""
    client, channel = open_client_end()
    channel.lose()
    await idle()
    with pytest.raises(ConnectionClosed):
        await client._need_outbox().room()
