"""The chaos proxy itself: plain sockets on both sides show that each of its faults is real."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from fixtures.chaos import BLACK_HOLE, SOUND, ChaosProxy, Faults
from fixtures.in_loop import in_loop


class Ends(NamedTuple):
    """Both ends of one connection through a proxy: plain, non-blocking sockets."""

    proxy: ChaosProxy
    client: socket.socket
    server: socket.socket


@asynccontextmanager
async def listening() -> AsyncIterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


@asynccontextmanager
async def through(**options: Any) -> AsyncIterator[Ends]:
    """One connection through a proxy of these options."""
    loop = asyncio.get_running_loop()
    async with listening() as listener, ChaosProxy(listener.getsockname()[1], **options) as proxy:
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", proxy.port))
            server, _ = await loop.sock_accept(listener)
            with server:
                yield Ends(proxy, client, server)


async def read(sock: socket.socket, size: int) -> bytes:
    """So many bytes, or those that came before the end."""
    data = b""
    while len(data) < size:
        piece = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        if not piece:
            break
        data += piece
    return data


async def write(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def is_silent(sock: socket.socket, seconds: float = 0.05) -> bool:
    """Whether nothing comes, no end and no reset either."""
    try:
        await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1), seconds)
    except TimeoutError:
        return True
    return False


async def takes(sock: socket.socket, most: int) -> int:
    """How many bytes can be written until nobody takes any more, or these."""
    written = 0
    while written < most:
        try:
            written += sock.send(bytes(min(65536, most - written)))
        except BlockingIOError:
            await asyncio.sleep(0.05)
            try:
                written += sock.send(bytes(1))
            except BlockingIOError:
                break
    return written


async def elapsed(action: Callable[[], Any]) -> float:
    """Seconds that it takes."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    await action()
    return loop.time() - start


@in_loop
async def test_a_sound_proxy_carries_everything() -> None:
    """Both ways, each end with it, and it counts connections and bytes."""
    data = os.urandom(1 << 20)
    async with through() as (proxy, client, server):
        sending = asyncio.ensure_future(write(client, data))
        assert await read(server, len(data)) == data
        await sending
        await write(server, b"answer")
        assert await read(client, 6) == b"answer"
        client.shutdown(socket.SHUT_WR)
        assert await read(server, 1) == b""
        await write(server, b"afterwards")
        server.shutdown(socket.SHUT_WR)
        assert await read(client, 11) == b"afterwards"
        assert (proxy.bytes_to_server, proxy.bytes_to_client) == (len(data), 16)
        assert len(proxy.accepted) == 1
        while proxy.links:
            await asyncio.sleep(0.001)


@in_loop
async def test_a_reset_is_carried_too() -> None:
    """Whoever resets is seen as a reset by the other."""
    async with through() as (_, client, server):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        with pytest.raises(ConnectionResetError):
            await read(server, 1)


@in_loop
async def test_latency() -> None:
    """Each way takes so long, and bytes do not wait for those before them to have arrived."""
    async with through(to_server=Faults(latency=0.05), to_client=Faults(latency=0.05)) as (_, client, server):

        async def round_trip() -> None:
            await write(client, b"ping")
            await write(server, await read(server, 4))
            await read(client, 4)

        assert 0.1 <= await elapsed(round_trip) < 0.5

        async def many() -> None:
            for _ in range(20):
                await write(client, b"ping")
                await asyncio.sleep(0.001)
            await read(server, 80)

        assert await elapsed(many) < 0.5


@in_loop
async def test_jitter() -> None:
    """Some bytes are later than others, never out of order, and the same ones with the same seed."""

    async def delays(seed: int) -> list[float]:
        loop = asyncio.get_running_loop()
        found = []
        async with through(to_server=Faults(jitter=0.04), seed=seed) as (_, client, server):
            for number in range(8):
                start = loop.time()
                await write(client, bytes([number]))
                assert await read(server, 1) == bytes([number])
                found.append(loop.time() - start)
        return found

    first, second, other = await delays(1), await delays(1), await delays(2)
    assert max(first) - min(first) > 0.01
    assert difference(first, second) < difference(first, other)


def difference(some: list[float], others: list[float]) -> float:
    return sum(abs(one - other) for one, other in zip(some, others, strict=True))


@in_loop
async def test_one_byte_at_a_time() -> None:
    """The target's system is given single bytes."""
    loop = asyncio.get_running_loop()
    async with through(to_server=Faults(piece=1)) as (_, client, server):
        await write(client, bytes(300))
        sizes: list[int] = []
        while sum(sizes) < 300:
            sizes.append(len(await loop.sock_recv(server, 65536)))
        assert len(sizes) > 200  # a busy machine lets some of them meet


