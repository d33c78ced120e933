"""Behind a reverse proxy: whose word counts, and for what."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import struct
from pathlib import Path
from typing import Any

import pytest

import wsmash
from documents import ROOT
from fixtures.in_loop import in_loop, until
from fixtures.raw import Answer, ask, get, refusal, serving, upgrade, wire
from programs import free_port
from wsmash.server import WebSocketServer

CLIENT = "192.0.2.7"

pytestmark = pytest.mark.case(83)


async def knock(server: WebSocketServer, *lines: str, origin: str | None = None) -> Answer:
    """An opening request with these headers."""
    async with wire(server) as peer:
        await peer.send(upgrade("/", *lines, Origin=origin))
        return await peer.answer()


@in_loop
async def test_a_trusted_proxy_speaks_for_its_client() -> None:
    """Address, scheme and host of requests and connections are those that the proxy was asked with."""
    seen: list[wsmash.Request] = []
    found: list[Any] = []
    async with serving(trusted_proxies=["127.0.0.0/8"], process_request=seen.append) as server:

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            client = event.client
            found.append((client.remote_address, client.get_url(), event.request.secure, repr(client)))

        lines = (f"X-Forwarded-For: 6.6.6.6, {CLIENT}", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.example")
        assert (await knock(server, *lines, origin="https://a.example")).status == 101
        assert (await knock(server, *lines, origin="http://a.example")).status == 403
        assert (await knock(server, *lines, origin="https://b.example")).status == 403
    assert seen[0].remote_address == (CLIENT, 0)
    assert (seen[0].url, seen[0].host) == ("wss://a.example/", "a.example")
    assert found[0][:3] == ((CLIENT, 0), "wss://a.example/", True) and CLIENT in found[0][3]


@pytest.mark.parametrize("trusted", [(), ("10.0.0.0/8", "unix")])
@in_loop
async def test_others_speak_for_themselves(trusted: tuple[str, ...]) -> None:
    """From a peer that is not trusted the headers mean nothing, malformed or not."""
    seen: list[wsmash.Request] = []
    async with serving(trusted_proxies=trusted, process_request=seen.append) as server:
        lines = ("X-Forwarded-For: garbage", "X-Forwarded-Proto: https", "X-Forwarded-Host: a.example")
        assert (await knock(server, *lines, origin="http://a.example")).status == 403
        assert (await knock(server, *lines)).status == 101
    assert {each.remote_address[0] for each in seen if isinstance(each.remote_address, tuple)} == {"127.0.0.1"}
    assert {each.url for each in seen} == {"ws://127.0.0.1/"}


@in_loop
async def test_the_one_header_or_the_other() -> None:
    """`Forwarded` is read where it is asked for, and `X-Forwarded-For` is not then."""
    seen: list[wsmash.Request] = []
    options: dict[str, Any] = {"trusted_proxies": "127.0.0.1", "proxy_headers": "forwarded"}
    async with serving(**options, process_request=seen.append) as server:
        await knock(server, f"Forwarded: for={CLIENT};proto=https", "X-Forwarded-For: 6.6.6.6")
        await knock(server, "X-Forwarded-For: 6.6.6.6")
    assert [each.remote_address[0] for each in seen if isinstance(each.remote_address, tuple)] == [CLIENT, "127.0.0.1"]


@in_loop
async def test_malformed_words_of_a_proxy() -> None:
    """They are a 400, before any hook is asked."""
    seen: list[wsmash.Request] = []
    answer = await refusal(
        upgrade("/", "X-Forwarded-For: \x80"), trusted_proxies="127.0.0.1", process_request=seen.append
    )
    assert answer.status == 400 and seen == []


@in_loop
async def test_limits_for_one_address_are_for_the_client_s() -> None:
    """Clients of one proxy do not use up each other's connections, and their own end when they do."""
    async with serving(trusted_proxies="127.0.0.1", max_connections_per_ip=1) as server:
        async with wire(server) as one, wire(server) as two:
            for peer, host in ((one, "192.0.2.1"), (two, "192.0.2.2")):
                await peer.send(upgrade("/", f"X-Forwarded-For: {host}"))
                assert (await peer.answer()).status == 101
            assert (await ask(server, upgrade("/", "X-Forwarded-For: 192.0.2.1"))).status == 429
        await until(lambda: server.get_client_count() == 0)
        assert (await knock(server, "X-Forwarded-For: 192.0.2.1")).status == 101


