"""The client against proxies that answer wrongly, slowly, endlessly, too much or not at all.

Each ends in a ProxyError or an OpenTimeout that names the proxy, in memory and
time that are bounded, and with nothing of the server's request told to it.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.failures import listened_to
from fixtures.in_loop import in_loop
from fixtures.proxies import Proxy, Reader, Serve, Writer, http, proxy, saying
from fixtures.scripted_server import answering

pytestmark = pytest.mark.case(26)

OK = b"HTTP/1.1 200 OK\r\n\r\n"
SOCKS5_OK = b"\x05\0\0\x01" + bytes(6)


async def refused(
    serve: Serve,
    scheme: str = "http",
    kind: type[Exception] = wsmash.ProxyError,
    url: str = "ws://user:hunter2@127.0.0.1:9/secret",
    **options: Any,
) -> tuple[Any, Proxy]:
    """Connect through it, which must fail with this error, fired once; returns the error and the proxy."""
    context = contexts().server if scheme == "https" else None
    if scheme == "https":
        options["proxy_ssl"] = contexts().client
    async with proxy(serve, context=context) as there:
        client = wsmash.create_client(url, proxy=there.url(scheme), **options)
        heard = listened_to(client)
        with pytest.raises(kind) as caught:
            await client.connect()
        assert heard == [("error", caught.value), ("close", 1006)]
        assert f"{scheme}://127.0.0.1:{there.port}" in str(caught.value)
    assert not any(b"/secret" in each or b"hunter2" in each for each in there.relayed)
    return caught.value, there


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"\x05\x00" * 50,
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200\nA: b\n\n",
        b"HTTP/1.1 99 No\r\n\r\n",
        b"HTTP/1.1 1000 No\r\n\r\n",
        b"HTTP/1.1 200 Yes\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 200 Yes\r\n folded\r\n\r\n",
        b"\r\n\r\n",
    ],
)
@in_loop
async def test_garbage(answer: bytes, scheme: str) -> None:
    """What is not HTTP/1.1 is refused as such."""
    error, _ = await refused(saying(answer, hold=True), scheme)
    assert "not valid HTTP" in str(error) and error.status is None


@pytest.mark.parametrize("status", [100, 199, 300, 302, 400, 403, 404, 407, 502, 503, 504])
@in_loop
async def test_refusals(status: int) -> None:
    """Every answer but 2xx is a refusal with its status and headers: no redirect is followed, no 407 tried again."""
    answer = f"HTTP/1.1 {status} No\r\nLocation: ws://127.0.0.1:9\r\nRetry-After: 7\r\n\r\n".encode()
    error, there = await refused(saying(*[answer] * 9))
    assert error.status == status and str(status) in str(error) and error.headers["retry-after"] == "7"
    assert len(there.hops) == 1


@in_loop
async def test_endless_bodies_are_not_read() -> None:
    """Of a refusal nothing beyond its head is waited for."""

    async def serve(_: Proxy, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Later\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            writer.write(bytes(65536))
            await writer.drain()

    error, _ = await refused(serve)
    assert error.status == 503


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("line", "option"), [(b"A: b\r\n", "max_headers"), (b"a" * 1000, "max_header_line")])
@in_loop
async def test_endless_headers(line: bytes, option: str, scheme: str) -> None:
    """The options that bound a server's answer bound a proxy's too."""

    async def serve(_: Proxy, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 Yes\r\n")
        while True:
            writer.write(line * 100)
            await writer.drain()

    error, _ = await refused(serve, scheme)
    assert option in str(error)


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks5"])
@in_loop
async def test_no_answer(scheme: str) -> None:
    """A proxy that never answers, or a byte at a time, is within `open_timeout`, and named."""

    async def drip(_: Proxy, reader: Reader, writer: Writer) -> None:
        while True:
            writer.write(b"H")
            await asyncio.sleep(0.01)

    async def silent(_: Proxy, reader: Reader, writer: Writer) -> None:
        await reader.read()

    for serve in (silent, drip) if scheme.startswith("http") else (silent,):
        error, _ = await refused(serve, scheme, wsmash.OpenTimeout, open_timeout=0.1)
        assert isinstance(error, TimeoutError) and "0.1" in str(error)


@in_loop
async def test_the_server_has_what_the_proxy_left_of_the_time() -> None:
    """The proxy's time and the server's are one `open_timeout`."""

    async def slow(there: Proxy, reader: Reader, writer: Writer) -> None:
        await asyncio.sleep(0.15)
        await http(there, reader, writer)

    async with answering(hold=True) as port, proxy(slow) as there:
        started = asyncio.get_running_loop().time()
        client = wsmash.create_client(f"ws://127.0.0.1:{port}", proxy=there.url("http"), open_timeout=0.25)
        with pytest.raises(wsmash.OpenTimeout) as caught:
            await client.connect()
        assert asyncio.get_running_loop().time() - started < 0.35
        assert "proxy" not in str(caught.value)  # which has done its part


@pytest.mark.parametrize("scheme", ["http", "https", "socks4", "socks5"])
@pytest.mark.parametrize("said", [b"", b"\x05", b"HTTP/1.1 200 O"])
@in_loop
async def test_ends_early(said: bytes, scheme: str) -> None:
    """A proxy that ends before its answer does is told from a server that does."""
    if scheme.startswith("socks") and len(said) > 1:
        said = b""
    await refused(saying(said, after=b""), scheme)


@pytest.mark.case(81)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("url", ["ws://127.0.0.1:9/", "wss://127.0.0.1:9/"])
@in_loop
async def test_bytes_behind_the_answer(url: str, scheme: str) -> None:
    """What follows a proxy's yes before anything was asked is the proxy's own, and fatal."""
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    for more in (switching, b"\x16\x03\x03\x00\x02\x02\x28", b"x"):
        error, there = await refused(saying(OK + more, hold=True), scheme, url=url)
        assert "more than its answer" in str(error) and there.relayed == []


@pytest.mark.case(81)
@in_loop
async def test_bytes_between_the_answer_and_tls() -> None:
    """What comes a little later, where the server's TLS should begin, is taken for TLS, and is none."""
    async with proxy(saying(OK, 0.05, b"HTTP/1.1 101 Switching Protocols\r\n\r\n", hold=True)) as there:
        client = wsmash.create_client("wss://127.0.0.1:9", proxy=there.url("http"), ssl=contexts().client)
        with pytest.raises(wsmash.ConnectError, match="TLS failed"):
            await client.connect()


