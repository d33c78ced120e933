"""What nobody may guess comes from the system's generator, whatever a program does to `random` (hostile case 102)."""

from __future__ import annotations

import asyncio
import random
from typing import NamedTuple

import pytest

import wsmash
from fixtures.in_loop import in_loop
from fixtures.raw import Wire
from wsmash.sansio.handshake import accept_key

pytestmark = pytest.mark.case(102)


class Drawn(NamedTuple):
    """Everything about one connection that is drawn."""

    key: str
    mask: bytes
    ping: bytes
    id: str


async def drawn() -> Drawn:
    """What a new client draws, seen by its server, after `random` was set to where it always is."""
    random.seed(0)
    seen: asyncio.Future[tuple[str, bytes, bytes]] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line for line in head.split("\r\n") if line.startswith("Sec-WebSocket-Key")).split(": ")[1]
        lines = ["HTTP/1.1 101 ", "Upgrade: websocket", "Connection: Upgrade"]
        lines.append(f"Sec-WebSocket-Accept: {accept_key(key)}")
        await Wire(reader, writer).send("\r\n".join([*lines, "", ""]).encode())
        first = await reader.readexactly(6)
        payload = await reader.readexactly(first[1] & 0x7F)
        unmasked = bytes(each ^ first[2 + at % 4] for at, each in enumerate(payload))
        seen.set_result((key, first[2:6], unmasked))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = wsmash.create_client(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", compression=None)
        await client.connect()
        client.ping()
        key, mask, ping = await seen
        found = Drawn(key, mask, ping, client.id)
        await client.wait_closed()
    return found


@in_loop
async def test_what_a_client_draws() -> None:
    """Key, mask, payload of a ping and identifier: never the same again, and each of its full length."""
    found = [await drawn() for _ in range(8)]
    for name in Drawn._fields:
        assert len({getattr(each, name) for each in found}) == len(found), name
    assert all((len(each.key), len(each.ping), len(each.id)) == (24, 8, 16) for each in found)
