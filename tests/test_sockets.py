"""Where a server listens: TCP of both families, Unix sockets, sockets it is given, TLS.

Numbers in brackets are those of the list of hostile inputs.
"""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

import wsmash
from fixtures.certificates import contexts
from fixtures.in_loop import in_loop, until
from fixtures.raw import can_connect, get, serving, talk, wire


def loopback_addresses() -> set[str]:
    """What `localhost` stands for here, as far as this machine has it."""
    found = set[str]()
    for family, _, _, _, address in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM):
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            try:
                sock.bind(address)
            except OSError:
                continue
            found.add(str(address[0]))
    return found


# TCP


@in_loop
async def test_localhost() -> None:
    """`localhost` listens on every loopback address it stands for, on one port."""
    async with wsmash.create_server(port=0) as server:
        assert server.port > 0
        for host in loopback_addresses():
            assert await can_connect(host, server.port), host
        await talk(server, f"ws://localhost:{server.port}")


@in_loop
async def test_several_hosts_share_a_port() -> None:
    """Port 0 gets one port for all addresses."""
    async with wsmash.create_server(port=0, host=["127.0.0.1", "::1", "127.0.0.2"]) as server:
        for host in ("127.0.0.1", "::1", "127.0.0.2"):
            assert await can_connect(host, server.port), host
        await talk(server, f"ws://[::1]:{server.port}")


@in_loop
async def test_the_same_host_twice() -> None:
    """An address that is named twice is bound once."""
    async with wsmash.create_server(port=0, host=["127.0.0.1", "127.0.0.1"]) as server:
        assert await can_connect("127.0.0.1", server.port)


@in_loop
async def test_every_interface() -> None:
    """`host=None` listens on every interface, of both families."""
    async with wsmash.create_server(port=0, host=None) as server:
        assert await can_connect("127.0.0.1", server.port) and await can_connect("::1", server.port)


@in_loop
async def test_addresses_that_the_machine_lacks_are_skipped() -> None:
    """An address that is not there is skipped where another one binds; where none does, it is an error."""
    async with wsmash.create_server(port=0, host=["192.0.2.1", "127.0.0.1"]) as server:
        assert await can_connect("127.0.0.1", server.port)
    server = wsmash.create_server(port=0, host="192.0.2.1")
    with pytest.raises(OSError, match=r"192\.0\.2\.1") as caught:
        await server.start()
    assert caught.value.errno == errno.EADDRNOTAVAIL


@in_loop
async def test_port_in_use() -> None:
    """A port in use on one address is an error that names it; nothing is left listening on the others."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        server = wsmash.create_server(port=port, host=["127.0.0.1", "::1"])
        errors: list[wsmash.ServerEvent] = []
        server.on("error", errors.append)
        with pytest.raises(OSError, match=rf"\[::1\]:{port}") as caught:
            await server.start()
        assert caught.value.errno == errno.EADDRINUSE
        await until(lambda: errors)
        assert errors[0].error is caught.value
        assert not server.is_started() and not await can_connect("127.0.0.1", port)


@in_loop
async def test_unknown_host(caplog: pytest.LogCaptureFixture) -> None:
    """A host without an address is an error that names it; where nobody hears of it, it is logged once."""
    server = wsmash.create_server(host="no-such-host.invalid")
    with pytest.raises(OSError, match=r"no-such-host\.invalid"):
        await server.start()
    assert caplog.records == []
    server.start()
    await until(lambda: caplog.records)
    assert ["no-such-host.invalid" in record.getMessage() for record in caplog.records] == [True]


@in_loop
async def test_port_is_free_again_after_a_stop() -> None:
    """A server that has just stopped, with connections in TIME_WAIT, can be followed by another one."""
    async with serving() as server:
        port = server.port
        await talk(server, f"ws://127.0.0.1:{port}")
        async with wire(server) as peer:
            await peer.send(get("/healthz"))
            await peer.read_all()  # the server ends first
    async with serving(port=port) as server:
        assert server.port == port


@in_loop
async def test_reuse_port() -> None:
    """With `reuse_port` two servers share a port; without it they don't."""
    async with serving(reuse_port=True) as one, serving(port=one.port, reuse_port=True) as other:
        assert one.port == other.port
        with pytest.raises(OSError, match="cannot listen"):
            await wsmash.create_server(port=one.port, host="127.0.0.1").start()


