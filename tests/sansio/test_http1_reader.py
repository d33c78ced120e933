"""The reader of heads: where a head ends, its limits, and that no split of the bytes matters."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.sansio import http1
from wsmash.sansio.http1 import BadHead, HeadLimits, HeadReader, parse_request, whole_head

LIMITS = HeadLimits(max_headers=128, max_header_line=8192, max_head_size=65536)
SMALL = HeadLimits(max_headers=3, max_header_line=20, max_head_size=50)
UPGRADE = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
ANSWER = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def outcome(pieces: list[bytes], limits: HeadLimits = LIMITS, *, request: bool = True) -> tuple[object, ...]:
    """What a reader makes of these reads: the head and all that follows it, the refusal, or nothing yet."""
    reader = HeadReader(limits, request=request)
    for i, piece in enumerate(pieces):
        try:
            head = reader.feed(piece)
        except BadHead as error:
            return (error.status, error.text)
        if head is not None:
            return (head, reader.rest + b"".join(pieces[i + 1 :]))
    return ()


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def test_head_and_rest() -> None:
    """A head is returned whole, with its empty line, and what came after it is kept."""
    reader = HeadReader(LIMITS, request=True)
    assert reader.feed(UPGRADE[:-1]) is None
    assert reader.feed(UPGRADE[-1:] + b"\x81\x85frames\r\n\r\n") == UPGRADE
    assert reader.rest == b"\x81\x85frames\r\n\r\n"
    assert reader.feed(b"more\n\0") is None
    assert reader.rest == b"\x81\x85frames\r\n\r\nmore\n\0"


@pytest.mark.case(18)
def test_much_after_the_head() -> None:
    """A mebibyte of frames in the head's own packet does not count against the head's limits (hostile case 18)."""
    frames = bytes(1024 * 1024)
    assert outcome([UPGRADE + frames]) == (UPGRADE, frames)


def test_cut_at_every_byte() -> None:
    """The head is the same wherever it is cut."""
    for cut in range(len(UPGRADE) + 1):
        assert outcome([UPGRADE[:cut], UPGRADE[cut:] + b"rest"]) == (UPGRADE, b"rest")


def test_one_empty_line_before_a_request() -> None:
    """One empty line before a request is skipped; a second one, or one before an answer, is refused (RFC 9112 2.2)."""
    assert outcome([b"\r\n" + UPGRADE]) == (UPGRADE, b"")
    assert outcome(bytewise(b"\r\n" + UPGRADE)) == (UPGRADE, b"")
    assert outcome([b"\r\n\r\n" + UPGRADE])[0] == 400
    assert outcome([b"\r\n" + ANSWER], request=False)[0] == 400


@pytest.mark.case(3)
def test_one_byte_at_a_time_is_linear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a head near the limits, one byte in each read, each byte is looked at once (hostile case 3)."""
    looked_at = 0
    check = http1._refuse_controls

    def counting(piece: bytes | bytearray) -> None:
        nonlocal looked_at
        looked_at += len(piece)
        check(piece)

    monkeypatch.setattr(http1, "_refuse_controls", counting)
    head = b"GET / HTTP/1.1\r\n" + (b"X-A: " + b"a" * 8000 + b"\r\n") * 8 + b"\r\n"
    assert outcome(bytewise(head)) == (head, b"")
    assert looked_at == len(head.replace(b"\r\n", b""))


@pytest.mark.case(1)
@pytest.mark.parametrize("count", [128, 129, 300, 2000])
def test_number_of_headers(count: int) -> None:
    """One header above the limit is refused where it ends (hostile case 1)."""
    head = b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * count + b"\r\n"
    expected = (head, b"") if count <= 128 else (431, "more than 128 headers (max_headers)")
    assert outcome([head]) == expected
    assert outcome(bytewise(head)) == expected


@pytest.mark.case(2)
def test_request_line_too_long() -> None:
    """A request line above the limit is refused with 414, as soon as the byte too many is there (hostile case 2)."""
    line = b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1"
    assert len(line) == 8192
    head = line + b"\r\n\r\n"
    assert outcome([head]) == (head, b"")
    assert outcome([line + b"1"])[0] == 414
    assert outcome([line, b"\r", b"\n\r\n"]) == (head, b"")
    assert outcome([line + b"1\r\n\r\n"])[0] == 414
    assert outcome([b"GET /" + b"a" * 65536])[0] == 414


