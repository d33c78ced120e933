"""The receiver: the vectors in every cut, and what it holds while a message is unfinished."""

from __future__ import annotations

import sys
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Iterable

import pytest

from fixtures.codec import Codec
from vectors.frames import VECTORS
from vectors.peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    NO_TAKEOVER,
    PING,
    TEXT,
    UNLIMITED,
    Compressor,
    Peer,
    Vector,
    limited,
)
from wsmash.constants import Role
from wsmash.options import Deflate, Limits
from wsmash.sansio.deflate_negotiation import DeflateParams
from wsmash.sansio.receiver import VIOLATION, Compression, Item, Receiver
from wsmash.sansio.violations import Violation

KIB = 1024
MIB = 1024 * KIB
ALL_CUTS = 1000
"""Longer vectors are cut near both ends and at every 61st byte between."""

SERVERS = Limits(MIB, 4096, 64 * KIB, MIB)
PEER = Peer(Role.SERVER)

each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)


def drain(receiver: Receiver) -> list[Item]:
    """What the receiver has now."""
    items = []
    while (item := receiver.receive()) is not None:
        items.append(item)
    return items


def receive(codec: Codec, vector: Vector, pieces: Iterable[bytes]) -> list[Item]:
    """What a new receiver makes of the pieces."""
    receiver = codec.Receiver(vector.role, vector.limits, vector.compression)
    items = []
    for piece in pieces:
        receiver.feed(piece)
        items += drain(receiver)
    return items


def reading(
    codec: Codec, limits: Limits = UNLIMITED, compression: Compression | None = None, role: Role = Role.SERVER
) -> Receiver:
    """A receiver, a server's where nothing else is said."""
    return codec.Receiver(role, limits, compression)


def retained(act: Iterable[object]) -> tuple[int, int]:
    """How many bytes are held after all steps were taken, and at most while they were."""
    tracemalloc.start()
    try:
        for _ in act:
            pass
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return now, peak


@pytest.mark.case(27, 28, 29, 30, 31, 32, 40, 41, 44, 58, 60, 61)
@each_vector
def test_whole(codec: Codec, vector: Vector) -> None:
    """All bytes at once give the items of the table."""
    assert receive(codec, vector, [vector.data]) == list(vector.items)


@pytest.mark.case(33, 43, 44)
@each_vector
def test_in_two(codec: Codec, vector: Vector) -> None:
    """Two pieces, cut at any byte, give the same items."""
    data, size = vector.data, len(vector.data)
    for at in range(1, size):
        if size <= ALL_CUTS or at < 64 or at > size - 64 or at % 61 == 0:
            items = receive(codec, vector, [data[:at], data[at:]])
            assert items == list(vector.items), f"cut at {at} of {size}"


@pytest.mark.case(33, 43)
@each_vector
def test_byte_by_byte(codec: Codec, vector: Vector) -> None:
    """One byte at a time gives the same items, and a fault where it stands: case 33, 43."""
    receiver = codec.Receiver(vector.role, vector.limits, vector.compression)
    items, fault_at = [], None
    for at in range(len(vector.data)):
        receiver.feed(vector.data[at : at + 1])
        new = drain(receiver)
        items += new
        if new and new[-1][0] == VIOLATION:
            fault_at = at + 1
    assert items == list(vector.items)
    if vector.fault_at is not None:
        assert fault_at == vector.fault_at


def test_names_of_vectors_are_unique() -> None:
    """No two rows of the table have one name."""
    assert [name for name, count in Counter(vector.name for vector in VECTORS).items() if count > 1] == []


def test_every_violation_has_a_vector() -> None:
    """Each violation that a receiver reports comes out of some row, for either role where it can."""
    found = {(vector.role, item[1]) for vector in VECTORS for item in vector.items if item[0] == VIOLATION}
    closing = {Violation.CLOSE_TOO_SHORT, Violation.CLOSE_CODE_INVALID, Violation.CLOSE_REASON_INVALID}
    wanted = {(role, each) for role in Role for each in set(Violation) - closing}
    wanted -= {(Role.SERVER, Violation.MASKED), (Role.CLIENT, Violation.UNMASKED)}
    assert found == wanted


def test_items_have_plain_types(codec: Codec) -> None:
    """Opcodes are plain ints, text is str, everything else bytes, in fragments and compressed too."""
    for vector in VECTORS:
        for opcode, data in receive(codec, vector, [vector.data]):
            if opcode == VIOLATION:
                assert type(data) is Violation
            else:
                assert type(opcode) is int
                assert type(data) is (str if opcode == TEXT else bytes)


