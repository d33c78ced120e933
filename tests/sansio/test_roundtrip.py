"""Whatever is sent arrives, in both roles, compressed in any way, cut anywhere; and random bytes raise nothing."""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fixtures.codec import Codec
from vectors.peer import BINARY, CLOSE, CONTINUATION, DEFLATE, MASK, PING, PONG, TEXT, UNLIMITED, Peer, limited
from wsmash.constants import Opcode, Role
from wsmash.options import Deflate, Limits
from wsmash.sansio.deflate_negotiation import DeflateParams
from wsmash.sansio.receiver import VIOLATION, Compression, Item
from wsmash.sansio.sender import Prepared
from wsmash.sansio.violations import Violation


class Action(NamedTuple):
    """One thing that is sent."""

    how: str
    opcode: int
    pieces: list[bytes]
    compress: bool


class Scenario(NamedTuple):
    """Who sends, under which agreement, what, and how the bytes are cut."""

    role: Role
    agreed: Compression | None
    actions: list[Action]
    cuts: list[int]


def payloads() -> st.SearchStrategy[bytes]:
    """Short ones, repetitive ones, and some at the borders of a length's forms."""
    repeated = st.builds(lambda piece, count: piece * count, st.binary(min_size=1, max_size=8), st.integers(0, 400))
    borders = st.sampled_from([0, 1, 125, 126, 127, 65535, 65536]).map(lambda length: b"\x80" * length)
    return st.one_of(st.binary(max_size=200), repeated, borders)


def texts() -> st.SearchStrategy[bytes]:
    """UTF-8 of any text."""
    return st.text(st.characters(exclude_categories=["Cs"]), max_size=60).map(str.encode)


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The data in one to five pieces, some empty, wherever they are cut."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


@st.composite
def actions(draw: st.DrawFn) -> Action:
    """A message, a prepared one, one in fragments, or a control frame."""
    how = draw(st.sampled_from(["message", "prepared", "fragments", "control"]))
    if how == "control":
        return Action(how, draw(st.sampled_from([PING, PONG])), [draw(st.binary(max_size=125))], False)
    opcode = draw(st.sampled_from([TEXT, BINARY]))
    data = draw(texts() if opcode == TEXT else payloads())
    pieces = draw(cut(data)) if how == "fragments" else [data]
    return Action(how, opcode, pieces, draw(st.booleans()))


def agreements() -> st.SearchStrategy[Compression | None]:
    """No compression, or any parameters, levels and thresholds."""
    params = st.builds(DeflateParams, st.booleans(), st.booleans(), st.integers(9, 15), st.integers(9, 15))
    levels, thresholds = st.integers(1, 9), st.integers(0, 50)
    how = st.builds(lambda level, threshold: Deflate(level=level, threshold=threshold), levels, thresholds)
    return st.none() | st.builds(Compression, params, how)


def scenarios() -> st.SearchStrategy[Scenario]:
    """Everything at once."""
    return st.builds(
        Scenario,
        st.sampled_from(Role),
        agreements(),
        st.lists(actions(), max_size=8),
        st.lists(st.integers(1, 300), max_size=12),
    )


def transmit(codec: Codec, scenario: Scenario) -> tuple[bytes, list[Item]]:
    """The bytes that a sender makes of it, and the items that they stand for."""
    sender = codec.Sender(scenario.role, scenario.agreed, Random(0).randbytes)
    items: list[Item] = []
    wire = b""
    for at, (how, opcode, pieces, compress) in enumerate(scenario.actions):
        data = b"".join(pieces)
        item: Item = (opcode, data.decode() if opcode == TEXT else data)
        if how == "control":
            wire += sender.control(Opcode(opcode), data)
        elif how == "message" or (how == "prepared" and scenario.role is Role.CLIENT):
            wire += sender.message(opcode, data, compress=compress)
        elif how == "prepared":
            wire += sender.prepared(Prepared(opcode, data))
        else:
            for number, piece in enumerate(pieces):
                last = number == len(pieces) - 1
                first = opcode if number == 0 else CONTINUATION
                wire += sender.fragment(first, piece, final=last, compress=compress)
                if not last:  # between fragments: a control frame goes out, a message waits
                    wire += sender.control(Opcode.PING, b"%d" % at)
                    items.append((PING, b"%d" % at))
            items.append(item)
            continue
        items.append(item)
    assert sender.held == 0
    return wire, items


