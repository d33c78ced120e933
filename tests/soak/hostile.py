"""Visitors who do not keep to the protocol, or to any pace: whatever they get, nothing of them may be left."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from contextlib import suppress
from functools import cache

from fixtures.frames import close, frame, text
from fixtures.raw import Wire, upgrade
from fuzz.run import CORPUS
from soak.visit import Visit
from wsmash.constants import Opcode

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"
PATIENCE = 12.0
"""Seconds after which a visitor goes, whose server should have ended it long before."""


@cache
def kept(target: str) -> tuple[bytes, ...]:
    """The fuzzer's inputs of this target."""
    return tuple(path.read_bytes() for path in sorted((CORPUS / target).iterdir()))


async def slow_reader(visit: Visit) -> None:
    """Asks for two megabytes, and reads none of them, or a little now and then."""
    async with visit.opened(resets=visit.chance(0.5)) as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await peer.send(text("flood", masked=True))
        if visit.chance(0.5):
            await asyncio.sleep(visit.random.uniform(0, 4))
        else:
            for _ in range(20):
                await peer.reader.read(1000)
                await asyncio.sleep(0.1)


async def vanish(visit: Visit) -> None:
    """Aborts in the middle of a request, of a frame or of the closing handshake."""
    request = upgrade("/", *([DEFLATE] if visit.chance(0.5) else []))
    if visit.chance(0.3):
        async with visit.wire(resets=visit.chance(0.7)) as peer:
            await peer.send(request[: visit.random.randrange(len(request))])
        return
    async with visit.opened(resets=visit.chance(0.7)) as peer:
        said = frame(Opcode.BINARY, visit.random.randbytes(visit.random.choice((10, 70_000))), masked=True)
        said = (said * visit.random.randint(1, 3))[: visit.random.randint(0, len(said))]
        await peer.send(said + (close(masked=True) if visit.chance(0.3) else b""))
        if visit.chance(0.5):
            await asyncio.sleep(visit.random.uniform(0, 0.1))


async def half_open(visit: Visit) -> None:
    """Connects and says nothing, or a part of a request: the server ends it."""
    async with visit.wire() as peer:
        await peer.send(upgrade()[: visit.random.choice((0, 0, 1, 50))])
        await _until_end(peer)


async def half_a_session(visit: Visit) -> None:
    """Says something else than TLS to the port of TLS, or no more than the beginning of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", visit.place.secure)
    writer.write(visit.random.choice((b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"")))
    peer = Wire(reader, writer)
    if visit.chance(0.5):
        await _until_end(peer)
    await peer.close()


async def bad_head(visit: Visit) -> None:
    """Requests that are none, whole or a byte at a time."""
    async with visit.wire(resets=visit.chance(0.3)) as peer:
        data = visit.random.choice(kept("request"))
        for piece in [data] if visit.chance(0.7) else [data[at : at + 1] for at in range(len(data))]:
            await peer.send(piece)
        peer.writer.write(frame(Opcode.CLOSE, masked=True))  # for those that are let in
        await _until_end(peer)


async def bad_frames(visit: Visit) -> None:
    """Frames that are none."""
    async with visit.opened(DEFLATE, resets=visit.chance(0.3)) as peer:
        await peer.send(visit.random.choice(kept("frames"))[2:])
        await peer.send(close(masked=True))
        await _until_end(peer)


async def ping_flood(visit: Visit) -> None:
    """Pings without end, and the pongs are not read."""
    async with visit.opened(resets=visit.chance(0.5)) as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        pings = frame(Opcode.PING, bytes(125), masked=True) * 100
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                for _ in range(100):
                    await peer.send(pings)


async def unfinished(visit: Visit) -> None:
    """A message in fragments that never ends: too many of them, or none for too long."""
    async with visit.opened() as peer:
        await peer.send(frame(Opcode.TEXT, b"begins", final=False, masked=True))
        if visit.chance(0.5):
            await peer.send(frame(Opcode.CONTINUATION, final=False, masked=True) * 5000)
        await _until_end(peer)


async def bomb(visit: Visit) -> None:
    """A few kilobytes that inflate to megabytes."""
    async with visit.opened(DEFLATE) as peer:
        data = frame(Opcode.BINARY, _bomb(), masked=True)
        await peer.send(bytes((data[0] | 0x40,)) + data[1:])
        await _until_end(peer)


@cache
def _bomb() -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (stream.compress(bytes(16 << 20)) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


async def deaf(visit: Visit) -> None:
    """Answers no ping, until keepalive ends it."""
    async with visit.opened() as peer:
        await _until_end(peer)


async def talks_on(visit: Visit) -> None:
    """Goes on sending after the server has failed the connection."""
    async with visit.opened(resets=visit.chance(0.5)) as peer:
        await peer.send(frame(Opcode.TEXT, b"\xff", masked=True))
        for _ in range(20):
            await peer.send(frame(Opcode.BINARY, bytes(10_000), masked=True))
            await asyncio.sleep(0.02)


async def _until_end(peer: Wire) -> None:
    """Read, and answer nothing, until the server ends the connection."""
    async with asyncio.timeout(PATIENCE):
        while await peer.reader.read(65536):
            pass


HOSTILE = (
    slow_reader, vanish, vanish, vanish, half_open, half_a_session, bad_head, bad_head, bad_frames, bad_frames,
    ping_flood, unfinished, bomb, deaf, talks_on,
)  # fmt: skip
"""Each as often as it stands here."""

ENDINGS = (OSError, ssl.SSLError, asyncio.IncompleteReadError, TimeoutError, EOFError)
"""What a hostile visitor may meet; an honest one may not."""
