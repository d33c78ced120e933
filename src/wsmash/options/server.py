"""What a server takes."""

from __future__ import annotations

import re
import ssl as tls
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from socket import socket
from types import NoneType
from typing import TYPE_CHECKING, ClassVar, Literal

from ..certificates import Certificate
from .checks import (
    check_bool,
    check_choice,
    check_each,
    check_function,
    check_int,
    check_protocols,
    check_seconds,
    check_type,
    is_host,
    is_origin,
    is_proxy,
    strings,
)
from .connection import ConnectionOptions

if TYPE_CHECKING:
    from ..sansio.head import Request, Response
    from ..topics.access import TopicRequest
    from ..topics.brokers.base import Broker

ProcessRequest = Callable[["Request"], "Response | Awaitable[Response | None] | None"]

Authorize = Callable[["TopicRequest"], "object | Awaitable[object]"]

_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,64}")

_COUNTS = ("max_connections", "max_connections_per_ip", "max_openings", "max_topics_per_connection")

BROKERS = ("redis", "rediss", "unix", "nats", "tls")
"""The schemes of the URLs that `broker` takes."""


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
        max_connections_per_ip: the same for one address, or for one /64 of IPv6; above
            it the answer is 429.
        connect_rate: connections a second from one address, in bursts of up to as many;
            above it the answer is 429, and above twice as many there is none.
        max_openings: connections that are not open yet, or have an answer and are not
            gone. As soon as there are so many, one that is older than three seconds, or was
            quiet for a half (with TLS for one), is dropped, so that there is room for the
            next; while there is none, accepting pauses.
        auth_timeout: how long a connection may go without `client.set_authenticated()`;
            then it is closed with 1008. None asks nobody.
        trusted_proxies: addresses and networks of reverse proxies, and "unix" for whoever
            connects to a Unix socket; what they say of a client holds in all that is about
            its address, its host and whether it is secure.
        proxy_headers: where they say it: "x-forwarded" (`X-Forwarded-For`, `-Proto` and
            `-Host`) or "forwarded" (RFC 7239).
        max_buffered: bytes that all connections may hold together, in output that waits,
            unfinished messages and inboxes; looked at once a second. Above it new ones get
            a 503, and some are closed with 1013 until the rest fits: those that are not
            authenticated first, of these who holds most (by powers of two), of equals the newest.
        message_rate: messages a second from one connection, in bursts of up to as
            many; above it the connection is closed with 1008.
        origins: more origins to accept than the server's own, or "*" for any.
        allowed_hosts: what the `Host` header may name, one host at least; None accepts any.
        broker: what carries topics between the nodes of one application: "memory" (there is
            no other node), the URL of a Redis (`redis://`, `rediss://`, `unix://`) or of a NATS
            (`nats://`, `tls://`), or a `Broker`.
        namespace: what the names of everything that the broker keeps begin with; 1 to 64
            letters, digits, '-' and '_'. Applications that share a broker have one each.
        authorize: called with each `TopicRequest` of a client, a subscription, a publication
            or a question who is there; whatever is false refuses it. None refuses all:
            clients then get the topics that the server subscribes them to.
        max_topics_per_connection: topics and patterns that one connection may be subscribed to.
        subscribe_rate: subscriptions a second that one client may ask for, in bursts of up to as
            many; above it they wait, and so does all that it sends.
        process_request: called with each `Request`, may answer it with a `Response`.
        browser_module: the path of `wsmash.js`, with which pages speak `wsmash.v1`; served where
            that is among the protocols. None does not serve it.
        health_path: where `GET` is answered with 200, or None. It is another than `path`.
        static: a folder of files to serve, or several by their path prefix.
        shutdown_timeout: how long a stop waits for connections and callbacks.
        unix: the path of a Unix socket to listen on in place of host and port.
        sock: a bound socket to use in place of host and port, or several.
        reuse_port: whether other processes may listen on the same port too.
        backlog: connections that the system keeps waiting to be accepted.
    """

    port: int = 8080
    host: str | Sequence[str] | None = "localhost"
    path: str = "/"
    protocols: str | Sequence[str] = ()
    max_connections: int | None = None
    max_connections_per_ip: int | None = None
    connect_rate: float | None = None
    max_openings: int | None = 1024
    auth_timeout: float | None = None
    trusted_proxies: str | Sequence[str] = ()
    proxy_headers: Literal["x-forwarded", "forwarded"] = "x-forwarded"
    max_buffered: int | None = None
    message_rate: float | None = None
    origins: str | Sequence[str] = ()
    allowed_hosts: str | Sequence[str] | None = None
    broker: str | Broker = "memory"
    namespace: str = "wsmash"
    authorize: Authorize | None = None
    max_topics_per_connection: int | None = 128
    subscribe_rate: float | None = 100
    process_request: ProcessRequest | None = None
    browser_module: str | None = "/wsmash.js"
    health_path: str | None = "/healthz"
    static: str | PathLike[str] | Mapping[str, str | PathLike[str]] | None = None
    shutdown_timeout: float = 30
    unix: str | PathLike[str] | None = None
    sock: socket | Sequence[socket] | None = None
    reuse_port: bool = False
    backlog: int = 1024

    ssl: tls.SSLContext | Certificate | None = None  # type: ignore[assignment]

    _SECRET: ClassVar[frozenset[str]] = frozenset({"ssl"})

    def __post_init__(self) -> None:
        ConnectionOptions.__post_init__(self)
        check_int("port", self.port, 0, 65535)
        check_int("backlog", self.backlog, 1)
        check_seconds("shutdown_timeout", self.shutdown_timeout)
        for name in (*_COUNTS, "max_buffered"):
            if getattr(self, name) is not None:
                check_int(name, getattr(self, name), 1)
        for name in ("connect_rate", "message_rate", "auth_timeout", "subscribe_rate"):
            check_seconds(name, getattr(self, name), optional=True)
        self._check_paths()
        self._check_broker()
        check_function("process_request", self.process_request, "the request")
        check_function("authorize", self.authorize, "the TopicRequest")
        if self.host is not None and not strings("host", self.host):
            raise ValueError("host must name an address at least; None is every interface")
        check_type("unix", self.unix, (str, PathLike, NoneType), "a path or None")
        self._check_sock()
        if self.unix is not None and self.sock is not None:
            raise ValueError("unix and sock are two places to listen: give one of them")
        check_type("static", self.static, (str, PathLike, Mapping, NoneType), "a folder, folders by prefix or None")
        check_bool("reuse_port", self.reuse_port)
        object.__setattr__(self, "protocols", check_protocols(self.protocols))
        object.__setattr__(self, "trusted_proxies", strings("trusted_proxies", self.trusted_proxies))
        check_each("trusted_proxies", self.trusted_proxies, is_proxy, "addresses, networks or 'unix'")
        check_choice("proxy_headers", self.proxy_headers, ("x-forwarded", "forwarded"))
        object.__setattr__(self, "origins", strings("origins", self.origins))
        check_each("origins", self.origins, is_origin, "such as 'https://example.com', '*' or 'null'")
        if self.allowed_hosts is not None:
            object.__setattr__(self, "allowed_hosts", strings("allowed_hosts", self.allowed_hosts))
            if not self.allowed_hosts:
                raise ValueError("allowed_hosts must name a host at least, or no request is let in; None accepts any")
            check_each("allowed_hosts", self.allowed_hosts, is_host, "such as 'example.com' or 'example.com:8080'")

    def _check_sock(self) -> None:
        if self.sock is None or isinstance(self.sock, socket):
            return
        check_type("sock", self.sock, (Sequence,), "a socket, several or None")
        object.__setattr__(self, "sock", tuple(self.sock))
        for each in self.sock:
            check_type("sock", each, (socket,), "a socket, several or None")
        if not self.sock:
            raise ValueError("sock must hold a socket at least; None listens on host and port")

    def _check_broker(self) -> None:
        if isinstance(self.broker, str):
            if self.broker != "memory" and not self.broker.startswith(tuple(f"{scheme}://" for scheme in BROKERS)):
                # What was given may hold a password.
                allowed = ", ".join(f"'{scheme}://...'" for scheme in BROKERS)
                raise ValueError(f"broker must be 'memory', {allowed} or a Broker")
        elif not callable(getattr(self.broker, "publish", None)):
            raise TypeError(f"broker must be a str or a Broker, not {self.broker!r:.75}")
        if not isinstance(self.namespace, str):
            raise TypeError(f"namespace must be a str, not {self.namespace!r:.75}")
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ValueError(f"namespace must have 1 to 64 letters, digits, '-' and '_', and is {self.namespace!r:.75}")

    def _check_paths(self) -> None:
        for name in ("path", "health_path", "browser_module"):
            value = getattr(self, name)
            if value is None and name != "path":
                continue
            if isinstance(value, str) and not {"?", "#"}.isdisjoint(value):
                raise ValueError(f"{name} is a path alone, without a query or a fragment, and is {value!r}")
            if not isinstance(value, str):
                raise TypeError(f"{name} must be a str, not {value!r}")
            if not value.startswith("/"):
                raise ValueError(f"{name} must start with '/', and is {value!r}")
        if self.path == self.health_path:
            raise ValueError(f"path and health_path are both {self.path!r}; health_path=None is no health check")
        if self.browser_module is not None and self.browser_module == self.health_path:
            raise ValueError(f"browser_module and health_path are both {self.health_path!r}; None is neither")

    def _check_ssl(self) -> None:
        if isinstance(self.ssl, Certificate):
            return
        if self.ssl is not None and not isinstance(self.ssl, tls.SSLContext):
            raise TypeError(f"ssl must be an ssl.SSLContext, a wsmash.Certificate or None, not {self.ssl!r}")
        if self.ssl is not None and self.ssl.protocol == tls.PROTOCOL_TLS_CLIENT:
            raise ValueError("ssl must be a context for a server, and is one for clients (PROTOCOL_TLS_CLIENT)")

    @property
    def tls_context(self) -> tls.SSLContext | None:
        """What the next connection is secured with."""
        return self.ssl.context if isinstance(self.ssl, Certificate) else self.ssl

    @property
    def sockets(self) -> tuple[socket, ...]:
        """What `sock` gives, in any of its forms."""
        if self.sock is None:
            return ()
        return (self.sock,) if isinstance(self.sock, socket) else tuple(self.sock)
