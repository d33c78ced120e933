"""The client through somebody else's proxies: tiny-proxy's HTTP CONNECT, SOCKS4 and SOCKS5."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest
import tiny_proxy

import wsmash
from fixtures.certificates import contexts
from fixtures.in_loop import in_loop
from fixtures.raw import serving

pytestmark = pytest.mark.interop

HANDLERS: dict[str, Callable[..., Any]] = {
    "http": tiny_proxy.HttpProxyHandler,
    "socks4": tiny_proxy.Socks4ProxyHandler,
    "socks4a": tiny_proxy.Socks4ProxyHandler,
    "socks5": tiny_proxy.Socks5ProxyHandler,
    "socks5h": tiny_proxy.Socks5ProxyHandler,
}


@asynccontextmanager
async def proxy(scheme: str, **credentials: str) -> AsyncIterator[int]:
    """Run one; gives its port."""
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port: int = listener.extra(anyio.abc.SocketAttribute.local_port)
    running = asyncio.ensure_future(listener.serve(HANDLERS[scheme](**credentials).handle))
    try:
        yield port
    finally:
        running.cancel()
        await asyncio.wait([running])
        await listener.aclose()


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("scheme", HANDLERS)
@in_loop
async def test_echo(scheme: str, secure: bool) -> None:
    """Messages of every size pass both ways, with credentials and without."""
    accounts: list[tuple[dict[str, str], str]] = [({}, "")]
    if scheme in ("http", "socks5", "socks5h"):
        accounts.append(({"username": "user", "password": "p@ss"}, "user:p%40ss@"))
    options = {"ssl": contexts().server} if secure else {}
    async with serving(**options) as server:
        server.on("connection", lambda event: event.client.on("message", lambda e: e.client.send(e.data)))
        url = f"{'wss' if secure else 'ws'}://localhost:{server.port}"
        for credentials, userinfo in accounts:
            async with (
                proxy(scheme, **credentials) as port,
                wsmash.connect(
                    url, ssl=contexts().client if secure else None, proxy=f"{scheme}://{userinfo}127.0.0.1:{port}"
                ) as client,
            ):
                for message in ("hello", bytes(200_000)):
                    await client.send(message)
                    assert await client.recv() == message


@pytest.mark.parametrize("scheme", ["http", "socks5"])
@in_loop
async def test_wrong_credentials(scheme: str) -> None:
    """They are a ProxyError."""
    async with proxy(scheme, username="user", password="other") as port:
        client = wsmash.create_client("ws://localhost:9", proxy=f"{scheme}://user:hunter2@127.0.0.1:{port}")
        with pytest.raises(wsmash.ProxyError) as caught:
            await client.connect()
        assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("scheme", HANDLERS)
@in_loop
async def test_nobody_at_the_server_s_place(scheme: str) -> None:
    """A server that the proxy does not reach is a ProxyError."""
    async with serving() as gone:
        port = gone.port
    async with proxy(scheme) as at:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}", proxy=f"{scheme}://127.0.0.1:{at}")
        with pytest.raises(wsmash.ProxyError):
            await client.connect()