@in_loop
async def test_connect_rate_is_the_client_s() -> None:
    """A proxy may connect as often as it likes, each of its clients may not."""
    async with serving(trusted_proxies="127.0.0.1", connect_rate=1) as server:
        hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8::1", "2001:db8::2"]
        found = [(await ask(server, get("/healthz", f"X-Forwarded-For: {host}"))) for host in hosts]
        assert [each.status for each in found] == [200, 200, 429, 200, 429]
        assert found[2].headers["retry-after"] == "1"
        assert [(await ask(server, get("/healthz"))).status for _ in range(3)] == [200] * 3


@in_loop
async def test_a_reset_is_no_unix_socket() -> None:
    """Whoever has reset its connection before it is accepted may have no address any more, and is no proxy for that."""
    seen: list[wsmash.Request] = []
    async with serving(trusted_proxies=["unix"], process_request=seen.append) as server:
        with socket.create_connection(("127.0.0.1", server.port)) as sock:
            sock.sendall(get("/", f"X-Forwarded-For: {CLIENT}"))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await until(lambda: server.counters.accepted and server.counters.plain + server.counters.unopened)
    assert not any(CLIENT in str(each.remote_address) for each in seen)


@in_loop
async def test_a_proxy_on_a_unix_socket(tmp_path: Any) -> None:
    """Whoever may connect to the socket is trusted where "unix" is."""
    path = str(tmp_path / "s")
    found: list[Any] = []
    async with serving(unix=path, trusted_proxies="unix") as server:
        server.on("connection", lambda event: found.append(event.client.remote_address))
        async with wsmash.connect("ws://a.example/", unix=path, headers={"X-Forwarded-For": CLIENT}):
            pass
        await until(lambda: found)
    assert found == [(CLIENT, 0)]


# The guide's configurations

GUIDE = (ROOT / "docs" / "guide.md").read_text("utf-8")
CONFIGURATIONS = dict(re.findall(r"^```(nginx|haproxy)\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
def test_a_configuration_sets_each_header(proxy: str) -> None:
    """One that it left alone would be the client's own."""
    for header in ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"):
        assert len(re.findall(rf"set.header {header} ", CONFIGURATIONS[proxy])) == 1


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")
@in_loop
async def test_the_configuration_of_nginx(tmp_path: Path) -> None:
    """With it a WebSocket passes, and the server knows where its client has connected."""
    options: dict[str, Any] = {"trusted_proxies": ["127.0.0.1"], "allowed_hosts": ["chat.example.com"]}
    async with serving(path="/feed", **options) as server:
        urls: list[str] = []

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            urls.append(event.client.get_url())
            event.client.on("message", lambda message: event.client.send(message.data))

        port = free_port()
        location = CONFIGURATIONS["nginx"].replace("127.0.0.1:8080", f"127.0.0.1:{server.port}")
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {tmp_path};" for kind in kinds)
        file = tmp_path / "nginx.conf"
        file.write_text(
            f"daemon off; master_process off; pid {tmp_path}/pid; error_log stderr; events {{}}\n"
            f"http {{ access_log off; {paths} server {{ listen 127.0.0.1:{port};\n{location}}} }}\n"
        )
        nginx = await asyncio.create_subprocess_exec("nginx", "-p", str(tmp_path), "-c", str(file))
        try:
            client = wsmash.create_client(
                f"ws://127.0.0.1:{port}/feed",
                proxy=None,
                headers={"Host": "chat.example.com", "Origin": "http://chat.example.com"},
                reconnect=wsmash.Reconnect(first_delay=0.1),
            )
            await asyncio.wait_for(client.connect(), 10)
            client.send("hello")
            assert await client.recv() == "hello"
            assert urls == ["ws://chat.example.com/feed"]
            await client.close()
        finally:
            nginx.terminate()
            await nginx.wait()
