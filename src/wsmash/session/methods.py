"""What clients may call: the methods of a server, by name, and what each is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, overload

from ..codecs import decode_json, encode_json
from ..errors import InvalidMessage
from ..runtime.events import Event, set_once
from ..signatures import takes_one
from ..topics.record import Kind, Record
from .envelopes import MAX_METHOD

T = TypeVar("T")


class RequestEvent(Event):
    """A client calls a method: what `@server.method(...)` is given.

    Attributes:
        client: who calls.
        method: the name that was called.
        data: what came with it: a str if it was text or JSON, bytes if it was binary, None if there was nothing.
    """

    __slots__ = ("data", "method")

    method: str
    data: str | bytes | None

    def __init__(self, client: Any, method: str, record: Record | None) -> None:
        super().__init__(client)
        set_once(self, "method", method)
        if record is None:
            set_once(self, "data", None)
        else:
            set_once(self, "data", record.payload if record.kind is Kind.BINARY else record.payload.decode())

    @overload
    def json(self) -> Any: ...
    @overload
    def json(self, type: type[T]) -> T: ...
    @overload
    def json(self, type: Any) -> Any: ...  # a union, Annotated, Literal: no class to type checkers
    def json(self, type: Any = None) -> Any:
        """The data parsed as JSON, and validated where a type is given.

        Raises:
            InvalidMessage: it is not JSON, or not of the type; where it is let out, the client is answered with its
                text and the code "bad_data".
        """
        if self.data is None:
            raise InvalidMessage("the request has no data")
        return decode_json(self.data, type)


Method = Callable[[RequestEvent], object]


def check_method(name: object, callback: object, known: Mapping[str, Method]) -> None:
    """Refuse what cannot be called by this name.

    Raises:
        TypeError, ValueError: which say why.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a method is a str, not {name!r:.75}")
    if not 0 < len(name) <= MAX_METHOD:
        raise ValueError(f"the name of a method has 1 to {MAX_METHOD} characters, and this one has {len(name)}")
    if name in known:
        raise ValueError(f"there is a method {name!r} already")
    if not callable(callback):
        raise TypeError(f"a method is a function or a coroutine function, not {callback!r:.75}")
    if not takes_one(callback):
        raise TypeError(f"a method takes one argument, the request; {callback!r:.75} does not")


def record_of_answer(value: object) -> Record:
    """What a method has returned, as its client gets it: text, bytes, and all else as JSON.

    Raises:
        TypeError, ValueError: JSON has no form for it.
    """
    if isinstance(value, str):
        return Record(Kind.TEXT, value.encode())
    if isinstance(value, (bytes, bytearray, memoryview)):
        return Record(Kind.BINARY, bytes(value))
    return Record(Kind.JSON, encode_json(value).encode())
