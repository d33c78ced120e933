"""How a server gives the browser module to pages: where, to whom, and with which headers."""

from __future__ import annotations

import pytest

from documents import ROOT
from fixtures.in_loop import in_loop
from fixtures.raw import ask, get, serving, upgrade

SOURCE = (ROOT / "src" / "wsmash" / "browser" / "wsmash.js").read_bytes()


@in_loop
async def test_it_is_served() -> None:
    """As a script that is what it says, may be imported by any page, and is asked for anew each time."""
    async with serving(protocols="wsmash.v1") as server:
        answer = await ask(server, get("/wsmash.js?v=1"))
        assert (answer.status, answer.body) == (200, SOURCE)
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert server.counters.plain == 1
        head = await ask(server, get("/wsmash.js", method="HEAD"))
        assert (head.status, head.body) == (200, b"") and head.headers["content-length"] == str(len(SOURCE))
        assert (await ask(server, get("/wsmash.js", method="POST"))).status == 405


@in_loop
async def test_who_has_it_already() -> None:
    """A browser that has it gets 304, and one that has another gets this one."""
    async with serving(protocols="wsmash.v1") as server:
        tag = (await ask(server, get("/wsmash.js"))).headers["etag"]
        known = await ask(server, get("/wsmash.js", f"If-None-Match: W/{tag}"))
        assert (known.status, known.body) == (304, b"")
        assert (await ask(server, get("/wsmash.js", 'If-None-Match: "older"'))).status == 200


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({}, 404),
        ({"protocols": "chat"}, 404),
        ({"protocols": "wsmash.v1", "browser_module": None}, 404),
        ({"protocols": "wsmash.v1", "browser_module": "/other.js"}, 404),
        ({"protocols": ["chat", "wsmash.v1"]}, 200),
    ],
)
@in_loop
async def test_where_it_is_served(options: dict[str, object], status: int) -> None:
    """Only where the sub-protocol is spoken, at the path of `browser_module`."""
    async with serving(path="/ws", **options) as server:
        assert (await ask(server, get("/wsmash.js"))).status == status
        if options.get("browser_module"):
            assert (await ask(server, get("/other.js"))).body == SOURCE


@in_loop
async def test_an_endpoint_that_speaks_it() -> None:
    """One path with the sub-protocol is enough."""
    async with serving(path="/ws") as server:
        await server.stop()
        server.endpoint("/topics", protocols="wsmash.v1")
        await server.start()
        assert (await ask(server, get("/wsmash.js"))).status == 200


@in_loop
async def test_a_websocket_at_its_path() -> None:
    """A path of WebSockets may be the same: those who upgrade are let in, those who ask get the module."""
    async with serving(path="/wsmash.js", protocols="wsmash.v1") as server:
        assert (await ask(server, get("/wsmash.js"))).status == 200
        opening = upgrade("/wsmash.js", Sec_WebSocket_Protocol="wsmash.v1", Sec_WebSocket_Version="12")
        assert (await ask(server, opening)).status == 426
