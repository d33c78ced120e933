"""What `send` takes, how it is sent, and what it refuses before a byte is written."""

from __future__ import annotations

import array
import asyncio
import dataclasses
import json
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import wsmash
from fixtures.clock import idle, virtual
from fixtures.ends import end, open_client_end, open_pair, open_server_end, texts
from fixtures.live import make_server, url_of
from wsmash.constants import Opcode
from wsmash.errors import ConnectionClosed
from wsmash.runtime.connection import WebSocketConnection


class Name(str):
    """A subclass of str."""

    __slots__ = ()


@dataclasses.dataclass
class Point:
    """A dataclass."""

    x: int
    y: int


class Liar(bytes):
    """Bytes that say they are more than they are."""

    def __len__(self) -> int:
        return 2**40

    def __repr__(self) -> str:
        return "a liar"


class Huge:
    """What has a length and nothing else."""

    def __len__(self) -> int:
        return 2**40

    def __repr__(self) -> str:
        return "something huge"


class Move(msgspec.Struct):
    """A Struct."""

    to: Point


@pytest.mark.parametrize("text", ["x", "", "é\u0000\U0001f600", Name("x")])
@virtual
async def test_str_is_a_text_message(text: str) -> None:
    """`str` and its subclasses are sent as text."""
    client, channel = open_client_end()
    client.send(text)
    assert [(each.opcode, each.payload) for each in channel.sent] == [(Opcode.TEXT, text.encode())]
    end(client)


@pytest.mark.case(35)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"abc",
        bytearray(b"abc"),
        memoryview(b"abc"),
        memoryview(b"xabcx")[1:4],
        array.array("H", [1, 2]),
        memoryview(array.array("d", [1.5])),
        Liar(b"abc"),
    ],
    ids=repr,
)
@virtual
async def test_a_buffer_is_a_binary_message_of_its_raw_bytes(data: Any) -> None:
    """Any C-contiguous buffer is sent as its raw bytes, whatever its items are."""
    client, channel = open_client_end()
    client.send(data)
    assert [(each.opcode, each.payload) for each in channel.sent] == [(Opcode.BINARY, memoryview(data).tobytes())]
    end(client)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, None, True]}, '{"a":[1,null,true]}'),
        ([1, "é"], '[1,"é"]'),
        (Point(1, 2), '{"x":1,"y":2}'),
        (Move(Point(1, 2)), '{"to":{"x":1,"y":2}}'),
    ],
    ids=repr,
)
@virtual
async def test_dicts_lists_dataclasses_and_structs_are_json(value: Any, text: str) -> None:
    """They are sent as JSON in a text message."""
    client, channel = open_client_end()
    client.send(value)
    assert texts(channel) == [text]
    end(client)


@pytest.mark.case(35)
@pytest.mark.parametrize(
    "value",
    [None, 1, 1.5, True, (1, 2), {1}, frozenset(), object(), Point, Huge(), memoryview(b"abcdef")[::2]],
    ids=repr,
)
@virtual
async def test_everything_else_is_a_type_error(value: Any) -> None:
    """It is refused before a byte is written."""
    client, channel = open_client_end()
    with pytest.raises(TypeError):
        client.send(value)
    assert channel.sent == []
    end(client)


@pytest.mark.case(35)
def test_a_liar_on_a_real_connection() -> None:
    """What arrives are its bytes, whichever side sends it, compressed or not: no memory beside them is read."""

    async def talk(compression: Any) -> list[str | bytes]:
        async with make_server(compression=compression) as server:
            server.on("connection", lambda event: event.client.send(Liar(b"abc" * 100)))
            async with wsmash.connect(url_of(server), compression=compression) as client:
                received = [await client.recv()]
                [other] = server.get_clients()
                client.send(Liar(b"def" * 100))
                received.append(await other.recv())
                server.broadcast(Liar(b"ghi" * 100))
                return [*received, await client.recv()]

    for compression in (None, "deflate"):
        assert asyncio.run(talk(compression)) == [b"abc" * 100, b"def" * 100, b"ghi" * 100]


