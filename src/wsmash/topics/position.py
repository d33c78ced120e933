"""Where a reader of a topic is."""

from __future__ import annotations

import re
import secrets
from typing import NamedTuple

_EPOCH = re.compile(r"[0-9a-f]{32}")


class Position(NamedTuple):
    """A place in a topic's stream of messages: that of a message, or of a reader that has it and all before it.

    Attributes:
        epoch: 128 random bits, in hexadecimal digits, of the stream's incarnation. Positions of two
            epochs cannot be compared.
        offset: of the message in its epoch. Each message has a greater one than those before it, not always
            by one; 0 is before the first. None is used twice in an epoch.
    """

    epoch: str
    offset: int


def new_epoch() -> str:
    """An epoch that no other stream has."""
    return secrets.token_hex(16)


def is_epoch(value: object) -> bool:
    """Whether this may be one."""
    return isinstance(value, str) and _EPOCH.fullmatch(value) is not None
