"""Who is let in, and where: paths, subprotocols, limits on connections and messages, Origin and Host.

Numbers in brackets are those of the list of hostile inputs.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.frames import text
from fixtures.in_loop import in_loop, until
from fixtures.raw import ask, get, refusal, serving, upgrade, wire
from wsmash.server import WebSocketServer


def echo(server: WebSocketServer) -> None:
    """Make it send each message back."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", lambda message: event.client.send(message.data))


# Endpoints, subprotocols, limits


@in_loop
async def test_endpoints() -> None:
    """Each path has its own callbacks, params, clients and broadcast; paths are decoded, whole and case-sensitive."""
    async with serving() as idle:
        server = wsmash.create_server(port=0, host="127.0.0.1", path="/chat")
        rooms = server.endpoint("/rooms/{room}")
        files = server.endpoint("/files/{name:path}", protocols=["ftp"])
        seen: list[tuple[str, dict[str, str]]] = []
        server.on("connection", lambda event: seen.append(("chat", dict(event.request.params))))
        rooms.on("connection", lambda event: seen.append(("rooms", dict(event.request.params))))
        files.on("connection", lambda event: seen.append(("files", dict(event.request.params))))
        assert idle.is_started()
        async with server, wire(server) as one, wire(server) as two, wire(server) as three:
            await one.send(upgrade("/ch%61t?x=1"))
            await one.answer()
            await two.send(upgrade("/rooms/caf%C3%A9"))
            await two.answer()
            await three.send(upgrade("/files/a/b%2Fc", Sec_WebSocket_Protocol="chat, ftp"))
            assert (await three.answer()).headers["sec-websocket-protocol"] == "ftp"
            assert seen == [("chat", {}), ("rooms", {"room": "café"}), ("files", {"name": "a/b/c"})]
            assert (rooms.get_client_count(), server.get_client_count()) == (1, 3)
            assert rooms.broadcast("room") == 1 and server.broadcast("all") == 3
            assert [(await two.frame()).payload for _ in range(2)] == [b"room", b"all"]
            assert (await one.frame()).payload == b"all"
            for path in ("/chat/", "/Chat", "/", "/rooms/", "/rooms/a/b", "/files"):
                assert (await ask(server, upgrade(path))).status == 404, path


@in_loop
async def test_endpoint_after_the_start() -> None:
    """An endpoint added to a server that runs, or one that is there, is the caller's mistake."""
    async with serving() as server:
        with pytest.raises(wsmash.InvalidState):
            server.endpoint("/late")
    with pytest.raises(ValueError, match="/"):
        server.endpoint("/")


@pytest.mark.parametrize(
    ("spoken", "offered", "agreed"),
    [
        (["b", "a"], "a, b", "b"),
        (["b", "a"], "a", "a"),
        (["b"], "a", None),
        ([], "a", None),
        (["a"], None, None),
        (["chat"], "Chat", None),
    ],
)
@in_loop
async def test_subprotocols(spoken: list[str], offered: str | None, agreed: str | None) -> None:
    """The first of the server's list that was offered is taken; where none was, it opens without one."""
    async with serving(protocols=spoken) as server:
        seen: list[tuple[str | None, tuple[str, ...]]] = []
        server.on("connection", lambda event: seen.append((event.client.subprotocol, event.client.get_protocols())))
        async with wire(server) as peer:
            await peer.send(upgrade(Sec_WebSocket_Protocol=offered))
            answer = await peer.answer()
            assert answer.status == 101 and answer.headers.get("sec-websocket-protocol") == agreed
        assert seen == [(agreed, tuple(offered.split(", ")) if offered else ())]


@pytest.mark.case(67)
@pytest.mark.parametrize(("option", "status"), [("max_connections", 503), ("max_connections_per_ip", 429)])
@in_loop
async def test_max_connections(option: str, status: int) -> None:
    """Above the limit the answer says so, plain HTTP still works, and a connection that ends makes room (67)."""
    async with serving(**{option: 2}) as server:
        async with wire(server) as one, wire(server) as two:
            for peer in (one, two):
                await peer.send(upgrade())
                assert (await peer.answer()).status == 101
            answer = await ask(server, upgrade())
            assert answer.status == status and option.encode() in answer.body
            assert (await ask(server, get("/healthz"))).status == 200
        await until(lambda: server.get_client_count() == 0)
        async with wire(server) as peer:
            await peer.send(upgrade())
            assert (await peer.answer()).status == 101


