"""Ways to a server: names and addresses of both families, Unix sockets, and what a failure tells."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fixtures.in_loop import in_loop
from wsmash.errors import ConnectError
from wsmash.transports import dial as dialling
from wsmash.transports.dial import dial, dial_unix


@contextmanager
def listening(host: str, family: socket.AddressFamily = socket.AF_INET) -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server((host, 0), family=family) as sock:
        yield sock.getsockname()[1]


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize(
    ("host", "family"),
    [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6), ("localhost", socket.AF_INET)],
)
@in_loop
async def test_connect(host: str, family: socket.AddressFamily) -> None:
    """A connected, non-blocking socket comes back, by IPv4, IPv6 and name."""
    with listening("::1" if family == socket.AF_INET6 else "127.0.0.1", family) as port, await dial(host, port) as sock:
        assert sock.getpeername()[1] == port
        assert not sock.getblocking()


@pytest.mark.case(120)
@in_loop
async def test_next_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one address refuses, the next is tried (RFC 8305)."""
    with listening("127.0.0.1") as port:

        async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
        with await dial("both.example", port) as sock:
            assert sock.family == socket.AF_INET


@in_loop
async def test_refused_by_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refusal names the place, and holds one cause for each address."""
    port = free_port()

    async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with pytest.raises(ConnectError) as caught:
        await dial("both.example", port)
    assert f"both.example:{port}" in str(caught.value) and "refused" in str(caught.value)
    assert caught.value.errno == errno.ECONNREFUSED
    assert [type(cause) for cause in caught.value.causes] == [ConnectionRefusedError] * 2
    assert caught.value.__cause__ is not None


@in_loop
async def test_refused_ipv6_is_in_brackets() -> None:
    """An IPv6 address stands in brackets in the error."""
    with pytest.raises(ConnectError, match=r"\[::1\]:\d+") as caught:
        await dial("::1", free_port())
    assert len(caught.value.causes) == 1


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid"])
@in_loop
async def test_unknown_name(host: str) -> None:
    """A name without an address, and one that can't have any, are the same kind of error, which names it."""
    with pytest.raises(ConnectError) as caught:
        await dial(host, 80)
    assert host in str(caught.value) and caught.value.__cause__ is not None


@in_loop
async def test_no_socket_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cancelling a dial closes its sockets: the run fails on one that is left open."""
    port = free_port()
    started = asyncio.Event()

    async def never(sock: socket.socket, address: object) -> None:
        started.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    for dialling_task in (dial("127.0.0.1", port), dial_unix("/nowhere")):
        task = asyncio.ensure_future(dialling_task)
        await started.wait()
        started.clear()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.case(120)
@in_loop
async def test_delay_between_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that does not answer holds the next one up for a moment only (hostile case 120)."""
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(dialling, "EYEBALLS_DELAY", 0.01)
    with listening("127.0.0.1") as port:

        async def both(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [
                (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            ]

        real = loop.sock_connect

        async def black_hole(sock: socket.socket, address: tuple[object, ...]) -> None:
            if sock.family == socket.AF_INET6:
                await asyncio.Event().wait()
            await real(sock, address)

        monkeypatch.setattr(loop, "getaddrinfo", both)
        monkeypatch.setattr(loop, "sock_connect", black_hole)
        with await dial("both.example", port) as sock:
            assert sock.family == socket.AF_INET


@in_loop
async def test_unix(tmp_path: Path) -> None:
    """A Unix socket is dialled by its path, given as a str or a path."""
    path = tmp_path / "door"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        for each in (path, str(path)):
            with await dial_unix(each) as found:
                assert found.getpeername() == str(path)


@in_loop
async def test_unix_refused(tmp_path: Path) -> None:
    """A path with nobody behind it is an error that names it, with the system's number."""
    with pytest.raises(ConnectError, match="door") as caught:
        await dial_unix(tmp_path / "door")
    assert caught.value.errno == errno.ENOENT and len(caught.value.causes) == 1
