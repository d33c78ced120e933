"""The client through real proxies of every kind: what they are asked, what they are told, and who is verified."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import wsmash
from fixtures import proxies
from fixtures.certificates import authority, contexts, server_context
from fixtures.in_loop import in_loop
from fixtures.proxies import proxy

KINDS = {
    "http": proxies.http,
    "https": proxies.http,
    "socks4": proxies.socks4,
    "socks4a": proxies.socks4,
    "socks5": proxies.socks5,
    "socks5h": proxies.socks5,
}


def proxying(scheme: str, **options: Any) -> Any:
    """A proxy for URLs of this scheme."""
    return proxy(KINDS[scheme], context=contexts().server if scheme == "https" else None, **options)


def through(there: proxies.Proxy, scheme: str, userinfo: str = "") -> dict[str, Any]:
    """The options of a client that connects through it."""
    context = {"proxy_ssl": contexts().client} if scheme == "https" else {}
    return {"proxy": there.url(scheme, userinfo), **context}


@asynccontextmanager
async def echoing(*, secure: bool = False, **options: Any) -> AsyncIterator[wsmash.WebSocketServer]:
    """A server that echoes."""
    settings: dict[str, Any] = {"port": 0, "host": "127.0.0.1", "ssl": contexts().server if secure else None} | options
    async with wsmash.create_server(**settings) as server:

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            event.client.on("message", lambda message: message.client.send(message.data))

        yield server


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("scheme", KINDS)
@in_loop
async def test_echo(scheme: str, secure: bool) -> None:
    """Each kind of proxy carries ws and wss, TLS inside TLS among them, and is told nothing that the server is (82)."""
    async with echoing(secure=secure) as server, proxying(scheme) as there:
        url = f"{'wss' if secure else 'ws'}://127.0.0.1:{server.port}/?token=hunter2"
        context = contexts().client if secure else None
        async with wsmash.connect(url, ssl=context, auth="hunter2", **through(there, scheme)) as client:
            for message in ("hello", b"x" * 300_000, ""):
                await client.send(message)
                assert await client.recv() == message
            assert client.remote_address == ("127.0.0.1", there.port)
        assert client.get_state() is wsmash.State.CLOSED
    [hop] = there.hops
    assert hop.place == "127.0.0.1" and b"hunter2" not in hop.asked and b"Sec-WebSocket" not in hop.asked
    assert there.relayed[0].startswith(b"\x16\x03" if secure else b"GET /?token=hunter2 HTTP/1.1\r\n")


@pytest.mark.parametrize("scheme", ["http", "https", "socks4a", "socks5h"])
@in_loop
async def test_the_proxy_looks_names_up(scheme: str) -> None:
    """These kinds are asked for a name that only the proxy knows."""
    async with echoing() as server, proxying(scheme, names={"inside.example": "127.0.0.1"}) as there:
        url = f"ws://inside.example:{server.port}"
        async with wsmash.connect(url, **through(there, scheme)) as client:
            assert client.request and client.request.host == f"inside.example:{server.port}"
    assert there.hops[0].place == "inside.example"


@pytest.mark.parametrize("scheme", ["socks4", "socks5"])
@in_loop
async def test_the_client_looks_names_up(scheme: str) -> None:
    """These kinds are asked for an address; a name that is not known is a ProxyError."""
    async with echoing() as server, proxying(scheme) as there:
        async with wsmash.connect(f"ws://localhost:{server.port}", **through(there, scheme)):
            assert there.hops[0].place == "127.0.0.1"
        client = wsmash.create_client("ws://nowhere.invalid", **through(there, scheme))
        with pytest.raises(wsmash.ProxyError, match=r"cannot look up nowhere\.invalid"):
            await client.connect()
    assert len(there.hops) == 1


@pytest.mark.parametrize("scheme", ["http", "https", "socks5", "socks5h"])
@in_loop
async def test_ipv6(scheme: str) -> None:
    """An address of IPv6 is asked for as one."""
    async with (
        echoing(host="::1") as server,
        proxying(scheme) as there,
        wsmash.connect(f"ws://[::1]:{server.port}", **through(there, scheme)),
    ):
        assert there.hops[0].place == "::1"


@pytest.mark.parametrize("scheme", ["socks4", "socks4a"])
@in_loop
async def test_no_ipv6(scheme: str) -> None:
    """SOCKS4 has no way to say it."""
    async with proxying(scheme) as there:
        client = wsmash.create_client("ws://[::1]:9", **through(there, scheme))
        with pytest.raises(wsmash.ProxyError, match="knows no IPv6"):
            await client.connect()
    assert there.hops == []


# Credentials


@pytest.mark.case(26)
@pytest.mark.parametrize(
    ("scheme", "userinfo", "credentials"),
    [
        ("http", "user:p%40ss", ("user", "p@ss")),
        ("http", "user:", ("user", "")),
        ("http", "user", ("user", "")),
        ("http", "J%C3%BCrgen:gr%C3%BCn", ("Jürgen", "grün")),
        ("https", "user:pass", ("user", "pass")),
        ("socks4", "user", ("user", "")),
        ("socks4a", "user", ("user", "")),
        ("socks5", "user:p%40ss", ("user", "p@ss")),
        ("socks5h", "user:pass", ("user", "pass")),
    ],
)
@in_loop
async def test_credentials(scheme: str, userinfo: str, credentials: tuple[str, str]) -> None:
    """The proxy is told them, and the server is not."""
    async with echoing() as server, proxying(scheme, credentials=credentials) as there:
        options = through(there, scheme, userinfo)
        async with wsmash.connect(f"ws://127.0.0.1:{server.port}", **options) as client:
            assert userinfo not in repr(client) and userinfo not in repr(client.options)
            [connection] = server.get_clients()
            assert not {"Proxy-Authorization", "Authorization"} & set(connection.request.headers)
    assert there.hops[0].credentials == credentials
    assert b"Proxy-Authorization" not in there.relayed[0]


@pytest.mark.case(26)
@pytest.mark.parametrize("scheme", KINDS)
@in_loop
async def test_wrong_credentials(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    """A refusal is a ProxyError, also a ConnectError, which tells that it was the proxy, and no secret."""
    userinfo = "hunter2" if scheme.startswith("socks4") else "user:hunter2"
    async with proxying(scheme, credentials=("user", "other")) as there:
        client = wsmash.create_client("ws://127.0.0.1:9", **through(there, scheme, userinfo))
        errors: list[Exception] = []
        client.on("error", lambda event: errors.append(event.error))
        with pytest.raises(wsmash.ProxyError) as caught:
            await client.connect()
        assert issubclass(wsmash.ProxyError, wsmash.ConnectError)
        assert errors == [caught.value]
        assert f"the proxy {scheme}://127.0.0.1:{there.port}" in str(caught.value)
        assert len(there.hops) <= 1  # and not again and again
        if scheme.startswith("http"):
            assert caught.value.status == 407 and "407" in str(caught.value) and "credentials" in str(caught.value)
            assert caught.value.headers["proxy-authenticate"] == "Basic realm=x"
        seen: BaseException | None = caught.value
        while seen is not None:
            assert "hunter2" not in f"{seen} {seen!r}"
            seen = seen.__cause__ or seen.__context__
    assert "hunter2" not in caplog.text


@pytest.mark.case(26)
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("scheme", ["http", "socks4a", "socks5", "socks5h"])
@in_loop
async def test_wrong_credentials_are_not_tried_again(scheme: str, given: bool) -> None:
    """Nor are missing ones: a client that would connect again and again does not, and says which of both it was."""
    userinfo = ("hunter2" if scheme == "socks4a" else "user:hunter2") if given else ""
    async with proxying(scheme, credentials=("user", "other")) as there:
        client = wsmash.create_client(
            "ws://127.0.0.1:9", reconnect=wsmash.Reconnect(first_delay=0.01), proxy=there.url(scheme, userinfo)
        )
        text = "wants other credentials than its URL gives" if given else f"credentials, as in {scheme}://user:password@"
        with pytest.raises(wsmash.ProxyError, match=text) as caught:
            await asyncio.wait_for(client.connect(), 5)
        assert caught.value.permanent is (scheme != "http")
        assert client.get_state() is wsmash.State.CLOSED
    assert len(there.hops) <= 1


@pytest.mark.case(26)
@pytest.mark.parametrize("scheme", ["socks4a", "socks5h"])
@in_loop
async def test_a_server_that_socks_does_not_reach_is_tried_again(scheme: str) -> None:
    """Only credentials are final, and not each refusal of such a proxy."""
    refusal = b"\0\x5b" + bytes(6) if scheme == "socks4a" else b"\x05\0\x05\x05\0"
    async with proxy(proxies.saying(refusal, after=b"")) as there:
        client = wsmash.create_client("ws://127.0.0.1:9", proxy=there.url(scheme))
        with pytest.raises(wsmash.ProxyError, match="did not connect") as caught:
            await client.connect()
    assert not caught.value.permanent and not wsmash.Reconnect().is_fatal(wsmash.Outage(attempt=1, error=caught.value))


# Who is verified


@pytest.mark.case(26, 82)
@pytest.mark.parametrize("scheme", KINDS)
@in_loop
async def test_the_server_s_own_name_is_verified(scheme: str) -> None:
    """TLS through a proxy is with the server: a certificate for the proxy's name is not enough."""
    names = {"origin.example": "127.0.0.1"}
    remote = scheme in ("http", "https", "socks4a", "socks5h")
    host = "origin.example" if remote else "127.0.0.1"
    async with (
        echoing(ssl=server_context("proxy.example" if not remote else "127.0.0.1")) as wrong,
        echoing(ssl=server_context(host)) as right,
        proxying(scheme, names=names) as there,
    ):
        options = {"ssl": contexts().client, **through(there, scheme)}
        client = wsmash.create_client(f"wss://{host}:{wrong.port}", **options)
        with pytest.raises(wsmash.ConnectError, match="certificate") as caught:
            await client.connect()
        assert not isinstance(caught.value, wsmash.ProxyError)
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
        async with wsmash.connect(f"wss://{host}:{right.port}", **options) as client:
            await client.send("safe")
            assert await client.recv() == "safe"