@pytest.mark.case(63)
def test_cancelled_sends_leave_the_compressor_sound() -> None:
    """Of tasks that are cancelled before, in and after `send`, each message arrives whole, in order, or not at all."""
    draw = random.Random(63)
    texts = [json.dumps([at, draw.random(), "words of a message " * draw.randrange(2000)]) for at in range(120)]

    async def send(client: wsmash.WebSocketClient, text: str, sent: list[str]) -> None:
        await asyncio.sleep(0)
        action = client.send(text)
        sent.append(text)
        await action

    async def talk() -> tuple[list[str], list[str | bytes]]:
        sent: list[str] = []
        received: list[str | bytes] = []
        over = asyncio.Event()
        async with make_server(compression="deflate") as server:

            @server.on("connection")
            def connected(event: wsmash.ConnectionEvent) -> None:
                event.client.on("message", lambda event: received.append(event.data))
                event.client.on("close", lambda _: over.set())

            async with wsmash.connect(url_of(server), compression="deflate", max_write_buffer=None) as client:
                tasks = []
                for text in texts:
                    tasks.append(asyncio.create_task(send(client, text, sent)))
                    await asyncio.sleep(0)
                    draw.choice(tasks).cancel()
                await asyncio.wait(tasks)
            await over.wait()
        return sent, received

    sent, received = asyncio.run(talk())
    assert received == sent and len(texts) // 4 < len(sent) < len(texts)


@virtual
async def test_the_type_error_names_send_json() -> None:
    """Who wants to send a number or None as JSON is told how."""
    client, _ = open_client_end()
    with pytest.raises(TypeError, match=r"NoneType.*send_json"):
        client.send(None)  # type: ignore[arg-type]
    end(client)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "null"), (1, "1"), ("x", '"x"'), ((1, 2), "[1,2]"), ({"a": 1}, '{"a":1}')]
)
@virtual
async def test_send_json_takes_any_json_value(value: object, text: str) -> None:
    """`send_json` sends it as text."""
    client, channel = open_client_end()
    client.send_json(value)
    assert texts(channel) == [text]
    end(client)


@virtual
async def test_a_lone_surrogate_is_a_value_error() -> None:
    """It has no form in UTF-8, neither as text nor in JSON, a ping or a close reason."""
    client, channel = open_client_end()
    actions: list[Callable[[], object]] = [
        lambda: client.send("a\ud800"),
        lambda: client.send({"a": "\udfff"}),
        lambda: client.ping("\ud800"),
        lambda: client.close(1000, "\ud800"),
    ]
    for action in actions:
        with pytest.raises(ValueError, match="surrogate"):
            action()
    assert channel.sent == [] and client.is_open()
    end(client)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@virtual
async def test_nan_and_infinities_are_a_value_error(value: float) -> None:
    """JSON has no form for them; a real None beside them is no reason to look away."""
    client, channel = open_client_end()
    actions: list[Callable[[], object]] = [
        lambda: client.send({"a": None, "b": [value]}),
        lambda: client.send_json(value),
    ]
    for action in actions:
        with pytest.raises(ValueError, match="JSON has no"):
            action()
    client.send({"a": None})
    assert texts(channel) == ['{"a":null}']
    end(client)


@pytest.mark.case(35)
@virtual
async def test_a_buffer_may_be_changed_as_soon_as_send_returns() -> None:
    """What arrives is what it held at the call, on either side and at any size."""
    for size in (3, 100_000):
        server, client = open_pair()
        for sender, receiver in ((server, client), (client, server)):
            buffer = bytearray(b"a" * size)
            sender.send(buffer)
            buffer[:] = b"b" * size
            assert await receiver.recv() == b"a" * size
        end(server)
        end(client)
        await idle()


@virtual
async def test_a_buffer_may_be_resized_after_send() -> None:
    """No view of it is held, which would be a BufferError for its owner."""
    client, channel = open_client_end()
    channel.stuck = True
    buffer = bytearray(b"abc")
    client.send(buffer)
    buffer.extend(b"def")
    end(client)


@virtual
async def test_send_from_closing_on_is_connection_closed() -> None:
    """While CLOSING and once CLOSED; the error holds what is known of the closing."""
    connection, channel = open_server_end()
    channel.close_frame(4000, "bye")
    for _ in range(2):
        with pytest.raises(ConnectionClosed) as raised:
            connection.send("x")
        assert (raised.value.code, raised.value.reason) == (4000, "bye")
        channel.lose()
        await idle()


@pytest.mark.case(65)
@virtual
async def test_compress_false_reaches_the_channel() -> None:
    """`compress=False` is for what must not be compressed."""
    client, channel = open_client_end()
    client.send("secret", compress=False)
    client.send_json("secret", compress=False)
    client.send("x")
    assert [each.compress for each in channel.sent] == [False, False, True]
    end(client)


@pytest.mark.parametrize("data", [5, None, 1.5, ["x"]])
@virtual
async def test_a_ping_is_str_or_bytes(data: Any) -> None:
    """A number is no payload, and does not stand for so many zeros."""
    client, channel = open_client_end()
    with pytest.raises(TypeError):
        client.ping(data)
    assert channel.sent == []
    end(client)


def test_the_base_class_is_abstract() -> None:
    """`WebSocketConnection` is what clients and a server's connections have in common, and no connection itself."""
    with pytest.raises(TypeError):
        WebSocketConnection()  # type: ignore[abstract]
