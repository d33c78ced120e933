"""Any text as a header's value: lists of tokens and extensions, and what is agreed on, Host and Origin."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from fuzz.judging import told, too_slow
from wsmash.options import Deflate
from wsmash.sansio.deflate import Deflater, Inflater
from wsmash.sansio.deflate_negotiation import NAME, accept_offer, check_answer, offer
from wsmash.sansio.headers import (
    MAX_EXTENSIONS,
    Extension,
    Headers,
    format_extension,
    holds_token,
    parse_extensions,
    parse_tokens,
)
from wsmash.sansio.origin import refusal
from wsmash.urls import split_host

SETTINGS = (
    Deflate(),
    Deflate(server_no_context_takeover=True, client_max_window_bits=10),
    Deflate(client_no_context_takeover=True, server_max_window_bits=9),
)


def extensions(data: bytes) -> str:
    """`Sec-WebSocket-Extensions` on either side, a line each: a ValueError, or what comes out the same again."""
    lines = data.decode("latin-1").split("\n")
    slow = too_slow(lines[0], _tried)
    found = _tried(*lines)
    if found is None:
        return slow
    assert len(found) <= MAX_EXTENSIONS
    again = parse_extensions([", ".join(map(format_extension, found))])
    if again != found:
        return f"{found!r} comes out as {again!r}"
    for settings in SETTINGS:
        _serve(found, settings)
        for each in found:
            _dial(each, settings)
    return slow


def _tried(*lines: str) -> tuple[Extension, ...] | None:
    try:
        return parse_extensions(lines)
    except ValueError as error:
        told(error)
        return None


def _serve(offers: tuple[Extension, ...], settings: Deflate) -> None:
    """What a server agrees to is what it can do, and what the client has let it choose."""
    accepted = accept_offer(offers, settings)
    if accepted is None:
        return
    answer, params = accepted
    assert answer.name == NAME and parse_extensions([format_extension(answer)]) == (answer,)
    assert 9 <= params.server_max_window_bits <= settings.server_max_window_bits
    assert params.client_max_window_bits <= settings.client_max_window_bits
    names = [name for name, _ in answer.params]
    assert len(set(names)) == len(names)
    if "client_max_window_bits" in names:  # RFC 7692 7.1.2.2: only where it was offered
        assert any("client_max_window_bits" in dict(each.params) for each in offers)
    Deflater(params.server_max_window_bits, not params.server_no_context_takeover, 1).compress(b"x")
    _inflates(Inflater(params.client_max_window_bits, not params.client_no_context_takeover))


def _dial(answer: Extension, settings: Deflate) -> None:
    """What a client takes as the answer to its offer is what it can do."""
    try:
        params = check_answer(answer, settings)
    except ValueError:
        return
    assert offer(settings).name == answer.name
    assert 9 <= params.client_max_window_bits <= settings.client_max_window_bits
    Deflater(params.client_max_window_bits, not params.client_no_context_takeover, 1).compress(b"x")
    _inflates(Inflater(params.server_max_window_bits, not params.server_no_context_takeover))


def _inflates(inflater: Inflater) -> None:
    assert inflater.inflate(b"\x00", 0, True) == b""  # RFC 7692 7.2.3.6: an empty message


def tokens(data: bytes) -> str:
    """`Sec-WebSocket-Protocol` and `Connection`, a line each: a ValueError, or what comes out the same again."""
    lines = data.decode("latin-1").split("\n")
    slow = too_slow(lines[0], lambda text: holds_token([text], "upgrade"))
    for line in lines:
        holds_token([line], "upgrade")
    slow = slow or too_slow(lines[0], _tokens)
    found = _tokens(*lines)
    if found is None:
        return slow
    for token in found:
        assert holds_token(lines, token.lower()), token
    again = parse_tokens([", ".join(found)])
    return slow if again == found else f"{found!r} comes out as {again!r}"


def _tokens(*lines: str) -> tuple[str, ...] | None:
    try:
        return parse_tokens(lines)
    except ValueError as error:
        told(error)
        return None


def origin(data: bytes) -> str:
    """Host in the first line, Origin in those after it: nobody else's page is ever let in."""
    host, *origins = data.decode("ascii", "ignore").split("\n")  # no other is let in by `parse_request`
    headers = Headers([("Host", host), *[("Origin", each) for each in origins]])
    for secure in (False, True):
        for loopback_only in (False, True):
            why = refusal(headers, secure=secure, loopback_only=loopback_only, origins=(), allowed_hosts=None)
            assert why is None or len(why) < 1000
            if why is None and origins and not loopback_only and not _is_own(origins[0], host):
                return f"a page of {origins[0]!r} is let in at {host!r}"
            assert why is not None or len(origins) < 2
    listed = refusal(headers, secure=True, loopback_only=False, origins=("https://a.example",), allowed_hosts=("b.io",))
    if listed is None and split_host(host)[0] != "b.io":
        return f"{host!r} is taken for b.io"
    return _host(host)


def _is_own(origin: str, host: str) -> bool:
    """What the standard library, which takes much more for a URL, says about who the two name."""
    one, other = urlsplit(origin), urlsplit(f"{urlsplit(origin).scheme}://{host}")
    default = {"http": 80, "https": 443}.get(one.scheme)
    if default is None or one.path:
        return False
    return (_address(one.hostname), one.port or default) == (_address(other.hostname), other.port or default)


def _address(host: str | None) -> object:
    """An address has several forms in IPv6."""
    return ip_address(host) if host and ":" in host else host


def _host(text: str) -> str:
    """A host is a ValueError, or stays what it is when it is taken apart again."""
    try:
        name, port = split_host(text)
    except ValueError:
        return ""
    again = split_host((f"[{name}]" if ":" in name else name) + ("" if port is None else f":{port}"))
    return "" if again == (name, port) else f"{text!r} is {name!r}, and that is {again!r}"
