"""The opening handshake of both sides: a head in, a head out (RFC 6455 4).

A client builds its request with `build_request` and judges the answer with
`check_response`. A server asks `check_host`, `is_upgrade`, then `check_request`,
and answers with what `negotiate` gives. How heads travel is not known here.
"""

from __future__ import annotations

from base64 import b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha1
from typing import Final, NamedTuple
from unicodedata import category

from ..constants import GUID, VERSION
from ..errors import HandshakeError
from ..grammar import is_field_value, is_token, shown
from ..options import Deflate
from ..urls import WebSocketURL, split_host
from .deflate_negotiation import NAME as DEFLATE
from .deflate_negotiation import DeflateParams, accept_offer, check_answer
from .head import Response
from .headers import Extension, checked_pairs, format_extension, holds_token, parse_extensions, parse_tokens
from .http1 import ParsedHead

Pairs = tuple[tuple[str, str], ...]

_ACCEPT: Final = "Sec-WebSocket-Accept"
_EXTENSIONS: Final = "Sec-WebSocket-Extensions"
_KEY: Final = "Sec-WebSocket-Key"
_PROTOCOL: Final = "Sec-WebSocket-Protocol"
_VERSION: Final = "Sec-WebSocket-Version"

_RESERVED: Final = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)
_RESERVED_PREFIX: Final = "sec-websocket-"


class Agreement(NamedTuple):
    """What the two sides agreed on."""

    subprotocol: str | None
    deflate: DeflateParams | None


class OpeningRequest(NamedTuple):
    """A client's request: a GET of this target with these headers."""

    target: str
    headers: Pairs


def accept_key(key: str) -> str:
    """The answer to a key (RFC 6455 4.2.2, step 5.4)."""
    digest = sha1(key.encode("ascii") + GUID, usedforsecurity=False).digest()
    return b2a_base64(digest, newline=False).decode("ascii")


def refuse_reserved(headers: Iterable[tuple[str, str]]) -> None:
    """Refuse user headers that are the handshake's own.

    Raises:
        ValueError: which names the header.
    """
    for name, _ in headers:
        if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIX):
            raise ValueError(f"the header {name} is the handshake's own, and can't be set")


# The client's side


def build_request(
    address: WebSocketURL,
    key: str,
    *,
    protocols: Sequence[str] = (),
    extension_offer: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    cookies: Mapping[str, str] | None = None,
    auth: tuple[str, str] | str | None = None,
    user_agent: str | None = None,
) -> OpeningRequest:
    """The request that opens a connection to this address (RFC 6455 4.1).

    The key is base64 of 16 random bytes, the offer what `Sec-WebSocket-Extensions`
    says. `headers` are the user's, as `checked_pairs` gives them; their Host,
    User-Agent and Authorization take the place of ours. `auth` is `(user, password)`
    or a bearer token; without it the URL's userinfo is sent.

    Raises:
        ValueError: for a user's header, cookie or credential that can't be sent.
    """
    refuse_reserved(headers)
    given = {name.lower() for name, _ in headers}
    pairs = [("Host", _host(address, headers))]  # RFC 9110 7.2: first, since it decides where the rest is judged
    pairs += [("Upgrade", "websocket"), ("Connection", "Upgrade"), (_KEY, key), (_VERSION, VERSION)]
    if protocols:
        pairs.append((_PROTOCOL, ", ".join(protocols)))
    if extension_offer is not None:
        pairs.append((_EXTENSIONS, extension_offer))
    if user_agent is not None and "user-agent" not in given:
        pairs.append(("User-Agent", user_agent))
    if auth is not None and "authorization" in given:
        raise ValueError("credentials are given twice, by auth and by the header Authorization")
    credentials = _authorization(address, auth)
    if credentials is not None and "authorization" not in given:
        pairs.append(("Authorization", credentials))
    if cookies:
        if "cookie" in given:
            raise ValueError("cookies are given twice, by cookies and by the header Cookie (RFC 6265 5.4 allows one)")
        pairs.append(("Cookie", "; ".join(_cookie(name, value) for name, value in cookies.items())))
    pairs += [pair for pair in headers if pair[0].lower() != "host"]
    return OpeningRequest(address.target, checked_pairs(pairs))


def check_response(head: ParsedHead, key: str, protocols: Sequence[str], deflate: Deflate | None) -> Agreement:
    """Judge a server's answer (RFC 6455 4.1, after "Once the client's opening handshake has been sent").

    Raises:
        HandshakeError: with the answer's status and headers.
    """
    if head.status != 101:
        raise _failure(head, "in place of 101 Switching Protocols")
    problem = _response_problem(head, key)
    if problem is not None:
        raise _failure(head, f"but {problem}")
    try:
        return Agreement(_agreed_protocol(head, protocols), _agreed_deflate(head, deflate))
    except ValueError as error:
        raise _failure(head, f"but {error}") from error


