"""How to compress messages (RFC 7692 7.1)."""

from __future__ import annotations

from dataclasses import dataclass

from .checks import check_bool, check_int


@dataclass(frozen=True, kw_only=True, slots=True)
class Deflate:
    """How to compress: the parameters of permessage-deflate (RFC 7692 7.1) and what they cost.

    With zlib-ng a compressor takes some 320 KiB and an inflater some 100 KiB while a
    connection is in use; smaller windows take less, and without context takeover
    both are there for the time of a message only.

    Attributes:
        level: 1 (fast) to 9 (small). JSON of 1-2 KiB takes half the time at 4 that it
            takes at 6, for 5 % more bytes.
        threshold: messages of fewer bytes are sent as they are.
        server_no_context_takeover, client_no_context_takeover: whether that side
            starts each message with an empty window.
        server_max_window_bits, client_max_window_bits: 9 to 15, the base-two
            logarithm of that side's window.
    """

    level: int = 4
    threshold: int = 128
    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15

    def __post_init__(self) -> None:
        check_int("level", self.level, 1, 9)
        check_int("threshold", self.threshold, 0)
        check_bool("server_no_context_takeover", self.server_no_context_takeover)
        check_bool("client_no_context_takeover", self.client_no_context_takeover)
        check_int("server_max_window_bits", self.server_max_window_bits, 9, 15)
        check_int("client_max_window_bits", self.client_max_window_bits, 9, 15)
