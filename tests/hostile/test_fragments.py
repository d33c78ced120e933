"""Group D: messages in fragments, without end, without content, without order."""

from __future__ import annotations

import asyncio
import time
import zlib
from typing import Any

import pytest

import wsmash
from fixtures.frames import Frame, frame, text
from fixtures.in_loop import in_loop
from fixtures.scripted_server import scripted, switching
from fixtures.served import Served
from hostile.conftest import Serve
from hostile.outcomes import closes, echoes
from wsmash.constants import Opcode

KIB = 1024
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def first(payload: bytes = b"", opcode: int = Opcode.TEXT) -> bytes:
    """The first fragment of a message."""
    return frame(opcode, payload, final=False, masked=True)


def more(payload: bytes = b"") -> bytes:
    """One that does not end it."""
    return frame(Opcode.CONTINUATION, payload, final=False, masked=True)


def last(payload: bytes = b"") -> bytes:
    """The one that does."""
    return frame(Opcode.CONTINUATION, payload, masked=True)


@pytest.mark.case(36)
def test_300_000_empty_continuations(served: Served) -> None:
    """They are counted: the message is refused at `max_fragments`, and the process has 64 KiB more at most."""
    flood = first() + more() * 300_000
    for attempt in range(2):  # the first one warms up what is taken once
        before, peak = served.rss(), served.reset_peak()
        with served.client() as peer:
            peer.send_until_ended(flood)
            assert peer.read_close() == 1008
            after, highest = served.rss(), served.peak()
            assert peer.ended() == "end"
        if attempt:
            assert after - before <= 64 * KIB and highest - peak <= 64 * KIB
    closes(served, first() + more() * 4096, 1008)


@pytest.mark.case(36)
def test_as_many_fragments_as_may_be(served: Served) -> None:
    """`max_fragments` itself is no violation, and the next message begins to count anew."""
    data = first(b"a") + more() * 4094 + last(b"b")
    echoes(served, data * 2, *[Frame(Opcode.TEXT, b"ab")] * 2, cuts=(None, 6))


@pytest.mark.case(37)
def test_a_message_of_single_bytes(serve: Serve) -> None:
    """What is kept of a message in 262 144 fragments is its payload, and the room that this has to grow."""
    server = serve(max_fragments=None, max_message_size=256 * KIB)
    for _ in range(2):
        before = server.rss()
        with server.client() as peer:
            peer.send(first() + more(b"a") * (256 * KIB))
            peer.send(frame(Opcode.PING, b"read", masked=True))
            assert peer.frame() == Frame(Opcode.PONG, b"read")
            grown = server.rss() - before
            peer.send(more(b"a"))
            assert peer.read_close() == 1009
    assert grown <= 2 * 256 * KIB + 64 * KIB


@pytest.mark.case(37)
@pytest.mark.parametrize("said", [first(b"a"), b"\x81", b"\x81\xfe\x01", b"\x81\x85\x11\x22\x33\x44ab"])
@pytest.mark.parametrize("alive", [False, True], ids=["silent", "pinging"])
def test_a_message_that_is_not_finished(serve: Serve, said: bytes, alive: bool) -> None:
    """It is given up after `message_timeout` without a byte of it; control frames between do not count."""
    server = serve(message_timeout=0.5)
    with server.client() as peer:
        begun = time.monotonic()
        peer.send(said)
        while alive and said == first(b"a") and time.monotonic() - begun < 0.45:
            peer.send(frame(Opcode.PING, masked=True))
            assert peer.frame() == Frame(Opcode.PONG, b"")
        assert peer.read_close() == 1008
        assert 0.4 < time.monotonic() - begun < 2.0
        peer.ended()


@pytest.mark.case(38)
def test_hundreds_of_thousands_of_whole_messages(serve: Serve) -> None:
    """They are no fragments: nothing adds up on a connection that lives long."""
    server = serve("hear", max_fragments=16, max_message_size=100)
    with server.client() as peer:
        for _ in range(100):
            peer.send((text("a", masked=True) * 30 + first(b"b") + last(b"c")) * 100)
        peer.send(frame(Opcode.PING, b"done", masked=True))
        assert peer.frame() == Frame(Opcode.PONG, b"done")
        assert server.seen()["messages"] == 100 * 100 * 31


@pytest.mark.case(39)
@pytest.mark.parametrize("limit", [None, 60_000])
@in_loop
async def test_a_client_that_downloads_50_000_fragments(limit: int | None) -> None:
    """A client takes more than a server does, and as many as it is told to."""

    async def script(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(request) + frame(Opcode.BINARY, b"a", final=False))
        writer.write(frame(Opcode.CONTINUATION, b"a", final=False) * 49_998)
        writer.write(frame(Opcode.CONTINUATION, b"a") + frame(Opcode.CLOSE, b"\x03\xe8"))
        await reader.read(1)  # of its close frame

    options: dict[str, Any] = {} if limit is None else {"max_fragments": limit}
    async with scripted(script) as port, wsmash.connect(f"ws://127.0.0.1:{port}/", **options) as client:
        assert await client.recv() == b"a" * 50_000


