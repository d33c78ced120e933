"""What a client keeps of the messages sent while it has no connection."""

from __future__ import annotations

from dataclasses import dataclass

from .checks import check_int, check_seconds
from .connection import MIB


@dataclass(frozen=True, kw_only=True, slots=True)
class OfflineQueue:
    """The bounds of the queue of messages that are sent while there is no connection.

    They are sent once the `open` callbacks have run to their first `await`. Those
    that were handed to a connection count until the server has answered a ping that
    was sent after them. What is sent while the client is open is in no queue: how much
    of that a lost connection took with it is not known, and not reported.

    Attributes:
        max_messages: in the queue at once; above it `send` raises `SlowConsumer`.
        max_bytes: of their payloads, and 128 more for each; the same.
        max_age: seconds that a message may wait for a connection; it is then dropped.
    """

    max_messages: int = 1000
    max_bytes: int | None = MIB
    max_age: float | None = 300.0

    def __post_init__(self) -> None:
        check_int("max_messages", self.max_messages, 1)
        if self.max_bytes is not None:
            check_int("max_bytes", self.max_bytes, 1)
        check_seconds("max_age", self.max_age, optional=True)
