"""The sender: frames of both roles, what is compressed, and what fragments hold back."""

from __future__ import annotations

import zlib

import pytest

from fixtures.codec import Codec
from vectors.peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    MASK,
    NO_TAKEOVER,
    PING,
    PONG,
    SMALL_WINDOW,
    TEXT,
    UNLIMITED,
    Peer,
    compression,
)
from wsmash.constants import Opcode, Role
from wsmash.sansio.receiver import Compression, Item
from wsmash.sansio.sender import Prepared, Sender

both_roles = pytest.mark.parametrize("role", Role, ids=lambda role: role.name.lower())

WORDS = b"the quick brown fox jumps over the lazy dog, " * 8


def sending(codec: Codec, role: Role = Role.SERVER, agreed: Compression | None = None) -> Sender:
    """A sender whose every masking key is `MASK`."""
    return codec.Sender(role, agreed, lambda count: MASK[:count])


def peer_of(role: Role) -> Peer:
    """Builds what a sender of this role should write: what its peer would receive."""
    return Peer(Role.CLIENT if role is Role.SERVER else Role.SERVER)


def received(codec: Codec, role: Role, data: bytes, agreed: Compression | None = None) -> list[Item]:
    """What the peer of a sender of this role makes of the bytes."""
    receiver = codec.Receiver(Role.CLIENT if role is Role.SERVER else Role.SERVER, UNLIMITED, agreed)
    receiver.feed(data)
    items = []
    while (item := receiver.receive()) is not None:
        items.append(item)
    return items


# -- frames


@both_roles
@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65535, 65536])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_message(codec: Codec, role: Role, opcode: int, length: int) -> None:
    """A message is one frame with the shortest form of its length, masked by a client alone (RFC 6455 5.1, 5.2)."""
    data = b"x" * length
    assert sending(codec, role).message(opcode, data) == peer_of(role).frame(opcode, data)


@both_roles
@pytest.mark.parametrize("opcode", [CLOSE, PING, PONG])
@pytest.mark.parametrize("length", [0, 1, 125])
def test_control(codec: Codec, role: Role, opcode: int, length: int) -> None:
    """A control frame is one frame, never compressed."""
    data = b"x" * length
    for agreed in (None, DEFLATE):
        assert sending(codec, role, agreed).control(Opcode(opcode), data) == peer_of(role).frame(opcode, data)


@both_roles
def test_payloads_of_every_kind(codec: Codec, role: Role) -> None:
    """Bytes, bytearray and memoryview make the same frame, and are left as they are."""
    writable = bytearray(b"0123456789")
    want = peer_of(role).frame(BINARY, b"2345")
    for payload in (b"2345", writable[2:6], memoryview(b"0123456789")[2:6], memoryview(writable)[2:6]):
        assert sending(codec, role).message(BINARY, payload) == want
    assert writable == b"0123456789"


@pytest.mark.case(102)
def test_each_frame_has_a_key_of_its_own(codec: Codec) -> None:
    """A client draws four bytes for each frame, and writes them (RFC 6455 5.3)."""
    keys = iter([b"\x01\x02\x03\x04", b"\x05\x06\x07\x08", b"\x09\x0a\x0b\x0c", b"\x0d\x0e\x0f\x10"])
    asked = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return next(keys)

    sender = codec.Sender(Role.CLIENT, None, entropy)
    frames = [
        sender.message(BINARY, bytes(3)),
        sender.control(Opcode.PING, bytes(3)),
        sender.fragment(BINARY, bytes(3), final=False),
        sender.fragment(CONTINUATION, bytes(3), final=True),
    ]
    assert asked == [4] * 4
    assert [frame[2:] for frame in frames] == [
        b"\x01\x02\x03\x04\x01\x02\x03",
        b"\x05\x06\x07\x08\x05\x06\x07",
        b"\x09\x0a\x0b\x0c\x09\x0a\x0b",
        b"\x0d\x0e\x0f\x10\x0d\x0e\x0f",
    ]


def test_a_server_draws_nothing(codec: Codec) -> None:
    """A server masks nothing, so it takes no randomness."""

    def entropy(count: int) -> bytes:
        raise AssertionError("a server masks nothing")

    sender = codec.Sender(Role.SERVER, DEFLATE, entropy)
    sender.message(TEXT, WORDS)
    sender.control(Opcode.PING, b"")
    sender.fragment(TEXT, WORDS, final=True)


# -- compression


@both_roles
def test_compressed_message(codec: Codec, role: Role) -> None:
    """A compressed message has RSV1, is smaller, and inflates to what was sent (RFC 7692 6)."""
    frame = sending(codec, role, DEFLATE).message(TEXT, WORDS)
    assert frame[0] == 0xC1
    assert len(frame) < len(WORDS) // 2
    assert received(codec, role, frame, DEFLATE) == [(TEXT, WORDS.decode())]


