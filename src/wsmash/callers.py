"""Who sent a request: the peer of its connection, or the client for whom a trusted proxy speaks."""

from __future__ import annotations

from collections.abc import Mapping
from socket import AF_UNIX
from typing import NamedTuple

from .addresses import Networks
from .options import ServerOptions
from .sansio.forwarded import read_forwarded
from .sansio.head import NO_PARAMS, RemoteAddress, Request
from .sansio.headers import Headers
from .sansio.http1 import parse_request

UNIX = "unix"
"""In a list of proxies: whoever connects to a Unix socket."""


class Caller(NamedTuple):
    """Who asks.

    Attributes:
        address: the client's.
        secure: whether it came over TLS.
        host: what a proxy says its Host header was, None where the header itself holds.
        forwarded: whether it came through a trusted proxy.
    """

    address: RemoteAddress
    secure: bool
    host: str | None = None
    forwarded: bool = False


class Callers:
    """Knows the proxies that a server trusts."""

    def __init__(self, options: ServerOptions) -> None:
        proxies = tuple(options.trusted_proxies)
        # Elsewhere a peer without a name is one that reset its connection before it was accepted.
        self._unix = UNIX in proxies and _listens_on_unix(options)
        self._networks = Networks(each for each in proxies if each != UNIX)
        self._any = bool(proxies)
        self._standard = options.proxy_headers == "forwarded"

    def trusts(self, address: RemoteAddress) -> bool:
        """Whether a peer is a trusted proxy."""
        if not self._any:
            return False
        return address[0] in self._networks if isinstance(address, tuple) else self._unix

    def find(self, headers: Headers, peer: RemoteAddress, *, secure: bool) -> Caller:
        """Who sent a request with these headers over a connection from `peer`.

        Raises:
            ValueError: the peer is trusted, and what it says is malformed.
        """
        if self.trusts(peer):
            found = read_forwarded(headers, self._networks, standard=self._standard)
            if found is not None:
                address = peer if found.address is None else found.address
                return Caller(address, secure if found.secure is None else found.secure, found.host, forwarded=True)
        return Caller(peer, secure)

    def request(
        self, head: bytes, peer: RemoteAddress, *, secure: bool, params: Mapping[str, str] = NO_PARAMS
    ) -> Request:
        """A request that was let in, as users see it."""
        if not self.trusts(peer):
            return Request(head, secure=secure, remote_address=peer, params=params)
        caller = self.find(parse_request(head).headers, peer, secure=secure)
        return as_request(head, caller, params)


def as_request(head: bytes, caller: Caller, params: Mapping[str, str] = NO_PARAMS) -> Request:
    """The same, where it is known who asks."""
    return Request(
        head, secure=caller.secure, remote_address=caller.address, forwarded_host=caller.host, params=params
    )


def _listens_on_unix(options: ServerOptions) -> bool:
    return options.unix is not None or any(sock.family == AF_UNIX for sock in options.sockets)