def _host(address: WebSocketURL, headers: Sequence[tuple[str, str]]) -> str:
    given = [value for name, value in headers if name.lower() == "host"]
    if not given:
        return address.host_header
    if len(given) > 1:
        raise ValueError("the header Host is given more than once")
    try:
        split_host(given[0])
    except ValueError as error:
        raise ValueError(f"the header Host can't be {shown(given[0])}: {error}") from None
    return given[0]


def _authorization(address: WebSocketURL, auth: tuple[str, str] | str | None) -> str | None:
    if isinstance(auth, str):
        if not auth or not is_field_value(auth):
            raise ValueError("a bearer token must be Latin-1 text without control characters, and not empty")
        return f"Bearer {auth}"  # RFC 6750 2.1
    if auth is None and address.username is None and address.password is None:
        return None
    user, password = auth if auth is not None else (address.username or "", address.password or "")
    if ":" in user:
        raise ValueError("a user name that holds a colon can't be sent as Basic credentials (RFC 7617 2)")
    if any(category(character) == "Cc" for character in user + password):
        raise ValueError("a user name and a password hold no control characters (RFC 7617 2)")
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode('ascii')}"


def _cookie(name: str, value: str) -> str:
    """One `name=value` (RFC 6265 4.1.1, where many servers' cookies hold commas and quotation marks all the same)."""
    if not is_token(name):
        raise ValueError(f"the cookie's name {shown(name)} is not a token (RFC 6265 4.1.1)")
    if not is_field_value(value) or ";" in value:
        raise ValueError(f"the cookie {name} must be Latin-1 text without control characters and ';'")
    return f"{name}={value}"


def _response_problem(head: ParsedHead, key: str) -> str | None:
    """What is wrong with a 101, in the order of RFC 6455 4.1."""
    headers = head.headers
    if head.version != "1.1":
        return f"its version of HTTP is {head.version}"
    upgrade = headers.get_all("Upgrade")
    if len(upgrade) != 1 or upgrade[0].lower() != "websocket":
        return f"Upgrade must be one 'websocket', and is {_described(upgrade)}"
    connection = headers.get_all("Connection")
    if not holds_token(connection, "upgrade"):
        return f"Connection must hold 'upgrade', and is {_described(connection)}"
    accept = headers.get_all(_ACCEPT)
    expected = accept_key(key)
    if accept != (expected,):
        return f"{_ACCEPT} must be one {expected!r}, and is {_described(accept)}"
    return None


def _agreed_protocol(head: ParsedHead, protocols: Sequence[str]) -> str | None:
    answer = head.headers.get_all(_PROTOCOL)
    if not answer:
        return None
    if len(answer) != 1 or answer[0] not in protocols:
        offered = ", ".join(protocols) or "none"
        raise ValueError(f"{_PROTOCOL} must be one of those offered ({offered}), and is {_described(answer)}")
    return answer[0]


def _agreed_deflate(head: ParsedHead, settings: Deflate | None) -> DeflateParams | None:
    extensions = parse_extensions(head.headers.get_all(_EXTENSIONS))
    if not extensions:
        return None
    first = extensions[0]
    if settings is None or len(extensions) > 1 or first.name != DEFLATE:
        offered = DEFLATE if settings is not None else "none"
        answer = ", ".join(map(format_extension, extensions))
        raise ValueError(f"{_EXTENSIONS} must be what was offered ({offered}), and is {shown(answer)}")
    return check_answer(first, settings)


def _failure(head: ParsedHead, what: str) -> HandshakeError:
    reason = f" {shown(head.reason)[1:-1]}" if head.reason else ""
    return HandshakeError(
        f"the server answered HTTP {head.status}{reason}, {what}", status=head.status, headers=head.headers
    )


# The server's side


def is_upgrade(head: ParsedHead) -> bool:
    """Whether the request asks for a WebSocket, rightly or not; if it does not, it is plain HTTP."""
    headers = head.headers
    return holds_token(headers.get_all("Upgrade"), "websocket") and holds_token(
        headers.get_all("Connection"), "upgrade"
    )