@pytest.mark.case(65)
@pytest.mark.parametrize(("length", "is_compressed"), [(0, False), (99, False), (100, True), (101, True)])
def test_threshold(codec: Codec, length: int, is_compressed: bool) -> None:
    """Messages of fewer bytes than the threshold go out as they are."""
    frame = sending(codec, agreed=compression(threshold=100)).message(BINARY, b"x" * length)
    assert bool(frame[0] & 0x40) is is_compressed


@pytest.mark.case(65)
def test_compress_false(codec: Codec) -> None:
    """One message may be left uncompressed: case 65."""
    sender = sending(codec, agreed=DEFLATE)
    peer = peer_of(Role.SERVER)
    assert sender.message(TEXT, WORDS, compress=False) == peer.frame(TEXT, WORDS)
    assert sender.fragment(TEXT, WORDS, final=False, compress=False) == peer.frame(TEXT, WORDS, fin=False)
    assert sender.fragment(CONTINUATION, WORDS, final=True) == peer.frame(CONTINUATION, WORDS)


@pytest.mark.case(62)
def test_takeover(codec: Codec) -> None:
    """With context takeover a repeated message shrinks, without it it does not; both arrive: case 62."""
    for agreed, shrinks in ((DEFLATE, True), (SMALL_WINDOW, True), (NO_TAKEOVER, False)):
        sender = sending(codec, agreed=agreed)
        first, second = sender.message(TEXT, WORDS), sender.message(TEXT, WORDS)
        assert (len(second) < len(first)) is shrinks
        assert received(codec, Role.SERVER, first + second, agreed) == [(TEXT, WORDS.decode())] * 2


@pytest.mark.case(62)
def test_the_standard_zlib_reads_it() -> None:
    """What is sent inflates with the reference implementation too, whole and in fragments: case 62."""
    sender = Sender(Role.SERVER, DEFLATE, lambda count: MASK)
    inflater = zlib.decompressobj(-15)
    frames = [sender.message(BINARY, WORDS), sender.fragment(BINARY, WORDS, final=True), sender.message(BINARY, b"end")]
    for frame, want in zip(frames, [WORDS, WORDS, b"end"], strict=True):
        assert frame[1] < 126
        assert inflater.decompress(frame[2:] + b"\x00\x00\xff\xff") == want


# -- fragments


@both_roles
def test_fragments(codec: Codec, role: Role) -> None:
    """The first frame has the opcode, the others are continuations, the last has FIN."""
    sender, peer = sending(codec, role), peer_of(role)
    assert sender.fragment(TEXT, b"one", final=False) == peer.frame(TEXT, b"one", fin=False)
    assert sender.fragment(CONTINUATION, b"", final=False) == peer.frame(CONTINUATION, b"", fin=False)
    assert sender.fragment(CONTINUATION, b"two", final=True) == peer.frame(CONTINUATION, b"two")
    assert sender.fragment(BINARY, b"all", final=True) == peer.frame(BINARY, b"all")
    assert sender.message(TEXT, b"next") == peer.frame(TEXT, b"next")


@both_roles
@pytest.mark.parametrize(
    "agreed", [DEFLATE, NO_TAKEOVER, SMALL_WINDOW], ids=["takeover", "no takeover", "small window"]
)
def test_compressed_fragments(codec: Codec, role: Role, agreed: Compression) -> None:
    """Only the first frame has RSV1, and the message arrives, also beside whole ones (RFC 7692 6.1)."""
    sender = sending(codec, role, agreed)
    frames = [
        sender.message(TEXT, WORDS),
        sender.fragment(TEXT, WORDS[:100], final=False),
        sender.fragment(CONTINUATION, b"", final=False),
        sender.fragment(CONTINUATION, WORDS[100:], final=False),
        sender.fragment(CONTINUATION, b"", final=True),
        sender.message(TEXT, WORDS),
    ]
    assert [frame[0] for frame in frames] == [0xC1, 0x41, 0x00, 0x00, 0x80, 0xC1]
    assert received(codec, role, b"".join(frames), agreed) == [(TEXT, WORDS.decode())] * 3


@both_roles
@pytest.mark.parametrize("agreed", [None, DEFLATE], ids=["plain", "deflate"])
def test_fragments_hold_messages_back(codec: Codec, role: Role, agreed: Compression | None) -> None:
    """What is sent inside a message comes after its last frame, in order; control frames pass between."""
    sender = sending(codec, role, agreed)
    assert sender.held == 0
    wire = sender.fragment(BINARY, b"first ", final=False)
    assert sender.message(TEXT, b"second") == b""
    held = sender.held
    assert held > 0
    assert sender.message(BINARY, WORDS) == b""
    assert sender.held > held + len(WORDS)
    ping = sender.control(Opcode.PING, b"now")
    assert ping == peer_of(role).frame(PING, b"now")
    wire += ping + sender.fragment(CONTINUATION, b"message", final=True)
    assert sender.held == 0
    wire += sender.message(TEXT, b"third")
    assert received(codec, role, wire, agreed) == [
        (PING, b"now"),
        (BINARY, b"first message"),
        (TEXT, "second"),
        (BINARY, WORDS),
        (TEXT, "third"),
    ]