def in_pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The data in pieces of these sizes, again and again; all of it at once where there are none."""
    at = 0
    while sizes and at < len(data):
        for size in sizes:
            yield data[at : at + size]
            at += size
    yield data[at:]


def receive(
    codec: Codec, role: Role, pieces: Iterator[bytes], agreed: Compression | None = None, limits: Limits = UNLIMITED
) -> list[Item]:
    """What a receiver of this role makes of the pieces."""
    receiver = codec.Receiver(role, limits, agreed)
    items = []
    for piece in pieces:
        receiver.feed(piece)
        while (item := receiver.receive()) is not None:
            items.append(item)
    return items


@pytest.mark.case(62)
@settings(max_examples=300, deadline=None)
@given(scenario=scenarios())
def test_whatever_is_sent_arrives(codec: Codec, scenario: Scenario) -> None:
    """Messages, fragments and control frames come out equal and in order."""
    wire, items = transmit(codec, scenario)
    peer = Role.CLIENT if scenario.role is Role.SERVER else Role.SERVER
    assert receive(codec, peer, in_pieces(wire, scenario.cuts), scenario.agreed) == items


@settings(max_examples=100, deadline=None)
@given(
    role=st.sampled_from(Role),
    agreed=agreements(),
    message=payloads(),
    waiting=st.lists(st.tuples(texts(), st.booleans()), min_size=1, max_size=5),
    sizes=st.lists(st.integers(1, 100), max_size=5),
)
def test_what_waits_for_fragments_arrives(
    codec: Codec,
    role: Role,
    agreed: Compression | None,
    message: bytes,
    waiting: list[tuple[bytes, bool]],
    sizes: list[int],
) -> None:
    """Messages and prepared ones sent inside one in fragments arrive after it, in order."""
    sender = codec.Sender(role, agreed, lambda count: MASK[:count])
    half = len(message) // 2
    wire = sender.message(BINARY, message) + sender.fragment(BINARY, message[:half], final=False)
    for text, is_prepared in waiting:
        share = is_prepared and role is Role.SERVER
        assert (sender.prepared(Prepared(TEXT, text)) if share else sender.message(TEXT, text)) == b""
    wire += sender.fragment(CONTINUATION, message[half:], final=True) + sender.message(BINARY, message)
    want: list[Item] = [(BINARY, message), (BINARY, message), *((TEXT, text.decode()) for text, _ in waiting)]
    peer = Role.CLIENT if role is Role.SERVER else Role.SERVER
    assert receive(codec, peer, in_pieces(wire, sizes), agreed) == [*want, (BINARY, message)]


# -- bytes of any kind

INFLATION = {Violation.TEXT_INVALID, Violation.DEFLATE_INVALID, Violation.MESSAGE_TOO_BIG}
"""Of these, inflation reports the one it meets first, and that may depend on the cut."""


def blurred(items: list[Item], agreed: Compression | None) -> list[Item]:
    """The items, with what inflation reports made one."""
    last = items[-1:]
    if agreed is not None and last and last[0][0] == VIOLATION and last[0][1] in INFLATION:
        return [*items[:-1], (VIOLATION, Violation.DEFLATE_INVALID)]
    return items


def wild(role: Role) -> st.SearchStrategy[bytes]:
    """Random bytes, and random frames: most of them wrong in one place."""
    peer = Peer(role)
    opcodes = st.sampled_from([TEXT, BINARY, CONTINUATION, PING, PONG, CLOSE]) | st.integers(0, 15)
    rsv = st.sampled_from([0, 0, 0, 4]) | st.integers(0, 7)
    body = st.binary(max_size=140) | texts()
    masks = st.sampled_from([peer.masks] * 8 + [not peer.masks])
    frame = st.builds(
        lambda opcode, payload, fin, rsv, masks: peer.frame(opcode, payload, fin=fin, rsv=rsv, masks=masks),
        opcodes, body, st.booleans(), rsv, masks,
    )  # fmt: skip
    return st.binary(max_size=100) | st.lists(frame, max_size=6).map(b"".join)


@settings(max_examples=500, deadline=None)
@given(data=st.data(), role=st.sampled_from(Role), agreed=agreements(), size=st.sampled_from([None, 0, 10, 1000]))
def test_random_bytes_never_raise(
    codec: Codec, data: st.DataObject, role: Role, agreed: Compression | None, size: int | None
) -> None:
    """Any bytes give items, with at most one violation or close frame, the last; whole and cut they give the same."""
    wire = data.draw(wild(role))
    cuts = data.draw(st.lists(st.integers(1, 20), min_size=1, max_size=6))
    limits = limited(size, 4)
    whole = receive(codec, role, iter([wire]), agreed, limits)
    ends = [at for at, (opcode, _) in enumerate(whole) if opcode in (VIOLATION, CLOSE)]
    assert ends in ([], [len(whole) - 1])
    cut_up = receive(codec, role, in_pieces(wire, cuts), agreed, limits)
    assert blurred(cut_up, agreed) == blurred(whole, agreed)
    if size is not None:
        assert all(len(payload) <= size for opcode, payload in whole if opcode == BINARY and isinstance(payload, bytes))


# -- text against CPython


def first_fault(data: bytes) -> int | None:
    """After how many bytes CPython's own decoder finds that this is no UTF-8; None where it is."""
    decoder = getincrementaldecoder("utf-8")("strict")
    for at in range(len(data)):
        try:
            decoder.decode(data[at : at + 1])
        except UnicodeDecodeError:
            return at + 1
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return len(data)
    return None