@pytest.mark.case(82)
@in_loop
async def test_each_session_asks_for_its_own_name() -> None:
    """Of TLS within TLS the outer session names the proxy, and the inner one the server (RFC 6066 3), each time."""
    asked: list[tuple[str, str | None]] = []

    def listening(whose: str, name: str) -> ssl.SSLContext:
        context = server_context(name)
        context.sni_callback = lambda _, asked_for, __: asked.append((whose, asked_for))
        return context

    names = {"one.example": "127.0.0.1", "two.example": "127.0.0.1"}
    async with (
        echoing(ssl=listening("one", "one.example")) as one,
        echoing(ssl=listening("two", "two.example")) as two,
        proxy(proxies.http, names=names, context=listening("proxy", "localhost")) as there,
    ):
        options: dict[str, Any] = {
            "ssl": contexts().client,  # one for all, whose sessions must not be taken for each other's
            "proxy": f"https://localhost:{there.port}",
            "proxy_ssl": contexts().client,
        }
        for host, server in (("one", one), ("two", two), ("one", one)):
            async with wsmash.connect(f"wss://{host}.example:{server.port}", **options):
                assert asked[-2:] == [("proxy", "localhost"), (host, f"{host}.example")]
        client = wsmash.create_client(f"wss://two.example:{one.port}", **options)
        with pytest.raises(wsmash.ConnectError, match="certificate"):
            await client.connect()


