"""Addresses of peers: which of them count as one, and which are in a list."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Final

from .grammar import shown

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


def parse_address(host: str) -> IPv4Address | IPv6Address:
    """An address without its zone, and as IPv4 where that is all it is.

    Raises:
        ValueError: it is none.
    """
    found = ip_address(host.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found


class Networks:
    """Addresses and networks, such as "192.0.2.1" and "10.0.0.0/8".

    Raises:
        ValueError: one is neither.
    """

    __slots__ = ("_networks",)

    def __init__(self, texts: Iterable[str]) -> None:
        networks = []
        for text in texts:
            try:
                networks.append(ip_network(text))
            except ValueError:
                raise ValueError(f"{shown(text)} is no address and no network such as 10.0.0.0/8") from None
        self._networks = tuple(networks)

    def __contains__(self, host: object) -> bool:
        try:
            address = parse_address(str(host))
        except ValueError:
            return False
        return any(address in network for network in self._networks)