@in_loop
async def test_inherited_socket() -> None:
    """A bound socket is listened on as it is, and `port` is its port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    async with wsmash.create_server(sock=sock) as server:
        assert server.port == port
        await talk(server, f"ws://127.0.0.1:{port}")
    assert sock.fileno() == -1, "the server has taken it over"


@in_loop
async def test_several_inherited_sockets() -> None:
    """All of them are listened on; `port` is the first one's."""
    socks = [socket.socket() for _ in range(2)]
    for sock in socks:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in socks]
    async with wsmash.create_server(sock=socks) as server:
        assert server.port == ports[0]
        for port in ports:
            await talk(server, f"ws://127.0.0.1:{port}")
    assert [sock.fileno() for sock in socks] == [-1, -1]


# Unix sockets


@in_loop
async def test_unix(tmp_path: Path) -> None:
    """A server and a client meet at a path; the file is gone after the stop."""
    path = tmp_path / "door"
    server = wsmash.create_server(unix=path, max_connections_per_ip=1)
    async with server:
        assert server.port == 0 and path.is_socket()
        await talk(server, "ws://localhost/", unix=path)
        async with wsmash.connect("ws://localhost", unix=str(path)), wsmash.connect("ws://localhost", unix=path):
            assert server.get_client_count() == 2, "peers without an address are not one address"
            assert server.get_clients()[0].request.remote_address is None
    assert not path.exists()


@in_loop
async def test_unix_stale_file(tmp_path: Path) -> None:
    """A socket's file that nobody listens on any more is replaced."""
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    async with wsmash.create_server(unix=path) as server:
        await talk(server, "ws://localhost", unix=path)


@pytest.mark.parametrize("queue", ["free", "full"])
@in_loop
async def test_unix_live_server(tmp_path: Path, queue: str) -> None:
    """A path that somebody listens on is not taken over, its queue full or not, and is still there afterwards."""
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen(0)
        waiting: list[socket.socket] = []
        while queue == "full":
            caller = socket.socket(socket.AF_UNIX)
            caller.setblocking(False)
            waiting.append(caller)
            try:
                caller.connect(str(path))
            except BlockingIOError:
                break
        server = wsmash.create_server(unix=path)
        with pytest.raises(OSError, match="door") as caught:
            await server.start()
        assert caught.value.errno == errno.EADDRINUSE and path.is_socket()
        for each in waiting:
            each.close()


@in_loop
async def test_unix_file_that_is_no_socket(tmp_path: Path) -> None:
    """A file that is no socket is nobody's to replace or to remove."""
    path = tmp_path / "door"
    path.write_text("precious")
    server = wsmash.create_server(unix=path)
    with pytest.raises(OSError, match="door"):
        await server.start()
    abandoned = server.start()
    await server.stop()
    with pytest.raises(wsmash.InvalidState):
        await abandoned
    assert path.read_text() == "precious"


# TLS


@in_loop
async def test_tls() -> None:
    """A server and a client meet over TLS; the request is secure on both ends."""
    async with serving(ssl=contexts().server) as server:
        await talk(server, f"wss://127.0.0.1:{server.port}", ssl=contexts().client)
        async with wsmash.connect(f"wss://localhost:{server.port}", ssl=contexts().client):
            (client,) = server.get_clients()
            assert client.get_url() == f"wss://localhost:{server.port}/"


@pytest.mark.case(79)
@in_loop
async def test_tls_of_another_name() -> None:
    """A certificate for another name fails the client, and leaves the server as it was (79)."""
    async with serving(host="127.0.0.2", ssl=contexts().server) as server:
        with pytest.raises(wsmash.ConnectError, match="certificate"):
            await wsmash.connect(f"wss://127.0.0.2:{server.port}", ssl=contexts().client)
        assert server.get_client_count() == 0
        context = contexts().client
        assert context.check_hostname


@pytest.mark.case(80)
@in_loop
async def test_stalled_tls_handshake() -> None:
    """Who connects to a TLS port and stalls is dropped at `open_timeout` (80)."""
    async with serving(ssl=contexts().server, open_timeout=0.05) as server, wire(server) as peer:
        await peer.send(b"\x16\x03\x01\x00")
        assert await peer.read_all() == b""
