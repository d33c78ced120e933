"""Group F: ends of connections, those that break the rules and those that are merely rude."""

from __future__ import annotations

import time

import pytest

from fixtures.frames import Frame, close, frame, text
from fixtures.served import Served
from hostile.conftest import Serve
from hostile.outcomes import closes
from wsmash.constants import Opcode

KIB = 1024
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, *range(1016, 3000), 5000, 5001, 10000, 32767, 32768, 65535]
GOOD_CODES = [*range(1000, 1004), *range(1007, 1015), 3000, 3999, 4000, 4999]
UNFINISHED = {
    "nothing": b"",
    "a message": text("whole", masked=True),
    "a head": b"\x81",
    "a longer head": b"\x81\xfe\x01\x00\x11",
    "a payload": text("half a message", masked=True)[:-4],
    "a fragment": frame(Opcode.TEXT, b"fragment", final=False, masked=True),
    "the next fragment": frame(Opcode.TEXT, b"fragment", final=False, masked=True) + b"\x80\x85",
    "a ping": frame(Opcode.PING, b"half a ping", masked=True)[:-1],
    "a close frame": b"\x88\x82\0",
}
"""What was read when the peer has gone."""


def closing(code: int) -> bytes:
    """A close frame with any code at all."""
    return frame(Opcode.CLOSE, code.to_bytes(2), masked=True)


@pytest.mark.case(47)
def test_codes_that_must_not_be_sent(served: Served) -> None:
    """Each of them is answered with 1002, and none is ever echoed."""
    for code in BAD_CODES:
        closes(served, closing(code), 1002, cuts=(None,) if 1016 <= code < 2990 else (None, 1))


@pytest.mark.case(47)
def test_half_a_code(served: Served) -> None:
    """A payload of one byte is 1002."""
    for byte in (0, 3, 255):
        closes(served, frame(Opcode.CLOSE, bytes((byte,)), masked=True), 1002)


@pytest.mark.case(47)
@pytest.mark.parametrize("code", GOOD_CODES)
def test_codes_that_may_be_sent(served: Served, code: int) -> None:
    """They are echoed with their reason."""
    closes(served, closing(code), code)
    with served.client() as peer:
        peer.send(close(code, "why", masked=True))
        assert peer.closing() == (code, "why") and peer.ended() == "end"
    assert served.seen()["closed"][-1] == [code, "why", True]


@pytest.mark.case(47)
def test_no_code(served: Served) -> None:
    """An empty close frame is answered with an empty one, and 1005 stands in the event alone."""
    with served.client() as peer:
        peer.send(frame(Opcode.CLOSE, masked=True))
        assert peer.frame() == Frame(Opcode.CLOSE, b"") and peer.ended() == "end"
    assert served.seen()["closed"][-1] == [1005, "", True]


@pytest.mark.case(47)
def test_what_follows_a_close_frame(served: Served) -> None:
    """It is not looked at: neither a message nor a fault."""
    before = served.seen()["messages"]
    for more in (text("more", masked=True), close(1001, masked=True), b"\xff" * 100, frame(9, b"ping", masked=True)):
        closes(served, close(1000, masked=True) + more, 1000)
    assert served.seen()["messages"] == before + 4 * 2  # those before the probes


@pytest.mark.case(48)
@pytest.mark.parametrize("streams", [False, True], ids=["silent", "streaming"])
def test_our_close_is_never_answered(served: Served, streams: bool) -> None:
    """The connection is aborted at `close_timeout`; what the peer sends meanwhile is thrown away as it comes."""
    limit = served.options["close_timeout"]
    data = frame(Opcode.BINARY, bytes(64 * KIB), masked=True)
    with served.client() as peer:
        before = served.rss()
        served.tell("close", 1001)
        begun = time.monotonic()
        assert peer.read_close() == 1001
        messages, grown = served.seen()["messages"], 0
        peer.sock.settimeout(0.05)
        while time.monotonic() - begun < limit + 1:
            try:
                if streams:
                    peer.sock.sendall(data)
                elif not peer.sock.recv(1):
                    peer.sock.settimeout(limit + 1)  # our direction is the open one
            except TimeoutError:
                continue
            except ConnectionError:
                break
            grown = max(grown, served.rss() - before)
        assert limit * 0.8 < time.monotonic() - begun < limit + 1.5
        assert served.seen()["messages"] == messages and grown < 1024 * KIB
    code, _, clean = served.seen()["closed"][-1]
    assert (code, clean) == (1006, False)


@pytest.mark.case(49)
def test_both_close_at_once(served: Served) -> None:
    """One close frame goes each way, and the code of each is that of the other."""
    for _ in range(10):
        with served.client() as peer:
            served.tell("close", 1001)
            peer.send(close(3000, "mine", masked=True))
            frames = peer.rest()
            assert frames == close(1001)
        assert served.seen()["closed"][-1] == [3000, "mine", True]


@pytest.mark.case(49)
def test_a_close_while_output_waits(serve: Serve) -> None:
    """Nothing comes after the close frame, and it comes after all that was sent, whoever closes."""
    server = serve("hear", close_timeout=2, max_write_buffer=4 << 20)
    for ours in (True, False):
        with server.client(window=4096) as peer:
            message = "m" * (3 << 20)
            assert server.tell("send", message) == 1
            if ours:
                server.tell("close", 1001)
            peer.send(close(1001, masked=True))
            assert peer.frame() == Frame(Opcode.TEXT, message.encode())
            assert peer.read_close() == 1001 and peer.ended() == "end"


@pytest.mark.case(49)
def test_a_close_inside_a_message_that_is_sent(serve: Serve) -> None:
    """A message in fragments that the peer does not wait for is broken off: one close frame, and nothing behind it."""
    server = serve("fragments")
    with server.client() as peer:
        assert peer.frame() == Frame(Opcode.TEXT, b"part", final=False)
        peer.send(close(1000, masked=True))
        rest = peer.rest()
        assert rest.endswith(close(1000)) and rest.count(b"\x88\x02\x03\xe8") == 1


@pytest.mark.case(51)
@pytest.mark.parametrize("way", ["reset", "close", "shut"])
@pytest.mark.parametrize("work", ["echo", "iterate", "slow"])
def test_gone_without_a_close_frame(serve: Serve, work: str, way: str) -> None:
    """At each state of the reading: 1006, one `close` event, and whoever waits is told."""
    server = serve(work)
    for said in UNFINISHED.values():
        before = server.seen()["ends"]
        with server.client() as peer:
            peer.send(said)
            if way == "shut":
                peer.shut()
                peer.ended()
            elif way == "reset":
                peer.reset()
        until = time.monotonic() + 3
        while (seen := server.seen())["ends"] == before and time.monotonic() < until:
            time.sleep(0.005)
        code, _, clean = seen["closed"][-1]
        assert (seen["ends"], code, clean) == (before + 1, 1006, False), said


@pytest.mark.case(52)
def test_a_callback_that_raises(serve: Serve) -> None:
    """1011, one record in our log, and nothing of the exception on the wire."""
    server = serve("fail")
    server.expect("a callback failed|Traceback|^  |^ValueError")
    with server.client() as peer:
        peer.send(text("hello", masked=True))
        opcode, payload, _ = peer.frame()
        assert opcode == Opcode.CLOSE and payload[:2] == (1011).to_bytes(2)
        assert b"secret" not in payload and b"hello" not in payload and b"Value" not in payload
        assert peer.ended() == "end"
    assert server.log().count("a callback failed") == 1 and "a secret" in server.log()
    assert server.seen()["errors"] == ["ValueError(\"a secret: 'hello'\")"]
