"""The channel within TLS to a proxy: what it carries, how it waits, and how it ends."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from fixtures.certificates import contexts
from fixtures.driver import LIMITS, Recorder
from fixtures.frames import text
from fixtures.in_loop import in_loop, turns
from fixtures.tls_records import Records, recording_server
from wsmash.constants import Opcode, Role
from wsmash.transports.base import READ_SIZE, TLS
from wsmash.transports.connect import Pipe
from wsmash.transports.tls import TLSPump
from wsmash.transports.tunnel import Tunnel, TunnelChannel


class Ends(NamedTuple):
    """The channel, what it told its handler, and the proxy at its other end, which has it decrypted."""

    channel: TunnelChannel
    handler: Recorder
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def peer(self) -> socket.socket:
        """The proxy's socket itself, for what TLS would not do."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        return sock


@asynccontextmanager
async def tunnel(tls: TLS | None = None, *, buffers: int | None = None) -> AsyncIterator[Ends]:
    """A channel to a proxy whose TLS is done; `buffers` makes those of the sockets small."""
    accepted: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    server = await asyncio.start_server(
        lambda *streams: accepted.put_nowait(streams), "127.0.0.1", 0, ssl=contexts().server, limit=4096
    )
    sock = socket.socket()
    if buffers is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffers)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, server.sockets[0].getsockname())
    session = TLSPump(TLS(contexts().client, server_side=False, server_hostname="localhost"))
    pipe = Pipe(sock, session)
    await pipe.write(b"CONNECT")
    reading = asyncio.ensure_future(pipe.read())
    reader, writer = await accepted.get()
    assert await reader.readexactly(7) == b"CONNECT"
    writer.write(b"200")
    assert await reading == b"200"
    handler = Recorder()
    ends = Ends(Tunnel(sock, session).attach(asyncio.get_running_loop(), handler, tls), handler, reader, writer)
    try:
        yield ends
    finally:
        ends.channel.abort()
        writer.transport.abort()
        server.close()
        await turns()


@in_loop
async def test_byte_pipe() -> None:
    """Bytes pass both ways, and the addresses are those of the way to the proxy."""
    async with tunnel() as ends:
        ends.channel.write(b"question")
        assert await ends.reader.readexactly(8) == b"question"
        ends.writer.write(b"answer")
        await ends.handler.until(lambda: ends.handler.data == b"answer")
        info = ends.channel.info()
        assert info.remote_address == ends.peer.getsockname() and info.tls is None and info.buffered == 0


@in_loop
async def test_tls_inside() -> None:
    """A session with a server passes within the one with the proxy, and `info` tells of the server's."""
    async with tunnel(TLS(contexts().client, server_side=False, server_hostname="127.0.0.1")) as ends:
        inner = TLSPump(TLS(contexts().server, server_side=True))
        ends.channel.write(b"question")
        got = b""
        while got != b"question":
            got += inner.receive(await ends.reader.read(65536))[0]
            ends.writer.write(inner.output())
        inner.write(b"answer")
        ends.writer.write(inner.output())
        await ends.handler.until(lambda: ends.handler.data == b"answer")
        tls = ends.channel.info().tls
        assert tls is not None and tls.server_hostname == "127.0.0.1"


@in_loop
async def test_messages() -> None:
    """It becomes a pipe of messages as any other channel does."""
    async with tunnel() as ends:
        ends.channel.upgrade(ends.handler, Role.CLIENT, LIMITS, None, text("before"))
        ends.writer.write(text("after") * 3)
        await ends.handler.until(lambda: len(ends.handler.messages) == 4)
        assert ends.handler.messages == ["before", "after", "after", "after"]


@in_loop
async def test_pause() -> None:
    """What comes during a pause is held back, at most one read of it, and comes after it, with the end behind it."""
    async with tunnel() as ends:
        ends.channel.upgrade(ends.handler, Role.CLIENT, LIMITS, None, b"")
        ends.channel.pause_reading()
        ends.writer.write(text("held"))
        await turns(20)
        assert ends.handler.messages == []
        ends.channel.resume_reading()
        ends.handler.act = lambda what: ends.channel.pause_reading() if what[0] == "message" else None
        await ends.handler.hears("message")
        ends.writer.write(text("last"))
        ends.writer.close()
        await turns(20)
        assert ends.handler.all("lost") == []
        ends.handler.act = lambda _: None
        ends.channel.resume_reading()
        assert (await ends.handler.hears("lost"))[0] is None
        assert ends.handler.messages == ["held", "last"]


@in_loop
async def test_a_proxy_that_does_not_read() -> None:
    """What is sent waits, is counted, and arrives whole and in order; `drained` is told once it has gone."""
    async with tunnel(buffers=4096) as ends:
        ends.channel.upgrade(ends.handler, Role.SERVER, LIMITS._replace(max_write_buffer=None), None, b"")
        payloads = [bytes([number]) * 300_000 for number in range(12)]
        for payload in payloads:
            waiting = ends.channel.send(Opcode.BINARY, payload)
        assert waiting == ends.channel.info().buffered > 1_000_000
        for payload in payloads:
            assert (await ends.reader.readexactly(10 + len(payload)))[10:] == payload
        await ends.handler.hears("drained")
        await ends.handler.until(lambda: ends.channel.info().buffered == 0)


