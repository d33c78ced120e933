"""What a program passes on to a client, and an attacker wrote: nothing ends a line early, or comes near a socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import wsmash

PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "header's name": lambda text: {"headers": {f"X-{text}": "a"}},
    "header's value": lambda text: {"headers": {"X-A": f"a{text}"}},
    "header's value, first": lambda text: {"headers": [("X-A", "a"), ("X-B", f"{text}b")]},
    "host": lambda text: {"headers": {"Host": f"example.com{text}"}},
    "authorization": lambda text: {"headers": {"Authorization": f"Basic a{text}"}},
    "user agent": lambda text: {"headers": {"User-Agent": f"a{text}b"}},
    "subprotocol": lambda text: {"protocols": f"chat{text}"},
    "second subprotocol": lambda text: {"protocols": ["chat", f"a{text}b"]},
    "cookie's name": lambda text: {"cookies": {f"a{text}": "b"}},
    "cookie's value": lambda text: {"cookies": {"a": f"b{text}c"}},
    "bearer token": lambda text: {"auth": f"a{text}b"},
    "user": lambda text: {"auth": (f"a{text}b", "c")},
    "password": lambda text: {"auth": ("a", f"b{text}c")},
    "URL's user": lambda text: {"url": f"ws://a{text}b:c@example.com/"},
    "URL's host": lambda text: {"url": f"ws://example{text}.com/"},
    "URL's path": lambda text: {"url": f"ws://example.com/a{text}b"},
    "URL's query": lambda text: {"url": f"ws://example.com/?a{text}b"},
    "proxy's user": lambda text: {"proxy": f"http://a{text}b:c@proxy.example"},
    "proxy's password": lambda text: {"proxy": f"socks5://a:b{text}c@proxy.example"},
    "proxy's host": lambda text: {"proxy": f"http://proxy{text}.example"},
}

OPAQUE = {"header's value", "header's value, first", "authorization", "user agent", "cookie's value", "bearer token"}
"""Where any byte from 0x80 on may stand (RFC 9110 5.5)."""

ESCAPED = {name: PLACES[name] for name in ("URL's user", "URL's host", "proxy's user", "proxy's password")}
"""Where percent-encoding is decoded on the way."""


@pytest.mark.case(25)
@pytest.mark.parametrize("text", ["\r\nX: y", "\n", "\r", "\0", "\x0b", "\x7f", "\u2028", "\x85"])
@pytest.mark.parametrize("place", PLACES)
def test_ends_of_lines_and_nul(place: str, text: str) -> None:
    """In each place that goes into a request, what could end a line is a ValueError where the client is made."""
    if (text == "\x85" and place in OPAQUE) or (text == "\u2028" and place in ("user", "password")):
        return  # the former ends no line of HTTP, the latter goes out as base64
    with pytest.raises(ValueError) as caught:
        wsmash.create_client(**{"url": "ws://example.com/", **PLACES[place](text)})
    assert text not in str(caught.value)


@pytest.mark.case(25)
@pytest.mark.parametrize("text", ["%0D%0AX:%20y", "%0a", "%00", "%7F"])
@pytest.mark.parametrize("place", ESCAPED)
def test_escaped(place: str, text: str) -> None:
    """Nor does percent-encoding bring one in, where it is decoded; in a path it stays as it is."""
    with pytest.raises(ValueError):
        wsmash.create_client(**{"url": "ws://example.com/", **ESCAPED[place](text)})
    client = wsmash.create_client(f"ws://example.com/a{text}")
    assert client.options.address.target == f"/a{text}"
