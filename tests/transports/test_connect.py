"""CONNECT without a network: what a proxy is asked, and what its answer means however it is split."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.errors import ProxyError
from wsmash.proxies import parse_proxy
from wsmash.sansio.http1 import HeadLimits
from wsmash.transports.connect import Pipe, connect

LIMITS = HeadLimits(8, 200, 600)

ANSWERS = [
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.0 200 Connection established\r\nVia: x\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 204 Fine\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 103 Early\r\n\r\n" * 20,
    b"HTTP/1.1 200 OK\r\nA: " + b"a" * 300,
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 20,
    b"HTTP/1.1 200 O",
    b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    b"",
]


class Spoken(Pipe):
    """A pipe that says what it is told to, and then ends."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        super().__init__(None)  # type: ignore[arg-type]  # there is no socket
        self.asked = b""
        self._pieces = [piece for piece in pieces if piece]

    async def write(self, data: bytes) -> None:
        self.asked += data

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""


def outcome(pieces: Sequence[bytes]) -> tuple[str, int | None]:
    """How asking ends: the error's text and status; empty where the proxy said yes."""

    async def ask() -> tuple[str, int | None]:
        pipe = Spoken(pieces)
        try:
            await connect(pipe, parse_proxy("http://proxy.example"), "server.example", 443, LIMITS)
        except ProxyError as error:
            return str(error), error.status
        return "", None

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("url", "host", "lines"),
    [
        ("http://proxy.example", "server.example", ["CONNECT server.example:443 HTTP/1.1", "Host: server.example:443"]),
        ("https://proxy.example", "::1", ["CONNECT [::1]:443 HTTP/1.1", "Host: [::1]:443"]),
        ("http://Aladdin:open%20sesame@proxy", "a", ["Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]),
        ("http://test:123%C2%A3@proxy", "a", ["Proxy-Authorization: Basic dGVzdDoxMjPCow=="]),
    ],
)
def test_what_is_asked(url: str, host: str, lines: list[str]) -> None:
    """The place with its port in target and Host (RFC 9110 9.3.6), and the credentials in UTF-8 (RFC 7617 2.1)."""

    async def ask() -> bytes:
        pipe = Spoken([ANSWERS[0]])
        await connect(pipe, parse_proxy(url), host, 443, LIMITS)
        return pipe.asked

    asked = asyncio.run(ask())
    assert asked.startswith(b"CONNECT ") and asked.endswith(b"\r\n\r\n") and asked.count(b"\r\n\r\n") == 1
    found = asked.decode().split("\r\n")
    assert set(lines) <= set(found) and sum(line.startswith("Host: ") for line in found) == 1


@pytest.mark.case(26, 81)
@pytest.mark.parametrize("answer", ANSWERS)
def test_however_it_is_split(answer: bytes) -> None:
    """One read, two at any byte, or a byte at a time: the same outcome."""
    whole = outcome([answer])
    assert outcome([answer[at : at + 1] for at in range(len(answer))]) == whole
    for at in range(0, len(answer), 1 + len(answer) // 60):
        assert outcome([answer[:at], answer[at:]]) == whole


@pytest.mark.parametrize(("at", "text"), list(enumerate(["", "", "", "", "407", "502", "103"])))
def test_outcomes(at: int, text: str) -> None:
    """Which answers are a yes, and what the others are."""
    found, _ = outcome([ANSWERS[at]])
    assert found == "" if not text else text in found


@pytest.mark.case(81)
def test_more_than_an_answer() -> None:
    """What comes with the answer is refused; what comes later is not this one's to read."""
    assert "more than its answer" in outcome([ANSWERS[0] + b"x"])[0]
    assert "more than its answer" in outcome([ANSWERS[0][:-1], ANSWERS[0][-1:] + b"x"])[0]


@pytest.mark.case(26)
@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"HTTP/1.1 ", b"200 OK\r\n", b"A: b", b"\r\n"]))))
def test_anything(pieces: list[bytes]) -> None:
    """Whatever a proxy says is a yes or a ProxyError; what is a yes ends in an empty line."""
    text, _ = outcome(pieces)
    assert text or b"".join(pieces).endswith(b"\r\n\r\n")
