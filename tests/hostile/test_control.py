"""Group G: floods of control frames and of tiny messages, and pings that are answered wrongly or not at all."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from fixtures.frames import Frame, close, frame, text
from fixtures.latency import Honest
from fixtures.peer import Peer
from fixtures.served import Served
from hostile.conftest import Serve
from wsmash.constants import Opcode

MIB = 1 << 20
PINGS = 600_000


def ping(payload: bytes) -> bytes:
    """A ping as a client sends it."""
    return frame(Opcode.PING, payload, masked=True)


@pytest.mark.case(53)
def test_600_000_pings_of_a_peer_that_never_reads(served: Served) -> None:
    """The server answers until its answers do not leave any more, then reads no further: 2 MiB at the very most."""
    pings = ping(b"x" * 125) * PINGS
    before, peak = served.rss(), served.reset_peak()
    with served.client(window=4096, patience=0.5) as peer:
        with pytest.raises(TimeoutError):
            peer.send(pings)
        assert served.rss() - before <= 2 * MIB and served.peak() - peak <= 2 * MIB


@pytest.mark.case(53)
def test_600_000_pings_of_a_peer_that_reads_late(served: Served) -> None:
    """All of them are read in the end; one without an answer was followed by a newer one, and the last one has its."""
    pings = b"".join(ping(b"%06d" % number + b"x" * 119) for number in range(1000))
    last = ping(b"last")
    before, peak = served.rss(), served.reset_peak()
    with served.client() as peer:

        def flood() -> None:
            for _ in range(PINGS // 1000):
                peer.send(pings)
            peer.send(last + close(masked=True))

        sending = threading.Thread(target=flood)
        sending.start()
        time.sleep(0.3)
        answered, previous = 0, -1
        received = bytearray()
        while not received.endswith(frame(Opcode.PONG, b"last") + close()):
            received += peer.sock.recv(1 << 16)
            whole = len(received) // 127 * 127 - 127
            for at in range(0, max(whole, 0), 127):
                answered += 1
                previous = _in_order(previous, bytes(received[at : at + 127]))
            del received[: max(whole, 0)]
        sending.join()
    assert 1000 < answered <= PINGS
    assert served.rss() - before <= 2 * MIB and served.peak() - peak <= 2 * MIB


def _in_order(previous: int, pong: bytes) -> int:
    """The number of a pong, which is the one after the last or one further on, and begins again after 999."""
    assert pong[:2] == b"\x8a\x7d" and pong[8:] == b"x" * 119, pong
    return int(pong[2:8])


@pytest.mark.case(53)
def test_pings_below_high_water(served: Served) -> None:
    """Every one is answered, in order."""
    with served.client() as peer:
        numbers = range(400)
        peer.send(b"".join(ping(b"%d" % number) for number in numbers))
        assert [peer.frame() for _ in numbers] == [Frame(Opcode.PONG, b"%d" % number) for number in numbers]


@contextmanager
def flooding(served: Served, data: bytes, *, reads: bool = False) -> Iterator[Peer]:
    """A peer that sends the same for as long as the block runs, and reads what comes or lets it be."""
    peer = served.client()
    peer.sock.settimeout(0.1)
    over = threading.Event()

    def send() -> None:
        waiting = memoryview(data)
        while not over.is_set():
            try:
                waiting = waiting[peer.sock.send(waiting) :] or memoryview(data)
            except TimeoutError:
                continue
            except OSError:
                return

    def read() -> None:
        while not over.is_set():
            try:
                peer.sock.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                return

    threads = [threading.Thread(target=each) for each in ([send, read] if reads else [send])]
    for each in threads:
        each.start()
    try:
        yield peer
    finally:
        over.set()
        for each in threads:
            each.join()


FLOODS = {
    "pongs": frame(Opcode.PONG, b"unasked", masked=True) * 4000,
    "empty pongs": frame(Opcode.PONG, masked=True) * 10_000,
    "empty messages": frame(Opcode.BINARY, masked=True) * 10_000,
    "messages of one byte": text("a", masked=True) * 9000,
    "pings": ping(b"") * 10_000,
}


@pytest.mark.case(54)
@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_others_make_progress(serve: Serve, flood: bytes) -> None:
    """While one peer sends frames as fast as it can, the others are answered, and memory stays where it is."""
    server = serve("hear_flood", close_timeout=10)  # the portable engine has seconds to read when the flood is over
    with Honest(server.port, 5, 0.02) as honest, flooding(server, flood, reads=True):
        time.sleep(0.1)
        before = server.rss()
        found = honest.measure(1.0)
        assert server.rss() - before < MIB
    assert found.trips > 50 and found.p50 < 0.25, found


@pytest.mark.case(55)
def test_pongs_that_answer_nothing(serve: Serve) -> None:
    """They count as signs of life, as any byte does, and as no answer to the ping that is out."""
    server = serve(ping_interval=0.25, ping_timeout=0.25)
    with server.client() as peer:
        begun = time.monotonic()
        pings = 0
        peer.sock.settimeout(0.05)
        while time.monotonic() - begun < 1.2:
            peer.send(frame(Opcode.PONG, b"wrong", masked=True) + frame(Opcode.PONG, b"\0\0\0\1", masked=True))
            try:
                pings += peer.frame().opcode == Opcode.PING
            except TimeoutError:
                continue
        assert pings >= 3
        peer.sock.settimeout(5)
        peer.send(text("alive", masked=True))
        while peer.frame() != Frame(Opcode.TEXT, b"alive"):
            pass


@pytest.mark.case(55)
def test_data_and_no_pong(serve: Serve) -> None:
    """Any byte is life, that of an unfinished frame too; pongs may stay away."""
    server = serve("hear", ping_interval=0.25, ping_timeout=0.25)
    with server.client() as peer:
        peer.send(b"\x82\xfe\x00\xc8" + bytes(4))
        for _ in range(200):
            peer.send(b"a")
            time.sleep(0.006)
        while not server.seen()["messages"]:
            time.sleep(0.01)
        assert server.state()["connections"] == 1


@pytest.mark.case(56)
def test_a_peer_that_only_tcp_keeps_alive(serve: Serve) -> None:
    """After `ping_interval` and `ping_timeout` it gets 1011 and is not waited for; the event says what happened."""
    server = serve(ping_interval=0.3, ping_timeout=0.3, close_timeout=5)
    with server.client() as peer:
        begun = time.monotonic()
        assert peer.frame().opcode == Opcode.PING
        assert peer.closing() == (1011, "keepalive: nothing came from the peer within ping_timeout")
        assert peer.ended()
        assert 0.55 < time.monotonic() - begun < 2.0
        code, reason, clean = server.seen()["closed"][-1]
        assert (code, clean) == (1006, False) and "ping_timeout" in reason
