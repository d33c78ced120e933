"""The codec of permessage-deflate, on zlib-ng and on the standard zlib."""

from __future__ import annotations

import itertools
import random
import tracemalloc
import zlib
from functools import cache
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.backends import MODULES, inflated
from wsmash.sansio import deflate as on_zlib_ng

TAIL = b"\x00\x00\xff\xff"
KIB = 1024
MIB = 1024 * KIB

# RFC 7692 7.2.3: "Hello" in one block, shared, stored, final, and in two blocks.
HELLO = bytes.fromhex("f248cdc9c90700")
HELLO_AGAIN = bytes.fromhex("f200110000")
HELLO_STORED = bytes.fromhex("000500faff48656c6c6f00")
HELLO_FINAL = bytes.fromhex("f348cdc9c9070000")
HELLO_TWO_BLOCKS = bytes.fromhex("f24805000000ffffcac9c90700")


@pytest.fixture(params=MODULES, ids=lambda module: module.BACKEND)
def deflate(request: pytest.FixtureRequest) -> ModuleType:
    """The codec on each backend."""
    module = request.param
    assert isinstance(module, ModuleType)
    return module


@cache
def reference(*messages: bytes, bits: int = 15, level: int = 6) -> tuple[bytes, ...]:
    """The messages as the standard zlib compresses them, with context takeover."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return tuple((stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4] for message in messages)


def final_block(data: bytes, window: bytes = b"") -> bytes:
    """A DEFLATE stream of its own, which ends with a final block."""
    if window:
        stream = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=window)
    else:
        stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return stream.compress(data) + stream.flush(zlib.Z_FINISH)


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@cache
def words(size: int, seed: int = 0) -> bytes:
    """Text that compresses about as JSON does."""
    source = random.Random(seed)
    text = b" ".join(b"%d" % source.randrange(500) for _ in range(size // 2 + 1))
    return text[:size]


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)] or [b""]


def inflate(inflater: on_zlib_ng.Inflater, data: bytes, cut: int, room: int | None = None) -> bytes:
    """A whole message, in pieces of `cut` bytes."""
    output = bytearray()
    parts = pieces(data, cut)
    for number, part in enumerate(parts, 1):
        left = None if room is None else room - len(output)
        output += inflated(inflater, part, left, number == len(parts))
    return bytes(output)


class TestBackend:
    def test_zlib_ng_is_used_where_it_is_installed(self) -> None:
        """The test environment has zlib-ng, so a silent fallback fails here."""
        assert on_zlib_ng.BACKEND == "zlib-ng"

    def test_standard_zlib_is_the_fallback(self) -> None:
        """Without zlib-ng the standard library's zlib serves."""
        assert MODULES[1].BACKEND == "zlib"


