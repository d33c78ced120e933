"""The harness of the hostile cases itself: what it is told by a server, and that its checks can fail."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from fixtures.codec import NATIVE
from fixtures.frames import close, text
from fixtures.latency import Honest, Latency
from fixtures.served import Served
from hostile.conftest import Serve
from wsmash.constants import Opcode

ANY_ENGINE = "native" if NATIVE else "portable"


def test_what_a_server_tells(served: Served) -> None:
    """Its connections, what its application saw, and what its process holds."""
    before = served.state()
    with served.client() as peer:
        peer.send(text("hello", masked=True))
        assert peer.frame() == (Opcode.TEXT, b"hello", True)
        state = served.state()
        assert state["connections"] == 1 and state["seen"]["last"] == "'hello'"
        assert state["descriptors"] == served.descriptors() + 1 == before["descriptors"] + 1  # that of the folder
        assert state["timers"] == before["timers"] + 1
        assert 1 << 20 < served.rss() <= served.peak() + (1 << 20)
        peer.send(close(1000, "bye", masked=True))
        assert peer.closing() == (1000, "bye") and peer.ended() == "end"
    assert served.seen()["closed"][-1] == [1000, "bye", True]


def test_a_peak_is_seen_and_forgotten(serve: Serve) -> None:
    """A message of 32 MiB is part of the peak, until that begins anew."""
    server = serve("hear", max_message_size=None)
    begun = server.reset_peak()
    with server.client() as peer:
        peer.send(b"\x82\xff" + (32 << 20).to_bytes(8) + bytes(4) + bytes(32 << 20))
        while not server.seen()["messages"]:
            time.sleep(0.01)
    assert server.peak() - begun > 30 << 20
    assert server.reset_peak() - begun < 8 << 20


def test_tls(serve: Serve) -> None:
    """A raw peer may speak TLS."""
    with serve(tls=True).client() as peer:
        peer.send(text("hello", masked=True))
        assert peer.frame().payload == b"hello"
        peer.send(close(masked=True))
        assert peer.read_close() == 1000 and peer.ended() == "end"


def test_the_check_can_fail(tmp_path: Path) -> None:
    """A descriptor that is left and a traceback are each found, and so is a server that has died."""
    server = Served(tmp_path, ANY_ENGINE, "hostile.works:leak")
    try:
        server.client().close()
        with pytest.raises(AssertionError, match="descriptors"):
            server._check_held()
        with pytest.raises(AssertionError, match="Traceback"):
            server._check_log()
        server.expect("Traceback")
        server._check_log()
    finally:
        server.kill()
    with pytest.raises(AssertionError, match="ended"):
        server.check()


def test_latency(served: Served) -> None:
    """Honest peers in a process of their own tell how soon they are answered; waiting for one that is late counts."""
    with Honest(served.port, 10, 0.02) as honest:
        found = honest.measure(0.3)
        assert found.trips > 50 and 0 < found.p50 <= found.p99 <= found.worst < 1
    assert Latency.of([0.1] * 98 + [0.5, 0.9]) == (0.1, 0.9, 0.9, 100)
