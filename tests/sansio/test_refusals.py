"""Every refusal of a head, word for word: who is refused has nothing else to find the fault by."""

from __future__ import annotations

import pytest

from wsmash.errors import HandshakeError
from wsmash.options import Deflate
from wsmash.sansio.handshake import check_host, check_request, check_response
from wsmash.sansio.headers import Headers
from wsmash.sansio.http1 import (
    BadHead,
    HeadLimits,
    HeadReader,
    encode_upgrade,
    is_interim,
    parse_request,
    parse_response,
    whole_head,
)
from wsmash.sansio.origin import refusal

LIMITS = HeadLimits(max_headers=2, max_header_line=40, max_head_size=100)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
GOOD = {
    "Host": "a.example",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
HEADERS = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"


def head(first: str = "GET / HTTP/1.1", *more: str, **changes: str | None) -> bytes:
    """A good request with some headers replaced, left out or added; names have '_' for '-'."""
    headers = {**GOOD, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([first, *lines, *more, "", ""]).encode("latin-1")


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 400, "the head is not complete"),
        (
            b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "the request line is not method, target and version with a space between (RFC 9112 3)",
        ),
        (
            b"GET  HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "the request line is not method, target and version with a space between (RFC 9112 3)",
        ),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "b'HTTP/2.0' is not HTTP/1.0 or HTTP/1.1"),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", 400, "b'http/1.1' is not a version of HTTP"),
        (b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501, "the method is unknown"),
        (
            b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
            400,
            "the target holds '#' or a character that is not ASCII (RFC 9112 3.2)",
        ),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the target b'a' is neither a path nor a URL (RFC 9112 3.2)"),
        (b"OPTION * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "the target b'*' is neither a path nor a URL (RFC 9112 3.2)"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", 400, "a header line starts with whitespace, or is empty"),
        (b"GET / HTTP/1.1\r\nA: \x01\r\n\r\n", 400, "the head holds the control character 0x01 (RFC 9110 5.5)"),
        (b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n", 400, "the value of Host is not ASCII"),
        (
            b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n",
            400,
            "a request with a body is not served here",
        ),
        (
            b"GET / HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
            400,
            "the head is malformed: Duplicate Content-Length",
        ),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "a request with a body is not served here",
        ),
    ],
)
def test_requests(data: bytes, status: int, text: str) -> None:
    """What is no request is told why."""
    with pytest.raises(BadHead) as caught:
        parse_request(data)
    assert (caught.value.status, str(caught.value)) == (status, text)


def test_requests_at_the_edge_of_what_is_refused() -> None:
    """An asterisk for OPTIONS, any number of zeros as a length, and a value that begins behind a tab are in order."""
    assert parse_request(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").target == "*"
    assert parse_request(b"GET / HTTP/1.1\r\nContent-Length: 00\r\n\r\n").headers["Content-Length"] == "00"
    assert parse_request(b"GET / HTTP/1.1\r\n!: \t!\r\n\r\n").headers["!"] == "!"


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (b"HTTP/2 200 OK", "the answer is not HTTP/1.1: b'HTTP/2 200 OK'"),
        (b"HTTP/1.1 099 No", "the answer's status is not 100 to 599 (RFC 9110 15): b'HTTP/1.1 099 No'"),
        (b"HTTP/1.1 600 No", "the answer's status is not 100 to 599 (RFC 9110 15): b'HTTP/1.1 600 No'"),
    ],
)
def test_answers(first: bytes, text: str) -> None:
    """What is no answer is told why."""
    with pytest.raises(BadHead) as caught:
        parse_response(first + b"\r\nA: b\r\n\r\n")
    assert (caught.value.status, str(caught.value)) == (400, text)


