"""What grows when it is parsed, and what might take a thread each: cases 70 and 72."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fixtures.frames import text
from fixtures.raw import get
from fixtures.served import Served
from hostile.conftest import Serve
from wsmash.constants import CloseCode

MIB = 1024 * 1024
MOST_FOLD = 40
"""Times its bytes that the value of a JSON text takes at most, as docs/limits.md has it, and some."""


def threads(served: Served) -> int:
    """How many its process has."""
    return len(list(Path(f"/proc/{served.pid}/task").iterdir()))


@pytest.mark.case(70)
@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_hundred_thousand_brackets(serve: Serve, opening: str) -> None:
    """They are no JSON that anybody means: 1007, one line in the log, and the next connection is served."""
    server = serve("parse")
    with server.client() as peer:
        peer.send(text(opening * 100_000, masked=True))
        assert peer.read_close() == CloseCode.INVALID_FRAME_PAYLOAD_DATA
    with server.client() as peer:
        peer.send(text("[1]", masked=True))
        assert peer.frame().payload == b"list"
    assert len([line for line in server.log().splitlines() if "wsmash" in line]) == 1


@pytest.mark.case(70)
@pytest.mark.parametrize("number", ["1" * 500_000, "1" + "0" * 500_000 + "e-500000", "1e999999999"])
def test_numbers_that_are_no_numbers(serve: Serve, number: str) -> None:
    """No time is spent on digits that nobody counts."""
    server = serve("parse")
    before = server.cpu()
    with server.client() as peer:
        peer.send(text(number, masked=True))
        assert peer.read_close() == CloseCode.INVALID_FRAME_PAYLOAD_DATA
    assert server.cpu() - before < 0.5


@pytest.mark.case(70)
def test_a_mebibyte_of_lists(serve: Serve) -> None:
    """What is within the limit is parsed, and takes no more than a known multiple of its bytes."""
    server = serve("parse", max_message_size=MIB)
    message = "[" + "[[[]]]," * (MIB // 7 - 2) + "1]"
    with server.client() as peer:
        before = server.reset_peak()
        peer.send(text(message, masked=True))
        assert peer.frame().payload == b"list"
        assert server.peak() - before < MOST_FOLD * len(message)


@pytest.mark.case(72)
def test_messages_take_no_threads(serve: Serve) -> None:
    """However many come, on however many connections, and whatever kind of callback takes them."""
    for work in ("echo", "iterate"):
        server = serve(work)
        before = threads(server)
        peers = [server.client() for _ in range(50)]
        for peer in peers:
            peer.send(text("hello", masked=True) * 50)
        for peer in peers:
            assert [peer.frame().payload for _ in range(50)] == [b"hello"] * 50
        assert threads(server) == before


@pytest.mark.case(72)
def test_files_take_a_bounded_number_of_threads(serve: Serve, tmp_path: Path) -> None:
    """They are read in the pool of the loop, by asyncio's bound."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_bytes(b"x" * 10_000)
    server = serve("echo", static=str(tmp_path / "page"))
    before = threads(server)
    peers = [server.peer() for _ in range(200)]
    for peer in peers:
        peer.send(get("/index.html"))
    assert {peer.answer().status for peer in peers} == {200}
    assert threads(server) - before <= min(32, (os.cpu_count() or 1) + 4)
