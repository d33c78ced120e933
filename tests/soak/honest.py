"""Visitors who keep to the protocol: whatever they do not get as they should is a fault."""

from __future__ import annotations

import asyncio
from collections import Counter

import wsmash
from soak.visit import Visit
from wsmash.codecs import decode_json


async def echo(visit: Visit) -> None:
    """Short messages, one after the other or many at a time."""
    async with visit.client("/later" if visit.chance(0.3) else "/") as client:
        for number in range(visit.random.randint(1, 20)):
            messages = [f"{number}: {'é' * visit.random.randint(0, 200)}"] * visit.random.choice((1, 1, 10))
            for message in messages:
                client.send(message)
            for message in messages:
                _same(message, await client.recv())


async def echo_large(visit: Visit) -> None:
    """Long messages, of which some compress well and some not at all."""
    async with visit.client() as client:
        for _ in range(visit.random.randint(1, 4)):
            block = visit.random.randbytes(visit.random.choice((10, 1000, 50_000)))
            message = (block * (900_000 // len(block)))[: visit.random.randint(1, 900_000)]
            await client.send(message)
            _same(message, await client.recv())


async def speak_json(visit: Visit) -> None:
    """Values there and back."""
    async with visit.client() as client:
        for number in range(visit.random.randint(1, 10)):
            value = {"number": number, "words": ["a", "é", None] * visit.random.randint(0, 100)}
            client.send_json(value)
            _same(value, decode_json(await client.recv()))


async def gather(visit: Visit) -> None:
    """A room in which everybody hears everything."""
    async with visit.client("/room") as one, visit.client("/room") as other:
        said = [f"{visit.random.random()} {'x' * visit.random.randint(0, 2000)}" for _ in range(5)]
        for message in said:
            await one.send(message)
        for client in (one, other):
            heard = 0
            while heard < len(said):  # others speak too
                heard += await client.recv() in said


async def stay(visit: Visit) -> None:
    """Quiet for a while, and still there afterwards: pings are answered meanwhile."""
    async with visit.client() as client:
        await asyncio.sleep(visit.random.uniform(1, 6))
        client.send("still here")
        _same("still here", await client.recv())


async def come_and_go(visit: Visit) -> None:
    """Several connections, opened and closed at once."""
    for _ in range(5):
        async with visit.client():
            pass


async def outlast(visit: Visit) -> None:
    """A client through outages: no answer comes twice, and the last one comes."""
    heard: Counter[object] = Counter()

    def hear(event: wsmash.MessageEvent) -> None:
        heard[event.data] += 1

    async with visit.faithful_client() as client:
        client.on("message", hear)
        for number in range(20):
            client.send(str(number))
            await asyncio.sleep(visit.random.uniform(0, 0.5))
        number = 0
        while not heard[f"over {number}"]:  # what was on its way when the server stopped is lost
            number += 1
            client.send(f"over {number}")
            await asyncio.sleep(0.5)
    if max(heard.values()) > 1:
        raise AssertionError(f"heard twice: {heard.most_common(3)}")


def _same(sent: object, got: object) -> None:
    if sent != got:
        raise AssertionError(f"{str(sent)[:100]!r} was echoed as {str(got)[:100]!r}")


HONEST = (echo, echo, echo, echo_large, speak_json, gather, stay, come_and_go, outlast)
"""Each as often as it stands here."""
