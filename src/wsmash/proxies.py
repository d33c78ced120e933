"""Proxies: what the URL of one may be, and which one the environment names for an address."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from typing import Final

from .grammar import shown
from .urls import WebSocketURL, check_characters, is_loopback, parse_userinfo, split_host, without_secrets

_DEFAULT_PORTS: Final = {"http": 80, "https": 443, "socks4": 1080, "socks4a": 1080, "socks5": 1080, "socks5h": 1080}

# RFC 6455 4.1 prefers a SOCKS proxy to one for HTTPS, and that to one for HTTP. What is meant for WebSockets is first.
_FOR_WS: Final = ("ws", "socks", "https", "http", "all")
_FOR_WSS: Final = ("wss", "socks", "https", "all")
_VARIABLES: Final = tuple(f"{name}_proxy" for name in ("ws", "wss", "socks", "https", "http", "all"))

_SOCKS_TEXT = 255
"""Bytes of a user name or a password (RFC 1929 2)."""


@dataclass(frozen=True, slots=True, repr=False)
class Proxy:
    """A proxy's URL in its parts, made by `parse_proxy`.

    Attributes:
        scheme: http or https (CONNECT, RFC 9110 9.3.6), socks4 or socks5 (names are
            looked up here), socks4a or socks5h (the proxy looks them up).
        host: in ASCII and without brackets.
        port: the scheme's own where the URL gave none.
        username, password: percent-decoded, or None where the URL has none.
        source: where it was found, unless it was given; no part of its identity.
    """

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = None
    source: str = field(default="", compare=False)

    @property
    def redacted(self) -> str:
        """The URL without its credentials."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.redacted} ({self.source})" if self.source else self.redacted

    def __repr__(self) -> str:
        return f"<Proxy {self.redacted}>"


def parse_proxy(url: str) -> Proxy:
    """Take a proxy's URL apart.

    Raises:
        ValueError: with what is wrong and the URL, its credentials left out.

    >>> parse_proxy("socks5h://proxy.example").port
    1080
    """
    try:
        return _parse(url)
    except ValueError as error:
        raise ValueError(f"proxy can't be {shown(without_secrets(url))}: {error}") from None


def environment_proxy(address: WebSocketURL) -> Proxy | None:
    """The proxy that the environment's variables, or the system's settings, name for this address.

    That of `wss_proxy` or `ws_proxy`, `socks_proxy`, `https_proxy`, for ws:// also
    `http_proxy`, and `all_proxy`, the first that is set; none for what `no_proxy`
    lists, by name, address or network, and none for this machine itself, which a
    proxy could not reach.

    Raises:
        ValueError: a variable holds what is no proxy's URL; the text names it.
    """
    if is_loopback(address.host) or not _may_name_one():
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415  # takes longer than the whole package

    if proxy_bypass(f"{address.host}:{address.port}") or _is_in_network(address.host):
        return None
    found = getproxies()
    for name in _FOR_WSS if address.secure else _FOR_WS:
        if url := found.get(name):
            try:
                return replace(parse_proxy(_completed(name, url)), source=_source(name))
            except ValueError as error:
                raise ValueError(f"{_source(name)}: {error}") from None
    return None


def _parse(url: str) -> Proxy:
    check_characters(url)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in _DEFAULT_PORTS:
        raise ValueError(f"it must start with one of {', '.join(f'{each}://' for each in _DEFAULT_PORTS)}")
    userinfo, at, place = rest.removesuffix("/").rpartition("@")
    if any(character in place for character in "/?#"):
        raise ValueError("a proxy's URL has nothing after host and port")
    username, password = parse_userinfo(userinfo) if at else (None, None)
    host, port = split_host(place)
    _check_credentials(scheme, username, password)
    return Proxy(scheme, host, port or _DEFAULT_PORTS[scheme], username, password)


def _check_credentials(scheme: str, username: str | None, password: str | None) -> None:
    """Refuse, before a byte is written, what the proxy's protocol has no way to say."""
    if username is None and password is None:
        return
    for text in (username or "", password or ""):
        if scheme.startswith("socks") and not (text.isascii() and len(text) <= _SOCKS_TEXT):
            raise ValueError(f"its user name and password must be ASCII, at most {_SOCKS_TEXT} characters (RFC 1929)")
    if scheme.startswith("socks4") and password is not None:
        raise ValueError("SOCKS4 has user names only, no passwords")
    if scheme.startswith("socks5") and not (username and password):
        raise ValueError("SOCKS5 wants both a user name and a password, or neither (RFC 1929)")


def _may_name_one() -> bool:
    """Whether it is worth asking: the answer of a machine without proxies is to cost nothing."""
    if sys.platform in ("darwin", "win32"):
        return True  # their settings count too
    return any(os.environ.get(name) or os.environ.get(name.upper()) for name in _VARIABLES)


def _is_in_network(host: str) -> bool:
    """Whether `no_proxy` lists a network that this address is in, or itself however it is written."""
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for each in (os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or "").split(","):
        with suppress(ValueError):
            if address in ip_network(each.strip(" []"), strict=False):
                return True
    return False


def _source(name: str) -> str:
    for variable in (f"{name}_proxy", f"{name}_proxy".upper()):
        if os.environ.get(variable):
            return f"{variable} in the environment"
    return "the system's settings"


def _completed(name: str, url: str) -> str:
    """What users write, and systems give, in place of a whole URL."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return f"socks5h://{url}" if name == "socks" else f"http://{url}"
    if scheme.lower() == "socks" or (name == "socks" and scheme.lower() == "http"):
        return f"socks5h://{rest}"
    return url
