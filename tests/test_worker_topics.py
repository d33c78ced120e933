"""Topics of several workers, by way of their own NATS server: from each to all, through its death and a restart."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import pairwise
from pathlib import Path

import pytest

import wsmash
from fixtures.brokers import NatsServer
from fixtures.parents import Parent, alive, command_line, descendants, folder_of, nats_of

pytest.importorskip("nats")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked at in /proc")

APP = """
import os, wsmash

server = wsmash.create_server(
    host="127.0.0.1", port=0, shutdown_timeout=5, protocols="wsmash.v1", authorize=lambda request: True
)
server.topic("news", history_size=1000, history_ttl=60)

@server.method("who")
def who(event):
    return int(os.environ["WSMASH_WORKER"])

@server.method("tell")
def tell(event):
    server.broadcast("to all")
"""

SOON = wsmash.Reconnect(first_delay=0.3, max_delay=1)


class Reader:
    """A client that comes back, and what it has got of the topic."""

    def __init__(self, url: str) -> None:
        self.client = wsmash.create_client(url, protocols="wsmash.v1", reconnect=SOON)
        self.news = self.client.subscribe("news")
        self.got: list[int] = []
        self.gaps: list[object] = []
        self.told: list[object] = []  # apart from topics
        self.news.on("message", lambda event: self.got.append(int(event.data)))
        self.news.on("gap", self.gaps.append)
        self.client.on("message", lambda event: self.told.append(event.data))
        self.client.connect()

    async def has(self, last: int) -> None:
        """Wait until it has got that."""
        while not self.got or self.got[-1] < last:
            await asyncio.sleep(0.01)

    def faults(self, count: int) -> list[object]:
        """What it has got that is not so many numbers, in order; the places at which it is not."""
        breaks = [pair for pair in pairwise([-1, *self.got, count]) if pair[1] != pair[0] + 1]
        return [*breaks, *self.gaps]


async def readers(url: str, workers: int) -> list[Reader]:
    """Some of each worker, subscribed."""
    found: list[Reader] = []
    seen: set[object] = set()
    while len(seen) < workers:
        found.append(Reader(url))
        await found[-1].news
        seen.add(await found[-1].client.request("who"))
    return found


def test_topics_reach_the_clients_of_all_workers(tmp_path: Path) -> None:
    """In one order, and so does a broadcast; at the end nothing is left of the server in between."""
    with Parent(tmp_path, APP, "--workers", "2") as parent:
        url = parent.url()

        async def talk() -> None:
            async with asyncio.timeout(10):
                found = await readers(url, 2)
                for number in range(20):
                    await found[number % len(found)].client.publish("news", str(number))
                for reader in found:
                    await reader.has(19)
                await found[0].client.request("tell")
                while [reader.told for reader in found] != [["to all"]] * len(found):
                    await asyncio.sleep(0.01)
            assert [reader.faults(20) for reader in found] == [[]] * len(found)
            for reader in found:
                await reader.client.close()

        asyncio.run(talk())
        folder = folder_of(nats_of(parent))
        everyone = descendants(parent.process.pid)
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and "Traceback" not in parent.log()
        assert not any(map(alive, everyone)) and not folder.exists()


def test_a_broker_that_is_named_is_used(tmp_path: Path, nats_server: NatsServer) -> None:
    """Then none is started; the environment may name it, where no list of processes shows it."""
    with Parent(tmp_path, APP, "--workers", "2", WSMASH_BROKER=nats_server.url) as parent:
        url = parent.url()

        async def talk() -> None:
            async with asyncio.timeout(10):
                found = await readers(url, 2)
                await found[0].client.publish("news", "0")
                for reader in found:
                    await reader.has(0)
            for reader in found:
                await reader.client.close()

        asyncio.run(talk())
        assert "nats-server" not in "".join(map(command_line, descendants(parent.process.pid)))
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and "server for the workers" not in parent.log()
        assert parent.log().count("one NATS server's disk") == 2  # each worker says what a message survives


@pytest.mark.case(109)
def test_the_broker_of_workers_is_started_again_when_it_dies(tmp_path: Path) -> None:
    """With what it had kept, on the same port: nobody is disconnected, and nothing is lost or doubled."""
    with Parent(tmp_path, APP, "--workers", "2") as parent:
        url = parent.url()

        async def talk() -> None:
            async with asyncio.timeout(15):
                found = await readers(url, 2)
                await found[0].client.publish("news", "0")
                for reader in found:
                    await reader.has(0)
                os.kill(nats_of(parent), signal.SIGKILL)
                await asyncio.to_thread(parent.wait_for, "the NATS server for the workers ended with status 137; ")
                for number in (1, 2):
                    await _published(found[0].client, number)
                for reader in found:
                    await reader.has(2)
            assert [reader.faults(3) for reader in found] == [[]] * len(found)
            for reader in found:
                await reader.client.close()

        asyncio.run(talk())
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and "Traceback" not in parent.log()


async def _published(client: wsmash.WebSocketClient, number: int) -> None:
    """Publish it, however often that takes; with one key, it is added once."""
    while True:
        try:
            await client.publish("news", str(number), idempotency_key=str(number))
        except (wsmash.BrokerError, wsmash.RequestError):
            await asyncio.sleep(0.05)
        else:
            return


@pytest.mark.case(125)
def test_a_rolling_restart_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Publishers and subscribers that come back go on where they were, in one order, without a gap."""
    with Parent(tmp_path, APP, "--workers", "2") as parent:
        url = parent.url()

        async def talk() -> None:
            async with asyncio.timeout(30):
                found = await readers(url, 2)
                parent.signal(signal.SIGHUP)
                replaced = asyncio.create_task(asyncio.to_thread(parent.wait_for, "all workers were replaced"))
                number = 0
                while not replaced.done():
                    await _published(found[number % len(found)].client, number)
                    number += 1
                    await asyncio.sleep(0.01)
                await _published(found[0].client, number)
                for reader in found:
                    await reader.has(number)
            assert number > 30
            assert [reader.faults(number + 1) for reader in found] == [[]] * len(found)
            for reader in found:
                await reader.client.close()

        asyncio.run(talk())
        parent.signal(signal.SIGTERM)
        assert parent.ended() == 0 and "Traceback" not in parent.log()
