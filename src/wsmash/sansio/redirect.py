"""Where a redirect leads, and whether it may be followed (RFC 9110 15.4; hostile cases 23 and 24)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final
from urllib.parse import urljoin

from ..grammar import shown
from ..urls import WebSocketURL, check_characters, http_to_ws_url, parse_url
from .http1 import ParsedHead

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
"""The answers whose `Location` is where to ask again."""

FOR_ANYBODY: Final = frozenset({"origin", "user-agent"})
"""Of the headers that a user gave, those that another origin than theirs may see: only what says nothing secret by what
it is. Any other may be a credential, of whatever name (`X-Api-Key`)."""


def is_redirect(head: ParsedHead) -> bool:
    """Whether this answer names another place to ask."""
    return head.status in REDIRECTS and "Location" in head.headers


def redirect_target(address: WebSocketURL, head: ParsedHead) -> WebSocketURL:
    """Where the answer of this address leads; a relative `Location` is resolved, http and https mean ws and wss.

    Its fragment and userinfo are dropped: a WebSocket has no use for the one, and
    whom the client is to the next server is not the last one's to say.

    Raises:
        ValueError: it leads to no WebSocket, or from wss to ws.
    """
    locations = head.headers.get_all("Location")
    if len(locations) != 1:
        raise ValueError("there is more than one Location")
    location = _text(locations[0]).partition("#")[0]
    try:
        check_characters(location)  # first, since urljoin drops some of them in silence
        target = parse_url(http_to_ws_url(_resolved(str(address), location)))
    except ValueError as error:
        raise ValueError(f"its Location is no place to ask for a WebSocket: {error}") from None
    if address.secure and not target.secure:
        raise ValueError(f"its Location leads from wss to ws: {target.redacted}")
    return replace(target, username=None, password=None)


def same_origin(one: WebSocketURL, other: WebSocketURL) -> bool:
    """Whether both are one server's: the same host and port, where the default ports of ws and wss count as one."""
    return one.host == other.host and (
        one.port == other.port or (one.has_default_port and other.has_default_port)
    )


def _resolved(base: str, location: str) -> str:
    """The absolute form of a reference (RFC 3986 5.2)."""
    start, colon, _ = location.partition(":")
    if colon and "/" not in start and "?" not in start:
        return location  # it has a scheme; urljoin would take "ws://" and "ws:x" for something relative
    if location.startswith("//"):
        return base.partition("//")[0] + location  # where it would take a missing host for the base's
    return urljoin(base, location)


def _text(value: str) -> str:
    """A header's value, which came as Latin-1, as the UTF-8 that servers mean by it (RFC 3987 3.1)."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise ValueError(f"its Location is not UTF-8: {shown(value)}") from None
