"""New keys in the middle of a TLS session (RFC 8446 4.6.3): a request is answered, an endless row of them ends it.

OpenSSL answers all that come in one read before anybody can look, and never refuses.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fixtures.certificates import contexts
from fixtures.driver import LIMITS, Bench, End
from fixtures.frames import frame, frames_in, text
from fixtures.in_loop import in_loop, turns
from fixtures.libssl import LibsslClient
from wsmash.constants import Opcode
from wsmash.transports.base import TLS
from wsmash.transports.tls import MOST_ANSWERS

pytestmark = pytest.mark.case(53, 80)

SERVER = TLS(contexts().server, server_side=True)
MANY = 20_000


@asynccontextmanager
async def session(bench: Bench) -> AsyncIterator[tuple[End, LibsslClient]]:
    """A server's channel that echoes, and its client."""
    end = bench.attach(tls=SERVER)
    client = LibsslClient(end.peer)
    await client.connect()
    await turns()
    end.upgrade()
    end.handler.act = lambda what: end.channel.send(Opcode.TEXT, what[1].encode()) if what[0] == "message" else None
    try:
        yield end, client
    finally:
        client.close()
        end.channel.abort()
        await turns()


async def echoed(client: LibsslClient, message: str) -> None:
    """A message comes back."""
    assert client.write(text(message, masked=True))
    got = b""
    while len(got) < len(text(message)):
        got += client.read()
        await asyncio.sleep(0)
    assert [each.payload.decode() for each in frames_in(got)] == [message]


@in_loop
async def test_updates_by_a_peer_that_reads(bench: Bench) -> None:
    """Any number of updates between messages, a hundred at a time too, disturbs nothing."""
    async with session(bench) as (end, client):
        for number in range(20):
            for _ in range(1 if number % 2 else 100):
                assert client.update_keys()
            await echoed(client, f"message {number}")
        assert end.handler.all("lost") == []


@pytest.mark.parametrize("between", ["nothing", "pongs"])
@in_loop
async def test_updates_by_a_peer_that_does_not_read(bench: Bench, between: str) -> None:
    """The answers that wait stay few, whatever comes between the requests; then the connection is lost."""
    async with session(bench) as (end, client):
        end.channel.send(Opcode.BINARY, bytes(900_000))  # more than the socket takes
        before = end.channel.info().buffered
        assert before > 0
        most = 0
        sent = 0
        while not end.handler.all("lost"):
            assert sent < MANY
            sent += await _updates(client, 10, pong=between == "pongs")
            if not end.handler.all("lost"):
                most = max(most, end.channel.info().buffered - before)
        assert 0 < most <= MOST_ANSWERS + LIMITS.high_water // 64
        _is_refused(end)


@in_loop
async def test_updates_in_one_read(bench: Bench) -> None:
    """More of them in one read than it takes long to answer are refused too, so that one peer does not hold up all."""
    async with session(bench) as (end, client):
        assert await _updates(client, 1000, pong=False) > 200  # all that the socket takes
        await end.handler.hears("lost")
        _is_refused(end)


async def _updates(client: LibsslClient, count: int, *, pong: bool) -> int:
    """How many requests of so many the socket took, before the loop turned once."""
    sent = 0
    try:
        while sent < count and client.update_keys() and (not pong or client.write(frame(Opcode.PONG, masked=True))):
            sent += 1
    except ConnectionError:  # it is over
        sent += not sent
    await asyncio.sleep(0)
    return sent


def _is_refused(end: End) -> None:
    ((error,),) = end.handler.all("lost")
    assert isinstance(error, ssl.SSLError) and error.reason == "TOO_MANY_ANSWERS"
