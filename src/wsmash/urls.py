"""WebSocket URLs (RFC 6455 3): one parser that decides what is valid, and what a connection needs of it.

Stricter than RFC 3986 where leniency has opened holes: no whitespace, control
character or backslash anywhere, no fragment, no second `@`, no host that only
`inet_aton` takes for an address (`127.1`, `0x7f000001`), and no IPv6 zone id,
which RFC 9844 took out of URLs again: it means something to one machine only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final
from unicodedata import category
from urllib.parse import quote, unquote

import idna

from .errors import InvalidURL
from .grammar import shown

MAX_HOST_LENGTH: Final = 253
"""Characters of a host's name, its final dot not counted (RFC 1035 2.3.4 less the bytes that count lengths)."""

_SHOWN: Final = 200
"""Characters of a whole URL in errors and logs: where a redirect leads is another's text."""

_WEBSOCKET_SCHEMES: Final = {"ws": False, "wss": True}
_HTTP_SCHEMES: Final = {"http": "ws", "https": "wss"}
_KNOWN_SCHEMES: Final = frozenset({*_HTTP_SCHEMES, *_WEBSOCKET_SCHEMES, "socks4", "socks4a", "socks5", "socks5h"})
"""Of URLs and of proxies; anything else before a `://` may be part of a secret."""
_HOST_CHARACTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._")
_HEX_DIGITS: Final = frozenset("0123456789abcdef")

# What a request target may hold as it is (RFC 3986 3.3 and 3.4). The percent
# sign stays, so that what is escaped already is not escaped twice; brackets
# stay because servers are known to compare the query as text.
_TARGET_SAFE: Final = "%/?:@!$&'()*+,;=-._~[]"


