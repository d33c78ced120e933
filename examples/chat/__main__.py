"""A chat with a page of its own, on one port: plain HTTP serves the page, its WebSocket is /ws.

    python examples/chat [--port PORT] [--check]

A page sends {"type": "join" or "say", "text": a name or a line}. It is sent "welcome" (its own name, who is
here and what was said before), "joined", "left" and "said".
"""

import argparse
import asyncio
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Literal

import wsmash

PAGE = Path(__file__).parent / "page"
LONGEST_NAME = 24
LONGEST_LINE = 2000


@dataclass
class FromPage:
    """What a page may send; anything else closes its connection with 1007."""

    type: Literal["join", "say"]
    text: str


class Room:
    """Who is here and what was said last."""

    def __init__(self, server: wsmash.WebSocketServer) -> None:
        self.server = server
        self.names: dict[wsmash.WebSocketConnection, str] = {}
        self.history: deque[dict[str, object]] = deque(maxlen=50)
        server.on("connection", self.enter)

    def enter(self, event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", self.hear)
        event.client.on("close", self.leave)

    def hear(self, event: wsmash.MessageEvent) -> None:
        message = event.json(FromPage)
        if event.client not in self.names:
            self.join(event.client, message.text)
        elif message.type == "say" and message.text.strip():
            text = message.text[:LONGEST_LINE]
            said: dict[str, object] = {"type": "said", "name": self.names[event.client], "text": text}
            self.history.append(said)
            self.tell(said)

    def join(self, client: wsmash.WebSocketConnection, wish: str) -> None:
        name = self.free_name(wish.strip()[:LONGEST_NAME] or "Guest")
        self.names[client] = name
        client.send({"type": "welcome", "name": name, "people": self.people(), "history": list(self.history)})
        self.tell({"type": "joined", "name": name, "people": self.people()}, but=client)

    def leave(self, event: wsmash.CloseEvent) -> None:
        name = self.names.pop(event.client, None)
        if name is not None:
            self.tell({"type": "left", "name": name, "people": self.people()})

    def tell(self, news: dict[str, object], but: wsmash.WebSocketConnection | None = None) -> None:
        self.server.broadcast(news, lambda client: client in self.names and client is not but)

    def people(self) -> list[str]:
        return sorted(self.names.values(), key=str.casefold)

    def free_name(self, wish: str) -> str:
        taken, name, number = set(self.names.values()), wish, 1
        while name in taken:
            number += 1
            name = f"{wish} {number}"
        return name


async def round_trip(port: int) -> float:
    """Join the room once, as any page does, and return how many seconds the welcome took."""
    async with wsmash.connect(f"ws://localhost:{port}/ws") as client:
        started = perf_counter()
        await client.send({"type": "join", "text": "Round trip"})
        await client.recv()
        return perf_counter() - started


async def serve(port: int, *, only_check: bool) -> None:
    server = wsmash.create_server(port=port, path="/ws", static=PAGE)
    Room(server)
    async with server:
        print(f"round trip ok: {await round_trip(server.port) * 1000:.1f} ms", flush=True)
        if not only_check:
            print(f"Chat on http://localhost:{server.port}/", flush=True)
            await server.wait_closed()


def main() -> None:
    parser = argparse.ArgumentParser(prog="chat", description="A chat on http://localhost:8080/")
    parser.add_argument("--port", type=int, default=8080, help="where to serve it; 0 takes a free port")
    parser.add_argument("--check", action="store_true", help="end after the first round trip")
    wanted = parser.parse_args()
    try:
        asyncio.run(serve(wanted.port, only_check=wanted.check))
    except OSError as error:
        sys.exit(f"chat: {error.strerror or error}")
    except KeyboardInterrupt:
        print()


main()
