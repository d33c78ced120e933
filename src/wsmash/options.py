"""Every option of a client and of a server: its name, its default, what it may be.

A default here is a promise, and tested. Times are in seconds, sizes in bytes,
and None means no limit. `WebSocketClient` and `WebSocketServer` take the
parameters of `ClientOptions` and `ServerOptions`, which check them.
"""

from __future__ import annotations

import ssl as tls
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from math import isfinite
from os import PathLike
from socket import socket
from types import NoneType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from .codecs import check_type
from .grammar import HeaderPairs, is_token
from .urls import WebSocketURL, parse_url, split_host

if TYPE_CHECKING:
    from .sansio.head import Request, Response

SlowConsumerPolicy = Literal["close", "raise", "drop", "conflate"]
BadMessagePolicy = Literal["error", 1007, 1008]
ProcessRequest = Callable[["Request"], "Response | Awaitable[Response | None] | None"]

KIB = 1024
MIB = 1024 * KIB


class Limits(NamedTuple):
    """What a channel enforces by itself once it carries messages."""

    max_message_size: int | None
    max_fragments: int | None
    high_water: int
    max_write_buffer: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Deflate:
    """How to compress: the parameters of permessage-deflate (RFC 7692 7.1) and what they cost.

    A compressor takes about 200 KiB and an inflater up to 64 KiB while a
    connection is in use; smaller windows and no context takeover take less.

    Attributes:
        level: 1 (fast) to 9 (small). JSON of 1-2 KiB takes half the time at 4 that it
            takes at 6, for 5 % more bytes.
        threshold: messages of fewer bytes are sent as they are.
        server_no_context_takeover, client_no_context_takeover: whether that side
            starts each message with an empty window.
        server_max_window_bits, client_max_window_bits: 9 to 15, the base-two
            logarithm of that side's window.
    """

    level: int = 4
    threshold: int = 128
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15

    def __post_init__(self) -> None:
        _check_int("level", self.level, 1, 9)
        _check_int("threshold", self.threshold, 0)
        _check_bool("server_no_context_takeover", self.server_no_context_takeover)
        _check_bool("client_no_context_takeover", self.client_no_context_takeover)
        _check_int("server_max_window_bits", self.server_max_window_bits, 9, 15)
        _check_int("client_max_window_bits", self.client_max_window_bits, 9, 15)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionOptions:
    """What a client and a server both take.

    Attributes:
        open_timeout: from dial or accept until the connection is open, TLS included.
        max_headers: how many header lines a head may have.
        max_header_line: the longest line of a head.
        max_head_size: the longest head.
        max_message_size: of a message after inflation, in bytes of payload.
        max_fragments: how many frames a message may come in, empty ones counted.
        message_timeout: since the last byte of an unfinished message.
        max_queue: messages that wait for a busy callback or reader before reading
            pauses; it also pauses at 64 KiB.
        ping_interval: how often a ping is sent.
        ping_timeout: how long after a ping nothing at all may arrive.
        close_timeout: how long the closing handshake and the drain after it may take.
        write_high_water: above it `await send(...)` waits.
        max_write_buffer: above it `slow_consumer` applies.
        write_timeout: how long a peer may take no byte of what waits for it.
        slow_consumer: "close" (fail the connection with 1013), "raise" (the `send`
            raises, the connection lives), "drop" (the message is not sent) or
            "conflate" (of messages with a `key` the newest waits).
        compression: None, "deflate" or a `Deflate`.
        message_type: what each message's JSON must be: a dataclass, a TypedDict, a
            `msgspec.Struct` or any other type that msgspec validates.
        invalid_message: what a message that is not of `message_type` gets: an
            "error" event, or a close with 1007 or 1008.
        ssl: the TLS context.
    """

    open_timeout: float | None = 10
    max_headers: int = 128
    max_header_line: int = 8 * KIB
    max_head_size: int = 64 * KIB
    max_message_size: int | None = MIB
    max_fragments: int | None = 4096
    message_timeout: float | None = 60
    max_queue: int = 16
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    close_timeout: float = 10
    write_high_water: int = 64 * KIB
    max_write_buffer: int | None = MIB
    write_timeout: float | None = 30
    slow_consumer: SlowConsumerPolicy = "close"
    compression: Literal["deflate"] | Deflate | None = None
    message_type: Any = None
    invalid_message: BadMessagePolicy = "error"
    ssl: tls.SSLContext | None = None

    _SECRET: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        for name in ("open_timeout", "message_timeout", "ping_interval", "ping_timeout", "write_timeout"):
            _check_seconds(name, getattr(self, name), optional=True)
        _check_seconds("close_timeout", self.close_timeout)
        for name in ("max_headers", "max_header_line", "max_head_size", "max_queue", "write_high_water"):
            _check_int(name, getattr(self, name), 1)
        for name in ("max_message_size", "max_fragments", "max_write_buffer"):
            if getattr(self, name) is not None:
                _check_int(name, getattr(self, name), 1)
        if self.max_write_buffer is not None and self.max_write_buffer < self.write_high_water:
            raise ValueError(
                f"max_write_buffer={self.max_write_buffer} is below write_high_water={self.write_high_water}"
            )
        _check_choice("slow_consumer", self.slow_consumer, ("close", "raise", "drop", "conflate"))
        if self.message_type is not None:
            check_type(self.message_type)
        _check_choice("invalid_message", self.invalid_message, ("error", 1007, 1008))
        if self.compression is not None and not isinstance(self.compression, Deflate):
            _check_choice("compression", self.compression, ("deflate", None))
        if self.ssl is not None and not isinstance(self.ssl, tls.SSLContext):
            raise TypeError(f"ssl must be an ssl.SSLContext or None, not {self.ssl!r}")

    def __repr__(self) -> str:
        return _repr_without_secrets(self, self._SECRET)

    @property
    def deflate(self) -> Deflate | None:
        """The compression settings, None where it is off."""
        return Deflate() if self.compression == "deflate" else self.compression

    @property
    def limits(self) -> Limits:
        """What the channel enforces."""
        return Limits(self.max_message_size, self.max_fragments, self.write_high_water, self.max_write_buffer)


