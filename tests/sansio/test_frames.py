"""The wire form of a frame: its mask, its head, the body of a close frame."""

from __future__ import annotations

from array import array

import pytest

from fixtures.codec import Codec
from wsmash.sansio.frames import decode_close, encode_close
from wsmash.sansio.violations import Violation

MASK = b"\x37\xfa\x21\x3d"
DATA = bytes(range(256))


def masked(data: bytes, mask: bytes, offset: int = 0) -> bytes:
    """RFC 6455 5.3, one byte after the other."""
    return bytes(each ^ mask[(offset + at) % 4] for at, each in enumerate(data))


@pytest.mark.case(34)
@pytest.mark.parametrize("length", range(68))
def test_mask_of_every_length_and_offset(codec: Codec, length: int) -> None:
    """Each byte meets the byte of the key that its place in the payload gives: case 34."""
    data = DATA[100 : 100 + length]
    for offset in (*range(9), 125, 65535, 2**32 + 1, 2**63):
        assert codec.apply_mask(data, MASK, offset) == masked(data, MASK, offset)


@pytest.mark.parametrize("mask", [bytes(4), b"\xff" * 4, b"\x00\x00\x00\x01", b"\x80\x00\x00\x00"])
def test_mask_of_every_key(codec: Codec, mask: bytes) -> None:
    """Zeros at either end of a key are bytes like any other."""
    for data in (DATA, bytes(7), b"\x00abc\x00"):
        assert codec.apply_mask(data, mask) == masked(data, mask)


@pytest.mark.parametrize("length", [1000, 65535, 65536, 65537, 1_000_003])
def test_mask_of_long_data(codec: Codec, length: int) -> None:
    """Long data is masked to its last byte."""
    data = (DATA * (length // 256 + 1))[:length]
    assert codec.apply_mask(data, MASK, 3) == masked(data, MASK, 3)


def test_mask_twice_is_nothing(codec: Codec) -> None:
    """What masks also unmasks."""
    assert codec.apply_mask(codec.apply_mask(DATA, MASK, 5), MASK, 5) == DATA


@pytest.mark.case(34)
@pytest.mark.parametrize("start", range(9))
def test_mask_takes_any_buffer(codec: Codec, start: int) -> None:
    """Bytes, bytearray and memoryview at every alignment, read-only or not, give bytes, and stay as they are."""
    want = masked(DATA[start : start + 37], MASK, 1)
    writable = bytearray(DATA)
    for data in (
        DATA[start : start + 37],
        writable[start : start + 37],
        memoryview(DATA)[start : start + 37],
        memoryview(writable)[start : start + 37],
    ):
        result = codec.apply_mask(data, MASK, 1)
        assert type(result) is bytes
        assert result == want
    assert writable == DATA


@pytest.mark.case(34)
def test_mask_of_what_is_not_contiguous(codec: Codec) -> None:
    """A view with gaps is masked as the bytes that it shows: case 34."""
    assert codec.apply_mask(memoryview(DATA)[::3], MASK) == masked(DATA[::3], MASK)
    assert codec.apply_mask(memoryview(DATA)[::-1], MASK) == masked(DATA[::-1], MASK)


@pytest.mark.case(34)
@pytest.mark.parametrize("typecode", "bHIQd")
def test_mask_of_wider_items(codec: Codec, typecode: str) -> None:
    """A view of numbers is masked as the bytes that they take: case 34."""
    numbers = array(typecode, range(1, 20))
    assert codec.apply_mask(memoryview(numbers), MASK) == masked(numbers.tobytes(), MASK)


@pytest.mark.case(34)
@pytest.mark.parametrize("mask", [b"", b"a", b"abc", b"abcde", b"abcdefgh"])
@pytest.mark.parametrize("data", [b"", b"a", DATA])
def test_mask_needs_four_bytes(codec: Codec, mask: bytes, data: bytes) -> None:
    """A key of any other size is refused, whatever the data: case 34."""
    with pytest.raises(ValueError, match=f"4 bytes, not {len(mask)}"):
        codec.apply_mask(data, mask)


@pytest.mark.parametrize(
    ("length", "plain", "with_mask"),
    [
        (0, "8200", "8280"),
        (1, "8201", "8281"),
        (125, "827d", "82fd"),
        (126, "827e007e", "82fe007e"),
        (127, "827e007f", "82fe007f"),
        (65535, "827effff", "82feffff"),
        (65536, "827f0000000000010000", "82ff0000000000010000"),
        (2**63 - 1, "827f7fffffffffffffff", "82ff7fffffffffffffff"),
    ],
)
def test_head(codec: Codec, length: int, plain: str, with_mask: str) -> None:
    """A length takes its shortest form, and a key follows it (RFC 6455 5.2)."""
    assert codec.frame_head(0x82, length).hex() == plain
    assert codec.frame_head(0x82, length, MASK).hex() == with_mask + MASK.hex()


# -- close frames


@pytest.mark.parametrize(
    ("code", "reason", "payload"),
    [(None, "", b""), (1000, "", b"\x03\xe8"), (4999, "gehört", b"\x13\x87geh\xc3\xb6rt"), (3000, "x", b"\x0b\xb8x")],
)
def test_close_there_and_back(code: int | None, reason: str, payload: bytes) -> None:
    """A code is two bytes, most significant first, and the reason follows as UTF-8 (RFC 6455 5.5.1)."""
    assert encode_close(code, reason) == payload
    assert decode_close(payload) == (1005 if code is None else code, reason)


@pytest.mark.case(47)
def test_close_with_one_byte() -> None:
    """Half a code is a violation: case 47."""
    assert decode_close(b"\x03") is Violation.CLOSE_TOO_SHORT


VALID_CODES = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


@pytest.mark.case(47)
def test_close_with_every_code() -> None:
    """Of all 65536 codes just those of RFC 6455 7.4 that may travel are taken: case 47."""
    taken = {code for code in range(65536) if not isinstance(decode_close(code.to_bytes(2)), Violation)}
    assert taken == VALID_CODES


@pytest.mark.case(47)
@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_close_with_a_bad_code(code: int) -> None:
    """A code that must not travel is a violation, whatever the reason: case 47."""
    assert decode_close(code.to_bytes(2) + b"reason") is Violation.CLOSE_CODE_INVALID
    assert decode_close(code.to_bytes(2) + b"\xff") is Violation.CLOSE_CODE_INVALID


@pytest.mark.case(45)
@pytest.mark.parametrize("reason", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"ok\xe2\x82", b"\xf4\x90\x80\x80"])
def test_close_with_a_reason_that_is_no_text(reason: bytes) -> None:
    """A reason that is not UTF-8 is a violation of its own: case 45."""
    assert decode_close(b"\x03\xe8" + reason) is Violation.CLOSE_REASON_INVALID