def test_statuses_at_the_edges() -> None:
    """The first and the last status are some; 100 is followed by another answer, 101 and 200 are not."""
    found = {status: parse_response(f"HTTP/1.1 {status} \r\n\r\n".encode()) for status in (100, 101, 199, 200, 599)}
    assert [status for status, each in found.items() if each.status == status] == [100, 101, 199, 200, 599]
    assert [status for status, each in found.items() if is_interim(each)] == [100, 199]


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (b"\r\n\r\n", 400, "an empty line in place of the first line"),
        (b"GET / HTTP/1.1\n", 400, "a line ends in a line feed without a carriage return (RFC 9112 2.2)"),
        (b"GET /" + b"x" * 40, 414, "the request line is above 40 bytes (max_header_line)"),
        (b"GET / HTTP/1.1\r\nA: " + b"x" * 40, 431, "a header line is above 40 bytes (max_header_line)"),
        (b"GET / HTTP/1.1\r\nA: b\r\nA: b\r\nA: b\r\n", 431, "more than 2 headers (max_headers)"),
        (
            b"GET / HTTP/1.1\r\nA: " + b"x" * 37 + b"\r\nA: " + b"x" * 37 + b"\r\nA",
            431,
            "the head is above 100 bytes (max_head_size)",
        ),
    ],
)
def test_while_a_head_is_read(data: bytes, status: int, text: str) -> None:
    """What breaks a limit is told which, and what it is."""
    with pytest.raises(BadHead) as caught:
        HeadReader(LIMITS, request=True).feed(data)
    assert (caught.value.status, str(caught.value)) == (status, text)


def test_a_head_in_one_piece_at_its_limits() -> None:
    """A head that came whole is taken up to its limits, with what follows it; beyond them it is read by lines."""
    short = b"GET / HTTP/1.1\r\nA: b\r\nA: b\r\n\r\n"
    assert whole_head(short + b"more", LIMITS) == (short, b"more")
    assert whole_head(b"G\r\n\r\n", LIMITS) == (b"G\r\n\r\n", b"")
    assert whole_head(b"\r\n\r\n", LIMITS) is None
    assert whole_head(b"\r\nG\r\n\r\n", LIMITS) is None
    assert whole_head(b"\x0eG\r\n\r\n", LIMITS) is not None  # the control character is for the parser to see
    assert whole_head(b"\nG\r\nA\r\n\r\n", LIMITS) is None
    assert whole_head(b"G\r\n" + b"A\r\n" * 2 + b"\r\n", LIMITS) is not None
    assert whole_head(b"G\r\n" + b"A\r\n" * 3 + b"\r\n", LIMITS) is None
    assert whole_head(b"G" * 36 + b"\r\n\r\n", LIMITS) is not None
    assert whole_head(b"G" * 37 + b"\r\n\r\n", LIMITS) is None
    assert whole_head(short, HeadLimits(2, 40, len(short))) is not None
    assert whole_head(short, HeadLimits(2, 40, len(short) - 1)) is None


@pytest.mark.parametrize(
    ("data", "status", "text"),
    [
        (head(Host=None), 400, "the header Host must be there once, and is missing\n"),
        (
            head(Host="a b"),
            400,
            "the header Host can't be 'a b': the host may hold letters, digits, '-', '.' and '_' only\n",
        ),
        (
            head("GET / HTTP/1.1", "Host: b", "Host: c"),
            400,
            "the header Host must be there once, and is 'a.example' and 'b' and more\n",
        ),
        (head("GET / HTTP/1.1", "Host: b"), 400, "the header Host must be there once, and is 'a.example' and 'b'\n"),
        (
            head("GET http://b.example/c?d HTTP/1.1"),
            400,
            "the target's host 'b.example' is not the header's 'a.example'\n",
        ),
        (
            head("GET http://b.example?d/http://a.example HTTP/1.1"),
            400,
            "the target's host 'b.example' is not the header's 'a.example'\n",
        ),
        (head("GET / HTTP/1.0"), 505, "a WebSocket needs HTTP/1.1, and this is HTTP/1.0\n"),
        (head("POST / HTTP/1.1"), 405, "a WebSocket is opened with GET, not POST\n"),
        (
            head(Sec_WebSocket_Version="12"),
            426,
            "Sec-WebSocket-Version must be one '13', and is '12'\n",
        ),
        (
            head(Sec_WebSocket_Key="abc"),
            400,
            "Sec-WebSocket-Key must be one base64 of 16 bytes, and is 'abc'\n",
        ),
        (head("GET / HTTP/1.1", "Sec-WebSocket-Protocol: a b"), 400, "Sec-WebSocket-Protocol is malformed: "),
        (head("GET / HTTP/1.1", "Sec-WebSocket-Extensions: a b"), 400, "Sec-WebSocket-Extensions is malformed: "),
    ],
)
def test_openings(data: bytes, status: int, text: str) -> None:
    """What does not open a WebSocket is told why."""
    parsed = parse_request(data)
    response = check_host(parsed) or check_request(parsed)
    assert response is not None
    said = response.body.decode()
    assert response.status == status
    assert said == text or (text.endswith(": ") and said.startswith(text) and len(said) > len(text) + 1)