@dataclass(frozen=True, slots=True, repr=False)
class WebSocketURL:
    """A WebSocket URL in its parts, made by `parse_url`.

    Attributes:
        secure: whether the scheme is wss.
        host: in ASCII (a name in lower case, IDNA-encoded) and without brackets.
        port: 80 or 443 where the URL gave none.
        target: path and query as the request line holds them, never empty.
        username, password: percent-decoded, or None where the URL has none.
    """

    secure: bool
    host: str
    port: int
    target: str = "/"
    username: str | None = None
    password: str | None = None

    @property
    def host_header(self) -> str:
        """What the `Host` header says: IPv6 in brackets, no default port (RFC 6455 4.1)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.has_default_port else f"{host}:{self.port}"

    @property
    def has_default_port(self) -> bool:
        """Whether the port is the scheme's own: 80 for ws, 443 for wss."""
        return self.port == _default_port(self.secure)

    @property
    def redacted(self) -> str:
        """The URL for logs: without userinfo, without the query, which may hold a token, and cut where it is long."""
        path, query, _ = self.target.partition("?")
        text = f"{self._origin}{path}{query and '?***'}"
        return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

    @property
    def _origin(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://{self.host_header}"

    def __str__(self) -> str:
        """The URL in normal form, without userinfo."""
        return self._origin + self.target

    def __repr__(self) -> str:
        return f"<WebSocketURL {self.redacted}>"


def parse_url(url: str) -> WebSocketURL:
    """Take a ws:// or wss:// URL apart.

    Raises:
        InvalidURL: with what is wrong and the URL, its userinfo and query left out.

    >>> parse_url("wss://example.com/chat?room=1").target
    '/chat?room=1'
    """
    if not isinstance(url, str):
        raise InvalidURL(f"a URL must be a str, not {type(url).__name__}")
    try:
        return _parse(url)
    except ValueError as error:
        # The cause is cut off because a foreign error may quote the whole text.
        raise InvalidURL(f"{error}: {shown(without_secrets(url))}") from None


def is_valid_url(url: object) -> bool:
    """Whether `parse_url` takes it. Never raises."""
    try:
        parse_url(url)  # type: ignore[arg-type]  # it refuses what is not a str
    except InvalidURL:
        return False
    return True


def http_to_ws_url(url: str) -> str:
    """The same address with the scheme ws for http and wss for https, without a fragment.

    ws and wss stay as they are, and nothing but the scheme changes.

    Raises:
        InvalidURL: for any other scheme, or if what comes out is no WebSocket URL.

    >>> http_to_ws_url("https://example.com/chat")
    'wss://example.com/chat'
    """
    if not isinstance(url, str):
        raise InvalidURL(f"a URL must be a str, not {type(url).__name__}")
    scheme, separator, rest = url.partition("#")[0].partition("://")
    if not separator or scheme.lower() not in {*_HTTP_SCHEMES, *_WEBSOCKET_SCHEMES}:
        raise InvalidURL(f"the scheme must be http, https, ws or wss: {shown(without_secrets(url))}")
    changed = f"{_HTTP_SCHEMES.get(scheme.lower(), scheme)}://{rest}"
    parse_url(changed)
    return changed


@lru_cache(maxsize=128)  # a server is asked for by few names, again and again; what is not valid is not kept
def split_host(text: str) -> tuple[str, int | None]:
    """Take `host[:port]` apart, as URLs and the headers Host and Origin hold it (RFC 3986 3.2.2 and 3.2.3).

    The host comes in ASCII, in lower case and without brackets; the port is
    None where there is none or it is empty.

    Raises:
        ValueError: for anything else, an empty host among it.
    """
    if text.startswith("["):
        inside, bracket, after = text[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise ValueError("an IPv6 address must stand in brackets, with nothing but a port after them")
        return _ipv6(inside), _port(after[1:])
    host, _, port = text.partition(":")
    if ":" in port:
        raise ValueError("an IPv6 address must stand in brackets")
    return _host_name(host), _port(port)


def is_loopback(host: str) -> bool:
    """Whether a host, as `split_host` gives it, can only be this machine (RFC 6761 6.3, RFC 1122 3.2.1.3)."""
    name = host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return (IPv6Address(host) if ":" in host else IPv4Address(name)).is_loopback
    except AddressValueError:
        return False


def check_characters(url: str) -> None:
    """Refuse what no URL of ours holds.

    Raises:
        ValueError: which names the character.
    """
    for character in url:
        if character == "\\" or character.isspace() or category(character) == "Cc":
            raise ValueError(f"a URL has no whitespace, control character or backslash, and here is {character!r}")
        if category(character) == "Cs":
            raise ValueError(f"the lone surrogate {character!r} is no text")


def parse_userinfo(userinfo: str) -> tuple[str | None, str | None]:
    """User name and password, percent-decoded; None for what is not there (RFC 3986 3.2.1).

    Raises:
        ValueError: for what can't be one, or can't be sent as Basic credentials.
    """
    if not userinfo:
        return None, None
    if "@" in userinfo:
        raise ValueError("an '@' in a user name or password must be written %40")
    username, colon, password = userinfo.partition(":")
    try:
        user, secret = unquote(username, errors="strict"), unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("the user name and the password must be UTF-8 once percent-decoded") from None
    if ":" in user:
        raise ValueError("a user name that holds a colon can't be sent as Basic credentials (RFC 7617 2)")
    if any(category(character) == "Cc" for character in user + secret):
        raise ValueError("a user name and a password hold no control characters (RFC 7617 2)")
    return user, secret if colon else None


def without_secrets(url: str) -> str:
    """A URL that may be malformed, with all that could be userinfo, query or fragment left out.

    A password with an unescaped `/`, `?` or `@` is what makes many a URL
    malformed, so everything up to the last `@` counts as userinfo.
    """
    hidden, at, visible = url.rpartition("@")
    scheme = hidden.partition("://")[0]
    known = scheme.lower() in _KNOWN_SCHEMES
    start = (f"{scheme}://***@" if known else "***@") if at else ""
    end = min((i for i in map(visible.find, "?#") if i >= 0), default=len(visible)) + 1
    return start + visible[:end] + ("***" if visible[end:] else "")


def _parse(url: str) -> WebSocketURL:
    check_characters(url)
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if separator and scheme in _HTTP_SCHEMES:
        raise ValueError(f"the scheme must be ws or wss, and is {scheme}; http_to_ws_url(url) changes it")
    if not separator or scheme not in _WEBSOCKET_SCHEMES:
        raise ValueError("the URL must start with ws:// or wss://")
    if "#" in url:
        raise ValueError("a WebSocket URL has no fragment (RFC 6455 3); write %23 for a '#'")

    end = min((i for i in map(rest.find, "/?") if i >= 0), default=len(rest))
    userinfo, at, place = rest[:end].rpartition("@")
    username, password = parse_userinfo(userinfo) if at else (None, None)
    secure = _WEBSOCKET_SCHEMES[scheme]
    host, port = split_host(place)
    if port is None:
        port = _default_port(secure)
    return WebSocketURL(secure, host, port, _target(rest[end:]), username, password)


def _ipv6(text: str) -> str:
    try:
        address = IPv6Address(text)
    except AddressValueError:
        raise ValueError("what stands in brackets must be an IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("an IPv6 address in a URL has no zone id (RFC 9844)")
    return str(address)


def _host_name(name: str) -> str:
    if not name:
        raise ValueError("the host is missing")
    # Checked before the conversion too, whose work grows faster than the name.
    if len(name) > MAX_HOST_LENGTH + 1:
        raise ValueError(f"the host is longer than {MAX_HOST_LENGTH} characters")
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except UnicodeError as error:
            # It quotes the whole name, escaped.
            raise ValueError(f"the host is no internationalized domain name ({str(error)[:100]})") from None
    return _ascii_name(name.lower())


def _ascii_name(name: str) -> str:
    # The underscore is no character of host names (RFC 952), yet container networks resolve names with it.
    if not _HOST_CHARACTERS.issuperset(name):
        raise ValueError("the host may hold letters, digits, '-', '.' and '_' only")
    labels = name.removesuffix(".").split(".")
    if len(name.removesuffix(".")) > MAX_HOST_LENGTH or not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"the host must be labels of 1 to 63 characters, at most {MAX_HOST_LENGTH} in all")
    if _is_number(labels[-1]):
        try:
            return str(IPv4Address(name.removesuffix(".")))
        except AddressValueError:
            raise ValueError("a host that ends in a number must be an IPv4 address, four numbers of 0 to 255") from None
    return name


def _is_number(label: str) -> bool:
    """Whether `inet_aton` could take the label for a part of an address, decimal, octal or hexadecimal."""
    return label.isdigit() or (label.startswith("0x") and _HEX_DIGITS.issuperset(label[2:]))


def _port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError("the port must be 1 to 65535")
    return int(text)


def _default_port(secure: bool) -> int:
    return 443 if secure else 80


def _target(text: str) -> str:
    """Path and query as the request line holds them: not empty (RFC 6455 3), ASCII (RFC 3987 3.1)."""
    return quote(text if text.startswith("/") else "/" + text, safe=_TARGET_SAFE)
