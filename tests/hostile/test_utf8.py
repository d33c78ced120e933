"""Group E: text that is not UTF-8, at the byte where it stops being that; beside what CPython thinks of it."""

from __future__ import annotations

import random

import pytest

from fixtures.frames import Frame, frame
from fixtures.served import Served
from hostile.conftest import Serve
from hostile.outcomes import closes, echoes
from wsmash.constants import Opcode

INVALID = {
    "a byte that never is": b"\xff",
    "a lone continuation": b"\x80",
    "overlong slash": b"\xc0\xaf",
    "overlong NUL": b"\xc0\x80",
    "overlong in three": b"\xe0\x80\x80",
    "overlong in three, last": b"\xe0\x9f\xbf",
    "overlong in four": b"\xf0\x80\x80\x80",
    "overlong in four, last": b"\xf0\x8f\xbf\xbf",
    "high surrogate": b"\xed\xa0\x80",
    "low surrogate": b"\xed\xbf\xbf",
    "pair of surrogates": b"\xed\xa0\x80\xed\xb0\x80",
    "above U+10FFFF": b"\xf4\x90\x80\x80",
    "five bytes": b"\xf8\x88\x80\x80\x80",
    "six bytes": b"\xfc\x84\x80\x80\x80\x80",
    "a letter in a code point": b"\xe2a\x82",
    "a code point in a code point": b"\xe2\xe2\x82\xac",
}
VALID = {
    "NUL": "\0",
    "a mark of byte order": "\ufeffa",
    "first of two": "\x80",
    "last of two": "\u07ff",
    "first of three": "\u0800",
    "before the surrogates": "\ud7ff",
    "after the surrogates": "\ue000",
    "a noncharacter": "\uffff",
    "first of four": "\U00010000",
    "last of all": "\U0010ffff",
    "mixed": "a\xe9\u20ac\U0001f600" * 5,
}
CUT = {"of two": b"\xc3", "of three": b"\xe2\x82", "of four": b"\xf0\x9f\x98"}
"""Code points whose end is missing."""


def fragments(payload: bytes, at: int) -> bytes:
    """A text message in two frames."""
    return frame(1, payload[:at], final=False, masked=True) + frame(0, payload[at:], masked=True)


@pytest.mark.case(43)
@pytest.mark.parametrize("bad", INVALID.values(), ids=INVALID)
def test_at_the_byte_where_it_stands(served: Served, bad: bytes) -> None:
    """A huge frame, or an unfinished message, is refused there and then: what would follow is not waited for."""
    closes(served, b"\x81\xff" + (1 << 20).to_bytes(8) + bytes(4) + b"good" + bad, 1007)
    closes(served, frame(1, b"good" + bad, final=False, masked=True), 1007)
    closes(served, frame(1, b"good", final=False, masked=True) + frame(0, bad, final=False, masked=True), 1007)
    closes(served, frame(1, b"g" * 100_000 + bad, final=False, masked=True), 1007, cuts=(None, 60_000))


@pytest.mark.case(44)
@pytest.mark.parametrize("bad", INVALID.values(), ids=INVALID)
def test_invalid(served: Served, bad: bytes) -> None:
    """Alone and behind what is right, in one frame and in two, wherever these are cut."""
    for payload in (bad, b"good " * 10 + bad):
        closes(served, frame(1, payload, masked=True), 1007)
    for at in range(len(bad) + 1):
        closes(served, fragments(bad, at), 1007)


@pytest.mark.case(44)
@pytest.mark.parametrize("bad", CUT.values(), ids=CUT)
def test_code_points_without_an_end(served: Served, bad: bytes) -> None:
    """They are invalid where the message ends, and not before."""
    closes(served, frame(1, bad, masked=True), 1007)
    for at in range(len(bad) + 1):
        closes(served, fragments(b"a" + bad, at), 1007)
    whole = {1: "é", 2: "€", 3: "😀"}[len(bad)].encode()
    echoes(served, fragments(whole, len(bad)), Frame(Opcode.TEXT, whole))


@pytest.mark.case(44)
@pytest.mark.parametrize("good", VALID.values(), ids=VALID)
def test_valid(served: Served, good: str) -> None:
    """In one frame, and in two that are cut anywhere, inside a code point too."""
    payload = good.encode()
    echoes(served, frame(1, payload, masked=True), Frame(Opcode.TEXT, payload))
    data = b"".join(fragments(payload, at) for at in range(len(payload) + 1))
    echoes(served, data, *[Frame(Opcode.TEXT, payload)] * (len(payload) + 1))


@pytest.mark.case(44)
def test_what_cpython_says(served: Served) -> None:
    """Of bytes drawn near the edges of what is valid, exactly those are delivered that `bytes.decode` takes."""
    chance = random.Random(44)
    edges = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF4]
    for _ in range(300):
        payload = bytes(chance.choices(edges, k=chance.randint(1, 5)))
        data = fragments(payload, chance.randint(0, len(payload)))
        try:
            payload.decode()
        except UnicodeDecodeError:
            closes(served, data, 1007, cuts=(chance.choice((None, 1)),))
        else:
            echoes(served, data, Frame(Opcode.TEXT, payload), cuts=(chance.choice((None, 1)),))


@pytest.mark.case(45)
@pytest.mark.parametrize("bad", (INVALID | CUT).values(), ids=INVALID | CUT)
def test_close_reasons(served: Served, bad: bytes) -> None:
    """A reason is text, and this is none."""
    closes(served, frame(Opcode.CLOSE, b"\x03\xe8" + bad, masked=True), 1007)
    closes(served, frame(Opcode.CLOSE, b"\x03\xe8reason " + bad, masked=True), 1007)


@pytest.mark.case(46)
def test_a_log_of_half_a_code_point(serve: Serve) -> None:
    """Whatever is logged of frames and requests that are cut there, at DEBUG too, nobody stumbles over it."""
    server = serve(level="DEBUG")
    for bad in CUT.values():
        for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG):
            with server.client() as peer:
                peer.send(frame(opcode, b"\xc3\xa9" * 60 + bad, masked=True)[:-1])
                peer.reset()
        closes(server, frame(Opcode.TEXT, "é".encode() * 5000 + bad, masked=True), 1007, cuts=(None,))
        with server.client() as peer:
            peer.send(frame(Opcode.CLOSE, b"\x03\xe8" + ("€" * 40).encode(), masked=True))
            assert peer.closing() == (1000, "€" * 40)
        with server.peer() as peer:
            peer.send(b"GET /" + b"\xc3\xa9" * 500 + bad + b" HTTP/1.1\r\n\r\n")
            assert peer.answer().status == 400
