"""What the nodes of a server tell each other: a versioned schema in MessagePack, and never a pickle.

A cast is the array `[1, node, kind, body]`: the version, the 16 bytes of the sender's
identity, and a body of that kind. What is too long, no such array, or of a version or
a kind that is not known is left out and counted: whoever can write to the broker can
send anything (case 107).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar

from ..codecs import Struct, decode_msgpack, encode_msgpack
from ..errors import InvalidMessage
from .names import MAX_NAME

VERSION: Final = 1

MAX_CAST: Final = 64 * 1024
"""Bytes of a cast at most, but for a broadcast: what does not fit into one goes into several."""

MAX_MEMBER_ID: Final = 64
"""Characters of a member's id at most."""

MAX_INFO: Final = 1024
"""Bytes of what is said of a member at most, as JSON."""

BROADCAST_HEAD: Final = 32
"""Bytes of a broadcast's cast beside its record, at most."""

MAX_PARTS: Final = 256
"""Parts of a list at most."""

NODE_SIZE: Final = 16
TOKEN_SIZE: Final = 8
_MAX_NUMBER = 2**63
_ROOM = MAX_CAST - 1024  # bytes of a cast for what there may be any number of
_HEAD = 16  # bytes that MessagePack adds to one of them, at most

T = TypeVar("T")


class Kind(IntEnum):
    """What a cast is about."""

    BROADCAST = 1
    BEAT = 2
    CHANGES = 3
    ASK = 4
    LISTS = 5
    BYE = 6


class Beat(Struct, array_like=True, frozen=True):
    """A node is alive.

    Attributes:
        number: of its last change; it counts the joins and leaves of its own members, on all topics together.
        hello: whether it has just come, and wants to hear of the others.
        token: random bytes, by which the node knows its own beats from those of another with its identity.
    """

    number: int
    hello: bool
    token: bytes


class Change(Struct, array_like=True, frozen=True):
    """One of the sender's members has come (again, where there is something else to say of it), or has left.

    Attributes:
        topic: its name.
        id: the member's.
        info: what is said of it, as JSON; None where it has left.
    """

    topic: str
    id: str
    info: bytes | None


class Changes(Struct, array_like=True, frozen=True):
    """Changes in order: the first has the number `first`, and each one more than the one before it."""

    first: int
    changes: list[Change]


class Ask(Struct, array_like=True, frozen=True):
    """A question for the members of a node, or where none is named of all, on some topics."""

    node: bytes
    topics: list[str]


class Part(Struct, array_like=True, frozen=True):
    """Some of the sender's members on a topic; all parts of its list together are all of them.

    Attributes:
        topic: its name.
        part: which part this is, from 0 on.
        parts: how many there are.
        members: the id of each, and what is said of it, as JSON.
    """

    topic: str
    part: int
    parts: int
    members: list[tuple[str, bytes]]


class Lists(Struct, array_like=True, frozen=True):
    """An answer: parts of lists as they were after the change of that number."""

    number: int
    parts: list[Part]


class Bye(Struct, array_like=True, frozen=True):
    """The node stops: its members have left."""


class Broadcast(NamedTuple):
    """A message for all connections of all nodes: what `encode_record` made, at which nobody has looked yet."""

    record: bytes


Body = Broadcast | Beat | Changes | Ask | Lists | Bye


class Cast(NamedTuple):
    """What a node, by its identity, has told all others."""

    node: bytes
    body: Body


class _Array(Struct, array_like=True):
    version: int
    node: bytes
    kind: int
    body: bytes


_KINDS: Final = {
    Beat: Kind.BEAT,
    Changes: Kind.CHANGES,
    Ask: Kind.ASK,
    Lists: Kind.LISTS,
    Bye: Kind.BYE,
}


def encode_cast(node: bytes, body: Body) -> bytes:
    """What the broker is given."""
    if isinstance(body, Broadcast):
        return encode_msgpack((VERSION, node, int(Kind.BROADCAST), body.record))
    return encode_msgpack((VERSION, node, int(_KINDS[type(body)]), encode_msgpack(body)))


