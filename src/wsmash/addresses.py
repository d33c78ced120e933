"""Addresses of peers: which of them count as one."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final

_MAPPED: Final = bytes(10) + b"\xff\xff"
"""What an IPv4 address starts with where a socket of IPv6 shows it (RFC 4291 2.5.5.2)."""


def counted_as(host: str) -> str:
    """Under which name a peer is counted: IPv4 by address, IPv6 by its /64.

    A /64 is what one subscriber gets at least (RFC 6177 2), and what is in it is
    free to choose: a limit for each address would be none.
    """
    if ":" not in host:
        return host
    try:
        packed = inet_pton(AF_INET6, host.partition("%")[0])
    except OSError:
        return host
    if packed.startswith(_MAPPED):
        return inet_ntop(AF_INET, packed[12:])
    return f"{inet_ntop(AF_INET6, packed[:8] + bytes(8))}/64"
