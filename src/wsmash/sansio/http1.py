"""Heads of HTTP/1.1 as bytes: read, taken apart, written (RFC 9112).

`HeadReader` finds the end of a head and enforces the limits, `parse_request` and
`parse_response` take it apart, `BodyReader` keeps the start of a refusal's body.

The grammar is llhttp's. In front of it stands a check of our own that is
stricter, because what two parsers read differently is how requests are
smuggled: lines end in CRLF and hold no other control character than the tab,
one space separates the parts of the first line, and no request has a body.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import httptools

from ..grammar import OWS, shown
from .headers import Headers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .head import Response

MAX_INTERIM: Final = 8
"""How many interim answers (RFC 9110 15.2) a client skips before it gives up."""

MAX_BODY: Final = 1024 * 1024
"""Bytes of a refusal's body that a client reads before it gives up (hostile case 23)."""

KEPT_BODY: Final = 4096
"""Bytes of a refusal's body that `HandshakeError.body` holds."""

# RFC 9110 5.5: a field value is tabs, visible characters, spaces and opaque
# bytes from 0x80 on. What no line may hold is all the rest.
_LINE_BYTES: Final = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_TARGET_BYTES: Final = bytes(set(range(0x21, 0x7F)) - {ord("#")})

# Their values decide who may connect, so they have one reading or none (hostile case 8).
_ASCII_HEADERS: Final = frozenset({"host", "origin"})
_ASCII_PREFIX: Final = "sec-websocket-"

# The encoder's own: a user's value could only contradict it.
_FRAMING_HEADERS: Final = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})