@pytest.mark.case(81)
@pytest.mark.parametrize("scheme", ["http", "https"])
@in_loop
async def test_an_answer_in_pieces(scheme: str) -> None:
    """An answer is one however it is split: none of it is left for the server's TLS to stumble over."""

    async def serve(there: Proxy, reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        answer = b"HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 x\r\n\r\n"
        for byte in answer[:-1]:
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await there.join(reader, writer, "127.0.0.1", port, answer[-1:])

    context = contexts().server if scheme == "https" else None
    settings: dict[str, Any] = {"port": 0, "host": "127.0.0.1", "ssl": contexts().server}
    async with wsmash.create_server(**settings) as server, proxy(serve, context=context) as there:
        options: dict[str, Any] = {"proxy_ssl": contexts().client} if context else {}
        url = f"wss://127.0.0.1:{server.port}"
        async with wsmash.connect(url, proxy=there.url(scheme), ssl=contexts().client, **options) as client:
            assert await client.ping() > 0


@pytest.mark.parametrize(
    ("scheme", "answers"),
    [
        ("socks5", [b"\x04\x00"]),
        ("socks5", [b"\x05\x02"]),
        ("socks5", [b"\x05\x09"]),
        ("socks5", [b"\x05\xff"]),
        ("socks5", [b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
        ("socks5", [b"\x05\0", b"\x05\x05\0\x01" + bytes(6)]),
        ("socks5", [b"\x05\0", b"\x05\x63\0\x01" + bytes(6)]),
        ("socks5", [b"\x05\0", b"\x05\0\x01\x01" + bytes(6)]),
        ("socks5", [b"\x05\0", b"\x05\0\0\x07" + bytes(6)]),
        ("socks5", [b"\x05\0", b"\x05\0\0\x03\x04\xff\xff\xff\xff\0\0"]),
        ("socks5", [b"\x05\0", b"\x05\0\0\x03"]),
        ("socks4", [b"\0\x5b" + bytes(6)]),
        ("socks4", [b"\0\x63" + bytes(6)]),
        ("socks4", [b"\x04\x5a" + bytes(6)]),
        ("socks4", [b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
    ],
)
@in_loop
async def test_wrong_socks(scheme: str, answers: list[bytes]) -> None:
    """A refusal, and what is no SOCKS at all, is a ProxyError that names the proxy."""

    async def serve(_: Proxy, reader: Reader, writer: Writer) -> None:
        for answer in answers:
            await reader.read(1000)
            writer.write(answer)
        if answers[-1] != b"\x05\0\0\x03":
            await reader.read(1000)

    await refused(serve, scheme)


@in_loop
async def test_socks_with_bytes_behind_its_answer() -> None:
    """They are none of SOCKS', and what they are is for the server's TLS to say."""

    async def serve(_: Proxy, reader: Reader, writer: Writer) -> None:
        await reader.read(1000)
        writer.write(b"\x05\0")
        await reader.read(1000)
        writer.write(SOCKS5_OK + b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        await reader.read()

    async with proxy(serve) as there:
        client = wsmash.create_client("wss://127.0.0.1:9", proxy=there.url("socks5"), ssl=contexts().client)
        with pytest.raises(wsmash.ConnectError, match="TLS failed"):
            await client.connect()


@pytest.mark.parametrize("answer", [b"\x15\x03\x01\0\x02\x02\x28", b""])
@in_loop
async def test_an_http_proxy_that_expects_tls(answer: bytes) -> None:
    """A CONNECT in the open is answered with an alert, or not at all: the error says what the scheme may have to be."""
    async with proxy(saying(answer)) as there:
        client = wsmash.create_client("ws://127.0.0.1:9", proxy=there.url("http"))
        with pytest.raises(wsmash.ProxyError, match="the scheme of its URL is https"):
            await client.connect()


@in_loop
async def test_an_https_proxy_without_tls() -> None:
    """A plain port in place of TLS is a ProxyError that says so, and sees no request."""

    async def serve(_: Proxy, reader: Reader, writer: Writer) -> None:
        first = await reader.read(1000)
        assert first.startswith(b"\x16\x03")
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with proxy(serve) as there:
        client = wsmash.create_client("ws://127.0.0.1:9", proxy=there.url("https"), proxy_ssl=contexts().client)
        with pytest.raises(wsmash.ProxyError, match="TLS failed with the proxy") as caught:
            await client.connect()
        assert isinstance(caught.value.__cause__, ssl.SSLError)


@in_loop
async def test_closed_while_the_proxy_is_asked() -> None:
    """`close` abandons the attempt, and its socket is let go."""
    ended = asyncio.Event()
    asked = asyncio.Event()

    async def serve(_: Proxy, reader: Reader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        await reader.read()
        ended.set()

    async with proxy(serve) as there:
        client = wsmash.create_client("ws://127.0.0.1:9", proxy=there.url("http"))
        heard = listened_to(client)
        connecting = client.connect()
        await asked.wait()
        await client.close()
        with pytest.raises(wsmash.ConnectionClosed):
            await connecting
        await client.wait_closed()
        await ended.wait()
        assert heard == [("close", 1006)]


@in_loop
async def test_answers_of_the_server_through_a_proxy() -> None:
    """What the server refuses is a HandshakeError, not the proxy's."""
    async with answering(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n") as port, proxy(http) as there:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}", proxy=there.url("http"))
        with pytest.raises(wsmash.HandshakeError) as caught:
            await client.connect()
        assert caught.value.status == 407
