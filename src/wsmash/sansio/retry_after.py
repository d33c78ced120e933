"""When a server asks to be asked again: the value of a `Retry-After` header (RFC 9110 10.2.3)."""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST: Final = 10 * 365 * 86400.0
"""Seconds; a server that asks for more means never, and what is added to it must stay a number."""


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds from now; None where the value is neither a number of seconds nor a date (RFC 9110 5.6.7).

    Args:
        value: the header's.
        now: the time in seconds since 1970, in UTC.
    """
    value = value.strip(" \t")
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST)
    try:
        date = parsedate_to_datetime(value)
        at = date.replace(tzinfo=date.tzinfo or UTC).timestamp()  # asctime's form names no zone: it is GMT
    except (ValueError, OverflowError):
        return None
    return min(max(at - now, 0.0), LONGEST)