class TestDeflater:
    @pytest.mark.case(62)
    @pytest.mark.parametrize("takeover", [True, False])
    @pytest.mark.parametrize("level", [1, 6, 9])
    @pytest.mark.parametrize("bits", [9, 10, 15])
    def test_standard_zlib_inflates_it_within_the_window(
        self, deflate: ModuleType, bits: int, level: int, takeover: bool
    ) -> None:
        """Case 62: no reference reaches beyond the window, seen by a reader that holds no byte more."""
        deflater = deflate.Deflater(bits, takeover, level)
        reader = zlib.decompressobj(-bits)
        for size in (1, 100, 5000, 40_000, 0, 300):
            message = words(size, seed=1)
            if not takeover:
                reader = zlib.decompressobj(-bits)
            data = deflater.compress(message) + TAIL
            output = b""
            while len(output) < size:
                output += reader.decompress(data, 1)
                data = reader.unconsumed_tail
            assert output == message
            assert reader.decompress(data) == b""

    def test_context_is_taken_over(self, deflate: ModuleType) -> None:
        """With takeover a repeated message is a short reference, without it the same bytes again."""
        message = noise(1000)
        kept, dropped = deflate.Deflater(15, True, 6), deflate.Deflater(15, False, 6)
        assert len(kept.compress(message)) > 1000
        assert len(kept.compress(message)) < 50
        assert dropped.compress(message) == dropped.compress(message)

    def test_empty_message_is_one_zero_byte(self, deflate: ModuleType) -> None:
        """RFC 7692 7.2.3.6, at first and between others, whole and in fragments."""
        deflater = deflate.Deflater(15, True, 6)
        for _ in range(3):
            assert deflater.compress(b"") == b"\x00"
            assert deflater.compress_fragment(b"", False) == b""
            assert deflater.compress_fragment(b"", True) == b"\x00"
            deflater.compress(b"x")
            assert deflater.compress_fragment(b"", True) == b"\x00"

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer(self, deflate: ModuleType, kind: type[bytes]) -> None:
        """Every kind of buffer compresses to the same bytes."""
        assert deflate.Deflater(15, True, 6).compress(kind(b"Hello")) == HELLO

    @pytest.mark.case(62)
    @pytest.mark.parametrize("takeover", [True, False])
    @pytest.mark.parametrize("size", [1, 7, 1000, 100_000])
    def test_fragments(self, deflate: ModuleType, size: int, takeover: bool) -> None:
        """Case 62: fragments join to a message, and whole messages may follow and precede them."""
        deflater = deflate.Deflater(15, takeover, 6)
        inflater = deflate.Inflater(15, takeover)
        message = words(5000) + noise(5000)
        for _ in range(2):
            assert inflated(inflater, deflater.compress(message), None, True) == message
            for part in pieces(message, size):
                assert inflated(inflater, deflater.compress_fragment(part, False), None, False) in message
            inflated(inflater, deflater.compress_fragment(b"", True), None, True)

    def test_release_forgets_the_context(self, deflate: ModuleType) -> None:
        """After a release the compressor starts anew, and the peer's inflater follows."""
        deflater, inflater = deflate.Deflater(15, True, 6), deflate.Inflater(15, True)
        message = noise(500)
        first = deflater.compress(message)
        deflater.release()
        assert deflater.compress(message) == first
        for _ in range(3):
            deflater.release()
            assert inflated(inflater, deflater.compress(message), None, True) == message

    def test_release_waits_for_the_end_of_fragments(self, deflate: ModuleType) -> None:
        """A release in the middle of a message loses nothing of it, and takes effect after it."""
        deflater = deflate.Deflater(15, True, 6)
        fresh = deflater.compress(b"Hello, hello")
        start = deflater.compress_fragment(b"some text, ", False)
        deflater.release()
        end = deflater.compress_fragment(b"some more text", True)
        assert (
            zlib.decompressobj(-15, zdict=b"Hello, hello").decompress(start + end + TAIL)
            == b"some text, some more text"
        )
        assert deflater.compress(b"Hello, hello") == fresh


