"""What the callbacks of a client's subscription are given, and what `async for` on one gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, overload

from ..codecs import decode_json
from ..runtime.events import Event, set_once
from ..topics.members import Member
from ..topics.position import Position

if TYPE_CHECKING:
    from ..runtime.connection import WebSocketConnection

T = TypeVar("T")


class TopicEvent(Event):
    """Something that happened to a subscription; itself that of "degraded" and of "restored".

    Attributes:
        topic: that it happened on, or the pattern, where it happened to the subscription as a whole.
    """

    __slots__ = ("topic",)

    topic: str

    def __init__(self, client: WebSocketConnection, topic: str) -> None:
        super().__init__(client)
        set_once(self, "topic", topic)


class TopicMessage(TopicEvent):
    """A message of a topic: `data` is a str where text or JSON was published, bytes where binary.

    Attributes:
        topic: that it was published on, whatever was subscribed to.
        data: the message.
        position: its own; None where it was delivered while the broker was away.
    """

    __slots__ = ("_json", "data", "position")

    data: str | bytes
    position: Position | None
    _json: tuple[Any, Any] | None

    def __init__(
        self, client: WebSocketConnection, topic: str, data: str | bytes, position: Position | None = None
    ) -> None:
        super().__init__(client, topic)
        for name, value in (("data", data), ("position", position), ("_json", None)):
            set_once(self, name, value)

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, type: type[T]) -> T: ...
    @overload
    def json(self, type: Any) -> Any: ...  # a union, Annotated, Literal: no class to type checkers
    def json(self, type: Any = None) -> Any:
        """The message parsed as JSON, and validated where a type is given.

        Raises:
            InvalidMessage: it is not JSON, or not of the type; the text says what is wrong and where.
        """
        if self._json is None or self._json[0] is not type:
            set_once(self, "_json", (type, decode_json(self.data, type)))
        return self._json[1]  # type: ignore[index]


class TopicGap(TopicEvent):
    """Messages of a topic were missed, or may have been, and will not come.

    Attributes:
        position: where the subscription goes on; None for a pattern as a whole, whose topics are not known.
        reason: of docs/protocol.md: "epoch", "trimmed", "slow", "outage"; or of this client: "disconnected",
            a pattern was not subscribed for a while; "unread", nobody took the messages.
    """

    __slots__ = ("position", "reason")

    position: Position | None
    reason: str

    def __init__(self, client: WebSocketConnection, topic: str, position: Position | None, reason: str) -> None:
        super().__init__(client, topic)
        set_once(self, "position", position)
        set_once(self, "reason", reason)


class TopicSubscribed(TopicEvent):
    """The server has confirmed a subscription; on each connection anew.

    Attributes:
        position: after which messages follow; None where the server cannot know, and for patterns.
        recovered: whether those are all since the position that was asked for; None where none was.
    """

    __slots__ = ("position", "recovered")

    position: Position | None
    recovered: bool | None

    def __init__(
        self, client: WebSocketConnection, topic: str, position: Position | None, recovered: bool | None
    ) -> None:
        super().__init__(client, topic)
        set_once(self, "position", position)
        set_once(self, "recovered", recovered)


class TopicPresence(TopicEvent):
    """Somebody is on a topic ("join"), or is no more ("leave").

    Attributes:
        member: who.
    """

    __slots__ = ("member",)

    member: Member

    def __init__(self, client: WebSocketConnection, topic: str, member: Member) -> None:
        super().__init__(client, topic)
        set_once(self, "member", member)


class TopicRefused(TopicEvent):
    """The server refuses a subscription, or has ended it; or it does not speak the sub-protocol.

    Attributes:
        error: a `RequestError`, with the `code` that the server gave, after which the subscription is over;
            or an `InvalidState`, where this server has no topics.
    """

    __slots__ = ("error",)

    error: Exception

    def __init__(self, client: WebSocketConnection, topic: str, error: Exception) -> None:
        super().__init__(client, topic)
        set_once(self, "error", error)