@in_loop
async def test_a_stall_is_lifted_without_loss() -> None:
    """What came after the byte it began at waits, the end included."""
    async with through(to_server=Faults(stall_at=3)) as (proxy, client, server):
        await write(client, b"abcdef")
        client.shutdown(socket.SHUT_WR)
        assert await read(server, 3) == b"abc"
        assert await is_silent(server)
        proxy.to_server = SOUND
        assert await read(server, 4) == b"def"


@in_loop
async def test_a_stall_is_felt_by_who_writes() -> None:
    """Nobody reads, so that the source's own system takes no more."""
    async with through(to_server=Faults(stall_at=0), buffers=4096) as (_, client, _):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        assert await takes(client, 1 << 20) < 1 << 17


@in_loop
async def test_a_black_hole_takes_everything() -> None:
    """Whoever writes into it notices nothing, and whoever listens behind it hears nothing, not even the end."""
    async with through(to_server=BLACK_HOLE) as (_, client, server):
        await write(client, bytes(1 << 23))
        client.close()
        assert await is_silent(server)
        await write(server, b"anybody?")


@in_loop
async def test_a_black_hole_from_some_byte_on() -> None:
    """What comes before that arrives; a link may have faults of its own."""
    async with through() as (proxy, client, server):
        proxy.links[0].to_client.faults = Faults(swallow_at=5)
        await write(server, b"hello, world")
        assert await read(client, 5) == b"hello"
        assert await is_silent(client)
        await write(client, b"anybody?")
        assert await read(server, 8) == b"anybody?"


@in_loop
async def test_a_reset_at_some_byte() -> None:
    """So many bytes arrive, and both sides are reset then."""
    async with through(to_client=Faults(reset_at=5)) as (_, client, server):
        await write(server, b"hello, world")
        assert await read(client, 5) == b"hello"
        for end in (client, server):
            with pytest.raises(ConnectionResetError):
                await read(end, 1)


@in_loop
async def test_a_half_close_at_some_byte() -> None:
    """The target sees an end there; what it says still arrives."""
    async with through(to_server=Faults(end_at=5)) as (_, client, server):
        await write(client, b"hello, world")
        assert await read(server, 6) == b"hello"
        await write(server, b"goodbye")
        assert await read(client, 7) == b"goodbye"
        assert await is_silent(client)
        server.close()
        assert await read(client, 1) == b""


@in_loop
async def test_bandwidth() -> None:
    """So many bytes pass in a second, and the source feels it."""
    async with through(to_server=Faults(bandwidth=200_000), buffers=4096) as (_, client, server):

        async def transfer() -> None:
            sending = asyncio.ensure_future(write(client, bytes(40_000)))
            await read(server, 40_000)
            await sending

        assert 0.15 < await elapsed(transfer) < 1
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        start = asyncio.get_running_loop().time()
        await write(client, bytes(60_000))
        assert asyncio.get_running_loop().time() - start > 0.1


@in_loop
async def test_refusing() -> None:
    """New connections are refused while the old one goes on, and are taken again later."""
    loop = asyncio.get_running_loop()
    async with through() as (proxy, client, server):
        proxy.refuse()
        with socket.socket() as another:
            another.setblocking(False)
            with pytest.raises(ConnectionRefusedError):
                await loop.sock_connect(another, ("127.0.0.1", proxy.port))
        await write(client, b"still here")
        assert await read(server, 10) == b"still here"
        proxy.accept()
        with socket.socket() as another:
            another.setblocking(False)
            await loop.sock_connect(another, ("127.0.0.1", proxy.port))
            while len(proxy.accepted) < 2:
                await asyncio.sleep(0.001)


@in_loop
async def test_killing_all() -> None:
    """Every link is reset, on both sides."""
    async with through(to_server=BLACK_HOLE) as (proxy, client, server):
        proxy.kill_all()
        for end in (client, server):
            with pytest.raises(ConnectionResetError):
                await read(end, 1)
        while proxy.links:
            await asyncio.sleep(0.001)


@in_loop
async def test_without_a_server_a_connection_is_reset() -> None:
    """The proxy is there, and nobody behind it."""
    loop = asyncio.get_running_loop()
    async with listening() as listener:
        port = listener.getsockname()[1]
    async with ChaosProxy(port) as proxy:
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", proxy.port))
            with pytest.raises(ConnectionResetError):
                await read(client, 1)


@in_loop
async def test_nothing_is_left_of_a_proxy() -> None:
    """It closes what it opened, whatever state its links are in."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open a descriptor of its own
    tasks = len(asyncio.all_tasks())
    for faults in (SOUND, BLACK_HOLE, Faults(stall_at=0), replace(SOUND, latency=9)):
        async with through(to_server=faults) as (_, client, _):
            await write(client, b"hello")
            await asyncio.sleep(0.001)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert len(asyncio.all_tasks()) == tasks
