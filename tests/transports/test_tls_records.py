"""Records of TLS that no honest peer writes: requests for new keys without end, empty ones, thousands of small ones.

OpenSSL answers any number of requests for new keys (RFC 8446 4.6.3), all that come in one
read before anybody can look. So what it answers is counted.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pytest

from fixtures.certificates import contexts
from fixtures.driver import Bench, End
from fixtures.frames import frame, frames_in, text
from fixtures.in_loop import in_loop, turns
from fixtures.tls_records import Records, recording_context
from wsmash.constants import Opcode
from wsmash.transports.base import TLS
from wsmash.transports.tls import MOST_ANSWERS

pytestmark = pytest.mark.case(80)

SERVER = TLS(contexts().server, server_side=True)
MANY = 20_000
EMPTY_RECORDS = 32
"""In a row, which OpenSSL takes."""


class Client:
    """A session of Python's on the raw end of a channel, which shakes hands and reads; others write its records."""

    def __init__(self, end: End, folder: Path) -> None:
        self._end, self._folder = end, folder
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = recording_context(folder)
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    async def handshake(self) -> Records:
        """Shake hands; what writes everything from then on."""
        loop = asyncio.get_running_loop()
        while True:
            with suppress(ssl.SSLWantReadError):
                self._session.do_handshake()
                await self._end.peer_sends(self._outgoing.read())
                return Records(self._session, self._folder)
            await self._end.peer_sends(self._outgoing.read())
            self._incoming.write(await loop.sock_recv(self._end.peer, 65536))

    def read(self) -> bytes:
        """What has come."""
        with suppress(BlockingIOError):
            while piece := self._end.peer.recv(65536):
                self._incoming.write(piece)
        data = b""
        with suppress(ssl.SSLWantReadError):
            while piece := self._session.read(65536):
                data += piece
        return data


async def session(bench: Bench, folder: Path) -> tuple[End, Client, Records]:
    """A server's channel that echoes text, its client, and who writes that one's records."""
    end = bench.attach(tls=SERVER)
    client = Client(end, folder)
    records = await client.handshake()
    await turns()
    end.upgrade()
    end.handler.act = lambda what: end.channel.send(Opcode.TEXT, what[1].encode()) if what[0] == "message" else None
    return end, client, records


async def echoed(end: End, client: Client, records: Iterable[bytes], message: str) -> None:
    """A message comes back that stands in these records."""
    await end.peer_sends(b"".join(records))
    got = b""
    while len(got) < len(text(message)):
        got += client.read()
        await asyncio.sleep(0)
    assert [each.payload.decode() for each in frames_in(got)] == [message]


def refusal(end: End) -> str | None:
    """Why the channel was lost."""
    ((error,),) = end.handler.all("lost")
    assert isinstance(error, ssl.SSLError)
    return error.reason


@in_loop
async def test_key_updates_of_a_peer_that_reads(bench: Bench, tmp_path: Path) -> None:
    """Any number of them between messages, a hundred at a time too, disturbs nothing."""
    end, client, writer = await session(bench, tmp_path)
    for number in range(20):
        updates = [writer.key_update() for _ in range(1 if number % 2 else 100)]
        message = f"message {number}"
        await echoed(end, client, [*updates, writer.record(text(message, masked=True))], message)
    assert end.handler.all("lost") == []
    end.channel.abort()
    await turns()


@pytest.mark.parametrize("between", ["nothing", "pongs"])
@in_loop
async def test_key_updates_of_a_peer_that_does_not_read(bench: Bench, between: str, tmp_path: Path) -> None:
    """The answers that wait stay few, whatever comes between the requests; then the connection is lost."""
    end, _, writer = await session(bench, tmp_path)
    end.channel.send(Opcode.BINARY, bytes(900_000))  # more than the socket takes
    before = end.channel.info().buffered
    assert before > 0
    most = sent = 0
    while not end.handler.all("lost"):
        assert sent < MANY
        most = max(most, end.channel.info().buffered - before)
        data = b"".join(writer.key_update() for _ in range(10))
        if between == "pongs":
            data += writer.record(frame(Opcode.PONG, masked=True))
        with suppress(BlockingIOError, ConnectionError):
            end.peer.send(data)
        sent += 10
        await asyncio.sleep(0)
    assert 0 < most < 2 * MOST_ANSWERS
    assert refusal(end) == "TOO_MANY_ANSWERS"


@in_loop
async def test_key_updates_in_one_read(bench: Bench, tmp_path: Path) -> None:
    """More of them in one read than it takes long to answer are refused too, so that one peer does not hold up all."""
    end, _, writer = await session(bench, tmp_path)
    await end.peer_sends(b"".join(writer.key_update() for _ in range(1000)))
    await end.handler.hears("lost")
    assert refusal(end) == "TOO_MANY_ANSWERS"
    answers = b""
    with suppress(ConnectionError):
        answers = await end.peer_reads_all()
    assert len(answers) < 3 * MOST_ANSWERS


@in_loop
async def test_key_updates_while_it_closes(bench: Bench, tmp_path: Path) -> None:
    """After its close a channel's peer is answered nothing."""
    end, _, writer = await session(bench, tmp_path)
    end.channel.send(Opcode.BINARY, bytes(900_000))
    end.channel.close()
    before = end.channel.info().buffered
    for _ in range(100):
        with suppress(BlockingIOError):
            end.peer.send(b"".join(writer.key_update() for _ in range(10)))
        await asyncio.sleep(0)
    assert end.channel.info().buffered <= before
    end.channel.abort()
    await turns()


@in_loop
async def test_empty_records(bench: Bench, tmp_path: Path) -> None:
    """A few between messages are nothing; a row of them without end is OpenSSL's to refuse."""
    end, client, writer = await session(bench, tmp_path)
    for message in ("one", "two"):
        empty = [writer.record(b"") for _ in range(EMPTY_RECORDS // 2)]
        await echoed(end, client, [*empty, writer.record(text(message, masked=True))], message)
    await end.peer_sends(b"".join(writer.record(b"") for _ in range(3 * EMPTY_RECORDS)))
    await end.handler.hears("lost")
    assert refusal(end) == "RECORD_TOO_SMALL"


@in_loop
async def test_thousands_of_small_records(bench: Bench, tmp_path: Path) -> None:
    """Messages of which each byte is a record are what they are, however many records one read brings."""
    end, client, writer = await session(bench, tmp_path)
    message = "small " * 300
    records = [writer.record(bytes((each,))) for each in text(message, masked=True)]
    data = b"".join(records)
    for cut in (0, 1, 22, 23, 127 * 23, 128 * 23, 128 * 23 + 1, len(data) - 1):
        first, second = data[:cut], data[cut:]
        await end.peer_sends(first)
        await turns(2)
        await echoed(end, client, [second], message)
        data = b"".join(writer.record(bytes((each,))) for each in text(message, masked=True))
    end.channel.abort()
    await turns()