@pytest.mark.parametrize(("size", "peer_ends"), [(10, False), (2_000_000, False), (2_000_000, True)])
@in_loop
async def test_close_writes_what_waits(size: int, peer_ends: bool) -> None:
    """`close` ends our direction behind the last byte that waits, though the peer ends its own before."""
    async with tunnel(buffers=4096) as ends:
        data = bytes(size)
        ends.channel.write(data)
        ends.channel.close()
        assert ends.handler.heard == []
        if peer_ends:
            ends.peer.shutdown(socket.SHUT_WR)
            await turns(20)
        got = 0
        while piece := await ends.reader.read(65536):
            got += len(piece)
        assert got == len(data)
        ends.writer.close()
        assert (await ends.handler.hears("lost"))[0] is None


@in_loop
async def test_part_of_a_record_is_life() -> None:
    """Whoever asks when the peer was last heard is told of bytes that are no plaintext yet."""
    async with tunnel() as ends:
        before = ends.channel.info().received_at
        await asyncio.sleep(0.002)
        os.write(ends.peer.fileno(), b"\x17\x03\x03")  # the head of a record
        while ends.channel.info().received_at == before:
            await asyncio.sleep(0)
        assert ends.handler.heard == []


@pytest.mark.parametrize("polite", [True, False])
@in_loop
async def test_the_peer_s_end(polite: bool) -> None:
    """The proxy's end is the end of the channel, with TLS's own words for it or without."""
    async with tunnel() as ends:
        ends.writer.write(b"last")
        await ends.handler.until(lambda: ends.handler.data == b"last")
        if polite:
            ends.writer.close()
        else:
            ends.peer.shutdown(socket.SHUT_WR)
        assert (await ends.handler.hears("lost"))[0] is None
        assert ends.channel.info().local_address is None


@in_loop
async def test_abort() -> None:
    """Dropped as it is: `lost` comes in a later turn, once, and nothing that waited is kept."""
    async with tunnel(buffers=4096) as ends:
        ends.channel.write(bytes(2_000_000))
        ends.channel.abort()
        assert ends.handler.heard == []
        ends.channel.abort()
        ends.channel.write(b"late")
        await turns()
        assert ends.handler.heard == [("lost", None)] and ends.channel.info().buffered == 0


@in_loop
async def test_reset() -> None:
    """A reset ends it with the system's error."""
    async with tunnel() as ends:
        ends.channel.write(b"unread")
        ends.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ends.writer.transport.abort()
        assert isinstance((await ends.handler.hears("lost"))[0], ConnectionResetError)


@in_loop
async def test_what_is_no_tls() -> None:
    """A proxy that falls out of its TLS ends the channel with an error, behind what was in order."""
    async with tunnel() as ends:
        ends.writer.write(b"fine")
        await ends.handler.until(lambda: ends.handler.data == b"fine")
        os.write(ends.peer.fileno(), b"HTTP/1.1 200 OK\r\n\r\n")
        assert isinstance((await ends.handler.hears("lost"))[0], ssl.SSLError)
        assert ends.handler.data == b"fine"


@pytest.mark.case(80)
@pytest.mark.parametrize("reads", [True, False])
@in_loop
async def test_requests_for_new_keys(reads: bool, tmp_path: Path) -> None:
    """A proxy may ask for new keys as often as it likes while it reads; the answers that wait are bounded."""
    loop = asyncio.get_running_loop()
    ours, theirs = socket.socketpair()
    with theirs:
        for each in (ours, theirs):
            each.setblocking(False)
        session = TLSPump(TLS(contexts().client, server_side=False, server_hostname="localhost"))
        pipe = Pipe(ours, session)
        peer = TLSPump(TLS(recording_server(tmp_path), server_side=True))
        await pipe.write(b"CONNECT")
        reading = asyncio.ensure_future(pipe.read())
        got = b""
        while got != b"CONNECT":
            got += peer.receive(await loop.sock_recv(theirs, 65536))[0]
            await loop.sock_sendall(theirs, peer.output())
        writer = Records(peer.session, tmp_path, "SERVER")
        await loop.sock_sendall(theirs, writer.record(b"200"))
        assert await reading == b"200"
        handler = Recorder()
        channel = Tunnel(ours, session).attach(loop, handler, None)
        if not reads:
            channel.write(bytes(900_000))  # more than the socket takes
        most = 0
        for _ in range(1_000):
            with suppress(OSError):  # it is over
                theirs.send(writer.key_update())
                if reads:
                    theirs.recv(65536)
            await asyncio.sleep(0)
            most = max(most, len(channel._sealed))
        if reads:
            await loop.sock_sendall(theirs, writer.record(b"still here"))
            await handler.until(lambda: handler.data == b"still here")
            assert handler.all("lost") == [] and most == 0
        else:
            ((error,),) = handler.all("lost")
            assert isinstance(error, ssl.SSLError) and error.reason == "TOO_MANY_ANSWERS"
            assert 0 < most < 2 * READ_SIZE
        channel.abort()
        await turns()
