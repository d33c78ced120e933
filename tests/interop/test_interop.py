"""Our client and our server against other implementations, over real sockets; each test speaks both ways."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import get_args

import pytest
import trustme

import wsmash
from interop.aiohttp_peer import AiohttpPeer
from interop.node_peer import NodePeer
from interop.pair import Ours, pair
from interop.websockets_peer import WebsocketsPeer
from interop.wire import Closed, Peer, Setting, Tls, Wire
from interop.wsproto_peer import WsprotoPeer

pytestmark = pytest.mark.interop

PEERS: list[Peer] = [AiohttpPeer(), NodePeer(), WebsocketsPeer(), WsprotoPeer()]
MIB = 1024 * 1024
MESSAGES: list[str | bytes] = [
    "text",
    "日本語 \N{SNOWMAN} \x00 \U0001f600",
    b"\x00\xff binary",
    "",
    b"",
    "x" * 125,
    "x" * 126,
    b"x" * 65535,
    b"x" * 65536,
    "0123456789abcdef" * (MIB // 16),
    bytes(range(256)) * (MIB // 256),
]
TEXT_PARTS = ["one ", "", "t\N{SNOWMAN}o", " three"]
BINARY_PARTS = [b"1", b"\xff" * 70000, b""]

Scenario = Callable[[wsmash.WebSocketConnection, Wire], Awaitable[None]]


@pytest.fixture(params=PEERS, ids=lambda peer: peer.name)
def peer(request: pytest.FixtureRequest) -> Peer:
    """Each of the implementations that can run here."""
    chosen: Peer = request.param
    if reason := chosen.why_not():
        pytest.skip(reason)
    return chosen


@pytest.fixture(params=get_args(Ours))
def ours(request: pytest.FixtureRequest) -> Ours:
    """Which end is ours."""
    chosen: Ours = request.param
    return chosen


@pytest.fixture(scope="module")
def tls() -> Tls:
    """Certificates of an authority made for these tests."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    issued.configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Tls(
        server,
        client,
        issued.private_key_pem.bytes().decode(),
        b"".join(blob.bytes() for blob in issued.cert_chain_pems).decode(),
        authority.cert_pem.bytes().decode(),
    )


def play(scenario: Scenario, peer: Peer, ours: Ours, setting: Setting) -> None:
    """Open a connection and act the scenario on it."""

    async def act() -> None:
        async with pair(peer, ours, setting) as (connection, wire):
            await scenario(connection, wire)

    asyncio.run(act())


async def exchange(connection: wsmash.WebSocketConnection, wire: Wire) -> None:
    """Send each message both ways."""
    for message in MESSAGES:
        _, heard = await asyncio.gather(connection.send(message), wire.receive())
        assert heard == message
        _, got = await asyncio.gather(wire.send(message), connection.recv())
        assert got == message


@pytest.mark.parametrize("deflate", [True, False], ids=["deflate", "plain"])
def test_messages(peer: Peer, ours: Ours, deflate: bool) -> None:
    """Text and binary of every length form arrive as they were, compressed where both wish it."""

    async def scenario(connection: wsmash.WebSocketConnection, wire: Wire) -> None:
        assert wire.deflates is deflate
        assert connection.response is not None
        assert ("permessage-deflate" in connection.response.headers.get("Sec-WebSocket-Extensions", "")) is deflate
        await exchange(connection, wire)

    play(scenario, peer, ours, Setting(deflate=deflate))


def test_tls(peer: Peer, ours: Ours, tls: Tls) -> None:
    """The same over TLS, with a certificate that is checked."""
    play(exchange, peer, ours, Setting(tls=tls))


@pytest.mark.parametrize("deflate", [True, False], ids=["deflate", "plain"])
@pytest.mark.parametrize("parts", [TEXT_PARTS, BINARY_PARTS], ids=["text", "binary"])
def test_fragments(peer: Peer, ours: Ours, parts: list[str] | list[bytes], deflate: bool) -> None:
    """A message in fragments arrives as one."""
    whole = type(parts[0])().join(parts)  # type: ignore[arg-type]

    async def scenario(connection: wsmash.WebSocketConnection, wire: Wire) -> None:
        _, heard = await asyncio.gather(connection.send_fragments(parts), wire.receive())
        assert heard == whole
        if peer.can_fragment:
            _, got = await asyncio.gather(wire.send_fragments(parts), connection.recv())
            assert got == whole

    play(scenario, peer, ours, Setting(deflate=deflate))


def test_ping(peer: Peer, ours: Ours) -> None:
    """A ping is answered by either end, and ours measures the round trip."""

    async def scenario(connection: wsmash.WebSocketConnection, wire: Wire) -> None:
        pinging = asyncio.create_task(connection.ping(b"ours"))
        await connection.send("after the ping")
        assert await wire.receive() == "after the ping"
        assert await pinging > 0
        await wire.ping(b"theirs")

    play(scenario, peer, ours, Setting())


def test_pipelined(peer: Peer, ours: Ours) -> None:
    """A thousand messages sent without waiting arrive in order, both ways at once."""
    messages = [f"message {number}" for number in range(1000)]

    async def scenario(connection: wsmash.WebSocketConnection, wire: Wire) -> None:
        async def send_theirs() -> None:
            for message in messages:
                await wire.send(message)

        for message in messages:
            connection.send(message)
        heard, got, _ = await asyncio.gather(
            gather([wire.receive] * len(messages)), gather([connection.recv] * len(messages)), send_theirs()
        )
        assert heard == messages
        assert got == messages

    play(scenario, peer, ours, Setting())


async def gather(receive: list[Callable[[], Awaitable[object]]]) -> list[object]:
    """What these return, one after another."""
    return [await each() for each in receive]


def test_subprotocol(peer: Peer, ours: Ours) -> None:
    """The server's choice among what was offered is what both ends report."""

    async def scenario(connection: wsmash.WebSocketConnection, wire: Wire) -> None:
        assert connection.subprotocol == wire.subprotocol == "chat.v2"

    play(scenario, peer, ours, Setting(offered=["chat.v1", "chat.v2"], spoken=["chat.v3", "chat.v2"]))


def test_we_close(peer: Peer, ours: Ours) -> None:
    """The peer hears our code and reason, and answers them."""

    async def scenario(connection: wsmash.WebSocketConnection, wire: Wire) -> None:
        ends: list[wsmash.CloseEvent] = []
        connection.on("close", ends.append)
        closing = asyncio.create_task(connection.close(4001, "bye \N{SNOWMAN}"))
        assert await wire.receive() == Closed(4001, "bye \N{SNOWMAN}")
        await closing
        await connection.wait_closed()
        assert connection.get_state() is wsmash.STATES.CLOSED
        assert [(end.code, end.was_clean) for end in ends] == [(4001, True)]

    play(scenario, peer, ours, Setting())


def test_they_close(peer: Peer, ours: Ours) -> None:
    """We hear the peer's code and reason, and the end is clean."""

    async def scenario(connection: wsmash.WebSocketConnection, wire: Wire) -> None:
        closing = asyncio.create_task(wire.close(4002, "done \N{SNOWMAN}"))
        with pytest.raises(wsmash.ConnectionClosed) as closed:
            await connection.recv()
        await closing
        assert (closed.value.code, closed.value.reason) == (4002, "done \N{SNOWMAN}")
        assert closed.value.was_clean

    play(scenario, peer, ours, Setting())
