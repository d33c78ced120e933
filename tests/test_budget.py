"""What all connections of a server may hold together: who is closed, and who is not."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

import wsmash
from documents import ROOT
from fixtures.frames import text
from fixtures.in_loop import in_loop, until
from fixtures.raw import Wire, ask, serving, upgrade, wire
from wsmash.server import WebSocketServer

KIB = 1024
HELD = 200 * KIB

pytestmark = pytest.mark.case(68)


def unfinished(times: int = 1) -> bytes:
    """A message of which 200 of 256 KiB came, and no more will: there may be room for the rest."""
    return b"\x02\xff" + (256 * times * KIB).to_bytes(8) + bytes(4) + bytes(times * HELD)


RULE = "those that are not authenticated first, of these who holds most (by powers of two), of equals the newest"


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsmash.budget.LOOK_INTERVAL", 0.05)


async def hold(stack: AsyncExitStack, server: WebSocketServer, target: str = "/", times: int = 1) -> Wire:
    """A connection that holds a good deal of the server's memory."""
    peer = await stack.enter_async_context(wire(server))
    await peer.send(upgrade(target))
    assert (await peer.answer()).status == 101
    count = server.get_client_count()
    await peer.send(unfinished(times))
    await until(lambda: server.get_clients()[count - 1]._held() >= times * HELD)
    return peer


def authenticate_some(server: WebSocketServer) -> None:
    """Whoever asks for `/in` is somebody."""

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        if event.request.path == "/in":
            event.client.set_authenticated()


@in_loop
async def test_the_newest_that_are_not_authenticated_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    """Above the bound so many get 1013 that the rest fits; new ones get 503 meanwhile; the log has a line for it."""
    async with serving(max_buffered=790 * KIB, path="/{name:path}") as server, AsyncExitStack() as stack:
        authenticate_some(server)
        oldest = await hold(stack, server)
        honest = await stack.enter_async_context(wsmash.connect(f"ws://127.0.0.1:{server.port}/in"))
        known = await hold(stack, server, "/in")
        newest = await hold(stack, server)
        assert server.counters.budget_spent == 0
        more = await hold(stack, server, "/in")
        assert int.from_bytes((await newest.frame()).payload[:2]) == 1013
        answer = await ask(server, upgrade())
        assert (answer.status, answer.headers["retry-after"]) == (503, "5") and b"max_buffered" in answer.body
        await newest.close()
        await until(lambda: not server._serving._reception.budget.spent)  # type: ignore[union-attr]
        assert server.get_client_count() == 4 and honest.is_open()
        for peer in (oldest, known, more):
            assert not peer.reader.at_eof()
        assert (server.counters.budget_spent, server.counters.closed_over_budget) == (1, 1)
    assert len([each for each in caplog.records if "max_buffered" in each.getMessage()]) == 1


@in_loop
async def test_who_holds_most_is_closed_before_the_newest() -> None:
    """One that holds twice as much as the others goes, though it came first, and they stay."""
    async with serving(max_buffered=780 * KIB) as server, AsyncExitStack() as stack:
        most = await hold(stack, server, times=2)
        other = await hold(stack, server)
        newest = await stack.enter_async_context(wire(server))
        await newest.send(upgrade() + unfinished())
        assert int.from_bytes((await most.frame()).payload[:2]) == 1013
        await most.close()
        await until(lambda: not server._serving._reception.budget.spent)  # type: ignore[union-attr]
        assert not other.reader.at_eof() and not newest.reader.at_eof()
        assert (server.get_client_count(), server.counters.closed_over_budget) == (2, 1)


@pytest.mark.parametrize("page", ["guide", "limits", "options"])
def test_the_rule_is_told_in_the_same_words(page: str) -> None:
    """Whoever reads of `max_buffered` reads who is closed first, as the code has it."""
    assert RULE in " ".join((ROOT / "docs" / f"{page}.md").read_text("utf-8").split())


@in_loop
async def test_who_does_not_let_go_is_dropped() -> None:
    """A peer that does not answer 1013 is dropped a look later, long before `close_timeout`."""
    async with serving(max_buffered=300 * KIB, close_timeout=10) as server, AsyncExitStack() as stack:
        await hold(stack, server)
        silent = await hold(stack, server)
        assert int.from_bytes((await silent.frame()).payload[:2]) == 1013
        async with asyncio.timeout(5):
            await silent.read_all()


@in_loop
async def test_what_counts() -> None:
    """Waiting output and inboxes count like unfinished messages, and what is delivered does not any more."""
    go_on = asyncio.Event()

    async def slow(_: object) -> None:
        await go_on.wait()

    async with serving(max_buffered=10_000 * KIB) as server:
        server.on("connection", lambda event: event.client.on("message", slow))
        async with wire(server) as peer:
            await peer.send(upgrade())
            await peer.answer()
            client = server.get_clients()[0]
            assert client._held() == 0
            for _ in range(2):
                await peer.send(b"\x82\xfe" + (40 * KIB).to_bytes(2) + bytes(4) + bytes(40 * KIB))
            await until(lambda: 40 * KIB <= client._held() <= 80 * KIB)
            go_on.set()
            await until(lambda: client._held() == 0)
            while not client._held():
                client.send(bytes(900 * KIB))
            assert client._channel is not None and client._held() == client._channel.info().buffered


@in_loop
async def test_many_are_looked_at_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look that takes several turns sees all of them."""
    monkeypatch.setattr("wsmash.budget.AT_ONCE", 2)
    async with serving(max_buffered=500 * KIB) as server, AsyncExitStack() as stack:
        for _ in range(4):
            await hold(stack, server)
            await stack.enter_async_context(wsmash.connect(f"ws://127.0.0.1:{server.port}/"))
            if server.counters.closed_over_budget:
                break
        await until(lambda: server.counters.closed_over_budget)


@in_loop
async def test_who_is_closing_already_is_dropped() -> None:
    """A close that is under way, or that a fault has begun, is no way to hold on to what waits."""
    async with serving(max_buffered=300 * KIB, close_timeout=60, shutdown_timeout=60) as server:

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            event.client.send(bytes(8192 * KIB))
            event.client.close()

        async with wire(server) as peer:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await peer.send(upgrade())
            await until(lambda: server.counters.budget_spent)
            await until(lambda: not len(server._serving.connections))  # type: ignore[union-attr]
        assert server.counters.closed_over_budget == 0


@in_loop
async def test_what_those_who_left_have_left_counts() -> None:
    """Messages whose sender is gone wait for a busy callback within the bound, or are forgotten."""
    done = asyncio.Event()
    received: list[int] = []

    async def slow(message: wsmash.MessageEvent) -> None:
        received.append(len(message.data))
        await done.wait()

    async with serving(max_buffered=100 * KIB) as server:
        server.on("connection", lambda event: event.client.on("message", slow))
        for count in range(1, 4):
            async with wire(server) as peer:
                await peer.send(upgrade() + text("x", masked=True) + text("y" * (60 * KIB), masked=True))
                if (await peer.answer()).status != 101:
                    break
                await until(lambda count=count: len(received) == count)  # type: ignore[misc]
        await until(lambda: server.counters.budget_spent)
        await until(lambda: not server._serving._reception.budget.spent)  # type: ignore[union-attr]
        opened = server.counters.opened
        done.set()
        await until(lambda: not server._serving.connections.taken)  # type: ignore[union-attr]
        assert received.count(1) == opened and 0 < received.count(60 * KIB) < opened
