"""A server and three clients in one process, and the account of what each of them got: what a fault must not change."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import wsmash

CLIENTS = 3
MESSAGES: tuple[str | bytes, ...] = ("small", "grüße " * 2000, b"\x00\xff" * 60_000, "", "last")
PIECES = ("one ", "two ", "three")
NEWS = "to all of you"


@dataclass
class Talk:
    """What one client and the server's end of it heard.

    Attributes:
        port: the client's; None where it never got as far.
        heard: messages that came back to the client.
        told: messages that came to the server.
        closed: the code at the client.
        left: the code at the server; None where it had no such connection.
        error: the class of what the client's own calls raised.
    """

    port: int | None = None
    heard: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    closed: int | None = None
    left: int | None = None
    error: str | None = None


@dataclass
class Account:
    """What came of one run; everything but `talks` must be nothing."""

    talks: list[Talk]
    escaped: list[str]
    logged: list[str]
    tasks: list[str]
    descriptors: int
    hung: list[str] = field(default_factory=list)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class _Log(logging.Handler):
    def __init__(self, records: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append(record.getMessage())


class Scenario:
    """One kind of connection.

    Args:
        server: options of the server, beside those that every run has.
        client: the same of the clients.
        begun: called when the server listens; from here on calls may fail.
        ended: called when the last connection is closed.
    """

    def __init__(
        self,
        server: dict[str, Any],
        client: dict[str, Any],
        begun: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._server = server
        self._client = client
        self._begun = begun
        self._ended = ended

    def run(self) -> Account:
        """Once, on a loop of its own."""
        account = Account([Talk() for _ in range(CLIENTS)], [], [], [], _descriptors())
        log = _Log(account.logged)
        logging.getLogger("wsmash").addHandler(log)
        try:
            asyncio.run(self._run(account))
        finally:
            self._ended()
            logging.getLogger("wsmash").removeHandler(log)
        account.descriptors = _descriptors() - account.descriptors
        return account

    async def _run(self, account: Account) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: account.escaped.append(repr(context.get("exception", context))))
        server = wsmash.create_server(
            host="127.0.0.1", port=0, path="/{number}", close_timeout=0.15, shutdown_timeout=3, **self._server
        )
        server.on("connection", lambda event: self._connected(account, event))
        async with server:
            self._begun()
            await self._talk(account, server)
            self._ended()
        await asyncio.sleep(0)
        account.tasks += [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    def _connected(self, account: Account, event: wsmash.ConnectionEvent) -> None:
        talk = account.talks[int(event.request.params["number"])]

        def echo(message: wsmash.MessageEvent) -> None:
            talk.told.append(message.data)
            message.client.send(message.data)

        def closed(event: wsmash.CloseEvent) -> None:
            talk.left = event.code

        event.client.on("message", echo)
        event.client.on("close", closed)

    async def _talk(self, account: Account, server: wsmash.WebSocketServer) -> None:
        scheme = "ws" if self._server.get("ssl") is None else "wss"
        clients = []
        for number, talk in enumerate(account.talks):
            client = wsmash.create_client(
                f"{scheme}://127.0.0.1:{server.port}/{number}", open_timeout=2, close_timeout=0.15, **self._client
            )
            client.on("close", partial(_closed, talk))
            client.on("error", lambda _: None)
            clients.append(client)
            await _guarded(talk, self._connect(client, talk))
        said = map(_say_all, clients, account.talks)
        await asyncio.gather(*map(_guarded, account.talks, said))
        server.broadcast(NEWS)
        for client, talk in zip(clients, account.talks, strict=True):
            await _guarded(talk, _hear(client, talk, 1))
        for number, client in enumerate(clients):
            if number % 2:
                for each in server.get_clients():
                    if each.request.params["number"] == str(number):
                        each.close()
            else:
                client.close()
            try:
                await asyncio.wait_for(client.wait_closed(), 3)
            except TimeoutError:
                account.hung.append(f"the end of client {number}")
                client.abort()
        try:
            async with asyncio.timeout(3):
                while server.get_client_count():
                    await asyncio.sleep(0.001)
        except TimeoutError:
            account.hung.append("the server's connections")

    async def _connect(self, client: wsmash.WebSocketClient, talk: Talk) -> None:
        await client.connect()
        address = client.local_address
        talk.port = address[1] if isinstance(address, tuple) else None


async def _guarded(talk: Talk, doing: Any) -> None:
    """Note what the client's own calls raise; after that nothing more is said."""
    if talk.error is not None:
        doing.close()
        return
    try:
        await asyncio.wait_for(doing, 5)
    except (wsmash.WebSocketError, TimeoutError) as error:
        talk.error = type(error).__name__


def _closed(talk: Talk, event: wsmash.CloseEvent) -> None:
    talk.closed = event.code


async def _say_all(client: wsmash.WebSocketClient, talk: Talk) -> None:
    for message in MESSAGES:
        await client.send(message)
    await _hear(client, talk, len(MESSAGES))
    await client.ping()
    await client.send_fragments(PIECES)
    await _hear(client, talk, 1)


async def _hear(client: wsmash.WebSocketClient, talk: Talk, count: int) -> None:
    for _ in range(count):
        talk.heard.append(await client.recv())