@dataclass(frozen=True, slots=True, repr=False)
class ClientOptions(ConnectionOptions):
    """What `WebSocketClient`, `create_client` and `connect` take, beside what a server takes too.

    Attributes:
        url: a ws:// or wss:// address (RFC 6455 3).
        protocols: subprotocols to offer, in order of preference.
        headers: to send beside those of the handshake.
        cookies: to send in a `Cookie` header.
        auth: `(user, password)` for Basic credentials, or a str for a Bearer token.
        unix: the path of a Unix socket to dial in place of the URL's host.
    """

    url: str
    protocols: str | Sequence[str] = ()
    headers: HeaderPairs = field(default=(), kw_only=True)
    cookies: Mapping[str, str] | None = field(default=None, kw_only=True)
    auth: tuple[str, str] | str | None = field(default=None, kw_only=True)
    unix: str | PathLike[str] | None = field(default=None, kw_only=True)
    max_message_size: int | None = field(default=16 * MIB, kw_only=True)
    max_fragments: int | None = field(default=65_536, kw_only=True)
    slow_consumer: SlowConsumerPolicy = field(default="raise", kw_only=True)
    compression: Literal["deflate"] | Deflate | None = field(default="deflate", kw_only=True)

    _SECRET: ClassVar[frozenset[str]] = frozenset({"headers", "cookies", "auth", "ssl"})

    def __post_init__(self) -> None:
        ConnectionOptions.__post_init__(self)
        address = parse_url(self.url)
        object.__setattr__(self, "protocols", check_protocols(self.protocols))
        if self.ssl is not None and not address.secure:
            raise ValueError(f"ssl is for wss:// addresses, and this is one of ws://: {address}")
        if isinstance(self.auth, tuple):
            parts: list[object] = list(self.auth)
            if [type(part) for part in parts] != [str, str] or ":" in self.auth[0]:
                raise ValueError("auth must be (user, password), two strings, with no colon in the user")
        elif self.auth is not None and not isinstance(self.auth, str):
            raise TypeError(f"auth must be (user, password), a bearer token or None, not {type(self.auth).__name__}")
        if self.ssl is not None and self.ssl.protocol == tls.PROTOCOL_TLS_SERVER:
            raise ValueError("ssl must be a context for a client, and is one for servers (PROTOCOL_TLS_SERVER)")
        _check_type("headers", self.headers, (Mapping, list, tuple), "a mapping or a list of pairs", shows=False)
        _check_type("cookies", self.cookies, (Mapping, NoneType), "a mapping of str to str or None", shows=False)
        for name, value in (self.cookies or {}).items():
            _check_type(f"cookie {name!r}", value, (str,), "a str", shows=False)
        _check_type("unix", self.unix, (str, PathLike, NoneType), "a path or None")

    @property
    def address(self) -> WebSocketURL:
        """The URL in its parts."""
        return parse_url(self.url)


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ServerOptions(ConnectionOptions):
    """What `WebSocketServer` and `create_server` take, beside what a client takes too.

    Attributes:
        port: to listen on; 0 takes a free one, which `server.port` tells.
        host: a name or address, several of them, or None for every interface.
        path: where WebSockets are accepted; `{name}` stands for one segment,
            `{name:path}` for the rest.
        protocols: subprotocols that are spoken; the first that was offered is taken.
        max_connections: open connections at most; above it the answer is 503.
        max_connections_per_ip: the same for one address; above it the answer is 429.
        message_rate: messages a second from one connection, in bursts of up to as
            many; above it the connection is closed with 1008.
        origins: more origins to accept than the server's own, or "*" for any.
        allowed_hosts: what the `Host` header may name; None accepts any.
        process_request: called with each `Request`, may answer it with a `Response`.
        health_path: where `GET` is answered with 200, or None.
        static: a folder of files to serve, or several by their path prefix.
        shutdown_timeout: how long a stop waits for connections and callbacks.
        unix: the path of a Unix socket to listen on in place of host and port.
        sock: a listening socket to use in place of host and port.
        reuse_port: whether other processes may listen on the same port too.
        backlog: connections that the system keeps waiting to be accepted.
    """

    port: int = 8080
    host: str | Sequence[str] | None = "localhost"
    path: str = "/"
    protocols: str | Sequence[str] = ()
    max_connections: int | None = None
    max_connections_per_ip: int | None = None
    message_rate: float | None = None
    origins: str | Sequence[str] = ()
    allowed_hosts: str | Sequence[str] | None = None
    process_request: ProcessRequest | None = None
    health_path: str | None = "/healthz"
    static: str | PathLike[str] | Mapping[str, str | PathLike[str]] | None = None
    shutdown_timeout: float = 30
    unix: str | PathLike[str] | None = None
    sock: socket | None = None
    reuse_port: bool = False
    backlog: int = 1024

    _SECRET: ClassVar[frozenset[str]] = frozenset({"ssl"})

    def __post_init__(self) -> None:
        ConnectionOptions.__post_init__(self)
        _check_int("port", self.port, 0, 65535)
        _check_int("backlog", self.backlog, 1)
        _check_seconds("shutdown_timeout", self.shutdown_timeout)
        for name in ("max_connections", "max_connections_per_ip"):
            if getattr(self, name) is not None:
                _check_int(name, getattr(self, name), 1)
        if self.message_rate is not None:
            _check_seconds("message_rate", self.message_rate)
        for name in ("path", "health_path"):
            value = getattr(self, name)
            if value is None and name == "health_path":
                continue
            if isinstance(value, str) and not {"?", "#"}.isdisjoint(value):
                raise ValueError(f"{name} is a path alone, without a query or a fragment, and is {value!r}")
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a str, not {value!r}")
            if not value.startswith("/"):
                raise ValueError(f"{name} must start with '/', and is {value!r}")
        if self.process_request is not None and not callable(self.process_request):
            raise TypeError(f"process_request must be a function, not {self.process_request!r}")
        if self.host is not None and not _strings("host", self.host):
            raise ValueError("host must name an address at least; None is every interface")
        _check_type("unix", self.unix, (str, PathLike, NoneType), "a path or None")
        _check_type("sock", self.sock, (socket, NoneType), "a socket or None")
        if self.unix is not None and self.sock is not None:
            raise ValueError("unix and sock are two places to listen: give one of them")
        _check_type("static", self.static, (str, PathLike, Mapping, NoneType), "a folder, folders by prefix or None")
        _check_bool("reuse_port", self.reuse_port)
        if self.ssl is not None and self.ssl.protocol == tls.PROTOCOL_TLS_CLIENT:
            raise ValueError("ssl must be a context for a server, and is one for clients (PROTOCOL_TLS_CLIENT)")
        object.__setattr__(self, "protocols", check_protocols(self.protocols))
        object.__setattr__(self, "origins", _strings("origins", self.origins))
        _check_each("origins", self.origins, _is_origin, "such as 'https://example.com', '*' or 'null'")
        if self.allowed_hosts is not None:
            object.__setattr__(self, "allowed_hosts", _strings("allowed_hosts", self.allowed_hosts))
            _check_each("allowed_hosts", self.allowed_hosts, _is_host, "such as 'example.com' or 'example.com:8080'")


