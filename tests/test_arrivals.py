"""Who is accepted: the rate of one address, connections that are not open yet, accepting that pauses."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.in_loop import in_loop, turns, until
from fixtures.raw import Wire, ask, get, parse_answer, serving, upgrade, wire
from wsmash.arrivals import Arrivals
from wsmash.server import WebSocketServer


def arrivals(server: WebSocketServer) -> Arrivals:
    """Those of a server that runs."""
    assert server._serving is not None
    assert server._serving._arrivals is not None
    return server._serving._arrivals


async def first_bytes(server: WebSocketServer, source: str = "127.0.0.1") -> bytes:
    """All that a client gets who connects from this address and asks for its health."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=(source, 0))
    writer.write(get("/healthz"))
    found = await Wire(reader, writer).read_all()
    writer.close()
    return found


# The rate of one address


@pytest.mark.case(67)
@in_loop
async def test_connect_rate() -> None:
    """As many as the rate pass, as many again get a 429 that says when to come back, the others no answer."""
    async with serving(connect_rate=2) as server:
        answers = [await first_bytes(server) for _ in range(6)]
        assert [parse_answer(each).status for each in answers[:4]] == [200, 200, 429, 429]
        refused = parse_answer(answers[2])
        assert refused.headers["retry-after"] == "1" and b"connect_rate" in refused.body
        assert answers[4:] == [b"", b""]
        assert (server.counters.accepted, server.counters.refused_rate) == (6, 4)


@in_loop
async def test_connect_rate_of_another_address() -> None:
    """An address that connects too often takes nothing from others."""
    async with serving(connect_rate=1) as server:
        for _ in range(5):
            await first_bytes(server)
        assert parse_answer(await first_bytes(server, "127.0.0.2")).status == 200


@in_loop
async def test_connect_rate_before_tls() -> None:
    """Over TLS a refusal comes after the handshake; of those that get none, no handshake is begun."""
    async with serving(connect_rate=1, ssl=contexts().server) as server:
        async with wire(server, contexts().client) as peer:
            await peer.send(upgrade())
            assert (await peer.answer()).status == 101
        async with wire(server, contexts().client) as peer:
            assert (await peer.answer()).status == 429
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=contexts().client)


@pytest.mark.case(67)
@in_loop
async def test_connect_rate_of_who_is_gone() -> None:
    """Who resets its connection before it is accepted, and may have no address any more, passes no oftener."""
    async with serving(connect_rate=1) as server:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                sock.sendall(get("/healthz"))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        counters = server.counters
        await until(lambda: counters.plain + counters.refused_rate + counters.unopened == 20)
        assert counters.accepted == 20 and counters.plain <= 1


@in_loop
async def test_connect_rate_of_unix_sockets(tmp_path: Any) -> None:
    """Peers without an address have no rate."""
    path = str(tmp_path / "s")
    async with serving(connect_rate=1, unix=path) as server:
        for _ in range(5):
            async with wsmash.connect("ws://localhost/", unix=path):
                pass
        assert server.counters.refused_rate == 0


# Connections that are not open yet


@pytest.mark.case(4, 67, 68)
@in_loop
async def test_silent_peers_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """With as many silent ones as may be, the oldest goes for each that comes, and honest clients get in."""
    monkeypatch.setattr("wsmash.arrivals.PATIENCE", 0.0)
    async with serving(max_openings=4) as server, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(wire(server)) for _ in range(3)]
        await until(lambda: len(arrivals(server).openings) == 3)
        client = await stack.enter_async_context(wsmash.connect(f"ws://127.0.0.1:{server.port}/"))
        assert client.is_open()
        assert await silent[0].read_all() == b""
        assert len(arrivals(server).openings) == 2
        assert server.counters.dropped_openings == 1


