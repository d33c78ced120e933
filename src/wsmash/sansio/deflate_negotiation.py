"""The negotiation of permessage-deflate (RFC 7692 5 and 7.1): what both ends agree on.

The client makes an `offer`, the server may `accept_offer`, the client must
`check_answer`. An offer that breaks a rule is passed over by the server; an answer
that breaks one fails the connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from ..grammar import shown
from ..options import Deflate
from .headers import Extension

NAME: Final = "permessage-deflate"

_SERVER_TAKEOVER: Final = "server_no_context_takeover"
_CLIENT_TAKEOVER: Final = "client_no_context_takeover"
_SERVER_BITS: Final = "server_max_window_bits"
_CLIENT_BITS: Final = "client_max_window_bits"

# RFC 7692 7.1.2: "a decimal integer value without leading zeroes between 8 to 15".
_BITS: Final = {str(bits): bits for bits in range(8, 16)}
_MAX_BITS: Final = 15
_MIN_COMPRESSOR_BITS: Final = 9  # zlib inflates windows of 8 bits, and makes none of them


class DeflateParams(NamedTuple):
    """What both ends have agreed on (RFC 7692 7.1); the names are the RFC's."""

    server_no_context_takeover: bool
    client_no_context_takeover: bool
    server_max_window_bits: int
    client_max_window_bits: int


def offer(settings: Deflate) -> Extension:
    """What a client offers: the parameters in which its settings differ from the defaults.

    `client_max_window_bits` is always there, since only then may the server choose
    a window for the client (RFC 7692 7.1.2.2).
    """
    params: list[tuple[str, str | None]] = []
    if settings.server_no_context_takeover:
        params.append((_SERVER_TAKEOVER, None))
    if settings.client_no_context_takeover:
        params.append((_CLIENT_TAKEOVER, None))
    if settings.server_max_window_bits < _MAX_BITS:
        params.append((_SERVER_BITS, str(settings.server_max_window_bits)))
    bits = settings.client_max_window_bits
    params.append((_CLIENT_BITS, str(bits) if bits < _MAX_BITS else None))
    return Extension(NAME, tuple(params))


def accept_offer(extensions: Sequence[Extension], settings: Deflate) -> tuple[Extension, DeflateParams] | None:
    """What a server answers: the first offer that it can accept, or None.

    An offer is declined for an unknown, repeated or invalid parameter (RFC 7692 7.1),
    for a server window of 8 bits, and, where the settings limit the client's window,
    for a client that does not let itself be limited (RFC 7692 7.1.2.2).
    """
    for extension in extensions:
        if extension.name != NAME:
            continue
        try:
            offered = _read_params(extension, is_answer=False)
        except ValueError:
            continue
        if offered.get(_SERVER_BITS) == 8 or (
            _CLIENT_BITS not in offered and settings.client_max_window_bits < _MAX_BITS
        ):
            continue
        params = DeflateParams(
            settings.server_no_context_takeover or _SERVER_TAKEOVER in offered,
            settings.client_no_context_takeover or _CLIENT_TAKEOVER in offered,
            min(settings.server_max_window_bits, offered.get(_SERVER_BITS, _MAX_BITS)),
            min(settings.client_max_window_bits, offered.get(_CLIENT_BITS, _MAX_BITS)),
        )
        return _answer(params, offered), params
    return None


def check_answer(extension: Extension, settings: Deflate) -> DeflateParams:
    """What a client makes of the server's answer to `offer(settings)`.

    Raises:
        ValueError: says which parameter is not as it must be (RFC 7692 7.1).
    """
    if extension.name != NAME:
        raise ValueError(f"the extension {shown(extension.name)} was not offered")
    given = _read_params(extension, is_answer=True)
    if settings.server_no_context_takeover and _SERVER_TAKEOVER not in given:
        raise ValueError(f"{_SERVER_TAKEOVER} was offered, and the answer lacks it")  # RFC 7692 7.1.1.1
    server_bits = given.get(_SERVER_BITS, _MAX_BITS)
    if server_bits > settings.server_max_window_bits:  # RFC 7692 7.1.2.1: "the same or smaller"
        raise ValueError(f"{_SERVER_BITS} is {server_bits}, above the {settings.server_max_window_bits} offered")
    client_bits = given.get(_CLIENT_BITS, settings.client_max_window_bits)
    if client_bits > settings.client_max_window_bits:  # RFC 7692 7.1.2.2: "the same or smaller"
        raise ValueError(f"{_CLIENT_BITS} is {client_bits}, above the {settings.client_max_window_bits} offered")
    if client_bits < _MIN_COMPRESSOR_BITS:
        raise ValueError(
            f"{_CLIENT_BITS} is {client_bits}, and zlib makes windows of {_MIN_COMPRESSOR_BITS} to 15 bits"
        )
    return DeflateParams(
        _SERVER_TAKEOVER in given,
        settings.client_no_context_takeover or _CLIENT_TAKEOVER in given,
        server_bits,
        client_bits,
    )


def _read_params(extension: Extension, *, is_answer: bool) -> dict[str, int]:
    """Window bits by name, and 1 for each flag."""
    found: dict[str, int] = {}
    for name, value in extension.params:
        if name in found:
            raise ValueError(f"{name} is there twice")
        if name in (_SERVER_TAKEOVER, _CLIENT_TAKEOVER):  # RFC 7692 7.1.1: no value
            if value is not None:
                raise ValueError(f"{name} takes no value, and has {shown(value)}")
            found[name] = 1
        elif name == _CLIENT_BITS and value is None and not is_answer:  # RFC 7692 7.1.2.2: may have no value
            found[name] = _MAX_BITS
        elif name in (_SERVER_BITS, _CLIENT_BITS):
            if value not in _BITS:
                raise ValueError(f"{name} must be 8 to 15, and is {'empty' if not value else shown(value)}")
            found[name] = _BITS[value]
        else:
            raise ValueError(f"the parameter {shown(name)} is unknown")
    return found


def _answer(params: DeflateParams, offered: dict[str, int]) -> Extension:
    answer: list[tuple[str, str | None]] = []
    if params.server_no_context_takeover:
        answer.append((_SERVER_TAKEOVER, None))
    if params.client_no_context_takeover:
        answer.append((_CLIENT_TAKEOVER, None))
    if _SERVER_BITS in offered or params.server_max_window_bits < _MAX_BITS:
        answer.append((_SERVER_BITS, str(params.server_max_window_bits)))
    # Without an offer of it the answer must not name it (RFC 7692 7.1.2.2): then it is 15.
    if params.client_max_window_bits < _MAX_BITS:
        answer.append((_CLIENT_BITS, str(params.client_max_window_bits)))
    return Extension(NAME, tuple(answer))
