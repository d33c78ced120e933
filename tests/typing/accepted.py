"""Uses of the public interface that a strict type checker must accept; nothing here is run."""

from __future__ import annotations

import asyncio
import ssl
from array import array
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, assert_type

import wsmash


@dataclass
class Point:
    """A message's type."""

    x: int


class Move(TypedDict):
    """Another."""

    to: int


# Constants, errors, URLs

state: wsmash.State = wsmash.STATES.OPEN
assert_type(wsmash.CLOSE_CODES(1000), wsmash.CloseCode)
assert_type(wsmash.is_valid_url("ws://a"), bool)
assert_type(wsmash.http_to_ws_url("http://a"), str)
wsmash.is_valid_url(None)
errors: list[type[wsmash.WebSocketError]] = [
    wsmash.ConnectError,
    wsmash.ConnectionClosed,
    wsmash.HandshakeError,
    wsmash.InvalidMessage,
    wsmash.InvalidState,
    wsmash.InvalidURL,
    wsmash.MessageTooBig,
    wsmash.OpenTimeout,
    wsmash.ProtocolError,
    wsmash.SlowConsumer,
]

# A client with callbacks

client = wsmash.create_client(
    "wss://example.com/feed",
    ["chat", "superchat"],
    headers={"X-A": "1"},
    cookies={"session": "x"},
    auth=("user", "password"),
    open_timeout=None,
    compression=wsmash.Deflate(level=1),
    ssl=ssl.create_default_context(),
    proxy="https://proxy.example",
    proxy_ssl=ssl.create_default_context(),
    max_redirects=0,
)
assert_type(client, wsmash.WebSocketClient)
assert_type(wsmash.WebSocketClient("ws://a", "chat"), wsmash.WebSocketClient)
assert_type(client.get_state(), wsmash.State)
assert_type(client.is_open(), bool)
assert_type(client.get_url(), str)
assert_type(client.get_protocols(), tuple[str, ...])
assert_type(client.subprotocol, str | None)
assert_type(client.latency, float | None)


@client.on("open")
def opened(event: wsmash.OpenEvent) -> None:
    """A plain callback may leave what `send` returns alone."""
    event.client.send("text")
    event.client.send(b"bytes")
    event.client.send({"any": "json"})
    event.client.send(Point(1), key="point", compress=False)


@client.on("message")
async def received(event: wsmash.MessageEvent) -> None:
    """A coroutine callback may await it."""
    assert_type(event.data, str | bytes)
    assert_type(event.json(Point), Point)
    assert_type(event.json(Move), Move)
    await event.client.send(event.data)
    await event.client.send_json(None)


@client.on("close")
def closed(event: wsmash.CloseEvent) -> None:
    """The fields of a close."""
    assert_type(event.code, int)
    assert_type(event.reason, str)
    assert_type(event.was_clean, bool)
    assert_type(event.sent, tuple[int, str] | None)


@client.on("reconnecting")
def reconnecting(event: wsmash.ReconnectingEvent) -> None:
    """The fields of an outage."""
    assert_type(event.attempt, int)
    assert_type(event.delay, float)
    assert_type(event.error, Exception)
    assert_type(event.code, int)
    assert_type(event.client, wsmash.WebSocketConnection)


class Patient:
    """A policy of one's own inherits nothing."""

    def delay(self, outage: wsmash.Outage) -> float | None:
        """Twice the last delay."""
        return None if outage.status == 404 else 2 * (outage.previous_delay or 1)


class Choosy(wsmash.Reconnect):
    """One that decides only on what is fatal."""

    def is_fatal(self, outage: wsmash.Outage) -> bool:
        """An application's own code."""
        return outage.code == 4001 or super().is_fatal(outage)