@pytest.mark.case(67)
@in_loop
async def test_exactly_as_many_silent_peers_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not stay: there is room for the next before it comes."""
    monkeypatch.setattr("wsmash.arrivals.QUIET", 0.05)
    async with serving(max_openings=3) as server, AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(wire(server)) for _ in range(3)]
        await until(lambda: len(arrivals(server).openings) == 2)
        assert await silent[0].read_all() == b""
        assert (server.counters.accepted, server.counters.dropped_openings) == (3, 1)


@in_loop
async def test_accepting_pauses_while_all_are_young(caplog: pytest.LogCaptureFixture) -> None:
    """Many honest clients at once are all served: the system's queue holds those for whom there is no room yet."""
    async with serving(max_openings=4) as server:
        async with asyncio.timeout(10):
            clients = await asyncio.gather(*(wsmash.connect(f"ws://127.0.0.1:{server.port}/") for _ in range(50)))
        assert server.get_client_count() == 50
        assert server.counters.dropped_openings == 0
        await asyncio.gather(*(client.close() for client in clients))
        assert server.counters.accept_pauses > 1
    assert len([each for each in caplog.records if "max_openings" in each.getMessage()]) == 1


@in_loop
async def test_accepting_goes_on_when_one_is_old(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Accepting that paused is resumed when the oldest has had its time; the log has one line."""
    monkeypatch.setattr("wsmash.arrivals.QUIET", 0.2)
    async with serving(max_openings=2) as server, wire(server) as one, wire(server) as two:
        await until(lambda: server.counters.accept_pauses)
        client = await wsmash.connect(f"ws://127.0.0.1:{server.port}/")
        assert await one.read_all() == b""
        assert server.counters.accept_pauses == 1 and server.counters.dropped_openings >= 1
        await client.close()
        await two.close()
    assert len([each for each in caplog.records if "max_openings" in each.getMessage()]) == 1


@in_loop
async def test_who_goes_on_talking_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow client is not quiet: it stays until it is old."""
    monkeypatch.setattr("wsmash.arrivals.QUIET", 0.1)
    monkeypatch.setattr("wsmash.arrivals.PATIENCE", 0.6)
    async with serving(max_openings=2) as server, wire(server) as slow, wire(server) as silent:
        await until(lambda: server.counters.accept_pauses)
        began = asyncio.get_running_loop().time()
        reading = asyncio.ensure_future(silent.read_all())
        while not reading.done():
            await slow.send(b"G")
            await asyncio.sleep(0.02)
        assert asyncio.get_running_loop().time() - began < 0.5
        client = await wsmash.connect(f"ws://127.0.0.1:{server.port}/")
        assert client.is_open()
        await client.close()


@in_loop
async def test_a_request_that_is_decided_on_is_not_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client whose request is whole has done its part: it does not go for others."""
    monkeypatch.setattr("wsmash.arrivals.PATIENCE", 0.1)
    decided = asyncio.Event()

    async def decide(request: wsmash.Request) -> None:
        if request.path == "/slow":
            await decided.wait()

    options: dict[str, Any] = {"max_openings": 2, "process_request": decide, "path": "/{name:path}"}
    async with serving(**options) as server, wire(server) as slow:
        await slow.send(upgrade("/slow"))
        await until(lambda: any(each.decides for each in arrivals(server).openings))
        async with wire(server) as silent, wsmash.connect(f"ws://127.0.0.1:{server.port}/x"):
            assert await silent.read_all() == b""
            decided.set()
            assert (await slow.answer()).status == 101


# Accepting that fails


@in_loop
async def test_a_peer_that_failed_while_it_waited() -> None:
    """What accept reports of a connection that waited is no reason to pause."""
    async with serving() as server:
        arrivals(server)._failed(OSError(errno.EPROTO, "protocol error"))
        assert (await ask(server, get("/healthz"))).status == 200
        assert server.counters.accept_pauses == 0


@pytest.mark.case(67)
@in_loop
async def test_want_of_descriptors_drops_who_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without descriptors silent ones that have had their time go; accepting resumes; the log has one line."""
    monkeypatch.setattr("wsmash.arrivals.PATIENCE", 0.0)
    monkeypatch.setattr("wsmash.arrivals.ACCEPT_PAUSE", 0.01)
    async with serving() as server, wire(server) as silent:
        await until(lambda: arrivals(server).openings)
        for _ in range(3):
            arrivals(server)._failed(OSError(errno.EMFILE, "no descriptors"))
        assert await silent.read_all() == b""
        assert (await ask(server, get("/healthz"))).status == 200
        assert server.counters.accept_pauses == 1
    told = [each.getMessage() for each in caplog.records if "accepting pauses" in each.getMessage()]
    assert told == ["accepting pauses, and is tried again every 0.01 s: no descriptors"]


# What is counted


@in_loop
async def test_counters() -> None:
    """Each client counts once, under what became of it."""

    def check(request: wsmash.Request) -> wsmash.Response | None:
        if request.path == "/broken":
            raise ValueError("x")
        return wsmash.Response(403) if request.path == "/closed" else None

    async with serving(max_connections=1, open_timeout=0.2, process_request=check) as server:
        counters = server.counters
        async with wire(server) as peer:
            await peer.send(upgrade())
            await peer.answer()
            assert (await ask(server, upgrade())).headers["retry-after"] == "5"
        await ask(server, upgrade(Origin="https://evil.example"))
        await ask(server, b"no HTTP\r\n\r\n")
        await ask(server, get("/healthz"))
        await ask(server, get("/none"))
        await ask(server, upgrade("/none"))
        await ask(server, upgrade("/closed"))
        await ask(server, upgrade("/broken"))
        await ask(server, upgrade(Host="a b"))
        await ask(server, upgrade(Sec_WebSocket_Key=None))
        async with wire(server):
            pass
        await until(lambda: counters.unopened)
        async with wire(server) as late, wire(server) as later:
            await later.send(b"GET /")
            await late.read_all()
            await later.read_all()
    found = {name: getattr(counters, name) for name in counters.__dataclass_fields__ if getattr(counters, name)}
    assert found.pop("accepted") == sum(found.values())
    assert found == {
        "opened": 1,
        "plain": 2,
        "refused_hook": 1,
        "failed_hook": 1,
        "refused_path": 1,
        "refused_connections": 1,
        "refused_origin": 1,
        "malformed": 3,
        "unopened": 1,
        "unfinished": 2,
    }


@in_loop
async def test_a_peer_that_resets() -> None:
    """A connection that ends between accept and the answer leaves nothing behind."""
    async with serving() as server:
        for _ in range(5):
            with socket.socket() as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.connect(("127.0.0.1", server.port))
        await until(lambda: server.counters.accepted == 5 and not arrivals(server).openings)
        await turns()


@pytest.mark.parametrize("what", ["answered", "silent", "aborted"])
@in_loop
async def test_who_is_dropped_counts_once(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has an answer is counted by that when it makes room for others; who has none, by what ended it."""
    monkeypatch.setattr("wsmash.arrivals.PATIENCE", 0.0)
    async with serving(max_openings=2) as server, wire(server) as peer:
        await until(lambda: arrivals(server).openings)
        if what == "answered":
            await peer.send(get("/healthz"))
            await peer.answer()
        if what == "aborted":
            server.abort()
            await peer.read_all()
        else:
            await ask(server, get("/healthz"))
        counters = server.counters
        found = {name: getattr(counters, name) for name in counters.__dataclass_fields__ if getattr(counters, name)}
        assert found == {
            "answered": {"accepted": 2, "plain": 2},
            "silent": {"accepted": 2, "plain": 1, "dropped_openings": 1},
            "aborted": {"accepted": 1, "unopened": 1},
        }[what]


@pytest.mark.case(67, 105)
@in_loop
async def test_connections_that_cannot_be_taken_in(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the system cannot watch one more socket, they are closed and counted, and the log stays bounded."""
    monkeypatch.setattr("wsmash.runtime.reports.RECORDS_PER_SECOND", 2)
    async with serving() as server:

        def attach(*_: object) -> None:
            raise OSError(errno.ENOSPC, "no more watches")

        monkeypatch.setattr(arrivals(server)._environment, "driver", SimpleNamespace(attach=attach))
        for _ in range(20):
            assert await first_bytes(server) == b""
        assert (server.counters.accepted, server.counters.unopened) == (20, 20)
    records = [each for each in caplog.records if "taken in" in each.getMessage()]
    assert 2 <= len(records) < 10 and not arrivals(server).openings
