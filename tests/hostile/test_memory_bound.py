"""Strangers who fill every buffer hold no more than the formula of docs/limits.md says, nor much less; cases 64, 68."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Callable
from typing import Any, cast

import pytest

import wsmash
from documents import ROOT, python_blocks
from fixtures.frames import frame
from fixtures.peer import Peer
from fixtures.served import Served
from hostile.conftest import Serve
from wsmash.constants import MAX_QUEUE_BYTES, Opcode
from wsmash.options import ServerOptions
from wsmash.transports.base import READ_SIZE

KIB = 1024
STRANGERS = 24
LARGEST = 512 * KIB
"""The server's `max_message_size`."""

WIDE = "\U0001f600".encode()


def formula() -> Callable[..., int]:
    """The function `most` that the page gives its readers."""
    (block,) = (each for each in python_blocks([ROOT / "docs" / "limits.md"]) if "def most(" in each.code)
    names: dict[str, Any] = {"wsmash": wsmash}
    exec(compile(block.source, str(block), "exec", dont_inherit=True), names)
    return cast(Callable[..., int], names["most"])


def grown(server: Served, act: Callable[[Peer], None], *told: Any) -> int:
    """Bytes that one stranger who acts like this takes, beyond what the first few have brought about."""

    def bring(count: int) -> int:
        peers = [server.peer(window=4096 if told else None) for _ in range(count)]
        for peer in peers:
            act(peer)
        for _ in range(200 if told else 0):
            server.tell(*told)
        return settled(server)

    before = bring(STRANGERS // 4)
    return (bring(STRANGERS) - before) // STRANGERS


def settled(server: Served) -> int:
    """The memory of its process, once it has read what it was sent: three looks in a row that see the same."""
    seen = [server.rss()]
    while len(seen) < 3 or max(seen[-3:]) - min(seen[-3:]) > 4 * KIB:
        assert len(seen) < 100, f"it goes on growing: {seen}"
        time.sleep(0.05)
        seen.append(server.rss())
    return seen[-1]


def most_read(**settings: Any) -> int:
    """What the page says of a connection to which nothing is sent, and an eighth for the allocator."""
    options = ServerOptions(max_message_size=LARGEST, max_write_buffer=64 * KIB)
    return (formula()(options, **settings) - 64 * KIB * 9 // 8) * 9 // 8


def text(size: int) -> bytes:
    """A text of so many bytes which Python keeps in four for each."""
    return frame(Opcode.TEXT, b"x" * (size - len(WIDE)) + WIDE, masked=True)


def binary(size: int) -> bytes:
    """So many bytes."""
    return frame(Opcode.BINARY, bytes(size), masked=True)


@pytest.mark.case(68)
@pytest.mark.parametrize("message", [binary, text])
def test_full_inboxes(serve: Serve, message: Callable[[int], bytes]) -> None:
    """A callback that never ends, messages that wait for it, and a read that nobody looks at."""
    server = serve("stuck", max_message_size=LARGEST, message_timeout=None)

    def act(peer: Peer) -> None:
        peer.upgrade()
        peer.send(message(LARGEST) + message(MAX_QUEUE_BYTES // 4 - 1) + message(LARGEST) + binary(READ_SIZE - 100))

    bound = most_read(text=message is text)
    assert bound // 2 < grown(server, act) <= bound
    server.tell("close", 1001)


@pytest.mark.case(68)
def test_unfinished_messages(serve: Serve) -> None:
    """A message of which the last byte is missing is held once, and an eighth at most beside it."""
    server = serve("hear", max_message_size=LARGEST, message_timeout=None)

    def act(peer: Peer) -> None:
        peer.upgrade()
        peer.send(binary(LARGEST)[:-1])

    assert LARGEST * 7 // 8 < grown(server, act) <= most_read(waits=False)


@pytest.mark.case(68)
def test_full_write_buffers(serve: Serve) -> None:
    """What is sent to who reads nothing is bounded by `max_write_buffer`, and an eighth."""
    server = serve("hear", max_write_buffer=256 * KIB, slow_consumer="drop", write_timeout=None, ping_interval=None)
    size = 256 * KIB

    def act(peer: Peer) -> None:
        peer.upgrade()

    assert size // 2 < grown(server, act, "send", "x" * 15_000) <= READ_SIZE + size * 9 // 8


@pytest.mark.case(4, 68)
def test_half_a_request(serve: Serve) -> None:
    """Who is not open yet holds a head at most, and one read."""
    server = serve("hear", open_timeout=60, max_openings=None)

    def act(peer: Peer) -> None:
        peer.send(b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: %s\r\n" % (at, b"x" * 8000) for at in range(8)))

    options = ServerOptions()
    assert options.max_head_size // 2 < grown(server, act) <= options.max_head_size + READ_SIZE


PROSE = json.dumps([[at * 7919 % 10007, f"user {at * 31 % 997}"] for at in range(3000)]).encode()
"""More than a window of text."""


def talk(peer: Peer) -> None:
    """Send it compressed, and have it back."""
    stream = zlib.compressobj(wbits=-15)
    payload = stream.compress(PROSE) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]
    peer.send(frame(0x40 | Opcode.TEXT, payload, masked=True))
    while answer(peer) != Opcode.TEXT:
        pass


def answer(peer: Peer) -> int:
    """Read a frame, and answer it if it is a ping."""
    opcode, payload, _ = peer.frame()
    if opcode == Opcode.PING:
        peer.send(frame(Opcode.PONG, payload, masked=True))
    return opcode


@pytest.mark.case(64)
def test_windows_of_the_quiet_are_given_back(serve: Serve) -> None:
    """After two `ping_interval` without a message their memory is the system's again, or that of the next who talk."""
    server = serve("echo", compression="deflate", ping_interval=0.5)
    before = server.rss()

    def batch() -> int:
        peers = [server.client("/", "Sec-WebSocket-Extensions: permessage-deflate") for _ in range(STRANGERS)]
        for peer in peers:
            talk(peer)
        taken = server.rss() - before
        for _ in range(3):  # pings: used since the last one, not used, given back
            for peer in peers:
                while answer(peer) != Opcode.PING:
                    pass
        return taken

    first, both = batch(), batch()
    assert first > STRANGERS * 200 * KIB
    assert both < first * 3 // 2
