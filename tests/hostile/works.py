"""What the server of the probes does with its connections: one function for each kind of work."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import wsmash

LAST = 10
"""Ends that are remembered."""


@dataclass
class Seen:
    """What the application saw.

    Attributes:
        opened: `connection` events.
        messages: `message` events.
        characters: bytes or characters in them.
        last: what the last one was, cut.
        ends: `close` events.
        closed: code, reason and cleanness of the last of them.
        errors: the text of each `error` event.
    """

    opened: int = 0
    messages: int = 0
    characters: int = 0
    last: str = ""
    ends: int = 0
    closed: list[tuple[int, str, bool]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self, client: wsmash.ServerConnection) -> None:
        """Note what becomes of a connection."""
        self.opened += 1
        client.on("close", self._close)
        client.on("error", lambda event: self.errors.append(repr(event.error)))

    def message(self, data: str | bytes) -> None:
        """A message has come."""
        self.messages += 1
        self.characters += len(data)
        self.last = repr(data[:100])

    def _close(self, event: wsmash.CloseEvent) -> None:
        self.ends += 1
        self.closed = [*self.closed[1 - LAST :], (event.code, event.reason, event.was_clean)]


def echo(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Send each message back."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)

        @event.client.on("message")
        def received(event: wsmash.MessageEvent) -> None:
            seen.message(event.data)
            event.client.send(event.data)


def hear(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Take messages, and say nothing."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)
        event.client.on("message", lambda event: seen.message(event.data))


def iterate(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Echo in pull style, in a coroutine callback."""

    @server.on("connection")
    async def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)
        async for message in event.client:
            seen.message(message)
            await event.client.send(message)


def fail(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Raise at each message, with what must not be told."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)

        @event.client.on("message")
        def received(event: wsmash.MessageEvent) -> None:
            raise ValueError(f"a secret: {event.data!r:.50}")


def slow(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Take a moment for each message."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)

        @event.client.on("message")
        async def received(event: wsmash.MessageEvent) -> None:
            seen.message(event.data)
            await asyncio.sleep(0.05)


def parse(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Take each message for JSON, and say what it is."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)

        @event.client.on("message")
        def received(event: wsmash.MessageEvent) -> None:
            event.client.send(type(event.json()).__name__)


def stuck(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Be at the first message until this side closes the connection: what follows waits in the inbox."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)

        @event.client.on("message")
        async def received(event: wsmash.MessageEvent) -> None:
            seen.message(event.data)
            await event.client.wait_closed()


def leak(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Keep a descriptor for each connection, and write what nobody may: for tests of the checks themselves."""
    kept = []

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        kept.append(socket.socket())
        print("Traceback (most recent call last)", file=sys.stderr)


def fragments(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Begin a message and go on with it for ever."""

    async def parts() -> AsyncIterator[str]:
        while True:
            yield "part"
            await asyncio.sleep(0.01)

    @server.on("connection")
    async def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)
        await event.client.send_fragments(parts())


def hear_flood(server: wsmash.WebSocketServer, seen: Seen) -> None:
    """Echo only what is longer than what floods are made of."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        seen.watch(event.client)
        event.client.on("message", lambda event: event.client.send(event.data) if len(event.data) > 32 else None)