@pytest.mark.case(39)
@in_loop
async def test_a_client_with_a_smaller_limit() -> None:
    """What is above it closes the connection with 1008."""

    async def script(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(request) + frame(1, b"a", final=False) + frame(0, b"", final=False) * 10)
        await reader.read(1)  # of its close frame

    async with scripted(script) as port, wsmash.connect(f"ws://127.0.0.1:{port}/", max_fragments=10) as client:
        with pytest.raises(wsmash.ConnectionClosed):
            await client.recv()
        assert client.get_state() is not wsmash.State.OPEN


@pytest.mark.case(40)
@pytest.mark.parametrize("begun", [Opcode.TEXT, Opcode.BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("other", [Opcode.TEXT, Opcode.BINARY], ids=["text", "binary"])
@pytest.mark.parametrize("final", [False, True])
def test_a_message_inside_a_message(served: Served, begun: int, other: int, final: bool) -> None:
    """A new one before the last fragment of the other (RFC 6455 5.4), which is not delivered."""
    before = served.seen()["messages"]
    closes(served, first(b"a", begun) + frame(other, b"b", final=final, masked=True), 1002)
    assert served.seen()["messages"] == before + 2  # those before the probes


@pytest.mark.case(40)
def test_a_continuation_of_nothing(served: Served) -> None:
    """At the beginning, after a whole message, after one in fragments, after a control frame."""
    for end in (last(b"a"), more(b"a"), last(), more()):
        closes(served, end, 1002)
        closes(served, text("a", masked=True) + end, 1002, after=[Frame(Opcode.TEXT, b"a")])
        closes(served, first(b"a") + last(b"b") + end, 1002, after=[Frame(Opcode.TEXT, b"ab")])
        closes(served, frame(Opcode.PING, masked=True) + end, 1002, after=[Frame(Opcode.PONG, b"")])


@pytest.mark.case(40)
def test_a_close_inside_a_message(served: Served) -> None:
    """It is answered like any other; the message that was begun is not delivered."""
    before = served.seen()["messages"]
    closes(served, first(b"a") + frame(Opcode.CLOSE, b"\x03\xe8", masked=True) + last(b"b"), 1000)
    seen = served.seen()
    assert seen["messages"] == before + 2 and seen["closed"][-1] == [1000, "", True]


@pytest.mark.case(41)
@pytest.mark.parametrize("extension", [(), (DEFLATE,)], ids=["plain", "deflate"])
def test_control_frames_between_fragments(serve: Serve, extension: tuple[str, ...]) -> None:
    """They are answered at once, and the message is what it would be without them."""
    server = serve(compression="deflate")
    data, pongs = first(b"a"), []
    for at in range(20):
        data += frame(Opcode.PING, bytes((at,)) * at, masked=True) + frame(Opcode.PONG, b"unasked", masked=True)
        data += more(b"b" * (at % 3))
        pongs.append(Frame(Opcode.PONG, bytes((at,)) * at))
    message = Frame(Opcode.TEXT, b"a" + b"".join(b"b" * (at % 3) for at in range(20)) + b"c")
    echoes(server, data + last(b"c"), *pongs, message, extra=extension)


@pytest.mark.case(41)
def test_control_frames_inside_a_compressed_message(serve: Serve) -> None:
    """The inflater does not see them, and neither does its window, which the next message refers to."""
    server = serve(compression="deflate")
    deflater = zlib.compressobj(wbits=-15)
    data, expected = b"", []
    for _ in range(3):
        packed = (deflater.compress(b"over and over " * 7) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
        for at, byte in enumerate(packed):
            part = frame(0 if at else Opcode.TEXT, bytes((byte,)), final=at == len(packed) - 1, masked=True)
            data += part if at else bytes((part[0] | 0x40,)) + part[1:]
            if at < len(packed) - 1:
                data += frame(Opcode.PING, b"p", masked=True)
                expected.append(Frame(Opcode.PONG, b"p"))
        expected.append(Frame(Opcode.TEXT, b"over and over " * 7))  # below the threshold: it comes as it is
    echoes(server, data, *expected, extra=[DEFLATE])


@pytest.mark.case(42)
@in_loop
async def test_recv_cancelled_inside_a_message() -> None:
    """Nothing is lost, nothing comes twice or in another order, whenever the reader gives up."""
    goes_on = asyncio.Event()

    async def script(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(request))
        for number in range(20):
            writer.write(frame(Opcode.TEXT, b"%d " % number, final=False))
            await writer.drain()
            await goes_on.wait()
            goes_on.clear()
            writer.write(frame(Opcode.CONTINUATION, b"end"))
        await reader.read(1)  # of its close frame

    async with scripted(script) as port, wsmash.connect(f"ws://127.0.0.1:{port}/") as client:
        got = []
        for _ in range(20):
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.recv(), 0.002)
            goes_on.set()
            got.append(await client.recv())
        assert got == [f"{number} end" for number in range(20)]