@pytest.mark.case(78)
def test_what_is_held_counts_in_bytes(codec: Codec) -> None:
    """`held` is what the frames that wait will add to the wire, and 64 bytes for each: small ones cost memory too."""
    sender = sending(codec)
    sender.fragment(TEXT, b"", final=False)
    sender.message(TEXT, b"12345")
    sender.prepared(Prepared(TEXT, b"x" * 200))
    assert sender.held == 7 + 64 + 204 + 64
    assert len(sender.fragment(CONTINUATION, b"", final=True)) == 2 + 7 + 204
    assert sender.held == 0


def test_asking_what_is_held_takes_no_time(codec: Codec) -> None:
    """It is asked at each message: not even many that wait are counted again."""
    sender = sending(codec)
    sender.fragment(TEXT, b"", final=False)
    for number in range(50_000):  # a sum at each would be a thousand million steps
        sender.message(TEXT, b"")
        assert sender.held == (number + 1) * 66


# -- prepared messages


def test_a_prepared_message_is_framed_once() -> None:
    """All connections of one window and level are given the very same bytes."""
    message = Prepared(TEXT, WORDS)
    plain, packed = message.frame(None), message.frame((15, 6))
    assert plain == peer_of(Role.SERVER).frame(TEXT, WORDS)
    assert message.frame(None) is plain
    assert message.frame((15, 6)) is packed
    assert packed[0] == 0xC1
    assert len(packed) < len(plain)
    assert message.frame((9, 6)) is not packed
    assert message.frame((15, 1)) is not packed


@pytest.mark.parametrize("payload", [b"", b"x", WORDS, bytes(70_000)])
@pytest.mark.parametrize("agreed", [None, DEFLATE, NO_TAKEOVER, SMALL_WINDOW])
def test_a_prepared_message_arrives(codec: Codec, agreed: Compression | None, payload: bytes) -> None:
    """A prepared message arrives under every agreement, before, between and after others."""
    message = Prepared(BINARY, payload)
    sender = sending(codec, agreed=agreed)
    wire = (
        sender.prepared(message) + sender.message(BINARY, WORDS) + sender.prepared(message) + sender.prepared(message)
    )
    wire += sender.message(BINARY, WORDS) + sender.message(BINARY, WORDS)
    want = [payload, WORDS, payload, payload, WORDS, WORDS]
    assert received(codec, Role.SERVER, wire, agreed) == [(BINARY, each) for each in want]


def test_a_prepared_message_drops_the_compressor(codec: Codec) -> None:
    """After a shared frame nothing refers to what this connection's compressor saw before.

    The peer's window has moved on by a message that our compressor never saw: a
    reference across it would inflate, without any error, to other text.
    """
    sender = sending(codec, agreed=DEFLATE)
    before = sender.message(BINARY, WORDS)
    shared = sender.prepared(Prepared(BINARY, bytes(range(256)) * 4))
    after = sender.message(BINARY, WORDS)
    assert len(after) == len(before)
    items = received(codec, Role.SERVER, before + shared + after, DEFLATE)
    assert items == [(BINARY, WORDS), (BINARY, bytes(range(256)) * 4), (BINARY, WORDS)]


def test_a_small_prepared_message_keeps_the_compressor(codec: Codec) -> None:
    """A shared frame below the threshold is not compressed, and the context goes on."""
    sender = sending(codec, agreed=compression(threshold=100))
    before = sender.message(BINARY, WORDS)
    shared = sender.prepared(Prepared(BINARY, b"small"))
    assert shared[0] == 0x82
    after = sender.message(BINARY, WORDS)
    assert len(after) < len(before)
    items = received(codec, Role.SERVER, before + shared + after, DEFLATE)
    assert items == [(BINARY, WORDS), (BINARY, b"small"), (BINARY, WORDS)]


def test_a_prepared_message_inside_fragments(codec: Codec) -> None:
    """It waits like any other, uncompressed, and the compressor goes on with the message that is under way."""
    sender = sending(codec, agreed=DEFLATE)
    wire = sender.message(TEXT, WORDS) + sender.fragment(TEXT, WORDS, final=False)
    assert sender.prepared(Prepared(TEXT, WORDS)) == b""
    wire += sender.fragment(CONTINUATION, WORDS, final=True) + sender.message(TEXT, WORDS)
    text = WORDS.decode()
    want = [text, text * 2, text, text]
    assert received(codec, Role.SERVER, wire, DEFLATE) == [(TEXT, each) for each in want]


@pytest.mark.parametrize("in_fragments", [False, True])
def test_released_compressor(codec: Codec, in_fragments: bool) -> None:
    """The compressor may be released between any two messages; what follows still arrives."""
    sender = sending(codec, agreed=DEFLATE)
    wire = b""
    for _ in range(3):
        wire += sender.fragment(BINARY, WORDS, final=True) if in_fragments else sender.message(BINARY, WORDS)
        assert sender.deflater is not None
        sender.deflater.release()
    assert received(codec, Role.SERVER, wire, DEFLATE) == [(BINARY, WORDS)] * 3
