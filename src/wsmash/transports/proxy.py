"""Ways to a server through a proxy: SOCKS by `python-socks`, which only this file imports; CONNECT is in `connect.py`.

The proxy is dialled as a server would be, by all of its addresses. What comes
back carries the server's own bytes, so TLS is between the client and the server,
whose name it verifies.
"""

from __future__ import annotations

import asyncio
import ssl
from ipaddress import ip_address
from socket import AF_INET, AF_UNSPEC, SOCK_STREAM, socket
from typing import Any, cast

from ..errors import ConnectError, ProxyError
from ..proxies import Proxy
from ..sansio.http1 import HeadLimits
from .base import TLS
from .connect import Pipe, connect, wants_credentials
from .dial import dial
from .tls import TLSPump, explained, is_permanent
from .tunnel import Tunnel

_NO_TIMEOUT = 1e8
"""Seconds. The time is the caller's to keep; `python-socks` takes None for a minute."""


async def dial_through(
    proxy: Proxy, host: str, port: int, limits: HeadLimits, context: ssl.SSLContext | None
) -> socket | Tunnel:
    """A way to this place through a proxy: a socket, or a tunnel where the proxy is spoken to over TLS.

    Args:
        proxy: to be asked.
        host: of the server.
        port: of the server.
        limits: of the head of a proxy's answer.
        context: for TLS with an https:// proxy.

    Raises:
        ProxyError: the proxy was not reached, or has not connected to the server.
    """
    try:
        sock = await dial(proxy.host, proxy.port)
    except ConnectError as error:
        text = f"the proxy {proxy} is not reached: {error}"
        raise ProxyError(text, errno=error.errno, causes=error.causes) from error
    try:
        if proxy.scheme in ("http", "https"):
            return await _connect(sock, proxy, host, port, limits, context)
        await _socks(sock, proxy, host, port)
    except ssl.SSLError as error:
        text = explained(error, f"the proxy {proxy}")
        sock.close()
        permanent = is_permanent(error)
        raise ProxyError(text, errno=error.errno, causes=[error], permanent=permanent) from error
    except ProxyError:
        sock.close()
        raise
    except OSError as error:
        sock.close()
        text = f"the connection to the proxy {proxy} broke: {error}"
        raise ProxyError(text, errno=error.errno, causes=[error]) from error
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect(
    sock: socket, proxy: Proxy, host: str, port: int, limits: HeadLimits, context: ssl.SSLContext | None
) -> socket | Tunnel:
    if proxy.scheme == "http":
        await connect(Pipe(sock), proxy, host, port, limits)
        return sock
    session = TLSPump(TLS(cast(ssl.SSLContext, context), server_side=False, server_hostname=proxy.host))
    await connect(Pipe(sock, session), proxy, host, port, limits)
    return Tunnel(sock, session)


async def _socks(sock: socket, proxy: Proxy, host: str, port: int) -> None:
    # Late, since few need it.
    import python_socks  # noqa: PLC0415
    from python_socks.async_.asyncio import v2  # noqa: PLC0415

    old = proxy.scheme.startswith("socks4")
    if proxy.scheme in ("socks4", "socks5"):
        host = await _looked_up(host, port, old=old)
    if old and ":" in host:
        raise ProxyError(f"the proxy {proxy} can't be asked for {host}: SOCKS4 knows no IPv6", permanent=True)
    dialled = _Dialled(sock)
    asked = v2.Proxy(
        python_socks.ProxyType.SOCKS4 if old else python_socks.ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        proxy.username,
        proxy.password,
        rdns=True,
        forward=cast(Any, dialled),
    )
    try:
        await asked.connect(host, port, timeout=_NO_TIMEOUT)
    except OSError:
        raise
    except Exception as error:  # of what a hostile proxy says, some is a ValueError there
        text = f"the proxy {proxy} did not connect to {host}:{port}: {error}"
        refused = _is_about_credentials(dialled.answers)
        raise ProxyError(f"{text}: {wants_credentials(proxy)}" if refused else text, permanent=refused) from error


def _is_about_credentials(answers: list[bytes]) -> bool:
    """Whether the last answer of a SOCKS proxy was that it wants to know, or does not know, who the client is."""
    first = answers[0] if answers else b""
    if first[:1] == b"\0":
        return first[1:2] == b"\x5d"  # "user-id differs", in SOCKS4
    if len(answers) == 2 and first == b"\x05\x02":
        return answers[1][:1] == b"\x01" and answers[1] != b"\x01\0"  # RFC 1929 2
    return first == b"\x05\xff"  # no method that was offered (RFC 1928 3)


async def _looked_up(host: str, port: int, *, old: bool) -> str:
    """The first address of a name, which the proxy is asked for in its place."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    family = AF_INET if old else AF_UNSPEC
    try:
        found = await loop.getaddrinfo(host, port, family=family, type=SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        raise ProxyError(f"cannot look up {host} for the proxy: {error}", errno=number) from error
    return str(found[0][4][0])


class _Dialled:
    """What `python-socks` takes for a proxy before its own, and for that proxy's stream: our socket."""

    def __init__(self, sock: socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self.answers: list[bytes] = []
        """What was read so far."""

    async def connect(self, **_: object) -> _Dialled:
        """There is nothing left to do."""
        return self

    async def write_all(self, data: bytes) -> None:
        """Write it."""
        await self._loop.sock_sendall(self._socket, data)

    async def read_exact(self, size: int) -> bytes:
        """Read so many bytes and none beyond them, which would be the server's."""
        data = bytearray()
        while len(data) < size:
            piece = await self._loop.sock_recv(self._socket, size - len(data))
            if not piece:
                raise ConnectionError("it was closed before its answer was complete")
            data += piece
        self.answers.append(bytes(data))
        return self.answers[-1]

    async def close(self) -> None:
        """The socket is not that package's to close."""