@pytest.mark.case(79, 82)
@pytest.mark.parametrize("what", ["unknown issuer", "other name"])
@in_loop
async def test_the_proxy_is_verified_too(what: str) -> None:
    """An https:// proxy that is not who it should be is asked nothing, and told no credentials."""
    context = server_context("127.0.0.1" if what == "unknown issuer" else "other.example")
    async with proxy(proxies.http, context=context) as there:
        trusted = None if what == "unknown issuer" else contexts().client
        client = wsmash.create_client("ws://127.0.0.1:9", proxy=there.url("https", "user:hunter2"), proxy_ssl=trusted)
        with pytest.raises(wsmash.ProxyError, match="TLS failed with the proxy") as caught:
            await client.connect()
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)
    assert there.hops == []


@in_loop
async def test_a_certificate_of_the_client_s_for_the_proxy() -> None:
    """`proxy_ssl` is for the proxy, `ssl` for the server: each may be shown a certificate of its own."""
    wanting = server_context("127.0.0.1")
    wanting.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(wanting)
    mine = ssl.create_default_context()
    authority().configure_trust(mine)
    authority().issue_cert("me.example").configure_cert(mine)
    async with echoing(secure=True) as server, proxy(proxies.http, context=wanting) as there:
        url = f"wss://127.0.0.1:{server.port}"
        async with wsmash.connect(url, ssl=contexts().client, proxy=there.url("https"), proxy_ssl=mine) as client:
            assert client.is_open()
        client = wsmash.create_client(url, proxy=there.url("https"), proxy_ssl=contexts().client)
        with pytest.raises(wsmash.ProxyError):
            await client.connect()


