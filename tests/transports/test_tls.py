"""TLS over channels: both ends, every way to cut the records, and what comes of an end that is not in order."""

from __future__ import annotations

import asyncio
import ssl
import tracemalloc
from contextlib import suppress

import pytest

from fixtures.certificates import contexts, server_context
from fixtures.driver import LIMITS, MIB, Bench, End, Recorder
from fixtures.frames import frame, text
from fixtures.in_loop import in_loop, turns
from wsmash.constants import Opcode, Role
from wsmash.transports.base import ITEMS_PER_TURN, TLS
from wsmash.transports.memory import MemoryChannel, memory_pair
from wsmash.transports.tls import TLSPump

SERVER = TLS(contexts().server, server_side=True)
CLIENT = TLS(contexts().client, server_side=False, server_hostname="localhost")


class Side:
    """One end of a memory pair."""

    def __init__(self, channel: MemoryChannel, handler: Recorder) -> None:
        self.channel = channel
        self.handler = handler


def sides(window: int = 65536, client: TLS = CLIENT, server: TLS = SERVER) -> tuple[Side, Side]:
    """A client and a server in memory, which see at most `window` bytes of each other at a time."""
    handlers = Recorder(), Recorder()
    channels = memory_pair(asyncio.get_running_loop(), *handlers, client, server)
    for channel in channels:
        channel.window = window
    one, other = map(Side, channels, handlers)
    return one, other


class RawPeer:
    """A TLS session of Python's own at the raw end of a channel."""

    def __init__(self, end: End, tls: TLS) -> None:
        self.end = end
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = tls.context.wrap_bio(self.incoming, self.outgoing, tls.server_side, tls.server_hostname)

    async def handshake(self) -> None:
        while True:
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                await self.flush()
                self.incoming.write(await asyncio.get_running_loop().sock_recv(self.end.peer, 65536))
            else:
                await self.flush()
                return

    async def flush(self) -> None:
        await self.end.peer_sends(self.outgoing.read())

    async def read(self) -> bytes:
        """The next plaintext; empty at the channel's close_notify."""
        while True:
            try:
                return self.session.read(65536)
            except ssl.SSLWantReadError:
                data = await asyncio.get_running_loop().sock_recv(self.end.peer, 65536)
                assert data, "the socket ended without close_notify"
                self.incoming.write(data)
            except ssl.SSLZeroReturnError:
                return b""

    async def reads(self, size: int) -> bytes:
        """So much plaintext."""
        data = b""
        while len(data) < size:
            data += await self.read()
        return data

    def say_goodbye(self) -> None:
        """Write close_notify."""
        with suppress(ssl.SSLWantReadError):
            self.session.unwrap()


async def server_end(bench: Bench) -> tuple[End, RawPeer]:
    """A server's channel, and its client on the raw socket, shaken hands."""
    end = bench.attach(tls=SERVER)
    peer = RawPeer(end, CLIENT)
    await peer.handshake()
    return end, peer


@pytest.mark.parametrize("window", [1, 5, 1000, 65536])
@in_loop
async def test_both_sides(window: int) -> None:
    """Bytes pass both ways, whole and in order, however the records are cut, and before the handshake is done too."""
    client, server = sides(window)
    client.channel.write(b"early " + bytes(20000))
    await server.handler.until(lambda: server.handler.data == b"early " + bytes(20000))
    server.channel.write(b"answer")
    await client.handler.until(lambda: client.handler.data == b"answer")
    session = client.channel.info().tls
    assert session is not None and session.version() == "TLSv1.3"
    client.channel.close()
    server.channel.close()
    for side in (client, server):
        assert await side.handler.hears("lost") == (None,)


@in_loop
async def test_messages(bench: Bench) -> None:
    """A message pipe under TLS is a message pipe."""
    end, peer = await server_end(bench)
    end.upgrade()
    peer.session.write(text("hello", masked=True))
    await peer.flush()
    await end.handler.hears("message")
    end.channel.send(Opcode.TEXT, b"world")
    assert (end.handler.messages, await peer.read()) == (["hello"], text("world"))


@in_loop
async def test_large_message_both_ways() -> None:
    """A message of many records arrives whole, and drains as one."""
    client, server = sides()
    client.channel.upgrade(client.handler, Role.CLIENT, LIMITS, None, b"")
    server.channel.upgrade(server.handler, Role.SERVER, LIMITS, None, b"")
    data = bytes(range(256)) * 2048
    client.channel.send(Opcode.BINARY, data)
    server.channel.send(Opcode.BINARY, data)
    await server.handler.hears("message")
    await client.handler.hears("message")
    assert server.handler.messages == client.handler.messages == [data]


