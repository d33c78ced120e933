"""How the server's end of a connection answers its commands, and how it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from ..constants import CloseCode, Opcode
from ..errors import InvalidMessage
from ..runtime.delivery import cancelled
from .envelopes import Error, FromServer, encode

if TYPE_CHECKING:
    from ..topics.subscriber import Subscriber

_SHOWN: Final = 1000  # characters of an error's text that a client is told


class Answers:
    """Those to one connection.

    Attributes:
        connection: it.
    """

    __slots__ = ("connection",)

    def __init__(self, connection: Subscriber) -> None:
        self.connection = connection

    def tell(self, envelope: FromServer) -> None:
        """Each command is answered, or the connection fails: no policy for slow consumers drops an answer."""
        if self.connection.is_open():
            self.connection._tell(Opcode.TEXT, encode(envelope))

    def refuse(self, id: int, code: str, message: str = "") -> None:
        """A command was not done."""
        self.tell(error_of(id, code, message))

    def fail(self, error: InvalidMessage) -> None:
        """What came is no command."""
        if self.connection._fail(CloseCode.INVALID_FRAME_PAYLOAD_DATA, f"an invalid envelope: {error}", error):
            self.connection._owner.counters.failed_message += 1

    def report(self, error: BaseException, what: str) -> None:
        """What is this side's own fault is worth a record, and not a word on the wire."""
        self.connection._owner.reports.log(logging.ERROR, "%s: a %s failed", self.connection, what, error=error)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a part of a command in the context of the connection's callbacks."""
        return self.connection._owner.run(coroutine, self.connection._context)


def error_of(id: int, code: str, message: str = "") -> Error:
    """The answer to a command that was not done."""
    # An application's text may hold what has no form in UTF-8.
    code, message = (str(text).encode("utf-8", "replace").decode()[:_SHOWN] for text in (code, message))
    return Error(id, code, message)


def raise_if_cancelled(error: BaseException) -> None:
    """Where the task is: what was cancelled may also be something that an application's function awaited."""
    if isinstance(error, asyncio.CancelledError):
        cancelled(error, _nothing)


def _nothing(_: object) -> None:
    """It is reported by who asked."""
