"""Any text as a header's value: lists of tokens and extensions, and what is agreed on; when to ask again."""

from __future__ import annotations

from fixtures.backends import inflated
from fuzz.judging import told, too_slow
from wsmash.options import Deflate
from wsmash.sansio.deflate import Deflater, Inflater
from wsmash.sansio.deflate_negotiation import NAME, accept_offer, check_answer, offer
from wsmash.sansio.headers import (
    MAX_EXTENSIONS,
    Extension,
    format_extension,
    holds_token,
    parse_extensions,
    parse_tokens,
)
from wsmash.sansio.retry_after import LONGEST, parse_retry_after

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
    assert inflated(inflater, b"\x00", 0, True) == b""  # RFC 7692 7.2.3.6: an empty message


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


def retry_after(data: bytes) -> str:
    """`Retry-After`: seconds that can be waited, or None."""
    text = data.decode("latin-1")
    for now in (0.0, 1.8e9):
        found = parse_retry_after(text, now)
        assert found is None or 0 <= found <= LONGEST
    return too_slow(text, lambda text: parse_retry_after(text, 0.0))
