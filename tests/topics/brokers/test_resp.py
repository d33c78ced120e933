"""RESP: bytes to replies, however they are cut, and no more memory than a reply may take."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.topics.brokers import resp
from wsmash.topics.brokers.resp import MAX_BULK, TOO_LONG, InvalidReply, Replies, Reply, ReplyError, pack

VALUES = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40), lambda each: st.lists(each, max_size=4)
)


def encode(value: object) -> bytes:
    """A reply as Redis sends it."""
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, bytes):
        return b"$%d\r\n%b\r\n" % (len(value), value)
    assert isinstance(value, list)
    return b"*%d\r\n" % len(value) + b"".join(map(encode, value))


@given(st.lists(VALUES, max_size=5), st.data())
def test_replies_in_any_pieces(values: list[Reply], data: st.DataObject) -> None:
    """Whatever the cuts, the same replies come, each as soon as its last byte is there."""
    whole = b"".join(map(encode, values))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=10)))
    replies, found = Replies(), []
    for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += replies.feed(whole[start:stop])
        complete = [value for i, value in enumerate(values) if len(b"".join(map(encode, values[: i + 1]))) <= stop]
        assert found == complete


def test_each_kind() -> None:
    """Words, errors, integers, strings, lists, and what is not there."""
    found = Replies().feed(b"+OK\r\n-ERR no\r\n:-7\r\n$0\r\n\r\n*0\r\n*-1\r\n$-1\r\n*2\r\n+a\r\n*1\r\n-NOPERM x\r\n")
    error, inner = found.pop(1), found[-1]
    assert found[:-1] == [b"OK", -7, b"", [], None, None]
    assert isinstance(error, ReplyError) and (str(error), error.code) == ("ERR no", "ERR")
    assert isinstance(inner, list) and inner[0] == b"a" and isinstance(inner[1], list)
    assert isinstance(inner[1][0], ReplyError)


@pytest.mark.parametrize(
    ("text", "code", "did_nothing", "by_another"),
    [
        ("READONLY You can't write against a read only replica.", "READONLY", True, True),
        ("OOM command not allowed when used memory > 'maxmemory'.", "OOM", True, False),
        ("ERR Error running script (call to f_1): @user_script:3: -OOM command not allowed", "OOM", True, False),
        ("ERR value is not an integer or out of range", "ERR", False, False),
        ("WRONGTYPE Operation against a key - OOM", "WRONGTYPE", False, False),
    ],
)
def test_what_errors_mean(text: str, code: str, did_nothing: bool, by_another: bool) -> None:
    """Only where Redis has surely done nothing is that said."""
    error = ReplyError(text)
    assert (error.code, error.did_nothing, error.by_another) == (code, did_nothing, by_another)


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b":\r\n", b"*1e3\r\n", b"%1\r\n", b"\r\n"]
)
def test_what_is_no_resp(data: bytes) -> None:
    """It is an error that shows a little of it."""
    with pytest.raises(InvalidReply):
        Replies().feed(data)


def test_a_line_without_an_end() -> None:
    """It is refused before it fills the memory."""
    replies = Replies()
    for _ in range(6):
        assert replies.feed(b"+" * 10_000) == []
    with pytest.raises(InvalidReply, match="without an end"):
        replies.feed(b"+" * 10_000)


@pytest.mark.case(107)
def test_what_is_too_long_is_left_out() -> None:
    """A string above the limit takes no memory while it comes, and what stands behind it is read."""
    replies, found = Replies(), []
    piece = bytes(1 << 20)
    tracemalloc.start()
    try:
        found += replies.feed(b"*3\r\n$7\r\nmessage\r\n$%d\r\n" % (MAX_BULK + len(piece)))
        for _ in range(MAX_BULK // len(piece) + 1):
            found += replies.feed(piece)
        found += replies.feed(b"\r\n$1\r\na\r\n+next\r\n")
        assert tracemalloc.get_traced_memory()[1] < 3 * len(piece)
    finally:
        tracemalloc.stop()
    assert found == [[b"message", TOO_LONG, b"a"], b"next"]


def test_a_string_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit itself is allowed; one byte more is not, wherever the read ends."""
    monkeypatch.setattr(resp, "MAX_BULK", 4)
    for size, value in ((4, b"xxxx"), (5, TOO_LONG)):
        whole = b"$%d\r\n" % size + b"x" * size + b"\r\n:1\r\n"
        for cut in range(len(whole)):
            replies = Replies()
            assert [*replies.feed(whole[:cut]), *replies.feed(whole[cut:])] == [value, 1]


def test_a_long_string_in_pieces_is_joined_once() -> None:
    """The time is in proportion to the bytes, not to their square."""

    def seconds(size: int) -> float:
        replies, piece = Replies(), bytes(4096)
        since = time.process_time()
        replies.feed(b"$%d\r\n" % size)
        for _ in range(size // len(piece)):
            assert not replies.feed(piece)
        [found] = replies.feed(b"\r\n")
        assert isinstance(found, bytes) and len(found) == size
        return time.process_time() - since

    assert seconds(32 << 20) < 40 * seconds(2 << 20) + 0.1


def test_commands() -> None:
    """A command is a list of strings, of any bytes."""
    assert pack((b"SET", b"a\r\n", b"")) == b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n"
