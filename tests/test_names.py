"""The client and the addresses of a name: some swallow every packet, and a name moves while the client lives."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

import wsmash
from fixtures import proxies
from fixtures.failures import listened_to
from fixtures.in_loop import in_loop
from fixtures.proxies import proxy
from fixtures.raw import serving
from fixtures.scripted_server import scripted, switching

pytestmark = pytest.mark.case(120)

Address = tuple[Any, ...]


@contextmanager
def black_hole(port: int) -> Iterator[Address]:
    """An address of IPv6 where no packet is answered: somebody listens, and whoever comes waits behind a full queue."""
    held = []
    with socket.socket(socket.AF_INET6) as listening:
        listening.bind(("::1", port))
        listening.listen(0)
        try:
            for _ in range(8):
                sock = socket.socket(socket.AF_INET6)
                sock.setblocking(False)
                sock.connect_ex(listening.getsockname())
                held.append(sock)
            yield (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        finally:
            for sock in held:
                sock.close()


class Names:
    """A name server that answers what it is told to for names at .example, and remembers who was asked for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.addresses: list[Address] = []
        self.asked: list[str] = []
        loop = asyncio.get_running_loop()
        real = loop.getaddrinfo

        async def getaddrinfo(host: Any, *rest: Any, **options: Any) -> list[Address]:
            if not str(host).endswith(".example"):
                return await real(host, *rest, **options)
            self.asked.append(host)
            return self.addresses

        monkeypatch.setattr(loop, "getaddrinfo", getaddrinfo)


def local(port: int) -> Address:
    """An address of this machine."""
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))


@in_loop
async def test_an_address_that_swallows_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the connection up by a quarter of a second (RFC 8305 5), and is let go of."""
    names = Names(monkeypatch)
    async with serving() as server:
        with black_hole(server.port) as hole:
            names.addresses = [hole, local(server.port)]
            started = asyncio.get_running_loop().time()
            async with wsmash.connect(f"ws://both.example:{server.port}", proxy=None) as client:
                assert client.remote_address == ("127.0.0.1", server.port)
                assert 0.2 < asyncio.get_running_loop().time() - started < 1


@in_loop
async def test_a_proxy_s_address_that_swallows_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy is dialled by all of its addresses as a server is, SOCKS proxies among them."""
    names = Names(monkeypatch)
    for serve, scheme in ((proxies.http, "http"), (proxies.socks5, "socks5h")):
        async with serving() as server, proxy(serve) as there:
            with black_hole(there.port) as hole:
                names.addresses = [hole, local(there.port)]
                url = f"{scheme}://proxy.example:{there.port}"
                async with wsmash.connect(f"ws://127.0.0.1:{server.port}", proxy=url) as client:
                    assert client.remote_address == ("127.0.0.1", there.port)


@in_loop
async def test_every_address_swallows_packets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is up at `open_timeout`, whichever address was under way."""
    names = Names(monkeypatch)
    with socket.socket(socket.AF_INET6) as free:
        free.bind(("::1", 0))
        port = free.getsockname()[1]
    with black_hole(port) as hole:
        names.addresses = [hole, hole]
        client = wsmash.create_client(f"ws://none.example:{port}", open_timeout=0.4, proxy=None)
        heard = listened_to(client)
        with pytest.raises(wsmash.OpenTimeout, match=r"none\.example"):
            await client.connect()
        assert [name for name, _ in heard] == ["error", "close"]


@in_loop
async def test_a_name_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt looks the name up anew: after an outage the client finds the server at its new address."""
    names = Names(monkeypatch)

    async def once(request: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(request))

    policy = wsmash.Reconnect(first_delay=0.01)
    async with scripted(once) as old, serving() as new:
        names.addresses = [local(old)]
        client = wsmash.create_client("ws://moving.example", reconnect=policy, proxy=None)
        heard = listened_to(client)
        client.on("reconnecting", lambda _: names.addresses.__setitem__(0, local(new.port)))
        await client.connect()
        while new.get_client_count() == 0 or not client.is_open():
            await asyncio.sleep(0.005)
        assert client.remote_address == ("127.0.0.1", new.port)
        assert names.asked == ["moving.example", "moving.example"]
        assert [name for name, _ in heard] == ["open", "open"]
        await client.close()
        await client.wait_closed()
