"""One node: a server whose topics all nodes share, and which publishes too: `python -m chaos.node SETTING`.

SIGTERM stops it in good order; a line of its input ends its publishing, and is answered with one when all it
had begun is done. After SIGUSR1 it hears none of what the broker pushes for a moment, as where a buffer on
the way was full.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from random import Random

import wsmash
from chaos.hearing import Hearing
from chaos.publishing import Publisher
from chaos.records import Ended, now
from chaos.setting import PLAIN_TOPICS, POLICIES, TOPICS, Setting, input_lines, told
from wsmash.topics.position import Position

DEAF = 0.5
"""Seconds."""


async def main(setting: Setting) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    loop = asyncio.get_running_loop()
    log = setting.log()
    hearing = Hearing(setting.broker, setting.sabotage)
    server = wsmash.create_server(
        host="127.0.0.1", port=setting.port, reuse_port=True, broker=hearing, protocols="wsmash.v1",
        authorize=lambda request: True, ping_interval=3, ping_timeout=3, close_timeout=1, subscribe_rate=1000,
    )  # fmt: skip
    for name, policy in POLICIES.items():
        server.topic(name, history_size=policy.history_size, history_ttl=policy.history_ttl)

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        if event.client.subprotocol is None:
            for topic in PLAIN_TOPICS:
                event.client.subscribe(topic)

    async def publish(topic: str, text: str, key: str) -> Position | None:
        return await server.publish(topic, text, idempotency_key=key)

    quiet, end = asyncio.Event(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, end.set)
    loop.add_signal_handler(signal.SIGUSR1, lambda: hearing.deafen(DEAF))
    async with server:
        publisher = Publisher(log, f"{setting.program}.{log.run}", publish, Random(setting.program), repeats=False)
        publishing = asyncio.create_task(publisher.run(list(TOPICS), setting.rate, quiet))
        obeying = asyncio.create_task(obey(quiet, end, publishing))
        print("ready", flush=True)
        await end.wait()
        quiet.set()
        await publishing
    obeying.cancel()
    log.write(Ended(now()))


async def obey(quiet: asyncio.Event, end: asyncio.Event, publishing: asyncio.Task[None]) -> None:
    """Do what the lines of the input say; without whoever wrote them there is nothing to go on for."""
    async for _ in input_lines():
        quiet.set()
        await publishing
        print("quiet", flush=True)
    end.set()


if __name__ == "__main__":
    try:
        asyncio.run(main(told()))
    except wsmash.BrokerUnavailable as error:  # whoever started this tries again
        sys.exit(f"not started: {error}")