@pytest.mark.parametrize(
    "target",
    [
        "http://A.example/b",
        "http://a.EXAMPLE",
        "http://a.example?b",
        "http://a.example/b://c",
        "http://a.example/b?c",
        "/http://b.example/",
    ],
)
def test_targets_of_the_same_host(target: str) -> None:
    """A target that is a URL names the header's host in any case; in a path a URL is none."""
    parsed = parse_request(head(f"GET {target} HTTP/1.1"))
    assert check_host(parsed) is None


def test_what_goes_with_a_refusal() -> None:
    """A wrong method is told the right one, a wrong version the right one and what to upgrade to."""
    found = check_request(parse_request(head("POST / HTTP/1.1")))
    assert found is not None
    assert found.headers.pairs[:1] == (("Allow", "GET"),)
    found = check_request(parse_request(head(Sec_WebSocket_Version=None)))
    assert found is not None
    assert found.headers.pairs[:2] == (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"))


@pytest.mark.parametrize(
    ("first", "text"),
    [
        (b"HTTP/1.1 404 Not Found", "the server answered HTTP 404 Not Found, in place of 101 Switching Protocols"),
        (b"HTTP/1.1 404 ", "the server answered HTTP 404, in place of 101 Switching Protocols"),
    ],
)
def test_a_refusal_as_the_client_tells_it(first: bytes, text: str) -> None:
    """Status and reason, where there is one."""
    with pytest.raises(HandshakeError) as caught:
        check_response(parse_response(first + b"\r\n\r\n"), KEY, (), None)
    assert str(caught.value) == text


def test_extensions_as_the_client_tells_them() -> None:
    """What was offered, and all that was answered."""
    answer = HEADERS + b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: a, b; c=1\r\n"
    parsed = parse_response(b"HTTP/1.1 101 Switching Protocols\r\n" + answer + b"\r\n")
    for settings, offered in ((Deflate(), "permessage-deflate"), (None, "none")):
        with pytest.raises(HandshakeError) as caught:
            check_response(parsed, KEY, (), settings)
        wanted = f"Sec-WebSocket-Extensions must be what was offered ({offered}), and is 'a, b; c=1'"
        assert wanted in str(caught.value)


def test_the_head_of_a_101() -> None:
    """Byte for byte."""
    found = encode_upgrade((("Upgrade", "websocket"), ("Connection", "Upgrade")))
    assert found == b"HTTP/1.1 101 Switching Protocols\r\n" + HEADERS + b"\r\n"


@pytest.mark.parametrize(
    ("pairs", "options", "text"),
    [
        ([], {}, "the header Host is missing, doubled or malformed"),
        (
            [("Host", "a"), ("Origin", "http://a"), ("Origin", "http://a")],
            {},
            "there is more than one Origin header",
        ),
        ([("Host", "a")], {"allowed_hosts": ()}, "the host 'a' is not listed; allow it with allowed_hosts=['a']"),
    ],
)
def test_origins(pairs: list[tuple[str, str]], options: dict[str, tuple[str, ...]], text: str) -> None:
    """What another site's page is told, where the fault is not its origin alone."""
    found = refusal(
        Headers(pairs), secure=False, loopback_only=False, origins=(), allowed_hosts=options.get("allowed_hosts")
    )
    assert found == text


def test_the_host_that_a_trusted_proxy_names() -> None:
    """It takes the place of the header's."""

    def judged(forwarded_host: str | None) -> str | None:
        headers = Headers([("Host", "inside"), ("Origin", "http://outside.example")])
        return refusal(
            headers,
            secure=False,
            loopback_only=False,
            origins=(),
            allowed_hosts=None,
            forwarded_host=forwarded_host,
        )

    assert judged("outside.example") is None
    assert judged(None) is not None
    assert judged("inside") is not None