def decode_cast(data: bytes, max_broadcast: int | None) -> Cast:
    """What `encode_cast` was given.

    Args:
        data: what came.
        max_broadcast: bytes of a broadcast's record at most; None for no limit.

    Raises:
        InvalidMessage: the data is none of its results, or too long; the text says why.
    """
    if max_broadcast is not None and len(data) > max(max_broadcast + BROADCAST_HEAD, MAX_CAST):
        raise InvalidMessage(f"a cast of {len(data)} bytes is too long")
    found = decode_msgpack(data, _Array)
    if found.version != VERSION:
        raise InvalidMessage(f"a cast of version {found.version}, and this node knows {VERSION}")
    if len(found.node) != NODE_SIZE:
        raise InvalidMessage(f"a node's identity has {NODE_SIZE} bytes, not {len(found.node)}")
    if found.kind == Kind.BROADCAST:
        return Cast(found.node, Broadcast(found.body))
    if len(data) > MAX_CAST:
        raise InvalidMessage(f"a cast of {len(data)} bytes is longer than {MAX_CAST}")
    return Cast(found.node, _decode_body(found.kind, found.body))


def _decode_body(kind: int, data: bytes) -> Body:
    body: Body
    if kind == Kind.BEAT:
        body = decode_msgpack(data, Beat)
        _check_number(body.number)
        if len(body.token) != TOKEN_SIZE:
            raise InvalidMessage(f"the token of a beat has {TOKEN_SIZE} bytes, not {len(body.token)}")
    elif kind == Kind.CHANGES:
        body = decode_msgpack(data, Changes)
        _check_number(body.first + len(body.changes))
        if body.first < 1 or not body.changes:
            raise InvalidMessage("changes are numbered from 1 on, and are not none")
        for change in body.changes:
            _check_member(change.id, change.info)
    elif kind == Kind.ASK:
        body = decode_msgpack(data, Ask)
        if any(len(topic.encode()) > MAX_NAME for topic in body.topics):
            raise InvalidMessage(f"a question about a topic whose name is longer than {MAX_NAME} bytes")
    elif kind == Kind.LISTS:
        body = decode_msgpack(data, Lists)
        _check_number(body.number)
        for part in body.parts:
            if not 0 <= part.part < part.parts <= MAX_PARTS:
                raise InvalidMessage(f"part {part.part} of {part.parts} of a list")
            for member, info in part.members:
                _check_member(member, info)
    elif kind == Kind.BYE:
        body = decode_msgpack(data, Bye)
    else:
        raise InvalidMessage(f"a cast of an unknown kind, {kind}")
    return body


def _check_number(number: int) -> None:
    if not 0 <= number < _MAX_NUMBER:
        raise InvalidMessage(f"the number of a change is not {number}")


def _check_member(member: str, info: bytes | None) -> None:
    if not 0 < len(member) <= MAX_MEMBER_ID:
        raise InvalidMessage(f"a member's id has 1 to {MAX_MEMBER_ID} characters, not {len(member)}")
    if info is not None and len(info) > MAX_INFO:
        raise InvalidMessage(f"what is said of a member has {MAX_INFO} bytes at most, not {len(info)}")


# -- what does not fit into one cast


def in_changes(first: int, changes: Sequence[Change]) -> Iterator[Changes]:
    """Changes, of which the first has that number, in as many casts as they take."""
    for some in _split(changes, _size_of_change):
        yield Changes(first, some)
        first += len(some)


def in_asks(node: bytes, topics: Iterable[str]) -> Iterator[Ask]:
    """A question about topics, in as many casts as it takes."""
    for some in _split(topics, lambda topic: len(topic.encode()) + _HEAD):
        yield Ask(node, some)


def in_lists(number: int, lists: Mapping[str, Sequence[tuple[str, bytes]]]) -> Iterator[Lists]:
    """The members on some topics, in as many casts as they take."""
    parts = (
        Part(topic, at, len(split), some)
        for topic, members in lists.items()
        for split in (list(_split(members, _size_of_member)) or [[]],)
        for at, some in enumerate(split)
    )
    for some in _split(parts, _size_of_part):
        yield Lists(number, some)


def _split(items: Iterable[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """The items in order, in lists as long as there is room in a cast."""
    some: list[T] = []
    left = _ROOM
    for item in items:
        size = size_of(item)
        if some and size > left:
            yield some
            some, left = [], _ROOM
        some.append(item)
        left -= size
    if some:
        yield some


def _size_of_change(change: Change) -> int:
    return len(change.topic.encode()) + len(change.id.encode()) + len(change.info or b"") + _HEAD


def _size_of_member(member: tuple[str, bytes]) -> int:
    return len(member[0].encode()) + len(member[1]) + _HEAD


def _size_of_part(part: Part) -> int:
    return len(part.topic.encode()) + _HEAD + sum(map(_size_of_member, part.members))
