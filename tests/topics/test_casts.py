"""What nodes tell each other: what was written is read again, and nothing else is."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.codecs import encode_msgpack
from wsmash.errors import InvalidMessage
from wsmash.topics.casts import (
    MAX_CAST,
    MAX_INFO,
    MAX_MEMBER_ID,
    MAX_PARTS,
    Ask,
    Beat,
    Body,
    Broadcast,
    Bye,
    Cast,
    Change,
    Changes,
    Kind,
    Lists,
    Part,
    decode_cast,
    encode_cast,
    in_asks,
    in_changes,
    in_lists,
)
from wsmash.topics.names import MAX_NAME

NODE = b"n" * 16
TOKEN = bytes(8)

BODIES: list[Body] = [
    Broadcast(b"record"),
    Beat(7, True, TOKEN),
    Changes(1, [Change("a", "x", b"null"), Change("a", "x", None)]),
    Ask(b"", ["a", "b.c"]),
    Ask(NODE, []),
    Lists(7, [Part("a", 0, 2, [("x", b"{}")]), Part("b", 0, 1, [])]),
    Bye(),
]


@pytest.mark.parametrize("body", BODIES)
def test_what_was_written_is_read(body: Body) -> None:
    """Of each kind."""
    assert decode_cast(encode_cast(NODE, body), 100) == Cast(NODE, body)


def test_what_a_later_node_adds_is_passed_over() -> None:
    """Something more at the end of an array is no other version."""
    data = encode_msgpack([1, NODE, 2, encode_msgpack([7, True, TOKEN, "more"]), "more"])
    assert decode_cast(data, None) == Cast(NODE, Beat(7, True, TOKEN))


def crafted(kind: int, *fields: object) -> bytes:
    """A cast of some fields."""
    return encode_msgpack([1, NODE, kind, encode_msgpack(list(fields))])


@pytest.mark.case(107)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"{}",
        pickle.dumps({"node": NODE}),
        encode_msgpack({"version": 1}),
        encode_msgpack([2, NODE, 2, b"", b""]),
        encode_msgpack([2, "another", ["schema"]]),
        encode_msgpack([1, NODE[1:], 6, encode_msgpack([])]),
        encode_msgpack([1, "n" * 16, 6, encode_msgpack([])]),
        encode_msgpack([1, NODE, 99, b""]),
        encode_msgpack([1, NODE, 2, b"\xc1"]),
        b"\x91" * 100_000,
        crafted(Kind.BEAT, -1, True, TOKEN),
        crafted(Kind.BEAT, 2**63, True, TOKEN),
        crafted(Kind.BEAT, 1, True, b""),
        crafted(Kind.BEAT, 1, 1, TOKEN),
        crafted(Kind.CHANGES, 0, [["a", "x", None]]),
        crafted(Kind.CHANGES, 1, []),
        crafted(Kind.CHANGES, 2**63 - 1, [["a", "x", None]]),
        crafted(Kind.CHANGES, 1, [["a", "", None]]),
        crafted(Kind.CHANGES, 1, [["a", "x" * (MAX_MEMBER_ID + 1), None]]),
        crafted(Kind.CHANGES, 1, [["a", "x", b" " * (MAX_INFO + 1)]]),
        crafted(Kind.CHANGES, 1, [["a", "x", {"no": "bytes"}]]),
        crafted(Kind.ASK, NODE, ["x" * (MAX_NAME + 1)]),
        crafted(Kind.ASK, NODE, ["x"] * MAX_CAST),
        crafted(Kind.LISTS, 1, [["a", 1, 1, []]]),
        crafted(Kind.LISTS, 1, [["a", -1, 1, []]]),
        crafted(Kind.LISTS, 1, [["a", 0, MAX_PARTS + 1, []]]),
        crafted(Kind.LISTS, 1, [["a", 0, 1, [["x", b" " * (MAX_INFO + 1)]]]]),
        crafted(Kind.LISTS, 1, [["a", 0, 1, [["x"]]]]),
    ],
    ids=lambda data: repr(data[:32]),
)
def test_crafted_casts_are_refused(data: bytes) -> None:
    """No cast, one of an unknown version or kind, and one with a field that is none."""
    with pytest.raises(InvalidMessage):
        decode_cast(data, None)


@pytest.mark.case(107)
def test_a_cast_that_is_too_long() -> None:
    """A broadcast may be as long as messages may, and other casts no longer than `MAX_CAST`."""
    long = encode_cast(NODE, Broadcast(b"x" * 200_000))
    assert decode_cast(long, None).body == decode_cast(long, 200_000).body
    with pytest.raises(InvalidMessage, match="too long"):
        decode_cast(long, 199_000)
    with pytest.raises(InvalidMessage, match="longer than 65536"):
        decode_cast(crafted(Kind.BYE, "x" * MAX_CAST), None)


@pytest.mark.case(107)
@given(st.binary(max_size=64) | st.builds(encode_msgpack, st.lists(st.integers(-9, 9) | st.binary() | st.text())))
def test_any_bytes(data: bytes) -> None:
    """Are a cast, or refused."""
    try:
        cast = decode_cast(data, 100)
    except InvalidMessage:
        return
    assert decode_cast(encode_cast(*cast), 100) == cast


names = st.text(min_size=1, max_size=60)


@given(
    st.lists(st.tuples(names, names.map(lambda name: name[:MAX_MEMBER_ID]), st.none() | st.binary(max_size=1000))),
    st.integers(1, 200),
)
def test_changes_are_cut_into_casts(changes: list[tuple[str, str, bytes | None]], times: int) -> None:
    """Each fits, and all of them are there, in order, with their numbers."""
    all_of_them = [Change(*change) for change in changes] * times
    found: list[Change] = []
    for body in in_changes(5, all_of_them):
        data = encode_cast(NODE, body)
        assert decode_cast(data, None).body == body
        assert body.first == 5 + len(found)
        found += body.changes
    assert found == all_of_them


def test_questions_are_cut_into_casts() -> None:
    """Each fits, and all topics are asked about."""
    topics = [f"{'ä' * 120}.{number}" for number in range(2000)]
    bodies = list(in_asks(NODE, topics))
    assert [topic for body in bodies for topic in body.topics] == topics
    assert len(bodies) > 1 and all(decode_cast(encode_cast(NODE, body), None).body == body for body in bodies)


def test_lists_are_cut_into_parts_and_casts() -> None:
    """Each part knows how many there are; a topic without members has an empty one."""
    many = [(f"{'ä' * 60}{number}", b"x" * MAX_INFO) for number in range(1000)]
    lists: dict[str, list[tuple[str, bytes]]] = {"many": many, "none": [], "few": [("x", b"1")]}
    bodies = list(in_lists(9, lists))
    assert all(decode_cast(encode_cast(NODE, body), None).body == body for body in bodies)
    parts = [part for body in bodies for part in body.parts]
    for topic, members in lists.items():
        of_it = [part for part in parts if part.topic == topic]
        assert [part.part for part in of_it] == list(range(of_it[0].parts))
        assert [member for part in of_it for member in part.members] == members
    assert {body.number for body in bodies} == {9}
