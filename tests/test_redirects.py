"""The client that is sent elsewhere: where it goes, what it takes along, and when it has had enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.failures import fails, listened_to
from fixtures.in_loop import in_loop
from fixtures.scripted_server import answering, scripted, switching

SECRETS: dict[str, Any] = {
    "headers": [
        ("Authorization", "Token hunter2"),
        ("Proxy-Authorization", "Basic hunter2"),
        ("proxy-authorization", "Basic hunter2"),
        ("Cookie", "session=hunter2"),
        ("COOKIE", "session=hunter2"),
        ("Host", "inside.example"),
        ("X-Api-Key", "hunter2"),
        ("User-Agent", "mine/1"),
        ("Origin", "https://page.example"),
    ],
}


def found(location: object, status: int = 302) -> bytes:
    """A redirect there, with a body that nobody has to read."""
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 1000000\r\n\r\nmoved".encode()


class Asked:
    """A server that says yes, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.port = 0

    @property
    def last(self) -> str:
        """The head of the last request."""
        return self.requests[-1]


@asynccontextmanager
async def asked(answer: Callable[[bytes], bytes] = switching, context: Any = None) -> AsyncIterator[Asked]:
    """It runs, and answers everything so."""
    server = Asked()

    async def script(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.requests.append(request.decode())
        writer.write(answer(request))
        await reader.read()

    async with scripted(script, context) as server.port:
        yield server


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@in_loop
async def test_followed(status: int) -> None:
    """Each kind of redirect leads to one connection: `open` once, `get_url` as given, `request` the last one."""
    async with asked() as there:
        async with asked(lambda _: found(f"http://127.0.0.1:{there.port}/new?x", status)) as here:
            url = f"ws://127.0.0.1:{here.port}/old"
            client = wsmash.create_client(url)
            heard = listened_to(client)
            await client.connect()
            assert client.is_open() and client.get_url() == url
            assert client.request and client.request.target == "/new?x"
            assert client.request.host == f"127.0.0.1:{there.port}"
            assert client.response is not None and client.response.status == 101
            assert heard == [("open", None)]
            client.abort()
            await client.wait_closed()
        assert len(here.requests) == len(there.requests) == 1


@in_loop
async def test_each_request_has_a_key_of_its_own() -> None:
    """A nonce is used once (RFC 6455 4.1)."""
    async with asked() as there, asked(lambda _: found(f"ws://127.0.0.1:{there.port}")) as here:
        async with wsmash.connect(f"ws://127.0.0.1:{here.port}", close_timeout=0.1):
            pass
        keys = {each.partition("Sec-WebSocket-Key: ")[2].partition("\r")[0] for each in (here.last, there.last)}
        assert len(keys) == 2


@in_loop
async def test_relative() -> None:
    """A relative Location is resolved, and what belongs to the origin goes along (24)."""

    def answer(request: bytes) -> bytes:
        return switching(request) if b"GET /b/new " in request else found("../b/new")

    async with asked(answer) as server:
        async with wsmash.connect(
            f"ws://user:hunter2@127.0.0.1:{server.port}/a/old", headers={"Host": "inside.example", "Cookie": "a=b"},
            close_timeout=0.1,
        ):  # fmt: skip
            pass
        assert [each.partition(" HTTP")[0] for each in server.requests] == ["GET /a/old", "GET /b/new"]
        for request in server.requests:
            assert "\r\nAuthorization: Basic dXNlcjpodW50ZXIy\r\n" in request
            assert "\r\nHost: inside.example\r\n" in request and "\r\nCookie: a=b\r\n" in request


@pytest.mark.case(24)
@pytest.mark.parametrize(
    ("userinfo", "options"),
    [
        ("", SECRETS),
        ("", {"auth": ("user", "hunter2")}),
        ("", {"auth": "hunter2"}),
        ("", {"cookies": {"session": "hunter2"}}),
        ("user:hunter2@", {}),
    ],
)
@in_loop
async def test_credentials_stay_at_their_origin(userinfo: str, options: dict[str, Any]) -> None:
    """Another origin is told no credential, whichever way it was given, and not the Host that was meant for this."""
    async with asked() as there:
        where = f"ws://you:too@127.0.0.1:{there.port}/"
        async with asked(lambda _: found(where)) as here:
            async with wsmash.connect(f"ws://{userinfo}127.0.0.1:{here.port}", close_timeout=0.1, **options):
                pass
            given = here.last.lower()
            assert "hunter2" in given or "authorization: basic" in given or "authorization: bearer" in given
        told = there.last.lower()
        assert "authorization" not in told and "cookie" not in told and "hunter2" not in told
        assert f"host: 127.0.0.1:{there.port}" in told
        for header in ("user-agent: mine/1", "origin: https://page.example"):
            assert (header in told) is ("headers" in options)


@pytest.mark.case(24)
@in_loop
async def test_trust_does_not_come_back() -> None:
    """A server elsewhere that sends the client back cannot choose where its credentials go."""
    port = 0

    def home(request: bytes) -> bytes:
        return switching(request) if b"GET /transfer " in request else found(f"ws://127.0.0.1:{there.port}/")

    async with asked(lambda _: found(f"ws://127.0.0.1:{port}/transfer")) as there, asked(home) as here:
        port = here.port
        async with wsmash.connect(f"ws://127.0.0.1:{port}/", auth="hunter2", close_timeout=0.1):
            pass
        assert ["Bearer" in each for each in here.requests] == [True, False]
        assert "Bearer" not in there.last


@pytest.mark.case(23)
@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/", "javascript:1", "ws://", "/a b"])
@in_loop
async def test_no_place_for_a_websocket(location: str) -> None:
    """Another scheme, or no URL at all, is a HandshakeError with the status, the reason and the body."""
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved".encode()
    async with answering(head) as port:
        error = await fails(port, wsmash.HandshakeError)
    assert (error.status, error.body) == (302, b"moved") and "Location" in error.headers
    assert "not followed" in str(error) and "Location" in str(error)


@pytest.mark.case(23)
@in_loop
async def test_never_from_wss_to_ws() -> None:
    """What began encrypted is not continued in the open; from ws to wss it goes on, to whom the certificate names."""
    async with (
        asked() as plain,
        asked(lambda _: b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:%d/\r\n\r\n" % plain.port,
              contexts().server) as secure,
        asked(lambda _: found(f"wss://127.0.0.1:{secure.port}")) as here,
    ):  # fmt: skip
        client = wsmash.create_client(f"wss://127.0.0.1:{secure.port}", ssl=contexts().client, open_timeout=0.3)
        with pytest.raises(wsmash.HandshakeError, match="from wss to ws"):
            await client.connect()
        assert plain.requests == []
        client = wsmash.create_client(f"ws://127.0.0.1:{here.port}")
        with pytest.raises(wsmash.ConnectError, match="certificate"):
            await client.connect()


@pytest.mark.case(23)
@pytest.mark.parametrize("most", [0, 1, 10])
@in_loop
async def test_too_many(most: int) -> None:
    """After `max_redirects` the next is not followed; each was asked once."""

    def further(request: bytes) -> bytes:
        here = int(request.partition(b" /")[2].partition(b" ")[0])
        return b"HTTP/1.1 307 On\r\nLocation: /%d\r\nContent-Length: 0\r\n\r\n" % (here + 1)

    async with asked(further) as server:
        client = wsmash.create_client(f"ws://127.0.0.1:{server.port}/0", max_redirects=most)
        with pytest.raises(wsmash.HandshakeError, match=f"max_redirects is {most}") as caught:
            await client.connect()
        assert caught.value.status == 307 and len(server.requests) == most + 1


@pytest.mark.case(23)
@in_loop
async def test_in_a_circle() -> None:
    """A redirect to where the client was already is refused at once."""

    def around(request: bytes) -> bytes:
        return b"HTTP/1.1 302 On\r\nLocation: %b\r\n\r\n" % (b"/b" if b" /a " in request else b"/a")

    async with asked(around) as server:
        error = await fails(server.port, wsmash.HandshakeError, url="ws://127.0.0.1", open_timeout=0.3)
        assert "in a circle" in str(error) and 2 <= len(server.requests) <= 3


@pytest.mark.case(104)
@in_loop
async def test_a_long_place_is_cut_in_the_error() -> None:
    """As all text of a peer's is."""
    async with asked(lambda _: found("/" + "a" * 8000)) as server:
        error = await fails(server.port, wsmash.HandshakeError, url="ws://127.0.0.1")
        assert "in a circle" in str(error) and "/aaa" in str(error) and len(str(error)) < 600


def _found_at(where: str, _: bytes) -> bytes:
    return found(where)


@in_loop
async def test_an_error_says_where_a_redirect_had_led() -> None:
    """Whatever failed there: a refusal, a connection that is not made, a server that says nothing."""
    gone = "ws://127.0.0.1:1/there"
    async with answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as port:
        refusing = f"ws://127.0.0.1:{port}/there"
        for where, error in ((gone, wsmash.ConnectError), (refusing, wsmash.HandshakeError)):
            async with asked(partial(_found_at, where)) as here:
                met = await fails(here.port, error)
            assert str(met).endswith(f"; a redirect had led to {where}")


@pytest.mark.case(23)
@in_loop
async def test_the_body_of_a_redirect_is_not_read() -> None:
    """A redirect with a body without end is followed at once, and its connection dropped."""
    written = 0

    async def endless(_: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(found(f"ws://127.0.0.1:{there.port}"))
        while not reader.at_eof():
            writer.write(bytes(65536))
            written += 65536
            await writer.drain()

    async with (
        asked() as there,
        scripted(endless) as port,
        wsmash.connect(f"ws://127.0.0.1:{port}", close_timeout=0.1) as client,
    ):
        assert client.is_open()
    assert written < 16 * 1024 * 1024


@in_loop
async def test_all_within_one_open_timeout() -> None:
    """Redirects do not stretch `open_timeout`, and the error names the server that was late."""
    async with answering(hold=True) as late:

        async def slowly(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.1)
            writer.write(found(f"ws://127.0.0.1:{late}/late"))

        async with scripted(slowly) as port:
            started = asyncio.get_running_loop().time()
            error = await fails(port, wsmash.OpenTimeout, open_timeout=0.2)
            assert asyncio.get_running_loop().time() - started < 0.3
    assert f"127.0.0.1:{late}/late" in str(error)


@in_loop
async def test_nobody_at_the_target() -> None:
    """A target that is not reached is a ConnectError, as the first would be."""
    async with answering() as gone:
        pass
    async with answering(lambda _: found(f"ws://127.0.0.1:{gone}/")) as port:
        error = await fails(port, wsmash.ConnectError)
    assert f"127.0.0.1:{gone}" in str(error)


@in_loop
async def test_closed_on_the_way() -> None:
    """`close` while the second server is asked abandons the whole attempt."""
    reached = asyncio.Event()

    def reach(_: bytes) -> bytes:
        reached.set()
        return b""

    async with asked(reach) as there, asked(lambda _: found(f"ws://127.0.0.1:{there.port}")) as here:
        client = wsmash.create_client(f"ws://127.0.0.1:{here.port}")
        heard = listened_to(client)
        connecting = client.connect()
        await reached.wait()
        await client.close()
        with pytest.raises(wsmash.ConnectionClosed):
            await connecting
        await client.wait_closed()
        assert heard == [("close", 1006)]


@in_loop
async def test_over_a_unix_socket(tmp_path: Path) -> None:
    """The socket stands for the URL's host: a redirect within it is followed over the socket, one away from it not."""
    path = str(tmp_path / "door")
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        requests.append(request)
        location = "/away" if b"GET /here " in request else "ws://127.0.0.1:1/"
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode())
        await reader.read()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        error = await fails(80, wsmash.HandshakeError, "ws://inside", unix=path)
        assert "away from the Unix socket" in str(error)
        requests.clear()
        client = wsmash.create_client("ws://inside/here", unix=path)
        with pytest.raises(wsmash.HandshakeError, match="away from the Unix socket"):
            await client.connect()
        assert len(requests) == 2