def check_protocols(protocols: str | Sequence[str]) -> tuple[str, ...]:
    """Subprotocols as a tuple.

    Raises:
        TypeError, ValueError: one is no token (RFC 6455 4.1), or is named twice.
    """
    found = _strings("protocols", protocols)
    for item in found:
        if not is_token(item):
            raise ValueError(f"protocols must hold tokens (RFC 9110 5.6.2), and {item!r} is none")
    if len(set(found)) != len(found):
        raise ValueError(f"protocols must not name one twice: {', '.join(found)}")
    return found


def _check_seconds(name: str, value: object, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        allowed = "a number or None" if optional else "a number"
        raise TypeError(f"{name} must be {allowed}, not {value!r}")
    if not (isfinite(value) and value > 0):
        raise ValueError(f"{name} must be above 0, and is {value!r}{'; None is no limit' if optional else ''}")


def _check_int(name: str, value: object, least: int, most: int | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {value!r}")
    if value < least or (most is not None and value > most):
        allowed = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} must be {allowed}, and is {value}")


def _check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, and is {value!r}")


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, not {value!r}")


def _check_type(name: str, value: object, types: tuple[type, ...], allowed: str, *, shows: bool = True) -> None:
    if not isinstance(value, types):
        raise TypeError(f"{name} must be {allowed}, not {repr(value) if shows else type(value).__name__}")


def _check_each(name: str, values: Iterable[str], is_right: Callable[[str], bool], allowed: str) -> None:
    for value in values:
        if not is_right(value):
            raise ValueError(f"{name} must hold {allowed}, and {value!r} is none")


def _is_origin(text: str) -> bool:
    scheme, separator, place = text.partition("://")
    return text in ("*", "null") or bool(scheme and separator and _is_host(place))


def _is_host(text: str) -> bool:
    try:
        split_host(text)
    except ValueError:
        return False
    return True


def _strings(name: str, value: object) -> tuple[str, ...]:
    found: tuple[Any, ...] = (value,)
    if isinstance(value, Iterable) and not isinstance(value, str):
        found = tuple(value)
    if not all(isinstance(item, str) for item in found):
        raise TypeError(f"{name} must be a str or a sequence of str, not {value!r}")
    return found


def _repr_without_secrets(options: ConnectionOptions, secret: frozenset[str]) -> str:
    shown = []
    for each in fields(options):
        value = getattr(options, each.name)
        if each.name == "url":
            value = parse_url(value).redacted
        elif each.name in secret and value:
            value = "***"
        shown.append(f"{each.name}={value!r}")
    return f"{type(options).__name__}({', '.join(shown)})"
