"""The members of one topic, as a node knows them: its own, and for each other node those that it has named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from ..codecs import decode_json, encode_json
from .casts import MAX_INFO, Part

MAX_MEMBERS: Final = 10_000
"""Members of a topic that a node knows at most, its own and others'; those beyond are left out and counted."""


@dataclass(frozen=True, slots=True)
class Member:
    """A connection that is on a topic.

    Attributes:
        id: the connection's `id`.
        info: what its server has said of it, any JSON value.
        node: the identity of its node, in hexadecimal digits.
    """

    id: str
    info: Any = field(hash=False)
    node: str


class Move(NamedTuple):
    """A member has come to a topic, or left it.

    Attributes:
        what: which of the two; a member of whom something else is said than before comes again.
        topic: its name.
        member: who.
    """

    what: Literal["join", "leave"]
    topic: str
    member: Member


class NoRoom(Exception):
    """The topic has `MAX_MEMBERS` already."""


Known = tuple[bytes, Member]
"""A member, and beside it its info as JSON."""


class View:
    """The members that another node has on a topic, as far as is known.

    Attributes:
        members: they, by id.
        complete: whether all were named once.
        cut: whether some found no room.
    """

    __slots__ = ("_count", "_listed", "_number", "_parts", "complete", "cut", "members")

    def __init__(self) -> None:
        self.members: dict[str, Known] = {}
        self.complete = self.cut = False
        self._number = self._count = 0  # of the list that comes: its number, how many parts it has
        self._parts: set[int] = set()
        self._listed: set[str] = set()

    def begin(self, number: int, part: Part) -> set[str]:
        """A part of a list has come: where to put the ids of those in it that are among the members."""
        if (self._number, self._count) != (number, part.parts):
            self._number, self._count = number, part.parts
            self._parts, self._listed, self.cut = set(), set(), False
        self._parts.add(part.part)
        return self._listed

    def end(self) -> list[str] | None:
        """The ids of members who are not in the list, once all parts of it have come."""
        if len(self._parts) < self._count:
            return None
        gone = self.members.keys() - self._listed
        self._parts, self._listed, self._count = set(), set(), 0
        self.complete = True
        return sorted(gone)


class Members:
    """The members of a topic that somebody here is on, or asks about.

    Attributes:
        own: this node's.
        others: those of each other node that has named any.
        watchers: how many ask about the topic, though they are not on it.
        waiting: nodes whose first list has not come.
        until: when it is not waited for any longer.
    """

    __slots__ = ("_size", "others", "own", "until", "waiting", "watchers")

    def __init__(self, until: float) -> None:
        self.own: dict[str, Known] = {}
        self.others: dict[bytes, View] = {}
        self.watchers = 0
        self.waiting: set[bytes] = set()
        self.until = until
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Member]:
        for known in (self.own, *(view.members for view in self.others.values())):
            for _, member in known.values():
                yield member

    def view(self, node: bytes) -> View:
        """What is known of another node's."""
        found = self.others.get(node)
        if found is None:
            found = self.others[node] = View()
        return found

    def put(self, place: dict[str, Known], member: str, data: bytes, node: bytes) -> Member | None:
        """A node has a member, of whom that is said; None where this was known.

        Raises:
            NoRoom: it is one too many.
            InvalidMessage: what is said is no JSON.
        """
        known = place.get(member)
        if known is not None and known[0] == data:
            return None
        if known is None and self._size >= MAX_MEMBERS:
            raise NoRoom
        new = Member(member, decode_json(data), node.hex())
        place[member] = data, new
        self._size += known is None
        return new

    def remove(self, place: dict[str, Known], member: str) -> Member | None:
        """It is a member no more; None where it was none."""
        known = place.pop(member, None)
        if known is None:
            return None
        self._size -= 1
        return known[1]

    def lose(self, node: bytes) -> list[Member]:
        """A node is no more, and neither are these members."""
        self.waiting.discard(node)
        view = self.others.pop(node, None)
        gone = [] if view is None else [member for _, member in view.members.values()]
        self._size -= len(gone)
        return gone


def encode_info(info: object) -> bytes:
    """What is said of a member, as JSON.

    Raises:
        TypeError, ValueError: it is no JSON value, or longer than `MAX_INFO` bytes.
    """
    data = encode_json(info).encode()
    if len(data) > MAX_INFO:
        raise ValueError(f"what is said of a member has {MAX_INFO} bytes of JSON at most, not {len(data)}")
    return data