def check_host(head: ParsedHead) -> Response | None:
    """The refusal of a request without one valid Host; None lets it pass (RFC 9112 3.2, hostile case 12).

    HTTP/1.0 does without: that is how health probes ask.
    """
    values = head.headers.get_all("Host")
    if not values and head.version == "1.0":
        return None
    if len(values) != 1:
        return Response(400, f"the header Host must be there once, and is {_described(values)}\n")
    try:
        split_host(values[0])
    except ValueError as error:
        return Response(400, f"the header Host can't be {shown(values[0])}: {error}\n")
    if not head.target.startswith("/") and "://" in head.target:
        # RFC 9112 3.2.2: the target wins. Two names for one request help an attacker only.
        authority = head.target.partition("://")[2].partition("/")[0].partition("?")[0]
        if authority.lower() != values[0].lower():
            return Response(400, f"the target's host {shown(authority)} is not the header's {shown(values[0])}\n")
    return None


def check_request(head: ParsedHead) -> Response | None:
    """The refusal of an upgrade, let pass by `check_host`, that is no valid opening handshake (RFC 6455 4.2.1)."""
    if head.version != "1.1":
        return Response(505, f"a WebSocket needs HTTP/1.1, and this is HTTP/{head.version}\n")
    if head.method != "GET":
        return Response(405, f"a WebSocket is opened with GET, not {head.method}\n", [("Allow", "GET")])
    return _refused_version(head) or _refused_key(head) or _refused_lists(head)


def accept(
    head: ParsedHead,
    protocols: Sequence[str],
    deflate: Deflate | None,
    headers: Sequence[tuple[str, str]] = (),
) -> tuple[Response, Agreement]:
    """The 101 to a request that `check_request` let pass (RFC 6455 4.2.2), and what it agrees on.

    The first of the server's protocols that was offered is taken; none if none was.

    Raises:
        ValueError: if `headers` hold one of the handshake's own.
    """
    refuse_reserved(headers)
    pairs, agreement = negotiate(head, protocols, deflate)
    return Response(101, headers=[*pairs, *headers]), agreement


def negotiate(head: ParsedHead, protocols: Sequence[str], deflate: Deflate | None) -> tuple[Pairs, Agreement]:
    """The same, with the headers of the 101 alone."""
    subprotocol = _chosen(protocols, head) if protocols else None
    extension, params = (None, None) if deflate is None else _accepted_deflate(head, deflate)
    pairs: Pairs = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        (_ACCEPT, accept_key(head.headers[_KEY])),
    )
    if subprotocol is not None:
        pairs += ((_PROTOCOL, subprotocol),)
    if extension is not None:
        pairs += ((_EXTENSIONS, format_extension(extension)),)
    return pairs, Agreement(subprotocol, params)


def _chosen(protocols: Sequence[str], head: ParsedHead) -> str | None:
    offered = parse_tokens(head.headers.get_all(_PROTOCOL))
    return next((protocol for protocol in protocols if protocol in offered), None)


def _refused_version(head: ParsedHead) -> Response | None:
    values = head.headers.get_all(_VERSION)
    if values == (VERSION,):
        return None
    # RFC 6455 4.4 asks for the version, RFC 9110 15.5.22 for Upgrade.
    text = f"{_VERSION} must be one {VERSION!r}, and is {_described(values)}\n"
    return Response(426, text, [(_VERSION, VERSION), ("Upgrade", "websocket")])


def _refused_key(head: ParsedHead) -> Response | None:
    values = head.headers.get_all(_KEY)
    if len(values) == 1 and _is_key(values[0]):
        return None
    return Response(400, f"{_KEY} must be one base64 of 16 bytes, and is {_described(values)}\n")


def _is_key(text: str) -> bool:
    """Whether this is base64 of 16 bytes (RFC 6455 4.2.1, item 5)."""
    try:
        return len(text) == 24 and len(a2b_base64(text, strict_mode=True)) == 16
    except Base64Error:
        return False


def _refused_lists(head: ParsedHead) -> Response | None:
    try:
        parse_tokens(head.headers.get_all(_PROTOCOL))
    except ValueError as error:
        return Response(400, f"{_PROTOCOL} is malformed: {error}\n")
    try:
        parse_extensions(head.headers.get_all(_EXTENSIONS))
    except ValueError as error:
        return Response(400, f"{_EXTENSIONS} is malformed: {error}\n")
    return None


def _accepted_deflate(head: ParsedHead, settings: Deflate) -> tuple[Extension, DeflateParams] | tuple[None, None]:
    offers = parse_extensions(head.headers.get_all(_EXTENSIONS))
    return accept_offer(offers, settings) or (None, None)


def _described(values: Sequence[str]) -> str:
    """The values of a header in an error message: escaped, cut, missing or several."""
    if not values:
        return "missing"
    return " and ".join(map(shown, values[:2])) + (" and more" if len(values) > 2 else "")