@in_loop
async def test_an_unverified_proxy_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not verifying the proxy is the user's explicit choice, and logged."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with (
        echoing() as server,
        proxying("https") as there,
        wsmash.connect(f"ws://127.0.0.1:{server.port}", proxy=there.url("https"), proxy_ssl=context),
    ):
        pass
    assert "127.0.0.1 is not verified" in caplog.text


# Ends


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
@in_loop
async def test_closing(scheme: str, secure: bool) -> None:
    """Either side may begin to close, and both frames pass."""
    async with echoing(secure=secure) as server, proxying(scheme) as there:
        url = f"{'wss' if secure else 'ws'}://127.0.0.1:{server.port}"
        options = {"ssl": contexts().client if secure else None, **through(there, scheme)}
        for by_server in (False, True):
            async with wsmash.connect(url, **options) as client:
                [connection] = server.get_clients()
                closes: list[wsmash.CloseEvent] = []
                client.on("close", closes.append)
                await (connection if by_server else client).close(4000, "enough")
                await client.wait_closed()
                await connection.wait_closed()
            assert (closes[0].code, closes[0].reason, closes[0].was_clean) == (4000, "enough", True)


@in_loop
async def test_a_proxy_that_breaks_off() -> None:
    """A connection whose proxy dies is 1006."""
    for scheme in ("http", "https"):
        async with echoing() as server:
            async with proxying(scheme) as there:
                client = wsmash.create_client(f"ws://127.0.0.1:{server.port}", **through(there, scheme))
                closes: list[wsmash.CloseEvent] = []
                client.on("close", closes.append)
                await client.connect()
            await client.wait_closed()
            assert closes[0].code == 1006


@in_loop
async def test_back_pressure() -> None:
    """Through TLS inside TLS a server that does not read makes `send` wait, and what was sent arrives whole."""
    size, count = 256 * 1024, 40
    got: list[int] = []
    release = asyncio.Event()
    async with echoing(secure=True) as server, proxying("https") as there:

        async def slow(event: wsmash.MessageEvent) -> None:
            await release.wait()
            got.append(len(event.data))

        server.off("connection", server.on("connection", lambda _: None))
        server.on("connection", lambda event: event.client.on("message", slow))
        options = {"ssl": contexts().client, "compression": None, "max_write_buffer": None, **through(there, "https")}
        async with wsmash.connect(f"wss://127.0.0.1:{server.port}", **options) as client:
            for _ in range(count):
                waiting = client.send(bytes(size))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(waiting)), 0.1)
            release.set()
            client.on("message", lambda _: None)
            while len(got) < count:
                await asyncio.sleep(0.005)
    assert got == [size] * count