class TestInflater:
    @pytest.mark.case(61)
    @pytest.mark.parametrize("data", [HELLO, HELLO_STORED, HELLO_FINAL, HELLO_TWO_BLOCKS])
    @pytest.mark.parametrize("cut", range(1, 14))
    def test_examples_of_the_rfc(self, deflate: ModuleType, data: bytes, cut: int) -> None:
        """RFC 7692 7.2.3.1 to 7.2.3.5, cut at every byte, twice on one stream."""
        inflater = deflate.Inflater(15, True)
        assert inflate(inflater, data, cut) == b"Hello"
        assert inflate(inflater, data, cut) == b"Hello"
        assert inflate(inflater, HELLO_AGAIN, cut) == b"Hello"

    @pytest.mark.case(62)
    @pytest.mark.parametrize("takeover", [True, False])
    @pytest.mark.parametrize("level", [0, 1, 6, 9])
    @pytest.mark.parametrize("bits", [9, 10, 15])
    def test_bit_exact(self, deflate: ModuleType, bits: int, level: int, takeover: bool) -> None:
        """Case 62: what the standard zlib compresses comes out in every mode and cut, also after a release."""
        messages = [words(3000), b"", words(3000), noise(34_000), words(66_000, seed=2), bytes(100_000), words(3000)]
        if takeover:
            compressed = reference(*messages, bits=bits, level=level)
        else:
            compressed = tuple(reference(message, bits=bits, level=level)[0] for message in messages)
        for cut in (7, 1000, 17_000, 10**6):
            inflater = deflate.Inflater(bits, takeover)
            for data, message in zip(compressed, messages, strict=True):
                data = data or b"\x00"  # zlib writes nothing where nothing is new
                assert inflate(inflater, data, cut) == message
                if cut == 1000:
                    inflater.release()

    def test_window_of_8_bits(self, deflate: ModuleType) -> None:
        """A peer may have a window of 8 bits, which zlib inflates."""
        assert inflated(deflate.Inflater(8, True), HELLO, None, True) == b"Hello"

    @pytest.mark.case(58)
    @pytest.mark.parametrize("size", [1, 2, 2044, 32 * KIB, 64 * KIB, MIB + 1])
    @pytest.mark.parametrize("form", ["plain", "empty block", "final block", "stored"])
    def test_room_is_exact(self, deflate: ModuleType, size: int, form: str) -> None:
        """Case 58: one byte under the limit and the limit itself come whole, one byte above it is refused."""
        message = words(size)
        data = {
            "plain": reference(message)[0],
            "empty block": reference(message)[0] + TAIL + b"\x00",
            "final block": final_block(message) + b"\x00",
            "stored": reference(message, level=0)[0],
        }[form]
        for cut in (1000, 10**8):
            for room in (size + 1, size):
                assert inflate(deflate.Inflater(15, True), data, cut, room) == message
            with pytest.raises(deflate.MessageTooLong):
                inflate(deflate.Inflater(15, True), data, cut, size - 1)

    def test_no_room(self, deflate: ModuleType) -> None:
        """With no room left an empty message passes, and a byte is too long; so with less than none."""
        assert inflated(deflate.Inflater(15, True), b"\x00", 0, True) == b""
        for room in (0, -1, -(10**9)):
            with pytest.raises(deflate.MessageTooLong):
                inflated(deflate.Inflater(15, True), HELLO, room, True)

    @pytest.mark.case(59)
    def test_high_ratio_is_no_fault(self, deflate: ModuleType) -> None:
        """Case 59: a ratio above 1000:1 passes within the limit."""
        data = reference(bytes(16 * MIB))[0]
        assert len(data) < 17 * KIB
        assert inflated(deflate.Inflater(15, True), data, 16 * MIB, True) == bytes(16 * MIB)

    @pytest.mark.case(57)
    def test_bomb_is_refused_within_its_room(self, deflate: ModuleType) -> None:
        """Case 57: 127 KiB that inflate to 128 MiB take the limit and 64 KiB at most."""
        data = reference(bytes(128 * MIB))[0]
        assert len(data) < 130 * KIB
        inflater = deflate.Inflater(15, True)
        inflated(inflater, reference(noise(100 * KIB))[0], None, True)  # what it always holds is there
        tracemalloc.start()
        try:
            with pytest.raises(deflate.MessageTooLong):
                inflated(inflater, data, MIB, True)
            assert tracemalloc.get_traced_memory()[1] < MIB + 64 * KIB
        finally:
            tracemalloc.stop()

    def test_what_is_kept_elsewhere_is_not_held(self, deflate: ModuleType) -> None:
        """A message of 16 MiB goes out in steps: of those no more than three are held, beside zlib's state."""
        data = reference(bytes(16 * MIB))[0]
        inflater = deflate.Inflater(15, True)
        sizes: list[int] = []
        tracemalloc.start()
        try:
            last = inflater.inflate(data, 16 * MIB, True, lambda step: sizes.append(len(step)))
            assert tracemalloc.get_traced_memory()[1] < 256 * KIB
        finally:
            tracemalloc.stop()
        assert sum(sizes) + len(last) == 16 * MIB and max(sizes) <= 32 * KIB

    @pytest.mark.case(64)
    def test_what_stays_is_bounded(self, deflate: ModuleType) -> None:
        """After many messages, small and large, an inflater holds two windows at most, and after a release one."""
        messages = [words(20, seed) for seed in range(5000)] + [noise(MIB)]
        compressed = reference(*messages)
        tracemalloc.start()
        try:
            inflater = deflate.Inflater(15, True)
            for data in compressed:
                inflated(inflater, data, None, True)
            assert tracemalloc.get_traced_memory()[0] < 120 * KIB  # zlib's state and window, and the copy of it
            inflater.release()
            assert tracemalloc.get_traced_memory()[0] < 34 * KIB
        finally:
            tracemalloc.stop()

    @pytest.mark.case(64)
    def test_nothing_stays_without_takeover(self, deflate: ModuleType) -> None:
        """Without context takeover the end of a message gives everything back."""
        data = reference(noise(MIB))[0]
        tracemalloc.start()
        try:
            inflater = deflate.Inflater(15, False)
            inflated(inflater, data, None, True)
            assert tracemalloc.get_traced_memory()[0] < 4 * KIB
        finally:
            tracemalloc.stop()

    @pytest.mark.case(66)
    @pytest.mark.parametrize("overshoot", [1, 100_000])
    def test_overshooting_backend(self, deflate: ModuleType, monkeypatch: pytest.MonkeyPatch, overshoot: int) -> None:
        """Case 66: a backend that gives more than it was asked for is still held to the limit, and loses nothing."""
        original = deflate.zlib.decompressobj

        class Overshooting:
            def __init__(self, wbits: int, **options: bytes) -> None:
                self.stream = original(wbits, **options)

            def decompress(self, data: bytes, most: int) -> object:
                return self.stream.decompress(data, most + overshoot)

            def __getattr__(self, name: str) -> object:
                return getattr(self.stream, name)

        monkeypatch.setattr(deflate.zlib, "decompressobj", Overshooting)
        message = words(MIB)
        data = reference(message)[0]
        assert inflated(deflate.Inflater(15, True), data, MIB, True) == message
        with pytest.raises(deflate.MessageTooLong):
            inflated(deflate.Inflater(15, True), data, MIB - 1, True)

    @pytest.mark.case(60)
    @pytest.mark.parametrize("message", [words(3000), noise(300), b"a" * 5000, bytes(range(256)) * 9, b"Hello"])
    @pytest.mark.parametrize("level", [0, 1, 6, 9])
    def test_truncated_at_every_byte(self, deflate: ModuleType, message: bytes, level: int) -> None:
        """Case 60: a message that lacks its end is refused, whatever kind of block the cut is in."""
        data = reference(message, level=level)[0]
        for end in range(len(data)):
            if data[:end] != b"\x00":  # the start of a stored block alone is an empty message
                with pytest.raises(deflate.InvalidDeflate):
                    inflated(deflate.Inflater(15, True), data[:end], None, True)

    @pytest.mark.case(60)
    def test_distance_too_far_back(self, deflate: ModuleType) -> None:
        """Case 60: a reference to before the first byte is refused."""
        with pytest.raises(deflate.InvalidDeflate, match="distance too far back"):
            inflated(deflate.Inflater(15, True), HELLO_AGAIN, None, True)

    @pytest.mark.case(60)
    def test_context_that_was_not_agreed_on(self, deflate: ModuleType) -> None:
        """Case 60: without takeover a reference to an earlier message is refused."""
        inflater = deflate.Inflater(15, False)
        assert inflated(inflater, HELLO, None, True) == b"Hello"
        with pytest.raises(deflate.InvalidDeflate, match="distance too far back"):
            inflated(inflater, HELLO_AGAIN, None, True)

    @pytest.mark.case(60)
    @pytest.mark.parametrize("released", [False, True])
    def test_window_above_the_agreed_one(self, deflate: ModuleType, released: bool) -> None:
        """Case 60: a reference to a message beyond the window is refused, before and after a release."""
        start = noise(2000)
        first, second, third = reference(start, words(4000), start, bits=15)
        assert len(third) < 100
        inflater = deflate.Inflater(10, True)
        inflated(inflater, first, None, True)
        inflated(inflater, second, None, True)
        if released:
            inflater.release()
        with pytest.raises(deflate.InvalidDeflate, match="distance too far back"):
            inflated(inflater, third, None, True)

    @pytest.mark.case(60)
    def test_failure_frees_the_stream(self, deflate: ModuleType) -> None:
        """Case 60: after an error the inflater holds nothing of the peer's."""
        inflater = deflate.Inflater(15, True)
        inflated(inflater, reference(noise(100_000))[0], None, True)
        with pytest.raises(deflate.InvalidDeflate):
            inflated(inflater, b"\xff\xff\xff\xff", None, True)
        assert inflater._stream is None
        assert inflater._recent == []

    @pytest.mark.case(61)
    @pytest.mark.parametrize("cut", [1, 2, 3, 100, 10**6])
    @pytest.mark.parametrize("takeover", [True, False])
    def test_final_blocks_inside_a_message(self, deflate: ModuleType, cut: int, takeover: bool) -> None:
        """Case 61: after a final block a new stream goes on with the same window, in this message and the next."""
        start = noise(2000)
        middle = start[500:1500] + words(1000)
        data = final_block(start) + final_block(middle, window=start)
        data += reference_with(start + middle, start)
        inflater = deflate.Inflater(15, takeover)
        assert inflate(inflater, data, cut) == start + middle + start
        following = final_block(b"x" + start, window=start + middle + start) + b"\x00"
        assert len(following) < 100
        if takeover:
            assert inflate(inflater, following, cut) == b"x" + start
            assert inflate(inflater, following, cut) == b"x" + start
        else:
            with pytest.raises(deflate.InvalidDeflate):
                inflate(inflater, following, cut)

    @pytest.mark.parametrize("cut", [1, 7, 10**6])
    def test_message_that_ends_with_its_final_block(self, deflate: ModuleType, cut: int) -> None:
        """A stream that is over needs no tail; an empty last frame after it changes nothing."""
        inflater = deflate.Inflater(15, True)
        message = words(500)
        assert inflate(inflater, final_block(message), cut) == message
        assert inflated(inflater, final_block(message), None, False) == message
        assert inflated(inflater, b"", None, False) == b""
        assert inflated(inflater, b"", None, True) == b""
        assert inflate(inflater, reference_with(message, message), cut) == message

    @pytest.mark.case(61)
    def test_garbage_after_a_final_block(self, deflate: ModuleType) -> None:
        """Case 61: what follows a final block and does not decode is refused."""
        with pytest.raises(deflate.InvalidDeflate):
            inflated(deflate.Inflater(15, True), final_block(b"Hello") + b"\xff\xff", None, True)

    @pytest.mark.case(61)
    @pytest.mark.parametrize(
        "block",
        [
            b"\x00\x00\x00\xff\xff",
            b"\x00\x01\x00\xfe\xffx",
            b"\x02\x08\x20\x80\x00",  # four empty blocks of ten bits
            b"\x03\x00",
            final_block(b"x"),
        ],
        ids=["empty stored", "stored", "empty fixed", "empty final", "final"],
    )
    def test_tiny_blocks_take_linear_work(
        self, deflate: ModuleType, monkeypatch: pytest.MonkeyPatch, block: bytes
    ) -> None:
        """Case 61: 100 000 blocks take a call each at most, and no more than 64 bytes of input are copied at each."""
        original = deflate.zlib.decompressobj
        calls: list[int] = []

        class Counting:
            def __init__(self, wbits: int, **options: bytes) -> None:
                self.stream = original(wbits, **options)

            def decompress(self, data: bytes, most: int) -> object:
                output = self.stream.decompress(data, most)
                calls.append(len(self.stream.unused_data) + len(self.stream.unconsumed_tail))
                return output

            def __getattr__(self, name: str) -> object:
                return getattr(self.stream, name)

        monkeypatch.setattr(deflate.zlib, "decompressobj", Counting)
        monkeypatch.setattr(deflate, "MAX_ENDINGS", 100_000)
        inflated(deflate.Inflater(15, True), block * 100_000 + b"\x00", MIB, True)
        assert len(calls) < 100_100
        assert sum(calls) < 100_000 * 64 + 20 * 16 * KIB

    @pytest.mark.case(61)
    def test_too_many_final_blocks(self, deflate: ModuleType) -> None:
        """Each costs a new inflater, two bytes at a time: a message may hold 1024 of them, the next one starts anew."""
        inflater = deflate.Inflater(15, True)
        for _ in range(2):
            assert inflated(inflater, b"\x03\x00" * 1024 + b"\x00", MIB, True) == b""
        with pytest.raises(deflate.InvalidDeflate, match="more than 1024 final blocks"):
            inflated(inflater, b"\x03\x00" * 1025, MIB, True)

    @pytest.mark.case(61)
    def test_small_final_blocks_keep_the_limit(self, deflate: ModuleType) -> None:
        """Case 61: each stream of a message draws on the same room."""
        data = final_block(b"x" * 100) * 1000 + b"\x00"
        assert inflated(deflate.Inflater(15, True), data, 100_000, True) == b"x" * 100_000
        with pytest.raises(deflate.MessageTooLong):
            inflated(deflate.Inflater(15, True), data, 99_999, True)

    def test_release_in_the_middle_does_nothing(self, deflate: ModuleType) -> None:
        """A release between the frames of a message loses nothing."""
        inflater = deflate.Inflater(15, True)
        output = inflated(inflater, HELLO[:3], None, False)
        inflater.release()
        assert output + inflated(inflater, HELLO[3:], None, True) == b"Hello"

    @pytest.mark.case(60)
    @settings(max_examples=400, deadline=None)
    @given(
        data=st.one_of(
            st.binary(max_size=300),
            st.binary(max_size=300).map(lambda noise: reference(words(2000))[0][:100] + noise),
            st.lists(st.sampled_from([HELLO, HELLO_FINAL, TAIL, b"\x00", b"\x03\x00", b"\x06", b"\xff"])).map(b"".join),
        ),
        cut=st.integers(1, 400),
        room=st.none() | st.integers(0, 5000),
        takeover=st.booleans(),
        bits=st.integers(8, 15),
    )
    def test_garbage(self, data: bytes, cut: int, room: int | None, takeover: bool, bits: int) -> None:
        """Case 60: whatever comes, nothing escapes but the two exceptions, and never more bytes than the room."""
        for module in MODULES:
            inflater = module.Inflater(bits, takeover)
            for _ in range(2):
                try:
                    output = inflate(inflater, data, cut, room)
                except (module.InvalidDeflate, module.MessageTooLong):
                    continue
                assert room is None or len(output) <= room

    @pytest.mark.case(62, 66)
    @settings(max_examples=200, deadline=None)
    @given(
        messages=st.lists(st.binary(max_size=2000) | st.integers(0, 3000).map(words), min_size=1, max_size=6),
        bits=st.integers(9, 15),
        level=st.integers(1, 9),
        takeover=st.booleans(),
        cut=st.integers(1, 3000),
        releases=st.integers(0, 2**12 - 1),
    )
    def test_round_trip(
        self, messages: list[bytes], bits: int, level: int, takeover: bool, cut: int, releases: int
    ) -> None:
        """Case 62: each backend inflates what the other one made, with releases of either end in between."""
        for here, there in itertools.product(MODULES, MODULES):
            deflater, inflater = here.Deflater(bits, takeover, level), there.Inflater(bits, takeover)
            for number, message in enumerate(messages):
                assert inflate(inflater, deflater.compress(message), cut, len(message)) == message
                if releases >> 2 * number & 1:
                    deflater.release()
                if releases >> 2 * number & 2:
                    inflater.release()


