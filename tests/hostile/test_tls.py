"""Group K, on the server's side: TLS that stalls, is cut short, says nothing, or is none."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

import wsmash
from fixtures.certificates import authority, contexts, server_context
from fixtures.frames import close, text
from fixtures.in_loop import in_loop
from fixtures.live import make_server
from fixtures.peer import Peer
from fixtures.raw import upgrade
from fixtures.served import Served
from fixtures.tls_records import Records, recording_context
from hostile.conftest import Serve

QUICK: dict[str, Any] = {"open_timeout": 0.4, "close_timeout": 0.4}


def hello() -> bytes:
    """The first flight of a client."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = contexts().client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with suppress(ssl.SSLWantReadError):
        session.do_handshake()
    return outgoing.read()


def last_close(server: Served) -> tuple[int, str, bool]:
    """Code, reason and cleanness of the last connection's end."""
    while len(server.seen()["closed"]) < 2:
        time.sleep(0.01)
    code, reason, clean = server.seen()["closed"][-1]
    return code, reason, clean


@pytest.mark.case(80)
def test_a_handshake_that_stalls(serve: Serve) -> None:
    """After whichever byte, at open_timeout the connection is dropped; what was honest goes on."""
    server = serve(tls=True, **QUICK)
    first = hello()
    start = time.monotonic()
    stalled = [server.peer(plain=True) for _ in range(20)]
    for number, peer in enumerate(stalled):
        peer.send(first[: len(first) * number // (len(stalled) - 1)])
    honest = server.client()
    for peer in stalled:
        peer.ended()
    assert time.monotonic() - start < QUICK["open_timeout"] + 2
    honest.send(text("still here", masked=True))
    assert honest.frame().payload == b"still here"


@pytest.mark.case(4, 80)
def test_a_request_that_stalls_inside_tls(serve: Serve) -> None:
    """The time of the handshake counts: open_timeout is for both, and the answer is 408."""
    server = serve(tls=True, **QUICK)
    start = time.monotonic()
    with server.peer() as peer:
        peer.send(b"GET / HTTP/1.1\r\n")
        assert peer.head().status == 408
    assert time.monotonic() - start < QUICK["open_timeout"] + 1


@pytest.mark.case(80)
def test_an_end_without_close_notify(serve: Serve) -> None:
    """A connection that TCP alone has ended, be it inside a message, is 1006 and not clean."""
    server = serve(tls=True)
    with server.client() as peer:
        peer.send(text("whole", masked=True) + text("half", masked=True)[:-2])
        assert peer.frame().payload == b"whole"
        peer.shut()  # of TCP, below TLS
        code, reason, clean = last_close(server)
    assert (code, clean) == (1006, False) and reason


@pytest.mark.case(80)
def test_a_close_notify_is_no_close_frame(serve: Serve) -> None:
    """An end that TLS vouches for is 1006 too: WebSocket has an end of its own."""
    server = serve(tls=True)
    with server.client() as peer:
        with suppress(OSError):  # the server's answer to it is not waited for
            cast(ssl.SSLSocket, peer.sock).unwrap()
        code, _, clean = last_close(server)
    assert (code, clean) == (1006, False)


@pytest.mark.case(80)
def test_a_record_that_is_cut_short(serve: Serve, tmp_path: Path) -> None:
    """Nothing of it is delivered: what it held cannot be known to be the peer's."""
    server = serve("hear", tls=True)
    with server.client(context=recording_context(tmp_path)) as peer:
        # The first record of the session was the request.
        sock = cast(ssl.SSLSocket, peer.sock)
        records = Records(sock, tmp_path)
        records.record(b"")
        whole, half = (records.record(text(each, masked=True)) for each in ("whole", "half"))
        with socket.socket(fileno=os.dup(sock.fileno())) as raw:
            raw.sendall(whole + half[:-1])
            raw.shutdown(socket.SHUT_WR)
        code, _, clean = last_close(server)
        assert (code, clean) == (1006, False)
        assert server.seen()["messages"] == 1 and server.seen()["last"] == "'whole'"


@pytest.mark.case(80)
def test_empty_records(serve: Serve, tmp_path: Path) -> None:
    """Some of them, as they are allowed, change nothing; a flood of them ends the connection, and costs no memory."""
    server = serve(tls=True)
    with server.client(context=recording_context(tmp_path)) as peer:
        sock = cast(ssl.SSLSocket, peer.sock)
        records = Records(sock, tmp_path)
        records.record(b"")
        message = text("in pieces", masked=True)
        with socket.socket(fileno=os.dup(sock.fileno())) as raw:
            for byte in message:
                raw.sendall(records.record(b"") + records.record(bytes([byte])))
            assert peer.frame().payload == b"in pieces"
            rss, used = server.rss(), server.cpu()
            with suppress(OSError):
                for _ in range(100):
                    raw.sendall(b"".join(records.record(b"") for _ in range(1000)))
            code, _, clean = last_close(server)
    assert (code, clean) == (1006, False)
    assert server.rss() - rss < 1 << 20 and server.cpu() - used < 1


@pytest.mark.case(80)
@pytest.mark.parametrize("kind", [b"\x16\x03\x01", b"\x17\x03\x03", b"\x14\x03\x03", b"\x15\x03\x03"])
def test_empty_records_in_place_of_a_handshake(serve: Serve, kind: bytes) -> None:
    """They end it, at once or at open_timeout, and cost no memory."""
    server = serve(tls=True, **QUICK)
    rss = server.rss()
    with server.peer(plain=True) as peer:
        peer.send_until_ended((kind + b"\0\0") * 200_000)
        peer.ended()
    assert server.rss() - rss < 1 << 20


@pytest.mark.case(80)
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to ask for a renegotiation")
def test_renegotiation_is_refused(serve: Serve) -> None:
    """A client of TLS 1.2 that asks for new keys in the middle of a session gets none."""
    server = serve(tls=True, close_timeout=0.5)
    with subprocess.Popen(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_2", "-legacy_renegotiation"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        time.sleep(0.5)
        told, _ = process.communicate(b"R\n", timeout=20)
    assert b"RENEGOTIATING" in told
    assert b"no renegotiation" in told or b"handshake failure" in told, told


def plain_first(data: bytes) -> bytes:
    """A request before TLS begins."""
    return upgrade() + data


def plain_behind(data: bytes) -> bytes:
    """A request in the place where the records of a session follow."""
    return data + upgrade()


@pytest.mark.case(20, 81)
@pytest.mark.parametrize("mixed", [plain_first, plain_behind])
def test_plain_bytes_beside_a_handshake(serve: Serve, mixed: Callable[[bytes], bytes]) -> None:
    """They are no part of the session, and no request either: TLS fails, and nothing is answered in plain."""
    server = serve(tls=True, **QUICK)
    with server.peer(plain=True) as peer:
        peer.send(mixed(hello()))
        assert b"HTTP/1.1" not in peer.rest()
    assert server.seen()["opened"] == 1, "the first connection, which was before the test"


@pytest.mark.case(82)
@pytest.mark.usefixtures("local_engine")
@in_loop
async def test_each_connection_is_verified_for_its_own_name() -> None:
    """A session that one name has with a context is no proof for another name at the same address."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    async with make_server(ssl=server_context("localhost")) as server:
        for _ in range(2):
            async with wsmash.connect(f"wss://localhost:{server.port}", ssl=context) as client:
                assert client.is_open()
            with pytest.raises(wsmash.ConnectError, match="certificate"):
                await wsmash.connect(f"wss://127.0.0.1:{server.port}", ssl=context)


@pytest.mark.case(82)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_session_is_resumed(serve: Serve, version: ssl.TLSVersion) -> None:
    """A client that kept its session comes back with it, and is served as any other."""
    server = serve(tls=True)
    context = ssl.create_default_context()
    authority().configure_trust(context)
    context.maximum_version = version
    session = None
    for resumed in (False, True):
        with Peer(server.address) as peer:
            peer.sock = sock = context.wrap_socket(peer.sock, server_hostname="localhost", session=session)
            peer.upgrade()
            peer.send(text("hello", masked=True))
            assert peer.frame().payload == b"hello"
            assert sock.session_reused is resumed
            session = sock.session
            peer.send(close(1000, masked=True))
            assert peer.closing()[0] == 1000