# Which proxy


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no proxy, to be added to."""
    for name in ("ws", "wss", "http", "https", "socks", "all", "no"):
        monkeypatch.delenv(f"{name}_proxy", raising=False)
        monkeypatch.delenv(f"{name}_proxy".upper(), raising=False)
    return monkeypatch


def test_by_the_environment(no_environment: pytest.MonkeyPatch) -> None:
    """The default asks the environment; loopback is not proxied; None asks nobody."""

    @in_loop
    async def scenario() -> None:
        names = {"inside.example": "127.0.0.1"}
        async with echoing() as server, proxy(proxies.socks5, names=names) as there:
            no_environment.setenv("WS_PROXY", there.url("socks5h"))
            async with wsmash.connect(f"ws://inside.example:{server.port}"):
                assert len(there.hops) == 1
            async with wsmash.connect(f"ws://127.0.0.1:{server.port}"):
                assert len(there.hops) == 1
            client = wsmash.create_client(f"ws://inside.example:{server.port}", proxy=None)
            with pytest.raises(wsmash.ConnectError, match=r"look up inside\.example"):
                await client.connect()
            assert len(there.hops) == 1

    scenario()


def test_an_error_names_the_variable_that_named_the_proxy(no_environment: pytest.MonkeyPatch) -> None:
    """Its user may not know that there is one."""

    @in_loop
    async def scenario() -> None:
        async with proxying("http", credentials=("user", "other")) as there:
            no_environment.setenv("HTTPS_PROXY", there.url("http"))
            client = wsmash.create_client("wss://inside.example")
            with pytest.raises(wsmash.ProxyError, match=rf"{there.port} \(HTTPS_PROXY in the environment\)"):
                await client.connect()

    scenario()


def test_what_the_environment_holds_may_be_no_proxy(no_environment: pytest.MonkeyPatch) -> None:
    """Then connecting fails with a ProxyError that names the variable, and no secret."""

    @in_loop
    async def scenario() -> None:
        no_environment.setenv("https_proxy", "quic://user:hunter2@proxy.example")
        client = wsmash.create_client("wss://inside.example", reconnect=True)
        with pytest.raises(wsmash.ProxyError, match="https_proxy in the environment") as caught:
            await asyncio.wait_for(client.connect(), 5)
        assert "hunter2" not in str(caught.value)

    scenario()


@in_loop
async def test_redirects_go_through_the_proxy_too() -> None:
    """Each server that a redirect leads to is asked for through the proxy."""

    def elsewhere(request: wsmash.Request) -> wsmash.Response | None:
        return wsmash.Response(302, headers={"Location": f"ws://localhost:{second.port}/"})

    async with (
        echoing() as second,
        echoing(process_request=elsewhere) as first,
        proxying("http") as there,
        wsmash.connect(f"ws://127.0.0.1:{first.port}", **through(there, "http")) as client,
    ):
        assert client.is_open()
    assert [hop.place for hop in there.hops] == ["127.0.0.1", "localhost"]


@in_loop
async def test_nobody_at_the_proxy_s_place() -> None:
    """A proxy that is not reached is a ProxyError with the system's number and causes."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        for scheme in KINDS:
            client = wsmash.create_client("ws://127.0.0.1:9", proxy=f"{scheme}://127.0.0.1:{port}")
            with pytest.raises(wsmash.ProxyError, match=f"the proxy {scheme}://127.0.0.1:{port} is not") as caught:
                await client.connect()
            assert caught.value.errno and len(caught.value.causes) == 1