def reference_with(window: bytes, data: bytes) -> bytes:
    """A message that starts a new stream and refers to the window."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=window)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


class TestRest:
    """What an idle connection gives back."""

    @pytest.mark.case(64)
    def test_a_deflater_that_was_not_used_since_the_last_rest_is_released(self) -> None:
        """Used ones keep their state for one more round; released ones go on as if made anew."""
        deflater = on_zlib_ng.Deflater(15, True, 6)
        deflater.compress(b"abc" * 100)
        held = []
        for _ in range(2):
            deflater.rest()
            held.append(deflater._stream is not None)
        assert held == [True, False]
        assert inflated(on_zlib_ng.Inflater(15, True), deflater.compress(b"abc" * 100), None, True) == b"abc" * 100

    @pytest.mark.case(64)
    def test_an_inflater_that_rests_keeps_its_window(self) -> None:
        """The next message may still refer to the ones before the rest."""
        deflater, inflater = on_zlib_ng.Deflater(15, True, 6), on_zlib_ng.Inflater(15, True)
        words = bytes(range(256)) * 8
        assert inflated(inflater, deflater.compress(words), None, True) == words
        inflater.rest()
        inflater.rest()
        assert inflater._stream is None
        again = deflater.compress(words)
        assert len(again) < 100
        assert inflated(inflater, again, None, True) == words