@pytest.mark.case(2)
def test_header_line_too_long() -> None:
    """A header line above the limit is refused, counted across reads, before the line ends (hostile case 2)."""
    start = b"GET / HTTP/1.1\r\n"
    line = b"X: " + b"a" * 8189
    assert outcome([start + line + b"\r\n\r\n"])[0] == start + line + b"\r\n\r\n"
    assert outcome([start + line + b"a"])[0] == 431
    reader = HeadReader(LIMITS, request=True)
    reader.feed(start)
    for _ in range(8):
        assert reader.feed(b"a" * 1024) is None
    with pytest.raises(BadHead) as caught:
        reader.feed(b"a")
    assert caught.value.status == 431
    assert "max_header_line" in caught.value.text


@pytest.mark.case(2)
def test_head_too_large() -> None:
    """A head above the limit in all is refused with 431, though each line is within its own."""
    start = b"GET / HTTP/1.1\r\n"
    line = b"X: " + b"a" * 8000 + b"\r\n"
    filler = b"X: " + b"a" * (65536 - len(start) - 8 * len(line) - 7) + b"\r\n\r\n"
    head = start + line * 8 + filler
    assert len(head) == 65536
    assert outcome([head]) == (head, b"")
    longer = start + line * 8 + b"X" + filler
    assert outcome([longer])[0] == 431
    assert "max_head_size" in str(outcome([longer])[1])
    assert outcome(bytewise(longer)) == outcome([longer])


@pytest.mark.case(23)
def test_an_answers_first_line_too_long() -> None:
    """The limits hold for answers too (hostile case 23)."""
    assert outcome([b"HTTP/1.1 101 " + b"a" * 8192], request=False)[0] == 431
    assert outcome([ANSWER[:-2] + b"A: b\r\n" * 127 + b"\r\n"], request=False)[0] == 431


@pytest.mark.case(9, 10, 20)
@pytest.mark.parametrize(
    "data",
    [
        b"\x16\x03\x01\x02\x00\x01",  # a TLS ClientHello
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"\n",
        b"GET / HTTP/1.1\r\r\n",
        b"GET / HTTP/1.1\rHost",
        b"GET / HTTP/1.1\r\nX: \x00",
        b"GET / HTTP/1.1\r\nX: \x7f",
        b"GET / HTTP/1.1\r\nX: \x1b[31m",
    ],
)
def test_refused_at_once(data: bytes) -> None:
    """Control characters and lone line ends are refused without waiting for the end (hostile cases 9, 10 and 20)."""
    assert outcome([data])[0] == 400
    assert outcome(bytewise(data)) == outcome([data])


PIECES = st.sampled_from(
    [
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b"\x00",
        b"\x7f",
        b"\x85",
        b" ",
        b"\t",
        b"A: b",
        b"GET / HTTP/1.1\r\n",
        b"a" * 7,
        b"a" * 19,
        b"a" * 20,
        b"a" * 21,
        b"X:\r\n" * 3,
    ]
)


@pytest.mark.case(3)
@given(st.lists(PIECES, max_size=12).map(b"".join), st.lists(st.integers(0, 80)), st.booleans())
def test_every_split_has_the_same_outcome(data: bytes, cuts: list[int], request: bool) -> None:
    """The outcome does not depend on how the bytes are split into reads."""
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    for limits in (SMALL, SMALL._replace(max_header_line=60), LIMITS):
        expected = outcome([data], limits, request=request)
        assert outcome(pieces, limits, request=request) == expected
        assert outcome(bytewise(data), limits, request=request) == expected


def test_a_head_in_one_read() -> None:
    """What one read brings whole is taken without a reader, up to each limit and not beyond it."""
    limits = HeadLimits(max_headers=3, max_header_line=len(UPGRADE), max_head_size=len(UPGRADE))
    assert whole_head(UPGRADE + b"rest\r\n\r\n", limits) == (UPGRADE, b"rest\r\n\r\n")
    for name in limits._fields:
        assert whole_head(UPGRADE, limits._replace(**{name: getattr(limits, name) - 1})) is None
    for data in (b"", b"\r\n\r\n", UPGRADE[:-1], b"\r\n" + UPGRADE, UPGRADE.replace(b"a\r\n", b"a\n")):
        assert whole_head(data, limits) is None


@given(st.lists(PIECES).map(b"".join), st.sampled_from([LIMITS, SMALL]))
def test_a_head_in_one_read_is_judged_alike(data: bytes, limits: HeadLimits) -> None:
    """With a reader or without one, the same head is found, or it is refused in the same words."""
    data = b"GET / HTTP/1.1\r\n" + data + b"\r\n\r\n"
    found = whole_head(data, limits)
    if found is not None:
        assert judged(*found) == judged(*outcome([data], limits))


def judged(head: object, rest: object) -> tuple[object, ...]:
    """What becomes of a head that was found, or of a refusal."""
    if isinstance(head, bytes):
        try:
            parse_request(head)
        except BadHead as error:
            return (error.status, error.text)
    return (head, rest)
