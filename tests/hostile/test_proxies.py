"""Networks that fail between a client and its proxy: within TLS, the proxy's or the server's, an answer, or a message.

Wherever the way is cut: the client is told once, in bounded time, by one of the
errors that are documented, and nothing is left of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import NoneType
from typing import Any, NamedTuple

import pytest

import wsmash
from fixtures import proxies
from fixtures.certificates import contexts
from fixtures.chaos import SOUND, ChaosProxy, Faults
from fixtures.failures import listened_to
from fixtures.in_loop import in_loop, until
from fixtures.live import make_server
from fixtures.proxies import proxy
from fixtures.remains import nothing_left

pytestmark = [pytest.mark.usefixtures("local_engine"), pytest.mark.case(26)]

KINDS = {"http": proxies.http, "https": proxies.http, "socks4": proxies.socks4, "socks5h": proxies.socks5}

PARTS = 24
"""At how many bytes a conversation is cut, from its first to its last."""

SAID = "text" * 1_000


class Way(NamedTuple):
    """A server over TLS, and a proxy on the way to it."""

    server: wsmash.WebSocketServer
    proxy: proxies.Proxy
    scheme: str

    def client(self, chaos: ChaosProxy, **options: Any) -> wsmash.WebSocketClient:
        """A client that gets to the proxy through the chaos."""
        userinfo = "user" if self.scheme == "socks4" else "user:pass"
        settings: dict[str, Any] = {
            "ssl": contexts().client,
            "proxy": f"{self.scheme}://{userinfo}@127.0.0.1:{chaos.port}",
            "proxy_ssl": contexts().client if self.scheme == "https" else None,
            "compression": None,
            "open_timeout": 2.0,
            "close_timeout": 0.3,
            "ping_interval": 0.3,
            "ping_timeout": 0.3,
        }
        return wsmash.create_client(f"wss://127.0.0.1:{self.server.port}", **settings | options)


@asynccontextmanager
async def way(scheme: str) -> AsyncIterator[Way]:
    """Both run, the server as an echo."""
    settings: dict[str, Any] = {"ssl": contexts().server, "close_timeout": 0.3, "shutdown_timeout": 1}
    async with make_server(**settings) as server:
        server.on("connection", lambda event: event.client.on("message", lambda got: got.client.send(got.data)))
        context = contexts().server if scheme == "https" else None
        async with proxy(KINDS[scheme], context=context, credentials=("user", "pass")) as there:
            yield Way(server, there, scheme)


async def talk(client: wsmash.WebSocketClient) -> bool:
    """Connect, have a message echoed, close; whether that was possible. Anything undocumented is raised."""
    heard = listened_to(client)
    refused: wsmash.WebSocketError | None = None
    try:
        await client.connect()
        with suppress(wsmash.ConnectionClosed):
            await client.send(SAID)
            await until(lambda: len(heard) > 1)
            await client.close()
    except (wsmash.ConnectError, wsmash.OpenTimeout, wsmash.HandshakeError) as error:
        refused = error
    await client.wait_closed()
    assert [name for name, _ in heard].count("close") == 1 and heard[-1][0] == "close"
    assert heard[0] == ("open", None) if refused is None else heard[0] == ("error", refused)
    return heard[-1] == ("close", 1000)


@pytest.mark.parametrize("scheme", KINDS)
def test_a_byte_at_a_time(scheme: str) -> None:
    """Answers of proxies, and TLS within TLS, are the same however they are split."""

    @in_loop
    async def scenario() -> None:
        async with nothing_left(), way(scheme) as at:
            piece = Faults(piece=7, latency=0.001)
            async with ChaosProxy(at.proxy.port, to_server=piece, to_client=Faults(piece=1)) as chaos:
                assert await talk(at.client(chaos))

    scenario()


@pytest.mark.parametrize("fault", ["reset_at", "end_at"])
@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("scheme", KINDS)
def test_cut_anywhere(scheme: str, direction: str, fault: str) -> None:
    """A reset, or an end in one direction, at any byte: told once, in time, and nothing is left."""

    async def cut(at: Way, byte: int) -> None:
        faults: dict[str, Any] = {"to_server": SOUND, "to_client": SOUND, direction: Faults(**{fault: byte})}
        async with ChaosProxy(at.proxy.port, **faults) as chaos:
            await asyncio.wait_for(talk(at.client(chaos)), 6)

    @in_loop
    async def scenario() -> None:
        async with nothing_left(), way(scheme) as at:
            async with ChaosProxy(at.proxy.port) as chaos:
                assert await talk(at.client(chaos))
                total = chaos.bytes_to_server if direction == "to_server" else chaos.bytes_to_client
            opening = total - len(SAID)
            assert opening > 0
            marks = {opening * part // PARTS for part in range(PARTS)} | {1, 2, 3, opening + 100, total - 1}
            await asyncio.gather(*(cut(at, byte) for byte in sorted(marks)))

    scenario()


@pytest.mark.parametrize("how", ["close", "cancel", "timeout"])
@pytest.mark.parametrize("scheme", KINDS)
def test_given_up_at_any_moment(scheme: str, how: str) -> None:
    """By closing the client, by cancelling who awaits it, or by `open_timeout`: nothing is left, however far it was."""

    async def give_up(at: Way, chaos: ChaosProxy, moment: float) -> None:
        client = at.client(chaos, open_timeout=moment if how == "timeout" else 2.0)
        heard = listened_to(client)
        connecting = asyncio.ensure_future(client.connect())
        await asyncio.wait([connecting], timeout=None if how == "timeout" else moment)
        if how == "cancel" and not connecting.done():
            connecting.cancel()
        else:
            await client.close()
        await asyncio.wait([connecting])
        client.abort()
        await client.wait_closed()
        assert connecting.cancelled() or isinstance(
            connecting.exception(), (NoneType, wsmash.OpenTimeout, wsmash.ConnectionClosed)
        )
        assert [name for name, _ in heard].count("close") == 1

    @in_loop
    async def scenario() -> None:
        async with nothing_left(), way(scheme) as at:
            slowly = Faults(latency=0.004)
            async with ChaosProxy(at.proxy.port, to_server=slowly, to_client=slowly) as chaos:
                await asyncio.gather(*(give_up(at, chaos, 0.001 + 0.003 * part) for part in range(PARTS)))

    scenario()