policies: list[wsmash.ReconnectPolicy] = [wsmash.Reconnect(max_attempts=5), Patient(), Choosy()]
wsmash.create_client("ws://a", reconnect=True, offline_queue=100)
wsmash.create_client("ws://a", reconnect=Patient(), offline_queue=wsmash.OfflineQueue(max_age=None))
wsmash.connect("ws://a", reconnect=Choosy(first_delay=1))
client.on("dropped", lambda event: print(event.data, event.reason))
client.on("open", lambda event: print(event.reconnected))
client.on("error", lambda event: print(event.error, event.client))
client.on("message", lambda event: event.client.send(event.data))
client.off("open", opened)


async def pulled() -> None:
    """The pull style, and what actions give when they are awaited."""
    async with wsmash.connect("ws://a", protocols="chat", max_message_size=None) as peer:
        assert_type(peer, wsmash.WebSocketClient)
        assert_type(await peer.recv(), str | bytes)
        async for message in peer:
            assert_type(message, str | bytes)
        assert_type(await peer.ping(), float)
        await peer.send_fragments(["a", "b"])
        await peer.send_fragments(pieces())
        await peer.close(wsmash.CloseCode.GOING_AWAY, "bye")
        await peer.wait_closed()
    assert_type(await wsmash.connect("ws://a"), wsmash.WebSocketClient)
    asyncio.create_task(client.connect())  # noqa: RUF006  an action is a coroutine
    async with asyncio.TaskGroup() as group:
        group.create_task(client.send("x"))
    peer.state["user"] = 1


async def pieces() -> AsyncIterator[bytes]:
    """A message's fragments."""
    yield b"a"


# A server


def decide(request: wsmash.Request) -> wsmash.Response | None:
    """A hook."""
    assert_type(request.path, str)
    assert_type(request.headers.get("Cookie"), str | None)
    return None if request.method == "GET" else wsmash.Response(403, "no", {"X-A": "1"})


async def decide_later(request: wsmash.Request) -> wsmash.Response | None:
    """The same as a coroutine."""
    return decide(request)


server = wsmash.create_server(
    port=0,
    host=["127.0.0.1", "::1"],
    path="/rooms/{room}",
    protocols=("chat",),
    process_request=decide,
    origins="*",
    static={"/": Path("public")},
    slow_consumer="conflate",
    message_type=Point,
    invalid_message=1007,
)
assert_type(server, wsmash.WebSocketServer)
assert_type(wsmash.WebSocketServer(process_request=decide_later), wsmash.WebSocketServer)
assert_type(server.get_options(), wsmash.ServerOptions)
assert_type(server.is_started(), bool)
assert_type(server.port, int)
assert_type(server.counters, wsmash.ServerCounters)
assert_type(server.counters.refused_rate, int)
assert_type(server.reload_certificates(), None)


async def user_of(token: str) -> str | None:
    return {"let-me-in": "ann"}.get(token)


wsmash.create_server(process_request=wsmash.bearer_auth(user_of), ssl=wsmash.Certificate("chain.pem", "key.pem"))
wsmash.create_server(process_request=wsmash.basic_auth({"ann": "her password"}), auth_timeout=15)
wsmash.create_server(trusted_proxies=["10.0.0.0/8", "unix"], proxy_headers="forwarded", connect_rate=5, max_buffered=1)


@server.on("connection")
def authenticated(event: wsmash.ConnectionEvent) -> None:
    assert_type(event.client.is_authenticated(), bool)
    assert_type(event.client.set_authenticated(expires_in=60), None)
    assert_type(event.request.secure, bool)


@server.on("connection")
def connected(event: wsmash.ConnectionEvent) -> None:
    """The events of a server's connection are those of a client."""
    room: str = event.request.params["room"]
    event.client.state["room"] = room
    event.client.on("message", lambda message: message.client.send(message.data))
    event.client.on("close", closed)


@server.on("error")
def failed(event: wsmash.ServerEvent) -> None:
    """The server's own errors."""
    assert_type(event.error, Exception | None)
    assert_type(event.server, wsmash.WebSocketServer)


