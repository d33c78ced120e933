"""Group L: requests that hide behind one that is refused, where a reverse proxy may have begun to tunnel."""

from __future__ import annotations

import asyncio

import pytest

import wsmash
from fixtures.frames import text
from fixtures.in_loop import in_loop
from fixtures.raw import get, refusal, upgrade
from fixtures.served import Served

SECOND = get("/healthz")
REFUSED: dict[str, tuple[int, bytes]] = {
    "another path": (404, upgrade("/nowhere")),
    "another origin": (403, upgrade(Origin="https://evil.example")),
    "another version": (426, upgrade(Sec_WebSocket_Version="12")),
    "no key": (400, upgrade(Sec_WebSocket_Key=None)),
    "a post": (405, upgrade(method="POST")),
    "a length": (400, upgrade("/", f"Content-Length: {len(SECOND)}")),
    "chunks": (400, upgrade("/", "Transfer-Encoding: chunked")),
    "no upgrade": (426, get("/")),
    "a body": (400, get("/healthz", f"Content-Length: {len(SECOND)}")),
    "no request": (400, b"\0\1\2\r\n\r\n"),
}


@pytest.mark.case(85)
@pytest.mark.parametrize("name", REFUSED)
def test_a_request_behind_one_that_is_refused(served: Served, name: str) -> None:
    """Is not answered, in the same packet or after the answer: that is the only one, and says `Connection: close`."""
    status, request = REFUSED[name]
    for behind in (SECOND, upgrade(), text("frames", masked=True) + SECOND):
        with served.peer() as peer:
            peer.send(request + behind)
            answer = peer.answer()
            assert answer.status == status and answer.headers["connection"].split(", ")[-1] == "close", answer
            assert b"HTTP/1.1" not in answer.body
        with served.peer() as peer:
            peer.send(request)
            assert peer.head().status == status
            peer.send_until_ended(behind)
            assert b"HTTP/1.1" not in peer.rest()


@pytest.mark.case(85)
@pytest.mark.usefixtures("local_engine")
@in_loop
async def test_a_request_behind_one_that_a_hook_refuses() -> None:
    """What came while a coroutine was deciding is no request either."""

    async def hook(_: wsmash.Request) -> wsmash.Response:
        await asyncio.sleep(0.01)
        return wsmash.Response(401, "a token is needed\n")

    answer = await refusal(upgrade() + SECOND, process_request=hook)
    assert (answer.status, answer.headers["connection"]) == (401, "close")
    assert answer.body == b"a token is needed\n"
