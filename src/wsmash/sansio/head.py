"""The request and the response as users see them, whatever version of HTTP carried them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import unquote

from ..grammar import OWS, HeaderPairs, is_field_value, shown
from .headers import Headers, checked_pairs
from .http1 import parse_request

RemoteAddress = tuple[str, int] | str | None
"""Host and port of a peer, the path of a Unix socket, or None where neither is known."""

_SHOWN: Final = 200
"""Characters of a path in a repr, and so in a log."""

NO_PARAMS: Final[Mapping[str, str]] = MappingProxyType({})
"""What the pattern of a path without names stands for."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Request:
    """A request: what `process_request` gets, and `request` of a server's connection and its event.

    It keeps the head's bytes and takes them apart at each access, because a
    connection keeps its request for as long as it lives and seldom looks at it.

    Attributes:
        head: the bytes as they came, which `parse_request` has taken.
        secure: whether they came over TLS.
        remote_address: of the peer, or of the client that a trusted proxy speaks for.
        forwarded_host: what such a proxy says that the client's `Host` was.
        params: what the patterns of the endpoint's path stand for.
        state: what a `process_request` leaves there is in the `state` of the connection;
            its "user" counts as authenticated, unless that is a false value.
    """

    head: bytes
    secure: bool = field(default=False, kw_only=True)
    remote_address: RemoteAddress = field(default=None, kw_only=True)
    forwarded_host: str | None = field(default=None, kw_only=True)
    params: Mapping[str, str] = field(default_factory=lambda: NO_PARAMS, kw_only=True)
    state: dict[Any, Any] = field(default_factory=dict, kw_only=True)

    @property
    def method(self) -> str:
        """Such as "GET"."""
        return self._line[0]

    @property
    def target(self) -> str:
        """Path and query as they stand in the request."""
        return self._line[1]

    @property
    def version(self) -> str:
        """The version of HTTP, such as "1.1"."""
        return self._line[2].removeprefix("HTTP/")

    @property
    def headers(self) -> Headers:
        """The headers, by name in any case."""
        return parse_request(self.head).headers

    @property
    def host(self) -> str:
        """What the client's `Host` header says, with the port if it has one; empty without the header."""
        return self.forwarded_host or self.headers.get("Host", "")

    @property
    def path(self) -> str:
        """The path without the query, percent-decoded; what is not UTF-8 becomes U+FFFD."""
        return path_of(self.target)

    @property
    def query(self) -> str:
        """What follows the question mark, as it came; `urllib.parse.parse_qs` takes it apart."""
        return split_target(self.target)[1]

    @property
    def url(self) -> str:
        """The WebSocket URL that was asked for."""
        path, query = split_target(self.target)
        return f"{self._scheme}://{self.host}{path}{query and '?' + query}"

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies by name; of two with one name the first, which is of the longer path (RFC 6265 5.4)."""
        found: dict[str, str] = {}
        for line in self.headers.get_all("Cookie"):
            for pair in line.split(";"):
                name, equals, value = pair.partition("=")
                if equals:
                    found.setdefault(name.strip(OWS), _unquoted(value.strip(OWS)))
        return found

    @property
    def _scheme(self) -> str:
        return "wss" if self.secure else "ws"

    @property
    def _line(self) -> tuple[str, str, str]:
        method, target, version = self.head.partition(b"\r\n")[0].decode("ascii").split(" ")
        return method, target, version

    def __repr__(self) -> str:
        """Without headers and query, which hold secrets."""
        path, query = split_target(self.target)
        origin = f"{self._scheme}://{self.host}" if self.host else ""
        path = path if len(path) <= _SHOWN else f"{path[:_SHOWN]}..."
        return f"<Request {self.method} {origin}{path}{query and '?***'} from {self.remote_address!r}>"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class Response:
    """An answer over plain HTTP: what `process_request` returns, and `response` of a client.

    Attributes:
        status: 100 to 599.
        body: a str becomes UTF-8, and `text/plain` unless `headers` say otherwise.
        headers: by name in any case. The length of the body and `Connection` are added on the way out.
        reason: the text after the status; None is the usual one.

    >>> Response(403, "members only").headers["Content-Type"]
    'text/plain; charset=utf-8'
    """

    status: int
    body: bytes
    headers: Headers
    reason: str

    def __init__(
        self,
        status: int = 200,
        body: bytes | str = b"",
        headers: HeaderPairs = (),
        *,
        reason: str | None = None,
    ) -> None:
        found = Headers(checked_pairs(headers))
        if isinstance(body, str):
            body = body.encode()
            if "Content-Type" not in found:
                found = Headers((*found.pairs, ("Content-Type", "text/plain; charset=utf-8")))
        elif not isinstance(body, bytes):
            raise TypeError(f"the body must be bytes or a str, not {type(body).__name__}")
        object.__setattr__(self, "status", _checked_status(status))
        object.__setattr__(self, "body", body)
        object.__setattr__(self, "headers", found)
        object.__setattr__(self, "reason", _phrase(status) if reason is None else _checked_reason(reason))

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}, {len(self.body)} bytes, {self.headers!r}>"


def split_target(target: str) -> tuple[str, str]:
    """Path and query of a request's target, as they came."""
    if not target.startswith("/") and "://" in target:
        # The absolute form, which a server must take from any client (RFC 9112 3.2.2).
        after = target.partition("://")[2]
        target = after[min((i for i in map(after.find, "/?") if i >= 0), default=len(after)) :]
        target = target if target.startswith("/") else "/" + target
    path, _, query = target.partition("?")
    return path, query


def path_of(target: str) -> str:
    """The path of a request's target, percent-decoded; what is not UTF-8 becomes U+FFFD."""
    return unquote(split_target(target)[0], errors="replace")


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text.startswith('"') and text.endswith('"') else text


def _checked_status(status: object) -> int:
    if not isinstance(status, int) or isinstance(status, bool):
        raise TypeError(f"the status must be an int, not {status!r}")
    if not 100 <= status <= 599:
        raise ValueError(f"the status must be 100 to 599 (RFC 9110 15), and is {status}")
    return int(status)


def _checked_reason(reason: object) -> str:
    if not isinstance(reason, str):
        raise TypeError(f"the reason must be a str or None, not {type(reason).__name__}")
    if not is_field_value(reason):
        raise ValueError(f"the reason must be Latin-1 without control characters, and is {shown(reason)}")
    return reason


def _phrase(status: int) -> str:
    """The usual reason phrase, empty for a status without one."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
