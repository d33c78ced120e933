"""JSON: what `send` and `send_json` write, and what `event.json()` reads, by way of msgspec; and MessagePack.

What cannot be written is the caller's fault: TypeError or ValueError. What cannot
be read is the peer's: InvalidMessage, whose text names the field that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from math import isfinite
from typing import Any, ClassVar, Protocol, TypeVar, overload

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType, inspect
from msgspec import Meta as Bounds

from .errors import InvalidMessage

__all__ = [
    "UNSET", "Bounds", "Message", "Raw", "Struct", "UnsetType", "check_type", "decode_json", "decode_msgpack",
    "encode_json", "encode_msgpack", "json_reader", "write_json",
]  # fmt: skip

T = TypeVar("T")


class _Buffer(Protocol):
    def __buffer__(self, flags: int, /) -> memoryview: ...


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Message = str | _Buffer | dict[Any, Any] | list[Any] | _Dataclass | msgspec.Struct
"""What `send` takes: text, a buffer of bytes, or what it makes JSON of."""

_MAX_SHOWN = 200  # characters of an error's text; the peer chooses the names of fields in it


def is_json_message(value: object) -> bool:
    """Whether `send` takes the value as JSON: a dict, a list, a dataclass's or a `msgspec.Struct`'s instance."""
    return isinstance(value, (dict, list, msgspec.Struct)) or hasattr(type(value), "__dataclass_fields__")


def encode_json(value: object) -> str:
    """The value as JSON text.

    Beside what JSON has, msgspec writes tuples, sets, enums, dataclasses, Structs,
    dates, UUIDs, decimals and bytes (as Base64).

    Raises:
        TypeError: the value holds something that JSON has no form for.
        ValueError: it holds NaN, an infinity or a lone surrogate, or itself.
    """
    try:
        encoded = _ENCODER.encode(value)
    except UnicodeEncodeError as error:
        raise ValueError(
            f"a lone surrogate, {error.object[error.start]!r}, is no text: it has no form in UTF-8"
        ) from error
    except RecursionError as error:
        raise ValueError("the value is nested too deeply for JSON, or holds itself") from error
    # msgspec writes null for a float that JSON lacks, and its name where it is a key.
    if b"null" in encoded or b'nan":' in encoded or b'inf":' in encoded:
        _refuse_non_finite(value)
    return encoded.decode()


def write_json(value: object) -> bytes:
    """The value as JSON in UTF-8, for what is known to have a form in it: a Struct of ours, text that was UTF-8."""
    return _ENCODER.encode(value)


@overload
def decode_json(data: str | bytes) -> Any: ...
@overload
def decode_json(data: str | bytes, type: type[T]) -> T: ...
@overload
def decode_json(data: str | bytes, type: Any) -> Any: ...  # a union, Annotated, Literal: no class to type checkers
def decode_json(data: str | bytes, type: Any = None) -> Any:  # noqa: A002 - `event.json(type=...)`
    """The value that the JSON text stands for.

    Args:
        data: JSON as text or in UTF-8.
        type: what it must be: a dataclass, a TypedDict, a `msgspec.Struct` or any type
            that msgspec validates. None takes any JSON.

    Raises:
        InvalidMessage: the data is not JSON, or not of the type; the text ends with
            the path of the field that is wrong, as in "at `$.user.age`".
        TypeError: msgspec can't decode to this type.
    """
    return _decoded(_ANY_DECODER if type is None else _decoder(type), data)


def json_reader(type: Any) -> Callable[[str | bytes], Any]:  # noqa: A002 - as `decode_json`
    """`decode_json` for this type: for what is read often, and whose type takes time to be looked up."""
    return partial(_decoded, _make_decoder(type))


def _decoded(decoder: msgspec.json.Decoder[Any], data: str | bytes) -> Any:
    try:
        return decoder.decode(data)
    except msgspec.DecodeError as error:
        raise InvalidMessage(_shown(str(error))) from error
    except UnicodeDecodeError as error:
        raise InvalidMessage("JSON is malformed: it is not UTF-8") from error
    except UnicodeEncodeError as error:
        raise InvalidMessage("JSON is malformed: it holds a lone surrogate") from error
    except RecursionError as error:
        raise InvalidMessage("JSON is nested too deeply") from error
    except _NoDecoder as error:
        raise TypeError(str(error)) from error


def encode_msgpack(value: object) -> bytes:
    """The value as MessagePack."""
    return _PACKER.encode(value)


def decode_msgpack(data: bytes, type: type[T]) -> T:  # noqa: A002 - as `decode_json`
    """The value of a type that the MessagePack stands for.

    Raises:
        InvalidMessage: the data is not MessagePack, or not of the type.
    """
    try:
        return msgspec.msgpack.decode(data, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidMessage(_shown(str(error))) from error
    except RecursionError as error:
        raise InvalidMessage("MessagePack is nested too deeply") from error


def check_type(kind: Any) -> None:
    """Refuse a type that JSON does not decode to.

    Raises:
        TypeError: which names it.
    """
    _decoder(kind)
    if isinstance(inspect.type_info(kind), inspect.CustomType):
        raise TypeError(f"JSON does not decode to {kind!r}: use a dataclass, a TypedDict or a msgspec.Struct")


class _NoDecoder(Exception):
    """Passes through msgspec, which takes a TypeError inside it for the data's fault."""


def _decode_foreign(kind: Any, _value: object) -> object:
    """Called for a class that msgspec knows nothing about; JSON never makes an instance of one."""
    raise _NoDecoder(f"JSON does not decode to {kind!r}: use a dataclass, a TypedDict or a msgspec.Struct")


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    try:
        hash(kind)
    except TypeError:  # Annotated with a list, say
        return _make_decoder(kind)
    return _cached_decoder(kind)


def _make_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    try:
        return msgspec.json.Decoder(kind, dec_hook=_decode_foreign)
    except NameError as error:  # an annotation that is never resolved
        raise TypeError(f"JSON can't be decoded to {kind!r}: {error}") from error


@lru_cache(maxsize=256)
def _cached_decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return _make_decoder(kind)


_ANY_DECODER = msgspec.json.Decoder()


def _as_builtin(value: object) -> object:
    """Called for what msgspec does not write by itself: it is strict about subclasses, as JSON is not."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, msgspec.Raw):  # reached in the search for NaN only
        return None
    raise TypeError(f"JSON has no form for {type(value).__qualname__}")


_ENCODER = msgspec.json.Encoder(enc_hook=_as_builtin)
_PACKER = msgspec.msgpack.Encoder()


def _refuse_non_finite(value: object) -> None:
    # to_builtins goes where the encoder went, through fields, enums and hooks, and keeps floats as they are.
    rest = [msgspec.to_builtins(value, enc_hook=_as_builtin)]
    while rest:
        item = rest.pop()
        if isinstance(item, float):
            if not isfinite(item):
                raise ValueError(f"JSON has no {item}; send None or a str in its place")
        elif isinstance(item, dict):
            rest.extend(item)
            rest.extend(item.values())
        elif isinstance(item, (list, tuple, set, frozenset)):
            rest.extend(item)


def _shown(text: str) -> str:
    """On one line, without control characters; what is too long loses its middle, since the path is at the end."""
    if not text.isprintable():
        text = text.encode("unicode_escape").decode("ascii")
    if len(text) <= _MAX_SHOWN:
        return text
    return f"{text[: _MAX_SHOWN // 2]}...{text[-_MAX_SHOWN // 2 :]}"
