"""HTTP CONNECT: a proxy is asked for a tunnel to a server (RFC 9110 9.3.6), over a socket that no driver carries yet.

A proxy is not trusted with more than its tunnel. Its answer is read under the
same limits as a server's, whole, however it is split; and since no WebSocket
server speaks first, bytes behind the answer can only be the proxy's own, and are
refused before anything could take them for the server's (hostile case 81).
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from base64 import b64encode
from socket import socket

from ..constants import USER_AGENT
from ..errors import ProxyError
from ..grammar import shown
from ..proxies import Proxy
from ..sansio.http1 import MAX_INTERIM, BadHead, HeadLimits, HeadReader, encode_request, is_interim, parse_response
from .base import READ_SIZE
from .tls import TLSPump


class Pipe:
    """A connected socket to a proxy, perhaps with a TLS session on it, which is read and written by one task."""

    def __init__(self, sock: socket, session: TLSPump | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._session = session
        self.ended = False
        """Whether the proxy has said that it will send no more, or what it sends makes no sense any more."""

    async def write(self, data: bytes) -> None:
        """Write all of it; under TLS it may wait for the handshake, which `read` goes on with."""
        if self._session is not None:
            self._session.write(data)
            data = self._session.output()
        await self._loop.sock_sendall(self._socket, data)

    async def read(self) -> bytes:
        """What came, at least one byte; none where the peer has ended.

        Raises:
            OSError: the connection broke, or TLS failed.
        """
        while not self.ended:
            data = await self._loop.sock_recv(self._socket, READ_SIZE)
            if self._session is None or not data:
                return data
            try:
                data, ended = self._session.receive(data)
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._socket.send(self._session.output())  # the alert
                raise
            await self._loop.sock_sendall(self._socket, self._session.output())
            self._session.answered = 0
            self.ended = ended or self._session.failure is not None
            if data:
                return data
        return b""


async def connect(pipe: Pipe, proxy: Proxy, host: str, port: int, limits: HeadLimits) -> None:
    """Have the proxy connect to this place; what the pipe carries from then on is between us and the server.

    Raises:
        ProxyError: it refused, with its status and headers, or its answer was none.
        OSError: the connection broke, or TLS failed.
    """
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = [("Host", place), ("User-Agent", USER_AGENT)]
    if proxy.username is not None or proxy.password is not None:
        credentials = f"{proxy.username or ''}:{proxy.password or ''}".encode()
        headers.append(("Proxy-Authorization", f"Basic {b64encode(credentials).decode('ascii')}"))
    await pipe.write(encode_request("CONNECT", place, headers))
    try:
        await _read_answer(pipe, proxy, place, limits)
    except BadHead as error:
        raise ProxyError(f"the answer of the proxy {proxy} is not valid HTTP: {error}{_if_tls(proxy)}") from error


def wants_credentials(proxy: Proxy) -> str:
    """What to say of a proxy that does not take a client for who it is."""
    if proxy.username is not None or proxy.password is not None:
        return "it wants other credentials than its URL gives"
    return f"it wants credentials, as in {proxy.scheme}://user:password@{proxy.redacted.partition('//')[2]}"


def _if_tls(proxy: Proxy) -> str:
    return "; if it expects TLS, the scheme of its URL is https" if proxy.scheme == "http" else ""


async def _read_answer(pipe: Pipe, proxy: Proxy, place: str, limits: HeadLimits) -> None:
    data = b""
    for _ in range(MAX_INTERIM + 1):
        reader = HeadReader(limits, request=False)
        raw = reader.feed(data)
        while raw is None:
            data = await pipe.read()
            if not data:
                raise ProxyError(f"the proxy {proxy} closed the connection before it answered{_if_tls(proxy)}")
            raw = reader.feed(data)
        head, data = parse_response(raw), reader.rest
        if not is_interim(head):
            break
    if not 200 <= head.status < 300:
        reason = f" {shown(head.reason)[1:-1]}" if head.reason else ""
        hint = {403: ": it does not allow this place", 407: f": {wants_credentials(proxy)}"}.get(head.status, "")
        raise ProxyError(
            f"the proxy {proxy} answered HTTP {head.status}{reason}, and did not connect to {place}{hint}",
            status=head.status,
            headers=head.headers,
        )
    if data:
        raise ProxyError(f"the proxy {proxy} sent more than its answer, before the server was asked anything")
    if pipe.ended:
        raise ProxyError(f"the proxy {proxy} closed the connection behind its answer")
