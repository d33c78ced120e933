"""The few grammar rules of HTTP that options and heads share (RFC 9110 5.5 and 5.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

HeaderPairs = Mapping[str, str] | Sequence[tuple[str, str]]
"""Headers as a user gives them."""

OWS: Final = " \t"
"""Optional whitespace (RFC 9110 5.6.3). `str.strip()` without it would take U+0085 and U+00A0 too."""

_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_FORBIDDEN = frozenset(map(chr, [*range(0x09), *range(0x0A, 0x20), 0x7F]))


def is_token(text: str) -> bool:
    """Whether the text is a token (RFC 9110 5.6.2): a header's name, a subprotocol."""
    return bool(text) and _TOKEN.issuperset(text)


def is_field_value(text: str) -> bool:
    """Whether the text may stand as a header's value: Latin-1 without control characters but the tab (RFC 9110 5.5)."""
    return _FORBIDDEN.isdisjoint(text) and max(text, default="") <= "\xff"


def shown(text: str | bytes, limit: int = 75) -> str:
    """The text as an error message or a log may hold it: escaped, and cut after `limit` characters."""
    return repr(text) if len(text) <= limit else f"{text[:limit]!r}..."
