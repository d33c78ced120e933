"""The hook that may answer every request before the server does: what it sees, and what comes of what it does.

Numbers in brackets are those of the list of hostile inputs.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.in_loop import in_loop, until
from fixtures.raw import ask, get, refusal, serving, upgrade, wire


def teapot(_: wsmash.Request) -> wsmash.Response:
    return wsmash.Response(418, "short and stout", {"X-Pot": "tea"})


async def slow_teapot(request: wsmash.Request) -> wsmash.Response:
    await asyncio.sleep(0)
    return teapot(request)


@pytest.mark.parametrize("hook", [teapot, slow_teapot])
@pytest.mark.parametrize("request_", [upgrade(), get("/any"), upgrade("/elsewhere")])
@in_loop
async def test_hook_answers(hook: Callable[[wsmash.Request], Any], request_: bytes) -> None:
    """What the hook returns is the answer to any request, with its headers, and the connection ends."""
    answer = await refusal(request_, process_request=hook)
    assert (answer.status, answer.body, answer.headers["x-pot"]) == (418, b"short and stout", "tea")
    assert answer.headers["connection"] == "close"


@in_loop
async def test_hook_lets_in() -> None:
    """A hook that returns None, at once or later, leaves the decision to the server; it sees the request."""
    seen: list[wsmash.Request] = []

    async def later(request: wsmash.Request) -> None:
        seen.append(request)

    for hook in (seen.append, later):
        async with serving(path="/rooms/{room}", process_request=hook) as server:
            async with wire(server) as peer:
                await peer.send(upgrade("/rooms/7?a=b", "Cookie: s=1"))
                assert (await peer.answer()).status == 101
                port = peer.writer.get_extra_info("sockname")[1]
            assert (await ask(server, upgrade("/none"))).status == 404
        request = seen[0]
        assert (request.method, request.path, request.query, dict(request.params)) == (
            "GET", "/rooms/7", "a=b", {"room": "7"},
        )  # fmt: skip
        assert request.cookies["s"] == "1" and request.remote_address == ("127.0.0.1", port)
        assert dict(seen[1].params) == {}
        seen.clear()


@pytest.mark.case(52)
@pytest.mark.parametrize("what", ["raises", "wrong type", "asks what was cancelled"])
@pytest.mark.parametrize("when", ["at once", "later"])
@in_loop
async def test_hook_fails(what: str, when: str, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that raises, or returns no answer, is a 500 that says nothing of it, and one line in the log (52)."""

    def fail() -> str:
        if what == "raises":
            raise KeyError("a secret")
        if what == "asks what was cancelled":
            wanted = asyncio.get_running_loop().create_future()
            wanted.cancel("a secret")
            wanted.result()
        return "a secret"

    async def later() -> str:
        return fail()

    def hook(_: wsmash.Request) -> Any:
        return later() if when == "later" else fail()

    answer = await refusal(upgrade(), process_request=hook)
    assert answer.status == 500 and b"secret" not in answer.body
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert what != "wrong type" or "Response" in str(caplog.records[0].exc_info)


@in_loop
async def test_hook_that_takes_too_long(caplog: pytest.LogCaptureFixture) -> None:
    """A hook beyond `open_timeout` is cancelled, and the client told that it is the server's fault."""
    cancelled = asyncio.Event()

    async def hook(_: wsmash.Request) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    answer = await refusal(upgrade(), process_request=hook, open_timeout=0.05)
    assert answer.status == 503 and cancelled.is_set()
    assert ["open_timeout" in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.case(19)
@in_loop
async def test_hook_whose_client_is_gone_at_once() -> None:
    """Where the client leaves in the turn in which it asked, the hook begins and is cancelled, without a warning."""
    seen: list[str] = []

    async def later() -> None:
        seen.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("ended")

    async with serving(process_request=lambda _: hook()) as server, wire(server) as peer:

        def hook() -> Any:
            assert server._serving is not None
            assert server._serving._arrivals is not None
            asyncio.get_running_loop().call_soon(server._serving._arrivals.abort)
            return later()

        await peer.send(upgrade())
        assert await peer.read_all() == b""
        await until(lambda: len(seen) == 2)
        gc.collect()
    assert seen == ["began", "ended"]


@in_loop
async def test_hook_is_given_the_scheme() -> None:
    """Over TLS the request is secure, and its URL says wss."""
    urls: list[str] = []
    async with (
        serving(ssl=contexts().server, process_request=lambda request: urls.append(request.url)) as server,
        wire(server, contexts().client) as peer,
    ):
        await peer.send(upgrade(Host="localhost"))
        assert (await peer.answer()).status == 101
    assert urls == ["wss://localhost/"]


@in_loop
async def test_head_gets_no_body() -> None:
    """The answer to HEAD has the length of its body, and no body, refusals too."""
    answer = await refusal(get(method="HEAD"), process_request=teapot)
    assert (answer.status, answer.headers["content-length"], answer.body) == (418, "15", b"")
    answer = await refusal(get("/none", method="HEAD"))
    assert answer.status == 404 and answer.body == b"" and int(answer.headers["content-length"]) > 0


@in_loop
async def test_a_slow_reader_gets_the_whole_answer() -> None:
    """An answer may take longer than close_timeout, as long as the peer goes on reading it."""
    body = b"x" * (8 << 20)
    server = wsmash.create_server(
        port=0, close_timeout=0.2, write_timeout=5, process_request=lambda _: wsmash.Response(200, body)
    )
    async with server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 16)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = 0
        loop = asyncio.get_running_loop()
        began = loop.time()
        while data := await reader.read(1 << 16):
            got += len(data)
            if loop.time() - began < 0.6:
                await asyncio.sleep(0.05)
        writer.close()
    assert got > len(body)
