"""What Redis sends: bytes to replies, however they are cut, and no more memory than a reply may take."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.topics.brokers import redis_replies
from wsmash.topics.brokers.redis_replies import MAX_REPLY, InvalidReply, Replies, Reply, ReplyError, pack

VALUES = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=40), lambda each: st.lists(each, max_size=4)
)


def feed(replies: Replies, data: bytes) -> list[Reply]:
    """All that is complete then."""
    return list(replies.feed(data))


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
    replies = Replies()
    found: list[Reply] = []
    for start, stop in zip([0, *cuts], [*cuts, len(whole)], strict=True):
        found += replies.feed(whole[start:stop])
        complete = [value for i, value in enumerate(values) if len(b"".join(map(encode, values[: i + 1]))) <= stop]
        assert found == complete


def test_each_kind() -> None:
    """Words, errors, integers, strings, lists, and what is not there."""
    found = feed(Replies(), b"+OK\r\n-ERR no\r\n:-7\r\n$0\r\n\r\n*0\r\n*-1\r\n$-1\r\n*2\r\n+a\r\n*1\r\n-NOPERM x\r\n")
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
    "data",
    [b"HTTP/1.1 400 Bad Request\r\n", b"$x\r\n", b"$-2\r\n", b":\r\n", b"*1e3\r\n", b"%1\r\n*0\r\n:1\r\n", b"\r\n"],
)
def test_what_is_no_resp(data: bytes) -> None:
    """It is an error, and nothing is read after it."""
    replies = Replies()
    assert feed(replies, b"+before\r\n") == [b"before"]
    for piece in (data, b"+after\r\n"):
        with pytest.raises(InvalidReply):
            feed(replies, piece)


@pytest.mark.case(107)
@pytest.mark.parametrize("begin", [b"+", b"$1000000000\r\n", b"*3\r\n$7\r\nmessage\r\n$1000000000\r\n"])
def test_a_reply_without_an_end(begin: bytes) -> None:
    """It is refused before it fills the memory."""
    replies, piece = Replies(), b"x" * (1 << 20)
    assert feed(replies, b"+before\r\n" + begin) == [b"before"]
    for _ in range(MAX_REPLY // len(piece) - 1):
        assert feed(replies, piece) == []
    with pytest.raises(InvalidReply, match="more than"):
        feed(replies, piece)


@pytest.mark.case(107)
def test_many_replies_are_no_long_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is of each: what was complete counts no more, wherever the reads end."""
    monkeypatch.setattr(redis_replies, "MAX_REPLY", 45)  # one, and the longest piece
    whole = encode([b"message", b"a", b"text"]) * 20
    for size in range(1, 12):
        replies = Replies()
        found: list[Reply] = []
        for at in range(0, len(whole), size):
            found += feed(replies, whole[at : at + size])
        assert found == [[b"message", b"a", b"text"]] * 20


def test_a_long_string_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is in proportion to the bytes, not to their square."""

    def seconds(size: int) -> float:
        replies, piece = Replies(), bytes(4096)
        since = time.process_time()
        assert feed(replies, b"$%d\r\n" % size) == []
        for _ in range(size // len(piece)):
            assert feed(replies, piece) == []
        [found] = feed(replies, b"\r\n")
        assert isinstance(found, bytes) and len(found) == size
        return time.process_time() - since

    monkeypatch.setattr(redis_replies, "MAX_REPLY", 64 << 20)
    assert seconds(32 << 20) < 40 * seconds(2 << 20) + 0.1


def test_commands() -> None:
    """A command is a list of strings, of any bytes."""
    assert pack((b"SET", b"a\r\n", b"")) == b"*3\r\n$3\r\nSET\r\n$3\r\na\r\n\r\n$0\r\n\r\n"
