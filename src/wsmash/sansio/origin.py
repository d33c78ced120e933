"""Who may connect: the rules for `Origin` and `Host` that keep other sites' pages out.

A browser sends cookies with a WebSocket handshake whatever page asks for it, and
no same-origin policy stands before it (RFC 6455 10.2). So the server compares:
the page's origin with its own name, or with the origins it was told of.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from ..grammar import shown
from ..urls import is_loopback, split_host
from .headers import Headers

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_ANY: Final = "*"
_NULL: Final = "null"
_SCHEME_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789+-.")


class _Origin(NamedTuple):
    """An origin (RFC 6454 4); the port is None where neither the text nor the scheme gives one."""

    scheme: str
    host: str
    port: int | None


class _Host(NamedTuple):
    """What the Host header names."""

    name: str
    port: int | None


def refusal(
    headers: Headers,
    *,
    secure: bool,
    loopback_only: bool,
    origins: tuple[str, ...],
    allowed_hosts: tuple[str, ...] | None,
    forwarded_host: str | None = None,
) -> str | None:
    """Why a request must not open a WebSocket, as the text of a 403; None lets it in.

    Args:
        headers: of the request.
        secure: whether it came over TLS.
        loopback_only: whether the server listens on loopback addresses only.
        origins: to let in beside the server's own; "*" among them is any.
        allowed_hosts: what `Host` may name, with or without a port; None is anything.
        forwarded_host: what a trusted proxy says that the client's `Host` was.
    """
    host = _parse_host(headers.get_all("Host") if forwarded_host is None else (forwarded_host,))
    if host is None:
        return "the header Host is missing, doubled or malformed"
    if allowed_hosts is not None and not _is_listed_host(host, allowed_hosts):
        return f"the host {shown(host.name)} is not listed; allow it with allowed_hosts=[{shown(host.name)}]"

    values = headers.get_all("Origin")
    if not values:
        return None  # no browser, so there is no page whose user could be abused
    if len(values) > 1:
        return "there is more than one Origin header"
    if allowed_hosts is None and loopback_only and not is_loopback(host.name):
        # DNS rebinding: a page's own name, made to point to 127.0.0.1, is of the page's own origin.
        return (
            f"the host {shown(host.name)} is not this machine, which is all that the server listens for; "
            f"allow it with allowed_hosts=[{shown(host.name)}]"
        )
    return _origin_refusal(values[0], host, secure=secure, loopback_only=loopback_only, origins=origins)


def _origin_refusal(
    text: str, host: _Host, *, secure: bool, loopback_only: bool, origins: tuple[str, ...]
) -> str | None:
    if text in origins:
        return None
    origin = _parse_origin(text)
    if origin is None and text != _NULL:
        return f"the Origin {shown(text)} is malformed"
    if _ANY in origins or (origin is not None and origin in map(_parse_origin, origins)):
        return None
    advice = f"allow it with origins=[{shown(text)}]"
    if origin is None:
        return f"the Origin is 'null', which is any sandboxed page or local file; {advice}"
    if secure and origin.scheme == "http":
        return f"the Origin {shown(text)} is not https, and the server is; {advice}"
    if _is_same(origin, host) or (loopback_only and _is_web(origin) and is_loopback(origin.host)):
        return None
    return f"the Origin {shown(text)} is not the server's own; {advice}"


def _is_same(origin: _Origin, host: _Host) -> bool:
    """Whether host and port are equal; where Host has no port, it is the one of the origin's scheme."""
    port = host.port if host.port is not None else _DEFAULT_PORTS.get(origin.scheme)
    return _is_web(origin) and (origin.host, origin.port) == (host.name, port)


def _is_web(origin: _Origin) -> bool:
    """Whether the origin is a page of the web. What an app or an extension calls its host has no owner in the DNS."""
    return origin.scheme in _DEFAULT_PORTS


def _is_listed_host(host: _Host, allowed: tuple[str, ...]) -> bool:
    """Whether an entry names this host; an entry without a port allows every port."""
    entries = [entry for text in allowed if (entry := _parse_host((text,))) is not None]
    return any(entry.name == host.name and entry.port in (None, host.port) for entry in entries)


def _parse_host(values: tuple[str, ...]) -> _Host | None:
    if len(values) != 1:
        return None
    try:
        return _Host(*split_host(values[0]))
    except ValueError:
        return None


def _parse_origin(text: str) -> _Origin | None:
    """`scheme://host[:port]` and nothing else (RFC 6454 7); None for what is not that, "null" among it."""
    scheme, separator, place = text.partition("://")
    scheme = scheme.lower()
    if not separator or not (scheme.isascii() and scheme[:1].isalpha() and set(scheme) <= _SCHEME_CHARACTERS):
        return None
    try:
        host, port = split_host(place)
    except ValueError:
        return None
    return _Origin(scheme, host, _DEFAULT_PORTS.get(scheme) if port is None else port)
