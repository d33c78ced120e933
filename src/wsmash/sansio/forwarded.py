"""Whom a proxy speaks for: `X-Forwarded-*`, and `Forwarded` (RFC 7239).

Each proxy on the way appends the address that connected to it, so the list is
read from its end: addresses of trusted proxies are passed over, and the first
other one is the client. What stands before it the client may have made up, and
is not looked at. Nothing here is true unless the peer itself is trusted.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Final, NamedTuple

from ..addresses import parse_address
from ..grammar import OWS, is_token, shown
from ..urls import split_host
from .headers import Headers

_X_FOR: Final = "X-Forwarded-For"
_X_HOST: Final = "X-Forwarded-Host"
_X_PROTO: Final = "X-Forwarded-Proto"
_STANDARD: Final = "Forwarded"

_SECURE: Final = {"https": True, "wss": True, "http": False, "ws": False}

MAX_HOPS: Final = 32
"""Proxies that are passed over at most; a longer way is malformed."""


class Forwarded(NamedTuple):
    """What a request says of its way; None is what it does not say.

    Attributes:
        address: the client's host and port, 0 where the port is not told.
        secure: whether the client came over TLS.
        host: what its Host header said.
    """

    address: tuple[str, int] | None = None
    secure: bool | None = None
    host: str | None = None


class _Element(NamedTuple):
    """What one proxy has added; empty where it says nothing."""

    node: str = ""
    proto: str = ""
    host: str = ""


def read_forwarded(headers: Headers, trusted: Container[str], *, standard: bool) -> Forwarded | None:
    """What the proxies say; None where they say nothing.

    Args:
        headers: of a request whose peer is a trusted proxy.
        trusted: holds the addresses of proxies.
        standard: whether `Forwarded` is read in place of `X-Forwarded-*`. Never both: a
            proxy that sets the one lets a client's own other pass.

    Raises:
        ValueError: what had to be looked at is malformed.
    """
    found = None
    for count, element in enumerate(_standard(headers) if standard else _x_forwarded(headers)):
        if count >= MAX_HOPS:
            raise ValueError(f"the request has passed more than {MAX_HOPS} proxies")
        address = _address(element.node) if element.node else None
        if address is None and found is not None:
            return found  # somebody who is not told: the one before is the last that is known
        found = Forwarded(address, _secure(element.proto), _host(element.host))
        if address is None or address[0] not in trusted:
            break
    return found


def _x_forwarded(headers: Headers) -> Iterator[_Element]:
    """The elements of three parallel lists, the last one first; of a shorter list the last item holds for all."""
    nodes = _items(headers, _X_FOR)
    protos, hosts = _items(headers, _X_PROTO), _items(headers, _X_HOST)
    if not nodes and (protos or hosts):
        yield _Element("", _beside(protos, 1, 0), _beside(hosts, 1, 0))
    for at, node in enumerate(reversed(nodes)):
        if not node:
            raise ValueError(f"{_X_FOR} has an empty item")
        yield _Element(node, _beside(protos, len(nodes), at), _beside(hosts, len(nodes), at))


def _beside(items: list[str], count: int, at: int) -> str:
    """The item for the address that is the one `at` from the end of so many."""
    if not items:
        return ""
    return items[-1 - at] if len(items) == count else items[-1]


def _items(headers: Headers, name: str) -> list[str]:
    return [item.strip(OWS) for value in headers.get_all(name) for item in value.split(",")]


def _standard(headers: Headers) -> Iterator[_Element]:
    """The elements of `Forwarded`, the last one first; lines before the one that is needed are not parsed."""
    for line in reversed(headers.get_all(_STANDARD)):
        for element in reversed(_split(line, ",")):
            parts = {}
            for pair in _split(element, ";"):
                name, equals, value = pair.strip(OWS).partition("=")
                if not equals or not is_token(name) or name.lower() in parts:
                    raise ValueError(f"{_STANDARD} is malformed: {shown(element)}")
                parts[name.lower()] = _value(value)
            yield _Element(parts.get("for", ""), parts.get("proto", ""), parts.get("host", ""))


def _split(text: str, separator: str) -> list[str]:
    """Split where the separator does not stand in a quoted string."""
    pieces = [""]
    for at, part in enumerate(text.replace('\\"', "\0").split('"')):
        if at % 2:
            pieces[-1] += f'"{part}"'
        else:
            first, *others = part.split(separator)
            pieces[-1] += first
            pieces += others
    if text.replace('\\"', "").count('"') % 2:
        raise ValueError(f"{_STANDARD} has an open quotation mark: {shown(text)}")
    return [piece.replace("\0", '\\"') for piece in pieces]


def _value(text: str) -> str:
    """A token, or what stands in a quoted string (RFC 7239 4)."""
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1].replace("\\", "")
    if not is_token(text):
        raise ValueError(f"{_STANDARD} has a value that is no token and not quoted: {shown(text)}")
    return text


def _address(node: str) -> tuple[str, int] | None:
    """Host and port of `192.0.2.1:80`, `[2001:db8::1]:80` or either without a port; None for who is not told."""
    if node.lower() == "unknown" or node.startswith("_"):
        return None  # RFC 7239 6.2 and 6.3
    host, port = node, ""
    if node.startswith("["):
        host, bracket, port = node[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise ValueError(f"{shown(node)} is no address of a client")
    elif node.count(":") == 1:
        host, _, port = node.partition(":")
    port = port.removeprefix(":")
    try:
        address = str(parse_address(host))
    except ValueError:
        raise ValueError(f"{shown(node)} is no address of a client") from None
    if port.startswith("_"):
        port = ""  # RFC 7239 6.3
    if port and not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
        raise ValueError(f"{shown(node)} has no port of 0 to 65535")
    return address, int(port or 0)


def _secure(proto: str) -> bool | None:
    if not proto:
        return None
    if proto.lower() not in _SECURE:
        raise ValueError(f"the forwarded protocol must be http or https, and is {shown(proto)}")
    return _SECURE[proto.lower()]


def _host(text: str) -> str | None:
    if not text:
        return None
    try:
        split_host(text)
    except ValueError as error:
        raise ValueError(f"the forwarded host can't be {shown(text)}: {error}") from None
    return text