def test_messages_wait_until_they_are_received(codec: Codec) -> None:
    """Bytes may be fed before the items of earlier ones were taken, and nothing is lost or reordered."""
    receiver = reading(codec)
    for at in range(20):
        message = PEER.frame(TEXT, str(at))
        receiver.feed(message[:3])
        receiver.feed(message[3:])
    assert drain(receiver) == [(TEXT, str(at)) for at in range(20)]


@pytest.mark.parametrize("end", [PEER.frame(CLOSE, b"\x03\xe8"), PEER.frame(3)], ids=["close", "violation"])
def test_nothing_is_read_after_the_end(codec: Codec, end: bytes) -> None:
    """After a close frame or a violation what is fed is neither read nor kept (RFC 6455 5.5.1, 7.1.7)."""
    receiver = reading(codec)
    receiver.feed(end + PEER.frame(TEXT, "late"))
    assert len(drain(receiver)) == 1

    def feed() -> Iterable[None]:
        for _ in range(100):
            receiver.feed(bytes(10 * KIB))
            yield
            assert receiver.receive() is None

    assert retained(feed())[0] < 15 * KIB
    assert not receiver.unfinished


@pytest.mark.case(60)
@pytest.mark.parametrize("end", [PEER.frame(CLOSE), PEER.frame(3)], ids=["close", "violation"])
def test_the_end_frees_an_unfinished_message(codec: Codec, end: bytes) -> None:
    """The parts of a message that never ends, and its inflater, are given back at the end: case 60."""
    body = Compressor(level=0).message(bytes(range(256)) * 1024)

    def feed() -> Iterable[None]:
        receiver = reading(codec, compression=DEFLATE)
        receiver.feed(PEER.frame(BINARY, body, fin=False, rsv=4))
        assert drain(receiver) == []
        yield
        receiver.feed(end)
        assert len(drain(receiver)) == 1
        assert receiver.inflater is None
        assert tracemalloc.get_traced_memory()[0] < 16 * KIB

    retained(feed())


# -- what an unfinished message takes


def test_what_was_received_is_not_unfinished(codec: Codec) -> None:
    """Where all that was fed has been received nothing is under way, whether or not more is asked for."""
    receiver = reading(codec)
    receiver.feed(PEER.frame(BINARY, b"x") + PEER.frame(BINARY, b"y"))
    for unfinished in (True, False):
        assert receiver.receive() is not None
        assert receiver.unfinished is unfinished


@pytest.mark.case(37)
def test_tiny_fragments_take_little_memory(codec: Codec) -> None:
    """A message in fragments of one byte holds its payload, the growth of one buffer, and nothing each: case 37."""
    size = 60_000
    frames = (PEER.frame(BINARY, b"x", fin=False) if not at else PEER.frame(0, b"x", fin=False) for at in range(size))
    receiver = reading(codec, SERVERS._replace(max_fragments=None))

    def feed() -> Iterable[None]:
        for frame in frames:
            receiver.feed(frame)
            assert receiver.receive() is None
            yield

    held, _ = retained(feed())
    assert held <= size * 9 // 8 + 4 * KIB
    receiver.feed(PEER.frame(0))
    assert drain(receiver) == [(BINARY, b"x" * size)]


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_one_byte_at_a_time_takes_little_memory(codec: Codec, kind: int) -> None:
    """A frame that arrives byte by byte holds its payload and the growth of one buffer."""
    size = 60_000
    data = PEER.frame(kind, b"x" * size)
    receiver = reading(codec, SERVERS)

    def feed() -> Iterable[None]:
        for at in range(len(data) - 1):
            receiver.feed(data[at : at + 1])
            assert receiver.receive() is None
            yield

    held, _ = retained(feed())
    assert held <= size * 9 // 8 + 4 * KIB


@pytest.mark.case(27)
def test_a_declared_length_is_not_allocated(codec: Codec) -> None:
    """A head alone takes no memory, however long a payload it announces: case 27."""

    def feed() -> Iterable[None]:
        receiver = reading(codec)
        receiver.feed(PEER.head(0x82, 2**62))
        assert receiver.receive() is None
        yield

    assert retained(feed())[1] < 8 * KIB


@pytest.mark.case(27, 28)
@pytest.mark.parametrize(("most", "wire"), [(8, 65545), (0, 65536), (80, 65626)])
def test_what_a_compressed_message_may_announce(codec: Codec, most: int, wire: int) -> None:
    """As much as its limit becomes where nothing of it can be compressed, to the byte; with fragments all together."""
    for length, fault in ((wire, None), (wire + 1, (VIOLATION, Violation.MESSAGE_TOO_BIG))):
        receiver = reading(codec, limited(most), DEFLATE)
        receiver.feed(PEER.head(0xC2, length))
        assert receiver.receive() == fault
        receiver = reading(codec, limited(most), DEFLATE)
        receiver.feed(PEER.frame(BINARY, b"\x00\x00\x00\xff\xff", fin=False, rsv=4) + PEER.head(0x80, length - 5))
        assert receiver.receive() == fault


