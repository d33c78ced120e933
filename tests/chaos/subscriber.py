"""Clients that write down all that their callbacks are given: `python -m chaos.subscriber SETTING`.

Three with the sub-protocol, two of them on each topic and one on a pattern, and a plain one. A program that
was killed reads in its own logs how far its clients had come, and resumes there. It ends with its input.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import wsmash
from chaos.publishing import name_of
from chaos.records import (
    BEGUN,
    Degraded,
    Ended,
    Gap,
    Log,
    Opened,
    Restored,
    Seen,
    Subscribed,
    now,
    read_logs,
)
from chaos.sabotage import Hand
from chaos.setting import PATTERN, PLAIN_TOPICS, TOPICS, Setting, told, until_input_ends
from wsmash.topics.names import is_pattern, matches
from wsmash.topics.position import Position

PATIENT = wsmash.Reconnect(first_delay=0.5, max_delay=2)
"""Soon there again: a run has many outages."""


def positions(folder: Path, program: str) -> dict[tuple[str, str], Position]:
    """How far each client had come on each topic, by the logs of former runs."""
    found: dict[tuple[str, str], Position] = {}
    for name, lines in read_logs(folder).items():
        if name.rpartition(".")[0] != program:
            continue
        for line in lines:
            if not isinstance(line, (Seen, Gap, Subscribed)) or line.epoch is None or line.offset is None:
                continue
            if not isinstance(line, Subscribed) or not line.recovered:
                found[line.who, line.topic] = Position(line.epoch, line.offset)
    return found


class Witness:
    """One client with the sub-protocol.

    Args:
        log: where it writes.
        who: its name.
        url: of any node.
        topics: that it subscribes to, or a pattern.
        since: how far it was.
        hand: what a message passes through on its way to the log.
    """

    def __init__(
        self, log: Log, who: str, url: str, topics: list[str], since: dict[tuple[str, str], Position], hand: Hand
    ) -> None:
        self._log = log
        self._who = who
        self._hand = hand
        self._begun = False
        self.client = wsmash.create_client(
            url, protocols="wsmash.v1", reconnect=PATIENT, open_timeout=2, ping_interval=3, ping_timeout=3
        )
        expected = [topic for topic in TOPICS if any(matches(each, topic) for each in topics)]
        self.client.on("open", lambda _: log.write(Opened(now(), who, False, expected)))
        for topic in topics:
            found = self.client.subscribe(topic, since=since.get((who, topic)))
            found.on("message", self._message)
            found.on("gap", self._gap)
            found.on("subscribed", self._subscribed)
            found.on("degraded", lambda _: log.write(Degraded(now(), who)))
            found.on("restored", lambda _: log.write(Restored(now(), who)))

    def _message(self, event: wsmash.TopicMessage) -> None:
        assert isinstance(event.data, str)
        epoch, offset = event.position or (None, None)
        for line in self._hand(Seen(now(), self._who, event.topic, epoch, offset, name_of(event.data))):
            self._log.write(line)

    def _gap(self, event: wsmash.TopicGap) -> None:
        epoch, offset = event.position or (None, None)
        self._log.write(Gap(now(), self._who, event.topic, epoch, offset, event.reason))

    def _subscribed(self, event: wsmash.TopicSubscribed) -> None:
        if is_pattern(event.topic):
            if not self._begun:  # this run of the program, which knows nothing of the one before
                self._log.write(Gap(now(), self._who, event.topic, None, None, BEGUN))
            self._begun = True
        elif event.position is not None:
            self._log.write(Subscribed(now(), self._who, event.topic, *event.position, bool(event.recovered)))


def plain(log: Log, who: str, url: str) -> wsmash.WebSocketClient:
    """A client without the sub-protocol, which the server subscribes."""
    client = wsmash.create_client(url, reconnect=PATIENT, open_timeout=2, ping_interval=3, ping_timeout=3)
    client.on("open", lambda _: log.write(Opened(now(), who, True, list(PLAIN_TOPICS))))

    @client.on("message")
    def message(event: wsmash.MessageEvent) -> None:
        name, topic = str(event.data).split(" ")[:2]
        log.write(Seen(now(), who, topic, None, None, name))

    return client


async def main(setting: Setting) -> None:
    """Listen until there is nobody left who wants to know."""
    since = positions(Path(setting.folder), setting.program)
    log = setting.log()
    wanted = [list(TOPICS), list(TOPICS), [PATTERN]]
    clients = [
        Witness(
            log, f"{setting.program}.c{at}", setting.url, topics, since, Hand(() if at else setting.sabotage)
        ).client
        for at, topics in enumerate(wanted)
    ]
    clients.append(plain(log, f"{setting.program}.plain", setting.url))
    tasks = [asyncio.ensure_future(each.connect()) for each in clients]
    print("ready", flush=True)
    await until_input_ends()
    for each in clients:
        each.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.gather(*(each.wait_closed() for each in clients))
    log.write(Ended(now()))


if __name__ == "__main__":
    asyncio.run(main(told()))
    sys.exit(0)
