"""What there is to tell about the end of a connection (RFC 6455 7.1.5, 7.1.6)."""

from __future__ import annotations

from ..constants import MAX_CLOSE_REASON, CloseCode, may_be_sent
from ..errors import ClosePair, ConnectionClosed


class Closing:
    """The close frames of one connection, made when the first of them passes.

    Attributes:
        sent, received: the frames as `(code, reason)`, or None.
        by_peer: whether the peer's frame came before ours was sent; otherwise it is an echo.
        why: our own account, for a connection that ends without a frame received.
        deadline: when the transport is dropped, as the loop's clock tells it.
    """

    __slots__ = ("by_peer", "deadline", "received", "sent", "why")

    def __init__(self) -> None:
        self.sent: ClosePair | None = None
        self.received: ClosePair | None = None
        self.by_peer = False
        self.why = ""
        self.deadline: float | None = None

    @property
    def outcome(self) -> ClosePair:
        """The code and the reason that the user is told."""
        if self.received is not None:
            return self.received
        return int(CloseCode.ABNORMAL), self.why

    def exception(self) -> ConnectionClosed:
        """The same as an error."""
        return ConnectionClosed(*self.outcome, sent=self.sent, received=self.received)


def check_close(code: int, reason: str) -> None:
    """Refuse what a close frame of ours may not hold.

    Raises:
        TypeError: the code is no int, or the reason no str.
        ValueError: the code is not for sending, or the reason too long.
    """
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"a close code is an int, not {code!r:.75}")
    if not isinstance(reason, str):
        raise TypeError(f"a close reason is a str, not {reason!r:.75}")
    if not may_be_sent(code):
        raise ValueError(f"{code} cannot be sent as a close code: use 1000-1003, 1007-1014 or 3000-4999")
    size = len(reason.encode("utf-8", "surrogatepass"))
    if size > MAX_CLOSE_REASON:
        raise ValueError(f"a close reason has at most {MAX_CLOSE_REASON} bytes of UTF-8, and this one has {size}")
    if any("\ud800" <= each <= "\udfff" for each in reason):
        raise ValueError(f"a close reason cannot hold a lone surrogate: {reason!r:.75}")


def shortened(reason: str) -> str:
    """As much of a reason as a close frame holds, cut between characters; what has no UTF-8 becomes a `?`."""
    return reason.encode("utf-8", "replace")[:MAX_CLOSE_REASON].decode("utf-8", "ignore")
