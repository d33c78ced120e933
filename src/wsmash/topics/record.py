"""What a broker keeps of a message: a versioned schema in MessagePack, and never a pickle.

A record is the array `[1, kind, payload]`. What is longer than a node takes, is no
such array or is of a version that it does not know is left out and counted: whoever
can write to the broker can send anything (case 107).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from ..codecs import Message, Struct, decode_msgpack, encode_msgpack
from ..constants import Opcode
from ..errors import InvalidMessage
from ..runtime.connection import encode_message

VERSION = 1


class Kind(IntEnum):
    """What a payload is."""

    TEXT = 1
    BINARY = 2
    JSON = 3


_TEXT, _BINARY, _JSON = Kind.TEXT, Kind.BINARY, Kind.JSON  # looked up once, since every message asks for them


class Record(NamedTuple):
    """A published message: its payload is UTF-8 where it is text or JSON."""

    kind: Kind
    payload: bytes


def record_of(data: Message) -> Record:
    """The record of what `publish` takes, which is what `send` takes.

    Raises:
        TypeError, ValueError: it is no message.
    """
    opcode, payload = encode_message(data)
    if isinstance(data, str):
        return Record(_TEXT, payload)
    return Record(_BINARY if opcode == Opcode.BINARY else _JSON, payload)


class _Array(Struct, array_like=True):
    version: int
    kind: int
    payload: bytes


def encode_record(record: Record) -> bytes:
    """What the broker is given."""
    return encode_msgpack((VERSION, int(record.kind), record.payload))


def decode_record(data: bytes, max_size: int | None) -> Record:
    """What `encode_record` was given.

    Raises:
        InvalidMessage: the data is none of its results, or longer than `max_size` bytes; the text says why.
    """
    if max_size is not None and len(data) > max_size + 16:
        raise InvalidMessage(f"a record of {len(data)} bytes is longer than max_message_size={max_size}")
    found = decode_msgpack(data, _Array)
    if found.version != VERSION:
        raise InvalidMessage(f"a record of version {found.version}, and this node knows {VERSION}")
    if found.kind not in (1, 2, 3):
        raise InvalidMessage(f"a record of an unknown kind, {found.kind}")
    if found.kind != Kind.BINARY:
        try:
            found.payload.decode()
        except UnicodeDecodeError:
            raise InvalidMessage("a record of text that is not UTF-8") from None
    return Record(Kind(found.kind), found.payload)
