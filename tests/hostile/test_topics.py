"""Group I: clients that ask for topics and requests without end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from threading import Thread
from typing import Any

import pytest

from fixtures.frames import text
from fixtures.peer import Peer
from fixtures.raw import upgrade
from fixtures.served import Served
from hostile.conftest import Serve

MIB = 1 << 20
COUNT = 20_000
"""Commands of a flood: some seconds of it."""


def speaking(server: Served) -> Peer:
    """A connection that has agreed on the sub-protocol."""
    peer = server.peer()
    peer.send(upgrade(Sec_WebSocket_Protocol="wsmash.v1"))
    assert peer.head().headers["sec-websocket-protocol"] == "wsmash.v1"
    return peer


def flood(peer: Peer, commands: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Send commands as fast as they are taken, and give what each is answered with."""
    bodies = [text("\x1e" + json.dumps({"id": number} | each), masked=True) for number, each in enumerate(commands)]
    writer = Thread(target=peer.send, args=(b"".join(bodies),))
    writer.start()
    for number in range(len(bodies)):
        answer: dict[str, Any] = json.loads(peer.frame().payload[1:])
        assert answer["id"] == number
        yield answer
    writer.join()


def ask(peer: Peer, **command: Any) -> dict[str, Any]:
    """One command's answer."""
    [answer] = flood(peer, [command])
    return answer


@pytest.mark.case(69)
def test_topics_without_end(serve: Serve) -> None:
    """A connection has so many topics; those beyond are refused, and take no memory."""
    server = serve(protocols="wsmash.v1", generous=True, subscribe_rate=None)
    with speaking(server) as peer:
        ask(peer, type="subscribe", topic="warm")
        before = server.reset_peak()
        names = (f"t.{number}." + "x" * 200 for number in range(COUNT))
        answers = list(flood(peer, ({"type": "subscribe", "topic": name} for name in names)))
        assert [each["type"] for each in answers[:127]] == ["reply"] * 127
        assert {each.get("code") for each in answers[127:]} == {"too_many"}
        assert server.peak() - before < 4 * MIB


@pytest.mark.case(69)
def test_topics_that_nobody_is_on(serve: Serve) -> None:
    """Publishing on a hundred topics a time, each another one, leaves nothing; nor do ids and methods."""
    server = serve(protocols="wsmash.v1", generous=True)
    with speaking(server) as peer:

        def commands(begin: int) -> Iterator[dict[str, Any]]:
            for number in range(begin, begin + COUNT):
                yield {"type": "publish", "topic": f"t.{number}", "text": "x"}

        list(flood(peer, commands(0)))
        before = server.rss()
        list(flood(peer, commands(COUNT)))
        answers = list(flood(peer, ({"type": "request", "method": f"m{number}"} for number in range(COUNT))))
        assert {each["code"] for each in answers} == {"no_method"}
        assert server.rss() - before < 4 * MIB


@pytest.mark.case(71)
def test_churn_of_subscriptions(serve: Serve) -> None:
    """Subscribing and its end, and the same subscription, over and over: idempotent, and nothing is kept of it."""
    server = serve(protocols="wsmash.v1", generous=True, subscribe_rate=None)
    with speaking(server) as peer:

        def commands(begin: int) -> Iterator[dict[str, Any]]:
            for number in range(begin, begin + COUNT // 4):
                yield {"type": "subscribe", "topic": f"t.{number}.a"}
                yield {"type": "unsubscribe", "topic": f"t.{number}.a"}
                yield {"type": "subscribe", "topic": f"t.{number}.>"}
                yield {"type": "unsubscribe", "topic": f"t.{number}.>"}

        list(flood(peer, commands(0)))
        before = server.rss()
        assert {each["type"] for each in flood(peer, commands(COUNT))} == {"reply"}
        assert {each["type"] for each in flood(peer, [{"type": "subscribe", "topic": "t"}] * COUNT)} == {"reply"}
        assert server.rss() - before < 4 * MIB


@pytest.mark.case(71)
def test_others_do_not_wait_for_churn(serve: Serve) -> None:
    """While one client's subscriptions wait for `subscribe_rate`, others are answered at once, and no time is used."""
    server = serve(protocols="wsmash.v1", generous=True)
    with speaking(server) as busy, speaking(server) as other:
        busy.send(text('\x1e{"type":"subscribe","id":1,"topic":"t"}', masked=True) * 5000)
        time.sleep(0.2)
        used = server.cpu()
        begin = time.monotonic()
        for number in range(50):
            ask(other, type="subscribe", topic=f"t.{number}")
        assert time.monotonic() - begin < 1
        assert server.cpu() - used < 0.5