def nearly_text() -> st.SearchStrategy[bytes]:
    """Text with a few bytes of another kind among its own."""
    odd = st.sampled_from([b"\x80", b"\xbf", b"\xc0", b"\xc2", b"\xe0", b"\xe2\x82", b"\xed\xa0", b"\xed\x9f", b"\xf0",
                           b"\xf0\x8f", b"\xf4", b"\xf4\x90", b"\xf4\x8f\xbf", b"\xf5", b"\xff", b"a"])  # fmt: skip
    return st.lists(odd | texts(), max_size=6).map(b"".join) | st.binary(max_size=12)


@pytest.mark.case(44)
@settings(max_examples=500, deadline=None)
@given(data=st.data(), text=nearly_text(), follows=st.booleans())
@example(data=None, text=b"\xed\xa0\x80", follows=True)
def test_text_is_what_cpython_says(codec: Codec, data: st.DataObject | None, text: bytes, follows: bool) -> None:
    """A text is taken where `bytes.decode` takes it, and else reported at the byte where a decoder fails: case 44."""
    peer = Peer(Role.CLIENT)  # no mask: what is fed is the text itself
    pieces = [text] if data is None else data.draw(cut(text))
    receiver = codec.Receiver(Role.CLIENT, UNLIMITED, None)
    fault = first_fault(text)
    fed = 0
    for number, piece in enumerate(pieces):
        fin = number == len(pieces) - 1
        receiver.feed(peer.head(fin << 7 | (CONTINUATION if number else TEXT), len(piece)))
        for at in range(len(piece)):
            found = receiver.receive()
            if found is not None:
                assert found == (VIOLATION, Violation.TEXT_INVALID)
                assert fed == fault
                return
            receiver.feed(piece[at : at + 1])
            fed += 1
    found = receiver.receive()
    if fault is None:
        assert found == (TEXT, text.decode())
    else:
        assert fed == fault
        assert found == (VIOLATION, Violation.TEXT_INVALID)


@pytest.mark.case(44)
@pytest.mark.parametrize("lead", [*range(0x7E, 0x82), *range(0xBE, 0x100)])
def test_every_beginning_of_a_code_point(codec: Codec, lead: int) -> None:
    """Each first byte with each second one is taken or refused as CPython does, in a message that goes on."""
    head = Peer(Role.CLIENT).head(0x01, 4)
    for second in range(256):
        for rest in (b"\x80\x80", b"\xbf\xbf", b"ab"):
            text = bytes([lead, second]) + rest
            receiver = codec.Receiver(Role.CLIENT, UNLIMITED, None)
            receiver.feed(head)
            fault = None
            for at in range(len(text)):
                receiver.feed(text[at : at + 1])
                if receiver.receive() is not None:
                    fault = at + 1
            decoder = getincrementaldecoder("utf-8")("strict")
            want = None
            for at in range(len(text)):
                try:
                    decoder.decode(text[at : at + 1])
                except UnicodeDecodeError:
                    want = at + 1
                    break
            assert fault == want, text


def test_a_dropped_byte_is_noticed(codec: Codec) -> None:
    """The round trip can fail: a wire that lacks one byte gives other items."""
    scenario = Scenario(Role.SERVER, DEFLATE, [Action("message", TEXT, [b"hello " * 30], True)] * 3, [])
    wire, items = transmit(codec, scenario)
    for at in range(len(wire)):
        assert receive(codec, Role.CLIENT, iter([wire[:at] + wire[at + 1 :]]), DEFLATE) != items
