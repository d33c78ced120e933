"""What callbacks are given: small immutable objects, with the names of the browser's events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar, overload

from .. import codecs
from ..errors import ClosePair
from ..transports import native

if TYPE_CHECKING:
    from .connection import WebSocketConnection

T = TypeVar("T")

DropReason = Literal["expired", "closed", "conflated", "unconfirmed"]

_SHOWN = 75  # characters of a message in a repr

set_once = object.__setattr__
"""How an event gets what it holds."""


class Immutable:
    """Nothing of it can be set once it is made, and its `repr` shows what it holds."""

    __slots__: tuple[str, ...] = ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"events are immutable: {type(self).__name__}.{name} cannot be set")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"events are immutable: {type(self).__name__}.{name} cannot be deleted")

    def __repr__(self) -> str:
        shown = (f"{name}={_cut(getattr(self, name))}" for name in self.__slots__ if not name.startswith("_"))
        return f"{type(self).__name__}({', '.join(shown)})"


class Event(Immutable):
    """Something that happened; `client` is the connection it happened to."""

    __slots__ = ("client",)

    client: WebSocketConnection

    def __init__(self, client: WebSocketConnection) -> None:
        set_once(self, "client", client)


class OpenEvent(Event):
    """The connection is open.

    Attributes:
        reconnected: whether it is the same client's next connection, after an outage.
    """

    __slots__ = ("reconnected",)

    reconnected: bool

    def __init__(self, client: WebSocketConnection, reconnected: bool = False) -> None:
        super().__init__(client)
        set_once(self, "reconnected", reconnected)


class MessageEvent(Event):
    """A message came: `data` is a str if it was text, bytes if it was binary."""

    __slots__ = ("_json", "data")

    data: str | bytes
    _json: tuple[Any, Any] | None

    def __init__(self, client: WebSocketConnection, data: str | bytes) -> None:
        _set_client(self, client)
        _set_data(self, data)
        _set_json(self, None)

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, type: type[T]) -> T: ...
    @overload
    def json(self, type: Any) -> Any: ...  # a union, Annotated, Literal: no class to type checkers
    def json(self, type: Any = None) -> Any:
        """The message parsed as JSON, and validated where a type is given or `message_type` was declared.

        Raises:
            InvalidMessage: it is not JSON, or not of the type; the text says what is wrong and where.
        """
        if type is None:
            type = self.client.message_type
        if self._json is None or self._json[0] is not type:
            _set_json(self, (type, codecs.decode_json(self.data, type)))
        return self._json[1]  # type: ignore[index]


make_event = native.maker_of(MessageEvent)
"""What makes a message's event: the engine where there is one, and else its class."""


class CloseEvent(Event):
    """The connection is closed; the last event of it.

    Attributes:
        code: of the close frame received; 1005 if it held none, 1006 if no frame came.
        reason: of the close frame received; with 1006, an account of what happened.
        sent, received: the close frames as `(code, reason)`, or None.
    """

    __slots__ = ("code", "reason", "received", "sent")

    code: int
    reason: str
    sent: ClosePair | None
    received: ClosePair | None

    def __init__(
        self,
        client: WebSocketConnection,
        code: int,
        reason: str,
        sent: ClosePair | None = None,
        received: ClosePair | None = None,
    ) -> None:
        super().__init__(client)
        for name, value in (("code", code), ("reason", reason), ("sent", sent), ("received", received)):
            set_once(self, name, value)

    @property
    def was_clean(self) -> bool:
        """Whether a close frame was both sent and received."""
        return self.sent is not None and self.received is not None


class ReconnectingEvent(Event):
    """The connection was lost, or an attempt to connect has failed, and the client will connect again.

    Attributes:
        attempt: which retry is next: 1 for the first one since the connection was last healthy.
        delay: seconds until then.
        error: what ended the attempt or the connection; `ConnectionClosed` where it was lost or closed.
        code, reason: as those of a `CloseEvent`.
    """

    __slots__ = ("attempt", "code", "delay", "error", "reason")

    attempt: int
    delay: float
    error: Exception
    code: int
    reason: str

    def __init__(
        self, client: WebSocketConnection, attempt: int, delay: float, error: Exception, code: int, reason: str
    ) -> None:
        super().__init__(client)
        given = {"attempt": attempt, "delay": delay, "error": error, "code": code, "reason": reason}
        for name, value in given.items():
            set_once(self, name, value)


class DroppedEvent(Event):
    """A message that the offline queue had accepted is not sent, or not known to have arrived.

    Attributes:
        data: the message: a str if it was to be text, JSON among it, bytes if binary.
        reason: "expired" (no connection within `max_age`), "closed" (none until the client's end), "conflated"
            (a newer one of its key took its place), or "unconfirmed": it was sent, and the connection
            lost before the server was known to have it. It is never sent twice. A message that was
            sent while the client was open is no such message, and nothing is reported of it.
    """

    __slots__ = ("data", "reason")

    data: str | bytes
    reason: DropReason

    def __init__(self, client: WebSocketConnection, data: str | bytes, reason: DropReason) -> None:
        super().__init__(client)
        set_once(self, "data", data)
        set_once(self, "reason", reason)


class ErrorEvent(Event):
    """Something went wrong: `error` is the exception."""

    __slots__ = ("error",)

    error: Exception

    def __init__(self, client: WebSocketConnection, error: Exception) -> None:
        super().__init__(client)
        set_once(self, "error", error)


_set_client = Event.__dict__["client"].__set__
_set_data = MessageEvent.__dict__["data"].__set__
_set_json = MessageEvent.__dict__["_json"].__set__


def _cut(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