class BadHead(Exception):
    """The head is malformed or above a limit; private to this package.

    Attributes:
        status: what a server answers; without meaning where a client reads an answer.
        text: what was wrong, for the body of that answer or for `HandshakeError`.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


class HeadLimits(NamedTuple):
    """How much of a head is read, in lines and bytes; the ends of lines count in the total only."""

    max_headers: int
    max_header_line: int
    max_head_size: int


class ParsedHead(NamedTuple):
    """A head in its parts: `method` and `target` of a request, `status` and `reason` of a response."""

    method: str | None
    target: str
    status: int
    reason: str
    version: str
    headers: Headers


class HeadReader:
    """Gathers bytes until a head is complete.

    Each byte is looked at once, however the bytes are split into reads, and what
    breaks a limit is refused where it does, not where the line or the head ends;
    the outcome is the same for every split (hostile cases 1-3).
    """

    __slots__ = ("_buffer", "_complete", "_limits", "_line_start", "_lines", "_request", "_scanned", "_start", "rest")

    def __init__(self, limits: HeadLimits, *, request: bool) -> None:
        self._limits = limits
        self._request = request
        self._buffer = bytearray()
        self._start = 0  # of the head
        self._line_start = 0
        self._scanned = 0  # up to here there is no line feed in the unfinished line
        self._lines = 0
        self._complete = False
        self.rest = b""
        """What came after the head, once it is complete."""

    def feed(self, data: bytes) -> bytes | None:
        """Take the next bytes; return the whole head, its empty line included, once it is there.

        What comes still later is added to `rest`.

        Raises:
            BadHead: as soon as what came so far breaks a limit or holds a control character.
        """
        if self._complete:
            self.rest += data
            return None
        buffer = self._buffer
        buffer += data
        while (feed := buffer.find(b"\n", self._scanned)) >= 0:
            if self._end_line(feed):
                head = bytes(buffer[self._start : feed + 1])
                self.rest = bytes(buffer[feed + 1 :])
                self._buffer = bytearray()
                self._complete = True
                return head
            self._line_start = feed + 1
            self._scanned = feed + 1
        # A carriage return at the very end may yet be half of the line's end.
        end = len(buffer) - buffer.endswith(b"\r", self._line_start)
        self._check_piece(self._scanned, end)
        self._check_limits(end - self._line_start, len(buffer))
        self._scanned = end
        return None

    def _end_line(self, feed: int) -> bool:
        """Judge the line that ends in this line feed; whether it is the empty one that ends the head."""
        end = feed - 1
        if end < self._line_start or self._buffer[end] != 0x0D:
            self._check_piece(self._scanned, feed)
            self._check_limits(feed - self._line_start, feed)
            raise BadHead(400, "a line ends in a line feed without a carriage return (RFC 9112 2.2)")
        self._check_piece(self._scanned, end)
        self._check_limits(end - self._line_start, feed + 1)
        if end == self._line_start:
            return self._end_empty_line(feed)
        self._lines += 1
        if self._lines > self._limits.max_headers + 1:
            raise BadHead(431, f"more than {self._limits.max_headers} headers (max_headers)")
        return False

    def _end_empty_line(self, feed: int) -> bool:
        if self._lines:
            return True
        # RFC 9112 2.2: at least one empty line before a request should be ignored.
        if not self._request or self._start:
            raise BadHead(400, "an empty line in place of the first line")
        self._start = feed + 1
        return False

    def _check_piece(self, start: int, end: int) -> None:
        """Refuse control characters, as far as the limits let anyone look: what lies behind them came too late."""
        most = min(self._line_start + self._limits.max_header_line, self._limits.max_head_size)
        _refuse_controls(self._buffer[start : min(end, most)])

    def _check_limits(self, line: int, total: int) -> None:
        limits = self._limits
        if line > limits.max_header_line and self._line_start + limits.max_header_line < limits.max_head_size:
            if self._request and not self._lines:
                raise BadHead(414, f"the request line is above {limits.max_header_line} bytes (max_header_line)")
            raise BadHead(431, f"a header line is above {limits.max_header_line} bytes (max_header_line)")
        if total > limits.max_head_size:
            raise BadHead(431, f"the head is above {limits.max_head_size} bytes (max_head_size)")


def whole_head(data: bytes, limits: HeadLimits) -> tuple[bytes, bytes] | None:
    """A request's head and what follows it, where one read brought all of it and it cannot break a limit.

    None leaves it to a `HeadReader`: whatever that refuses and this lets pass,
    `parse_request` refuses in the same words.
    """
    end = data.find(b"\r\n\r\n")
    size = end + 4
    if end <= 0 or size > limits.max_header_line or size > limits.max_head_size or data[0] == 0x0D:
        return None
    lines = data.count(b"\n", 0, end)
    if lines > limits.max_headers or lines != data.count(b"\r\n", 0, end):
        return None
    return data[:size], data[size:]


class BodyReader:
    """Reads the body of an answer that is not a 101, whatever delimits it, and keeps its start."""

    __slots__ = ("_done", "_left", "_parser", "body")

    def __init__(self, head: bytes) -> None:
        self.body = b""
        """The first `KEPT_BODY` bytes, chunks put together (RFC 9112 7.1)."""
        self._done = False
        self._left = MAX_BODY
        self._parser = httptools.HttpResponseParser(self)
        self.feed(head)
        self._left = MAX_BODY

    def feed(self, data: bytes) -> bool:
        """Take the next bytes; whether that is all, because the body ends, is malformed or is too long.

        A body without a length ends with the connection, which the caller sees.
        """
        self._left -= len(data)
        if not self._done:
            try:
                self._parser.feed_data(data)
            except (httptools.HttpParserError, httptools.HttpParserUpgrade):
                self._done = True
        return self._done or self._left <= 0

    def on_body(self, data: bytes) -> None:
        """Called by llhttp."""
        self.body += data[: KEPT_BODY - len(self.body)]

    def on_message_complete(self) -> None:
        """Called by llhttp."""
        self._done = True


def parse_request(head: bytes) -> ParsedHead:
    """Take a request's head apart.

    Raises:
        BadHead: with the status to answer, if it is not HTTP/1.0 or HTTP/1.1, is malformed or announces a body.
    """
    first, *lines = _strict_lines(head)
    method, target, version = _request_line(first)
    judge = _Judge()
    judge.run(httptools.HttpRequestParser(judge), head)
    headers = _headers(lines)
    # No body: hostile case 15. A server that would skip one had to know where it ends.
    lengths = headers.get_all("Content-Length")
    if "Transfer-Encoding" in headers or len(lengths) > 1 or (lengths and lengths[0].strip("0")):
        raise BadHead(400, "a request with a body is not served here")
    return ParsedHead(method, target, 0, "", version, headers)


def parse_response(head: bytes) -> ParsedHead:
    """Take a response's head apart.

    Raises:
        BadHead: if it is not HTTP/1.0 or HTTP/1.1, or malformed.
    """
    first, *lines = _strict_lines(head)
    if not first.startswith((b"HTTP/1.1 ", b"HTTP/1.0 ")):
        raise BadHead(400, f"the answer is not HTTP/1.1: {shown(first)}")
    judge = _ResponseJudge()
    parser = httptools.HttpResponseParser(judge)
    judge.run(parser, head)
    status = parser.get_status_code()
    if not 100 <= status <= 599:
        raise BadHead(400, f"the answer's status is not 100 to 599 (RFC 9110 15): {shown(first)}")
    reason = judge.reason.decode("latin-1").strip(OWS)
    return ParsedHead(None, "", status, reason, parser.get_http_version(), _headers(lines))


def is_interim(head: ParsedHead) -> bool:
    """Whether another answer follows this one (RFC 9110 15.2); a client skips `MAX_INTERIM` of them at most."""
    return 100 <= head.status < 200 and head.status != 101


def encode_request(method: str, target: str, headers: Iterable[tuple[str, str]]) -> bytes:
    """A request's head.

    Raises:
        ValueError: if anything in it could end its line early (hostile case 25).
    """
    return _encode(f"{method} {target} HTTP/1.1", headers)


def encode_response(
    response: Response, *, head_only: bool = False, date: str | None = None, more: int = 0
) -> bytes:
    """A response's head, and its body unless the request was a HEAD.

    The connection ends after every answer but 101, and says so; the length is
    that of the body, and of as many bytes `more` as are to follow by themselves. What
    the response itself says about either is left out.
    """
    status = response.status
    if status == 101:
        return _encode(f"HTTP/1.1 101 {response.reason}", response.headers.pairs)
    pairs = [pair for pair in response.headers.pairs if pair[0].lower() not in _FRAMING_HEADERS]
    if date is not None:
        pairs.insert(0, ("Date", date))
    has_body = status >= 200 and status not in (204, 304)  # RFC 9112 6.3
    if has_body:
        pairs.append(("Content-Length", str(len(response.body) + more)))
    # RFC 9110 7.8: who sends Upgrade (a 426 must) says so in Connection too.
    pairs.append(("Connection", "upgrade, close" if "Upgrade" in response.headers else "close"))
    head = _encode(f"HTTP/1.1 {status} {response.reason}", pairs)
    return head + response.body if has_body and not head_only else head


def encode_upgrade(headers: Iterable[tuple[str, str]]) -> bytes:
    """The head of a 101."""
    return _encode("HTTP/1.1 101 Switching Protocols", headers)


class _Judge:
    """Hears from llhttp whether a head is well-formed; its lines, which are strict, need no parser to come apart."""

    __slots__ = ("complete",)

    def __init__(self) -> None:
        self.complete = False

    def on_headers_complete(self) -> None:
        """Called by llhttp."""
        self.complete = True

    def run(self, parser: httptools.HttpRequestParser | httptools.HttpResponseParser, head: bytes) -> None:
        """Parse one head; `head` holds nothing else, so what llhttp says after its end is about what follows it."""
        try:
            parser.feed_data(head)
        except httptools.HttpParserInvalidMethodError:
            raise BadHead(501, "the method is unknown") from None
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # At an upgrade llhttp stops, some versions with one of these, some with the other.
            if not self.complete:
                raise BadHead(400, f"the head is malformed: {error}") from error
        if not self.complete:
            # No known head does this: it would be one whose end llhttp and the reader see in two places.
            raise BadHead(400, "the head is not complete")


class _ResponseJudge(_Judge):
    """The same of an answer, and its reason phrase."""

    __slots__ = ("reason",)

    def __init__(self) -> None:
        super().__init__()
        self.reason = b""

    def on_status(self, reason: bytes) -> None:
        """Called by llhttp."""
        self.reason = reason


def _strict_lines(head: bytes) -> list[bytes]:
    """The lines of one whole head, after the check that stands in front of llhttp."""
    if not head.endswith(b"\r\n\r\n"):
        raise BadHead(400, "the head is not complete")
    lines = head[:-4].split(b"\r\n")
    # Control characters are the ends of these lines and nothing else; to count them is to look at each byte once.
    if len(head.translate(None, _LINE_BYTES)) != 2 * (len(lines) + 1):
        _refuse_controls(b"".join(lines))
    if min(lines) < b"!":  # which comes after the tab and the space, and after nothing at all
        # RFC 9112 5.2: a continued line is obsolete, and a server refuses it.
        raise BadHead(400, "a header line starts with whitespace, or is empty")
    return lines


def _refuse_controls(line: bytes | bytearray) -> None:
    if bad := line.translate(None, _LINE_BYTES):
        raise BadHead(400, f"the head holds the control character 0x{bad[0]:02X} (RFC 9110 5.5)")


def _request_line(line: bytes) -> tuple[str, str, str]:
    """Method, target and version of `method SP request-target SP HTTP-version` (RFC 9112 3)."""
    parts = line.split(b" ")
    if len(parts) != 3 or b"" in parts:
        raise BadHead(400, "the request line is not method, target and version with a space between (RFC 9112 3)")
    method, target, version = parts
    if version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if version.startswith(b"HTTP/"):
            raise BadHead(505, f"{shown(version)} is not HTTP/1.0 or HTTP/1.1")
        raise BadHead(400, f"{shown(version)} is not a version of HTTP")
    if target.translate(None, _TARGET_BYTES):
        raise BadHead(400, "the target holds '#' or a character that is not ASCII (RFC 9112 3.2)")
    # RFC 9112 3.2: a path, a whole URL, or "*" for OPTIONS and a host for CONNECT.
    if not (target.startswith(b"/") or b"://" in target or method in (b"OPTIONS", b"CONNECT")):
        raise BadHead(400, f"the target {shown(target)} is neither a path nor a URL (RFC 9112 3.2)")
    return method.decode("latin-1"), target.decode("ascii"), version[5:].decode("ascii")


def _headers(lines: list[bytes]) -> Headers:
    """The headers in lines that llhttp has judged: a token, a colon, a value (RFC 9112 5)."""
    pairs = []
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not (colon and name.isascii()):
            # No known head does this: it would be one that llhttp and this read in two ways.
            raise BadHead(400, "a header line is not a name, a colon and a value (RFC 9112 5)")
        # The whitespace around a value does not count.
        pairs.append((name, value.strip(OWS)))
        if not value.isascii() and (name.lower() in _ASCII_HEADERS or name.lower().startswith(_ASCII_PREFIX)):
            raise BadHead(400, f"the value of {name} is not ASCII")
    return Headers(pairs)


def _encode(first: str, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [first, *[f"{name}: {value}" for name, value in headers]]
    head = "\r\n".join((*lines, "", "")).encode("latin-1")
    if len(head.translate(None, _LINE_BYTES)) != 2 * (len(lines) + 1):
        bad = "".join(lines).encode("latin-1").translate(None, _LINE_BYTES)
        raise ValueError(f"a head must not hold the control character 0x{bad[0]:02X} (RFC 9110 5.5)")
    return head
