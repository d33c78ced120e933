"""Mistakes that a strict type checker must find: each line that ignores its error fails where there is none."""

from __future__ import annotations

import wsmash

wsmash.create_client()  # type: ignore[call-arg]
wsmash.create_client(5)  # type: ignore[arg-type]
wsmash.create_client("ws://a", 5)  # type: ignore[arg-type]
wsmash.create_client("ws://a", max_mesage_size=1)  # type: ignore[call-arg]
wsmash.create_client("ws://a", open_timeout="10")  # type: ignore[arg-type]
wsmash.create_client("ws://a", (), 10)  # type: ignore[call-arg]
wsmash.create_client("ws://a", slow_consumer="wait")  # type: ignore[arg-type]
wsmash.create_client("ws://a", compression="gzip")  # type: ignore[arg-type]
wsmash.create_client("ws://a", port=1)  # type: ignore[call-arg]
wsmash.connect("ws://a", headers=5)  # type: ignore[arg-type]
wsmash.create_server(8080)  # type: ignore[call-arg]
wsmash.create_server(port="8080")  # type: ignore[arg-type]
wsmash.create_server(process_request=lambda: None)  # type: ignore[arg-type, misc]
wsmash.WebSocketServer(cookies={})  # type: ignore[call-arg]
wsmash.Deflate(5)  # type: ignore[call-arg]

client = wsmash.create_client("ws://a")
server = wsmash.create_server()


def opened(event: wsmash.OpenEvent) -> None:
    """A callback of one event."""
    print(event.data)  # type: ignore[attr-defined]


def connected(event: wsmash.ConnectionEvent) -> None:
    """A callback of another."""


client.on("opened", opened)  # type: ignore[call-overload]
client.on("message", opened)  # type: ignore[call-overload]
client.on("connection", connected)  # type: ignore[call-overload]
client.on("reconnecting", opened)  # type: ignore[call-overload]
wsmash.create_client("ws://a", reconnect=5)  # type: ignore[arg-type]
wsmash.create_client("ws://a", offline_queue="5")  # type: ignore[arg-type]
server.on("message", opened)  # type: ignore[call-overload]
server.on("connection", opened)  # type: ignore[call-overload]
client.on("message", lambda: None)  # type: ignore[call-overload]
client.send(3)  # type: ignore[arg-type]
server.broadcast(None)  # type: ignore[arg-type]
client.on("message", None)  # type: ignore[call-overload]
client.close("1000")  # type: ignore[arg-type]
client.close(1000, b"bye")  # type: ignore[arg-type]
client.latency = 1.0  # type: ignore[misc]
server.broadcast("all", True)  # type: ignore[arg-type]
wsmash.run(3)  # type: ignore[arg-type]
wsmash.http_to_ws_url(b"http://a")  # type: ignore[arg-type]


@client.on("close")  # type: ignore[arg-type]
def wrong(event: wsmash.MessageEvent) -> None:
    """A decorator's callback is checked too."""


async def awaited() -> None:
    """What awaiting gives."""
    wrong_type: str = await client.ping()  # type: ignore[assignment]
    print(wrong_type)


news = client.subscribe("news")
news.on("open", opened)  # type: ignore[call-overload]
news.on("message", opened)  # type: ignore[call-overload]
client.subscribe("news", since=5)  # type: ignore[arg-type]
client.publish("news", 5)  # type: ignore[arg-type]
client.request()  # type: ignore[call-arg]
server.method(5)  # type: ignore[call-overload]
server.method("sum", opened)  # type: ignore[type-var]