@pytest.mark.case(67, 68)
@pytest.mark.parametrize(("option", "status"), [("max_connections", 503), ("max_connections_per_ip", 429)])
@in_loop
async def test_a_place_is_taken_while_a_callback_is_busy(option: str, status: int) -> None:
    """Who leaves messages behind and comes again, over and over, has not more of them kept than it has places."""
    done = asyncio.Event()
    received: list[object] = []

    async def slow(message: wsmash.MessageEvent) -> None:
        received.append(message.data)
        await done.wait()

    async with serving(**{option: 2}) as server:
        server.on("connection", lambda event: event.client.on("message", slow))
        for _ in range(2):
            async with wire(server) as peer:
                await peer.send(upgrade() + text("a", masked=True) + text("b", masked=True))
                assert (await peer.answer()).status == 101
                await until(lambda: received.count("a") == server.counters.opened)
        await until(lambda: server.get_client_count() == 0)
        assert (await ask(server, upgrade())).status == status
        done.set()
        await until(lambda: received.count("b") == 2)
        async with wire(server) as peer:
            await peer.send(upgrade())
            assert (await peer.answer()).status == 101


@in_loop
async def test_message_rate() -> None:
    """Messages above the rate close the connection with 1008, those before it are delivered."""
    async with serving(message_rate=3) as server:
        echo(server)
        async with wire(server) as peer:
            await peer.send(upgrade() + text("x", masked=True) * 10)
            assert (await peer.answer()).status == 101
            found = [await peer.frame() for _ in range(4)]
            assert [each.payload for each in found[:3]] == [b"x"] * 3
            assert found[3].opcode == 8 and int.from_bytes(found[3].payload[:2]) == 1008
            assert server.counters.closed_rate == 1


# Origin and Host


@pytest.mark.case(98, 99)
@pytest.mark.parametrize(
    ("origin", "host", "options", "status"),
    [
        (None, "127.0.0.1", {}, 101),
        ("http://127.0.0.1:{port}", "127.0.0.1:{port}", {}, 101),
        ("http://localhost:3000", "localhost:{port}", {}, 101),
        ("http://[::1]:3000", "localhost:{port}", {}, 101),
        ("https://evil.example", "localhost:{port}", {}, 403),
        ("http://localhost.evil.example", "localhost:{port}", {}, 403),
        ("https://good.example.evil", "good.example", {"allowed_hosts": "good.example"}, 403),
        ("https://good.example", "good.example", {"allowed_hosts": "good.example"}, 101),
        ("https://good.example:444", "good.example", {"allowed_hosts": "good.example"}, 403),
        ("null", "localhost:{port}", {}, 403),
        ("null", "localhost:{port}", {"origins": ["null"]}, 101),
        ("https://app.example", "localhost:{port}", {"origins": ["https://app.example"]}, 101),
        ("https://evil.example", "localhost:{port}", {"origins": "*"}, 101),
        ("https://rebound.example", "rebound.example", {}, 403),
        (None, "rebound.example", {}, 101),
        (None, "rebound.example", {"allowed_hosts": ["localhost"]}, 403),
        ("garbage", "localhost:{port}", {}, 403),
        ("https://a.example https://b.example", "localhost:{port}", {}, 403),
    ],
)
@in_loop
async def test_origins(origin: str | None, host: str, options: dict[str, Any], status: int) -> None:
    """A page of another origin gets a 403 that names the option to set; what is no page is let in (98, 99)."""
    async with serving(**options) as server, wire(server) as peer:
        named = origin and origin.format(port=server.port)
        await peer.send(upgrade(Origin=named, Host=host.format(port=server.port)))
        answer = await peer.answer()
        assert answer.status == status
        if status == 403:
            body = await peer.read_all()
            assert b"origins=[" in body or b"allowed_hosts=[" in body or b"malformed" in body


@pytest.mark.case(99)
@in_loop
async def test_two_origins() -> None:
    """Two Origin headers are refused (99)."""
    answer = await refusal(upgrade("/", "Origin: http://localhost", "Origin: http://localhost"))
    assert answer.status in (400, 403)


@pytest.mark.case(99)
@in_loop
async def test_origin_of_plain_http_to_a_tls_server() -> None:
    """A TLS server takes no page that came over plain HTTP, not even its own host's (99)."""
    async with serving(ssl=contexts().server) as server, wire(server, contexts().client) as peer:
        await peer.send(upgrade(Origin=f"http://localhost:{server.port}", Host=f"localhost:{server.port}"))
        assert (await peer.answer()).status == 403
