"""What a client takes."""

from __future__ import annotations

import ssl as tls
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from types import NoneType
from typing import ClassVar, Literal

from ..grammar import HeaderPairs
from ..proxies import parse_proxy
from ..urls import WebSocketURL, parse_url
from .checks import check_int, check_protocols, check_type
from .compression import Deflate
from .connection import MIB, ConnectionOptions, SlowConsumerPolicy
from .offline import OfflineQueue
from .reconnect import Reconnect, ReconnectPolicy, check_policy


@dataclass(frozen=True, slots=True, repr=False)
class ClientOptions(ConnectionOptions):
    """What `WebSocketClient`, `create_client` and `connect` take, beside what a server takes too.

    Attributes:
        url: a ws:// or wss:// address (RFC 6455 3).
        protocols: subprotocols to offer, in order of preference.
        headers: to send beside those of the handshake. Where a redirect leads to another
            origin, of these only `User-Agent` and `Origin` go along.
        cookies: to send in a `Cookie` header.
        auth: `(user, password)` for Basic credentials, or a str for a Bearer token.
        unix: the path of a Unix socket to dial in place of the URL's host.
        proxy: the URL of a proxy to connect through, http, https, socks4, socks4a, socks5 or
            socks5h; True for the environment's (`https_proxy` and its like), None for none.
        proxy_ssl: the TLS context for an https:// proxy.
        max_redirects: how many redirects may follow one another; 0 follows none.
        reconnect: whether to connect again after an outage, or the policy that decides: a
            `Reconnect` or any other `ReconnectPolicy`.
        offline_queue: how many messages to keep that are sent while there is no connection, or
            an `OfflineQueue`; None keeps none.
    """

    url: str
    protocols: str | Sequence[str] = ()
    headers: HeaderPairs = field(default=(), kw_only=True)
    cookies: Mapping[str, str] | None = field(default=None, kw_only=True)
    auth: tuple[str, str] | str | None = field(default=None, kw_only=True)
    unix: str | PathLike[str] | None = field(default=None, kw_only=True)
    proxy: str | Literal[True] | None = field(default=True, kw_only=True)
    proxy_ssl: tls.SSLContext | None = field(default=None, kw_only=True)
    max_redirects: int = field(default=10, kw_only=True)
    reconnect: bool | ReconnectPolicy = field(default=False, kw_only=True)
    offline_queue: int | OfflineQueue | None = field(default=None, kw_only=True)
    max_message_size: int | None = field(default=16 * MIB, kw_only=True)
    max_fragments: int | None = field(default=65_536, kw_only=True)
    slow_consumer: SlowConsumerPolicy = field(default="raise", kw_only=True)
    compression: Literal["deflate"] | Deflate | None = field(default="deflate", kw_only=True)

    _SECRET: ClassVar[frozenset[str]] = frozenset({"headers", "cookies", "auth", "ssl", "proxy_ssl"})

    def __post_init__(self) -> None:
        ConnectionOptions.__post_init__(self)
        address = parse_url(self.url)
        object.__setattr__(self, "protocols", check_protocols(self.protocols))
        if self.ssl is not None and not address.secure:
            raise ValueError(f"ssl is for wss:// addresses, and this is one of ws://: {address}")
        if isinstance(self.auth, tuple):
            kinds = [type(part).__name__ for part in self.auth]
            if len(kinds) != 2 or not all(isinstance(part, str) for part in self.auth):
                raise TypeError(f"auth must be (user, password), two strings, not ({', '.join(kinds)})")
            if ":" in self.auth[0]:
                raise ValueError("auth must be (user, password), with no colon in the user (RFC 7617 2)")
        elif self.auth is not None and not isinstance(self.auth, str):
            raise TypeError(f"auth must be (user, password), a bearer token or None, not {type(self.auth).__name__}")
        if self.ssl is not None and self.ssl.protocol == tls.PROTOCOL_TLS_SERVER:
            raise ValueError("ssl must be a context for a client, and is one for servers (PROTOCOL_TLS_SERVER)")
        check_type("headers", self.headers, (Mapping, list, tuple), "a mapping or a list of pairs", shows=False)
        check_type("cookies", self.cookies, (Mapping, NoneType), "a mapping of str to str or None", shows=False)
        for name, value in (self.cookies or {}).items():
            check_type(f"cookie {name!r}", value, (str,), "a str", shows=False)
        check_type("unix", self.unix, (str, PathLike, NoneType), "a path or None")
        self._check_proxy()
        check_int("max_redirects", self.max_redirects, 0)
        if not isinstance(self.reconnect, bool):
            check_policy(self.reconnect)
        if isinstance(self.offline_queue, type):
            raise TypeError(f"offline_queue must be an instance, {self.offline_queue.__name__}(...), not the class")
        if not isinstance(self.offline_queue, (int, OfflineQueue, NoneType)):
            raise TypeError(f"offline_queue must be an int, an OfflineQueue or None, not {self.offline_queue!r:.75}")
        if isinstance(self.offline_queue, int):
            check_int("offline_queue", self.offline_queue, 1)

    def _check_proxy(self) -> None:
        context = self.proxy_ssl
        if isinstance(self.proxy, str):
            proxy = parse_proxy(self.proxy)
            if self.unix is not None:
                raise ValueError(f"unix={self.unix!r} is dialled through no proxy, and this is one: {proxy.redacted}")
            if context is not None and proxy.scheme != "https":
                raise ValueError(f"proxy_ssl is for https:// proxies, and this is none: {proxy.redacted}")
        elif self.proxy is not None and self.proxy is not True:
            raise TypeError(f"proxy must be a proxy's URL, True for the environment's, or None, not {self.proxy!r}")
        check_type("proxy_ssl", context, (tls.SSLContext, NoneType), "an ssl.SSLContext or None")
        if context is not None and self.proxy is None:
            raise ValueError("proxy_ssl is for https:// proxies, and proxy=None is none")
        if context is not None and context.protocol == tls.PROTOCOL_TLS_SERVER:
            raise ValueError("proxy_ssl must be a context for a client, and is one for servers (PROTOCOL_TLS_SERVER)")

    @property
    def address(self) -> WebSocketURL:
        """The URL in its parts."""
        return parse_url(self.url)

    @property
    def reconnect_policy(self) -> ReconnectPolicy | None:
        """What decides on an outage; None where the first one is the end."""
        if isinstance(self.reconnect, bool):
            return Reconnect() if self.reconnect else None
        return self.reconnect

    @property
    def offline_bounds(self) -> OfflineQueue | None:
        """The bounds of the offline queue; None where there is none."""
        found = self.offline_queue
        return OfflineQueue(max_messages=found) if isinstance(found, int) else found
