"""Any bytes as a request to a server, and as an answer to a client: judged alike however they are cut."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cache, partial
from typing import Any

from fixtures.raw import KEY
from fuzz.judging import same_however_cut, told
from wsmash.errors import ConnectError, HandshakeError
from wsmash.options import ClientOptions, Deflate
from wsmash.routing import Router
from wsmash.runtime.client_opening import ClientOpening
from wsmash.sansio.handshake import check_host, check_request, is_upgrade, negotiate
from wsmash.sansio.head import Request, Response, path_of
from wsmash.sansio.http1 import (
    BadHead,
    BodyReader,
    HeadLimits,
    HeadReader,
    ParsedHead,
    encode_response,
    encode_upgrade,
    parse_request,
    parse_response,
    whole_head,
)
from wsmash.sansio.origin import refusal
from wsmash.sansio.redirect import redirect_target
from wsmash.transports.scripted import ScriptedChannel
from wsmash.urls import WebSocketURL

LIMITS = (HeadLimits(128, 8192, 65536), HeadLimits(6, 60, 250))
"""The defaults, and some that a short input reaches."""

ROUTES = ("/", "/chat", "/rooms/{room}", "/files/{name:path}")


def request(data: bytes) -> str:
    """The server's judgement, its answer with it."""
    for limits in LIMITS:
        found = same_however_cut(data, partial(_asked, limits=limits)) or _in_one_read(data, limits)
        if found:
            return found
    return ""


def _asked(pieces: Sequence[bytes], limits: HeadLimits) -> object:
    """What these reads are answered with, and what follows the head."""
    reader = HeadReader(limits, request=True)
    try:
        heads = [reader.feed(piece) for piece in pieces]
        # A line above its limit ends the reading: what is held never grows above the limits and one read.
        assert len(reader._buffer) <= limits.max_head_size + max(map(len, pieces), default=0)
        found = [head for head in heads if head is not None]
        return (_answer(found[0]), reader.rest) if found else None
    except BadHead as error:
        return _sound(encode_response(Response(error.status, f"{error}\n")))


def _in_one_read(data: bytes, limits: HeadLimits) -> str:
    """Where the shortcut for a head that came whole comes to another judgement than the reader."""
    found = whole_head(data, limits)
    if found is None:
        return ""
    try:
        short: object = (_answer(found[0]), found[1])
    except BadHead as error:
        short = _sound(encode_response(Response(error.status, f"{error}\n")))
    long = _asked([data], limits)
    return "" if short == long else f"in one read:\n{short!r:.2000}\n{long!r:.2000}"


def _answer(raw: bytes) -> bytes:
    """What a server answers to this head, in the order of its reception."""
    head = parse_request(raw)
    _look_at(Request(raw))
    return _sound(_decided(head), head_only=head.method == "HEAD")


def _decided(head: ParsedHead) -> bytes:
    response = check_host(head)
    if response is None and is_upgrade(head):
        response = check_request(head)
        if response is None and _routes().find(path_of(head.target)) is None:
            response = Response(404)
        if response is None:
            why = refusal(head.headers, secure=False, loopback_only=False, origins=(), allowed_hosts=None)
            response = None if why is None else Response(403, why)
        if response is None:
            pairs, _ = negotiate(head, ("chat", "superchat"), Deflate())
            return encode_upgrade(pairs)
    return encode_response(response or Response(426), head_only=head.method == "HEAD")


@cache
def _routes() -> Router[str]:
    router = Router[str]()
    for path in ROUTES:
        router.add(path, path)
    return router


def _look_at(request: Request) -> None:
    """All that users can ask a request for: none of it raises, for whatever was let in."""
    for name in ("method", "target", "version", "headers", "host", "path", "query", "url", "cookies"):
        getattr(request, name)
    assert len(repr(request)) < 9000


def _sound(answer: bytes, *, head_only: bool = False) -> bytes:
    """The answer, once it is seen to be one: a head that our own client takes, and a body of the length it says."""
    raw, gap, body = answer.partition(b"\r\n\r\n")
    head = parse_response(raw + gap)
    if head.status != 101 and not head_only:
        assert head.headers["Content-Length"] == str(len(body)) and head.headers["Connection"].endswith("close")
        assert BodyReader(raw + gap).feed(body) or not body
    return answer


# -- the client's side


def response(data: bytes) -> str:
    """The client's judgement, and the error's text and body."""
    return same_however_cut(data, _answered)


def _answered(pieces: Sequence[bytes]) -> object:
    """What becomes of a client that is answered so: what was agreed on and what follows, or the error."""
    loop = _loop()
    outcome: asyncio.Future[WebSocketURL | None] = loop.create_future()
    accepted: list[Any] = []
    opening = ClientOpening(
        KEY,
        _options(),
        ("chat",),
        lambda _, head, agreed, rest: accepted.extend((head, agreed, rest)),
        outcome,
        lambda head: redirect_target(_options().address, head),
    )
    opening.channel = ScriptedChannel(loop, opening)
    for piece in pieces:
        if accepted:
            accepted[2] += piece  # the channel's, from here on
        else:
            opening.bytes_received(piece)
    if accepted:
        return accepted
    opening.lost(None)
    error = outcome.exception()
    if error is None:
        return str(outcome.result())  # where the redirect leads
    if isinstance(error, HandshakeError):
        return told(error), error.status, error.headers, error.body
    assert isinstance(error, ConnectError)
    return told(error)


@cache
def _options() -> ClientOptions:
    return ClientOptions("ws://localhost/", max_headers=12, max_header_line=300, max_head_size=900)


def close() -> None:
    """Let go of the loop."""
    _loop().close()
    _loop.cache_clear()


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """Whose futures are used, and which never runs."""
    return asyncio.new_event_loop()
