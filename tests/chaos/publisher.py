"""Clients that publish: `python -m chaos.publisher SETTING`, until its input ends.

With the program's name "last" it publishes the message that ends each topic, once, and ends by itself.
"""

from __future__ import annotations

import asyncio
from random import Random

import wsmash
from chaos.publishing import Publisher
from chaos.records import LAST, Ended, now
from chaos.setting import TOPICS, Setting, told, until_input_ends
from chaos.subscriber import PATIENT
from wsmash.topics.position import Position

CLIENTS = 2


class Client:
    """One that publishes."""

    def __init__(self, url: str) -> None:
        self.client = wsmash.create_client(
            url, protocols="wsmash.v1", reconnect=PATIENT, open_timeout=2, ping_interval=3, ping_timeout=3
        )

    async def publish(self, topic: str, text: str, key: str) -> Position | None:
        return await self.client.publish(topic, text, idempotency_key=key, timeout=10)


async def main(setting: Setting) -> None:
    log = setting.log()
    clients = [Client(setting.url) for _ in range(CLIENTS)]
    tasks = [asyncio.ensure_future(each.client.connect()) for each in clients]
    print("ready", flush=True)
    if setting.program == "last":
        publisher = Publisher(log, LAST, clients[0].publish, Random(1), repeats=True)
        await asyncio.gather(*(publisher.deliver(topic, f"{LAST}{topic}") for topic in TOPICS))
    else:
        stop = asyncio.Event()
        name = f"{setting.program}.{log.run}"
        publishers = [
            Publisher(log, f"{name}.c{at}", each.publish, Random(f"{setting.program}{at}"), repeats=True)
            for at, each in enumerate(clients)
        ]
        running = [asyncio.create_task(each.run(list(TOPICS), setting.rate / CLIENTS, stop)) for each in publishers]
        await until_input_ends()
        stop.set()
        await asyncio.gather(*running)
    for each in clients:
        each.client.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    log.write(Ended(now()))


if __name__ == "__main__":
    asyncio.run(main(told()))