def test_records_cut_at_every_byte() -> None:
    """The handshake and the first message are the same wherever the ciphertext is cut."""
    for cut in range(1, 2000, 7):
        client, server = TLSPump(CLIENT), TLSPump(SERVER)
        client.write(b"first")
        got = b""
        for _ in range(4):
            for source, target in ((client, server), (server, client)):
                data = source.output()
                for piece in (data[:cut], data[cut:]):
                    if piece:
                        plaintext, ended = target.receive(piece)
                        got += plaintext
                        assert not ended
        assert got == b"first", cut


@in_loop
async def test_close_says_so(bench: Bench) -> None:
    """`close` writes what waits and close_notify before it ends the socket (RFC 8446 6.1)."""
    end, peer = await server_end(bench)
    end.channel.write(bytes(MIB))
    end.channel.close()
    size = 0
    while piece := await peer.read():
        size += len(piece)
    assert size == MIB
    end.peer.close()
    assert await end.handler.hears("lost") == (None,)


@in_loop
async def test_data_after_our_close_is_drained(bench: Bench) -> None:
    """A peer that is still writing when we close is read to its end: no reset, and no error, comes of it."""
    end, peer = await server_end(bench)
    end.channel.close()
    for _ in range(64):
        peer.session.write(bytes(16384))
        await peer.flush()
    await turns()
    assert end.handler.heard == []
    assert await peer.read() == b""
    end.peer.close()
    assert await end.handler.hears("lost") == (None,)


@in_loop
async def test_messages_before_close_notify(bench: Bench) -> None:
    """More messages than a turn takes, with the peer's end in the same read, are all delivered before `lost`."""
    end, peer = await server_end(bench)
    end.upgrade()
    count = 3 * ITEMS_PER_TURN
    peer.session.write(text("m", masked=True) * count)
    peer.say_goodbye()
    await peer.flush()
    await end.handler.hears("lost")
    assert len(end.handler.messages) == count


@in_loop
async def test_pause_before_close_notify(bench: Bench) -> None:
    """A pause holds the peer's end back too, and what is written until the resume still goes out."""
    end, peer = await server_end(bench)
    end.handler.act = lambda what: end.channel.pause_reading() if what[0] == "bytes" else None
    peer.session.write(b"request")
    peer.say_goodbye()
    await peer.flush()
    await end.handler.hears("bytes")
    await turns()
    assert end.handler.all("lost") == []
    end.channel.write(b"answer")
    assert await peer.read() == b"answer"
    end.channel.resume_reading()
    assert await end.handler.hears("lost") == (None,)


@in_loop
async def test_answers_to_what_came_with_close_notify(bench: Bench) -> None:
    """What a handler sends about the last messages leaves before the end that came in the same read, paused or not."""
    for pauses in (False, True):
        end, peer = await server_end(bench)
        end.upgrade()

        def answer(what: tuple[object, ...], end: End = end, pauses: bool = pauses) -> None:
            if what[0] == "message":
                end.channel.send(Opcode.TEXT, b"answer")
                if pauses:
                    end.channel.pause_reading()

        end.handler.act = answer
        peer.session.write(text("one", masked=True) + text("two", masked=True))
        peer.say_goodbye()
        await peer.flush()
        while not end.handler.all("lost"):
            end.channel.resume_reading()
            await turns(2)
        assert await peer.reads(len(text("answer")) * 2) == text("answer") * 2