async def served() -> None:
    """Starting, sending to all, stopping."""
    async with wsmash.create_server() as one:
        assert_type(one, wsmash.WebSocketServer)
        assert_type(one.get_clients(), tuple[wsmash.ServerConnection, ...])
        count: int = one.broadcast("all", lambda peer: peer.state.get("room") == "a")
        count += await one.broadcast(b"all")
        other: wsmash.Endpoint = one.endpoint("/other", protocols="x")
        other.on("connection", connected)
        other.broadcast({"any": count})
    await server.start()
    await server.stop()
    await server.wait_closed()


def takes_any(connection: wsmash.WebSocketConnection) -> Any:
    """Both ends are connections."""
    return connection.remote_address


takes_any(client)
takes_any(server.get_clients()[0])
wsmash.run(server)
wsmash.run(client)

# What may be sent


def sends(client: wsmash.WebSocketClient, numbers: array[int]) -> None:
    """Text, any buffer, and what becomes JSON."""
    for message in ("text", b"bytes", bytearray(b"x"), memoryview(b"x"), numbers, {"a": 1}, [1], Point(1)):
        client.send(message)


def asked(event: wsmash.ConnectionEvent, shape: wsmash.MessageEvent) -> None:
    """A server's connection has a request; a message may be one of several types."""
    assert_type(event.client, wsmash.ServerConnection)
    assert_type(event.client.request.params["room"], str)
    assert_type(event.client.remote_address, tuple[str, int] | str | None)
    shape.json(Point | Move)


# Topics, from a server


@server.on("join")
async def joined(event: wsmash.PresenceEvent) -> None:
    """Who has come, and who is there."""
    assert_type(event.member, wsmash.Member)
    assert_type(event.is_local, bool)
    assert_type(await event.server.get_presence(event.topic), tuple[wsmash.Member, ...])


server.on("leave", lambda event: print(event.topic, event.member.id))
server.on("gap", lambda event: print(event.topic, event.reason))

# Topics, from a client


async def topics(client: wsmash.WebSocketClient) -> None:
    """A subscription has callbacks by event, is awaited for itself, and iterated over for its messages."""
    news = client.subscribe("news", since=wsmash.Position("0" * 32, 7))
    assert_type(news, wsmash.Subscription)
    assert_type(await news, wsmash.Subscription)
    assert_type(news.position, wsmash.Position | None)
    async for message in news:
        assert_type(message, wsmash.TopicMessage)
        assert_type(message.data, str | bytes)
        assert_type(message.json(Point), Point)
    assert_type(client.subscriptions["news"], wsmash.Subscription)
    assert_type(await client.publish("news", {"a": 1}, idempotency_key="k", timeout=None), wsmash.Position | None)
    assert_type(client.request.path, str)
    total: int = await client.request("sum", [1, 2], timeout=5)
    await news.unsubscribe()
    print(total, await client.get_presence("news"))


topic = wsmash.create_client("ws://a", "wsmash.v1").subscribe("chat.>")


@topic.on("message")
async def published(event: wsmash.TopicMessage) -> None:
    """A callback may be a coroutine function."""
    assert_type(event.position, wsmash.Position | None)


@topic.on("gap")
def missed(event: wsmash.TopicGap) -> None:
    """One of another event gets that."""
    assert_type(event.reason, str)


topic.on("subscribed", lambda event: print(event.recovered))


@server.method("sum")
def add(event: wsmash.RequestEvent) -> int:
    """A method returns anything; its event's JSON has the type that was asked for."""
    assert_type(event.json(list[int]), list[int])
    assert_type(event.data, str | bytes | None)
    return sum(event.json(list[int]))


assert_type(add(wsmash.RequestEvent(client, "sum", None)), int)
server.method("other", lambda event: event.method)
topic.on("degraded", lambda event: print(event.topic))
topic.on("join", lambda event: print(event.member.id))
topic.on("error", lambda event: print(event.error))
topic.off("message", published)