def test_whose_window_is_whose() -> None:
    """What a server compresses has the server's window and takeover, what a client does the client's (RFC 7692 7.1)."""
    agreed = Compression(DeflateParams(True, False, 9, 12), Deflate())
    assert agreed.window(Role.SERVER) == (9, False)
    assert agreed.window(Role.CLIENT) == (12, True)


@pytest.mark.case(27)
@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_declared_length_is_not_believed(codec: Codec, kind: int) -> None:
    """Of a long message no more is held than four times what came, and never more than all of it."""
    size = MIB
    data = PEER.frame(kind, b"x" * size)
    receiver = reading(codec)
    came = 0

    def feed() -> Iterable[None]:
        nonlocal came
        for piece in (1, 100, 5000, 3, 60_000, 200_000, 300_000):
            receiver.feed(data[came : came + piece])
            came += piece
            assert receiver.receive() is None
            assert tracemalloc.get_traced_memory()[0] <= min(4 * came, size) + 4 * KIB
            yield

    retained(feed())
    receiver.feed(data[came:])
    assert [(opcode, len(payload)) for opcode, payload in drain(receiver) if not isinstance(payload, int)] == [
        (kind, size)
    ]


@pytest.mark.case(36)
def test_empty_fragments_are_counted(codec: Codec) -> None:
    """Of 300 000 empty continuations a server takes 4096 frames, and holds next to nothing: case 36."""
    data = PEER.frame(BINARY, fin=False) + PEER.frame(CONTINUATION, fin=False) * 300_000
    items: list[Item] = []

    def feed() -> Iterable[None]:
        receiver = reading(codec, SERVERS)
        for at in range(0, len(data), KIB):
            receiver.feed(data[at : at + KIB])
            items.extend(drain(receiver))
            yield

    assert retained(feed())[1] <= 64 * KIB
    assert items == [(VIOLATION, Violation.TOO_MANY_FRAGMENTS)]


@pytest.mark.case(39)
def test_as_many_fragments_as_the_limit_says(codec: Codec) -> None:
    """A message in 50 000 fragments comes whole where the limit allows it: case 39."""
    server = Peer(Role.CLIENT)
    receiver = reading(codec, limited(16 * MIB, 65536), role=Role.CLIENT)
    middle = server.frame(CONTINUATION, b"ab", fin=False) * 49_998
    receiver.feed(server.frame(BINARY, b"ab", fin=False) + middle + server.frame(CONTINUATION, b"ab"))
    assert drain(receiver) == [(BINARY, b"ab" * 50_000)]


@pytest.mark.case(38)
def test_a_long_life_meets_no_limit(codec: Codec) -> None:
    """Counters begin anew with each message, so that a connection never runs into a limit: case 38."""
    receiver = reading(codec, SERVERS._replace(max_message_size=10, max_fragments=2))
    one = PEER.frame(TEXT, "0123456789") + PEER.frame(BINARY, b"01234", fin=False) + PEER.frame(0, b"56789")
    for _ in range(200):
        receiver.feed(one * 50)
        assert drain(receiver) == [(TEXT, "0123456789"), (BINARY, b"0123456789")] * 50


@pytest.mark.case(57)
def test_a_bomb_stays_within_the_limit(codec: Codec) -> None:
    """128 MiB of zeros in 127 KiB are refused at the limit, and take no more than it and 64 KiB: case 57."""
    deflated = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(MIB)
    body = b"".join(deflated.compress(zeros) for _ in range(128)) + deflated.flush(zlib.Z_SYNC_FLUSH)[:-4]
    data = PEER.frame(BINARY, body, rsv=4)
    assert len(data) < 140 * KIB

    def feed() -> Iterable[None]:
        receiver = reading(codec, SERVERS, NO_TAKEOVER)
        receiver.feed(data)
        assert drain(receiver) == [(VIOLATION, Violation.MESSAGE_TOO_BIG)]
        yield

    # The bytes on the wire are copied once when they are cut out, and once when they are unmasked.
    assert retained(feed())[1] <= MIB + 64 * KIB + 4 * len(data)


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_of_two_faults_in_a_compressed_message_one_is_reported(codec: Codec, size: int) -> None:
    """A message that is no text, and too long or no DEFLATE further on, fails once in every cut, as one of these."""
    body = Compressor(level=0).message(b"12345\xff7890")
    for limits, wire, faults in (
        (limited(6), body, {Violation.TEXT_INVALID, Violation.MESSAGE_TOO_BIG}),
        (UNLIMITED, body[:-1] + b"\x06", {Violation.TEXT_INVALID, Violation.DEFLATE_INVALID}),
    ):
        data = PEER.frame(TEXT, wire, rsv=4)
        vector = PEER.vector("", data, limits=limits, compression=DEFLATE)
        items = receive(codec, vector, (data[at : at + size] for at in range(0, len(data), size)))
        assert [opcode for opcode, _ in items] == [VIOLATION]
        assert items[0][1] in faults