@pytest.mark.parametrize("act", ["send", "abort", "pause"])
@in_loop
async def test_alert_of_another(bench: Bench, act: str) -> None:
    """What TLS has to say on one connection is sent on no other one, whatever is done between."""
    broken, broken_peer = await server_end(bench)
    sound, sound_peer = await server_end(bench)
    broken.upgrade()
    sound.upgrade()

    def meanwhile(what: tuple[object, ...]) -> None:
        if what[0] == "message":
            sound.channel.send(Opcode.BINARY, bytes(100_000))  # above high water: written at once
            if act == "abort":
                broken.channel.abort()
            elif act == "pause":
                broken.channel.pause_reading()

    broken.handler.act = meanwhile
    broken_peer.session.write(text("fine", masked=True))
    await broken.peer_sends(broken_peer.outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
    await broken.handler.hears("message")
    sound.channel.send(Opcode.TEXT, b"more")
    expected = frame(Opcode.BINARY, bytes(100_000)) + text("more")
    assert await sound_peer.reads(len(expected)) == expected
    if act != "abort":
        with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
            await broken_peer.read()
        assert broken.channel.info().buffered == 0


@pytest.mark.case(80)
@in_loop
async def test_truncated(bench: Bench) -> None:
    """An end without close_notify is the end all the same: what came whole is delivered, the rest is not."""
    end, peer = await server_end(bench)
    end.upgrade()
    peer.session.write(text("whole", masked=True))
    peer.session.write(text("cut", masked=True))
    data = peer.outgoing.read()
    await end.peer_sends(data[:-5])
    end.peer.close()
    await end.handler.hears("lost")
    assert end.handler.messages == ["whole"]


@pytest.mark.case(80)
@in_loop
async def test_ends_inside_the_handshake(bench: Bench) -> None:
    """A peer that goes away before TLS is up is a lost channel, and no error escapes."""
    end = bench.attach(tls=SERVER)
    pump = TLSPump(CLIENT)
    await end.peer_sends(pump.output()[:50])
    end.peer.close()
    assert await end.handler.hears("lost") == (None,)


@pytest.mark.case(79)
@in_loop
async def test_wrong_certificate() -> None:
    """A client drops a server of another name, or of an unknown issuer; the server hears of it (hostile case 79)."""
    for client in (
        TLS(contexts().client, server_side=False, server_hostname="elsewhere.example"),
        TLS(ssl.create_default_context(), server_side=False, server_hostname="localhost"),
    ):
        one, other = sides(client=client)
        one.channel.write(b"secret")
        (error,) = await one.handler.hears("lost")
        assert isinstance(error, ssl.SSLCertVerificationError)
        (error,) = await other.handler.hears("lost")
        assert isinstance(error, ssl.SSLError) and "alert" in str(error).lower()
        assert other.handler.data == b""


@pytest.mark.case(79)
@in_loop
async def test_expired_certificate() -> None:
    """A certificate for another kind of name does not pass for an address: IP and DNS names are told apart."""
    server = TLS(server_context("127.0.0.1.example"), server_side=True)
    client = TLS(contexts().client, server_side=False, server_hostname="127.0.0.1")
    one, _ = sides(client=client, server=server)
    (error,) = await one.handler.hears("lost")
    assert isinstance(error, ssl.SSLCertVerificationError)


@pytest.mark.case(20, 81)
@in_loop
async def test_plain_bytes_to_a_tls_end(bench: Bench) -> None:
    """Plain HTTP to a TLS port is lost with TLS's error, and nothing of it reaches the handler (hostile case 20)."""
    end = bench.attach(tls=SERVER)
    await end.peer_sends(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    (error,) = await end.handler.hears("lost")
    assert isinstance(error, ssl.SSLError)
    assert end.handler.data == b""


@pytest.mark.case(80)
@in_loop
async def test_garbage_inside_tls(bench: Bench) -> None:
    """A record that does not decrypt is the end, with TLS's error and an alert to the peer."""
    end, _ = await server_end(bench)
    await end.peer_sends(b"\x17\x03\x03\x00\x20" + bytes(32))
    (error,) = await end.handler.hears("lost")
    assert isinstance(error, ssl.SSLError)


@in_loop
async def test_what_came_before_garbage_in_one_read_is_delivered() -> None:
    """However TLS's records are cut into reads, what came before a bad one is plaintext, and nothing is after it."""
    client, server = TLSPump(CLIENT), TLSPump(SERVER)
    while client.shaking_hands or server.shaking_hands:
        server.receive(client.output())
        client.receive(server.output())
    client.write(b"one")
    client.write(b"two")
    garbage = b"\x17\x03\x03\x00\x20" + bytes(32)
    assert server.receive(client.output() + garbage) == (b"onetwo", False)
    assert isinstance(server.failure, ssl.SSLError)
    server.output()
    server.write(b"an answer")  # the session is dead: dropped, not raised
    assert server.output() == b""


@in_loop
async def test_abort_inside_the_handshake() -> None:
    """Aborting before TLS is up loses both ends, without an error on the aborting one."""
    client, server = sides(window=10)
    client.channel.write(b"never sent")
    await turns(5)
    client.channel.abort()
    assert await client.handler.hears("lost") == (None,)
    await server.handler.hears("lost")
    assert server.handler.data == b""


@pytest.mark.case(82)
@in_loop
async def test_tls_in_tls() -> None:
    """One TLS session runs inside another, as through an HTTPS proxy (hostile case 82)."""
    outer_client, outer_server = TLSPump(CLIENT), TLSPump(SERVER)
    inner_client, inner_server = TLSPump(CLIENT), TLSPump(SERVER)
    inner_client.write(b"deep")
    got = b""
    for _ in range(10):
        outer_client.write(inner_client.output())
        arrived, _ = outer_server.receive(outer_client.output())
        got += inner_server.receive(arrived)[0]
        outer_server.write(inner_server.output())
        arrived, _ = outer_client.receive(outer_server.output())
        inner_client.receive(arrived)
    assert got == b"deep"


@in_loop
async def test_small_after_a_large_message() -> None:
    """A connection that has passed 256 KiB keeps none of it: its buffers stay those of a slice."""
    client, server = sides()
    client.channel.write(b"x")
    await server.handler.until(lambda: server.handler.data)
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        client.channel.write(bytes(262144))
        await server.handler.until(lambda: len(server.handler.data) > 262144)
        server.handler.data = b""
        server.handler.heard.clear()
        grown = sum(each.size_diff for each in tracemalloc.take_snapshot().compare_to(before, "filename"))
    finally:
        tracemalloc.stop()
    assert grown < 131072