def test_compressed_fragments_take_little_memory(codec: Codec) -> None:
    """An unfinished compressed message has one place beside zlib's window, less than four times what it inflated to.

    And it is no greater than the limit, up to which it is not moved again.
    """
    size = MIB
    compressor = Compressor(level=1)
    pieces = [compressor.message(bytes(KIB)) + b"\x00\x00\xff\xff" for _ in range(size // KIB)]
    first, *others = pieces
    receiver = reading(codec, SERVERS, DEFLATE)
    came = KIB

    def feed() -> Iterable[None]:
        nonlocal came
        receiver.feed(PEER.frame(BINARY, first, fin=False, rsv=4))
        for piece in others:
            receiver.feed(PEER.frame(CONTINUATION, piece, fin=False))
            assert receiver.receive() is None
            came += KIB
            assert tracemalloc.get_traced_memory()[0] <= min(4 * came, size) + 160 * KIB
            yield

    assert SERVERS.max_message_size == size
    assert retained(feed())[1] <= size * 5 // 4 + 160 * KIB
    receiver.feed(PEER.frame(CONTINUATION, b"\x00"))
    ((opcode, message),) = drain(receiver)
    assert opcode == BINARY and message == bytes(size)


def test_a_compressed_message_is_not_held_twice(codec: Codec) -> None:
    """A message of 16 MiB takes its size, a place that it outgrew, and a step, while it is inflated and delivered."""
    size = 16 * MIB
    data = PEER.frame(BINARY, Compressor(level=1).message(bytes(size)), rsv=4)

    def feed() -> Iterable[None]:
        receiver = reading(codec, limited(size), NO_TAKEOVER)
        receiver.feed(data)
        ((opcode, message),) = drain(receiver)
        assert opcode == BINARY and isinstance(message, bytes) and len(message) == size
        yield

    assert retained(feed())[1] <= size * 5 // 4 + 160 * KIB + 4 * len(data)


# -- time


def test_work_is_linear_in_bytes(codec: Codec) -> None:
    """Four times the bytes, fed one by one, take four times the calls, and no feed copies what came long before."""

    def calls(size: int) -> int:
        data = PEER.frame(TEXT, b"x" * size)
        receiver = reading(codec)
        count = 0

        def profile(frame: object, event: str, argument: object) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(profile)
        try:
            for at in range(len(data)):
                receiver.feed(data[at : at + 1])
                receiver.receive()
        finally:
            sys.setprofile(None)
        return count

    small, large = calls(1000), calls(4000)
    assert large <= 4.2 * small


def test_no_read_copies_what_was_received_before(codec: Codec) -> None:
    """While a long message grows byte by byte, each step allocates a constant: the buffer is not copied."""
    receiver = reading(codec, role=Role.CLIENT)
    receiver.feed(Peer(Role.CLIENT).head(0x81, 2 * MIB))
    receiver.feed(b"x" * MIB)
    assert receiver.receive() is None
    peaks = []
    tracemalloc.start()
    try:
        for _ in range(2000):
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            receiver.feed(b"x")
            receiver.receive()
            peaks.append(tracemalloc.get_traced_memory()[1] - before)
    finally:
        tracemalloc.stop()
    assert sum(peak > KIB for peak in peaks) <= 1  # the one time that the buffer grows


# -- whether something is unfinished


@pytest.mark.parametrize(
    ("data", "unfinished"),
    [
        (b"", False),
        (PEER.frame(TEXT, "a")[:1], True),
        (PEER.frame(TEXT, "a")[:-1], True),
        (PEER.frame(TEXT, "a"), False),
        (PEER.frame(TEXT, "a", fin=False), True),
        (PEER.frame(TEXT, "a", fin=False) + PEER.frame(PING), True),
        (PEER.frame(TEXT, "a", fin=False) + PEER.frame(CONTINUATION), False),
        (PEER.frame(PING, b"abc")[:-1], True),
        (PEER.frame(PING, b"abc"), False),
        (PEER.frame(TEXT, "a") + PEER.frame(TEXT, "b")[:2], True),
        (PEER.frame(TEXT, "a", fin=False) + PEER.frame(CLOSE), False),
        (PEER.frame(TEXT, "a", fin=False) + PEER.frame(3), False),
    ],
)
def test_unfinished(codec: Codec, data: bytes, unfinished: bool) -> None:
    """A frame or a message that was begun is unfinished until it ends or reading does."""
    receiver = reading(codec)
    receiver.feed(data)
    drain(receiver)
    assert receiver.unfinished is unfinished
