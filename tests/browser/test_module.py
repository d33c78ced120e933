"""The browser module in a real browser, against a real server."""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page

import wsmash
from fixtures.brokers import RedisServer
from fixtures.hosted import Hosted, hosted
from programs import ROOT
from wsmash import RequestError, RequestEvent

pytestmark = pytest.mark.browser

SOURCE = ROOT / "src" / "wsmash" / "browser" / "wsmash.js"
LARGEST = 10_752
"""Bytes of the module as it is, comments and all."""


def make(port: int, broker: str = "memory") -> wsmash.WebSocketServer:
    """The server of these tests."""
    server = wsmash.create_server(
        host="127.0.0.1",
        broker=broker,
        port=port,
        path="/ws",
        protocols="wsmash.v1",
        authorize=lambda request: not request.topic.startswith("secret"),
        close_timeout=1,
    )
    server.topic("kept.>", history_size=100, history_ttl=60)
    server.topic("room.>", presence=True)

    @server.on("connection")
    def connected(event: wsmash.ConnectionEvent) -> None:
        event.client.on("message", lambda message: message.client.send(message.data))

    @server.method("double")
    def double(event: RequestEvent) -> Any:
        return event.data if isinstance(event.data, bytes) else event.json(int) * 2

    @server.method("fail")
    def fail(event: RequestEvent) -> None:
        raise RequestError("sold_out", "none is left")

    @server.method("hang")
    async def hang(event: RequestEvent) -> None:
        await asyncio.sleep(60)

    return server


@pytest.fixture
def host() -> Iterator[Hosted]:
    """A server that is there."""
    with hosted(make) as host:
        yield host


@pytest.fixture
def page(context: BrowserContext, host: Hosted) -> Page:
    """A page of it."""
    return look(context, host)


def look(context: BrowserContext, host: Hosted) -> Page:
    """A page with an open client in `client`; what happens to it is in `seen`."""
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{host.port}/healthz")
    page.evaluate(
        """async () => {
            const { connect } = await import("/wsmash.js");
            window.seen = [];
            window.client = connect("/ws", { firstDelay: 0.05 });
            for (const event of ["open", "reconnecting", "close", "message", "degraded", "restored"])
                client.on(event, (detail) => seen.push([event, detail]));
            window.follow = async (topic, options) => {
                const subscription = client.subscribe(topic, null, options);
                const got = [];
                for (const event of ["message", "gap", "error"])
                    subscription.on(event, (detail) => got.push([event, detail]));
                window.got = got;
                return await subscription.confirmed;
            };
            await new Promise((resolve) => client.on("open", resolve));
        }"""
    )
    return page


def wait(page: Page, condition: str) -> None:
    """Until something holds on the page."""
    page.wait_for_function(condition, timeout=20_000)


def test_messages(page: Page, host: Hosted) -> None:
    """What the server publishes comes as text, as JSON or as bytes, each with its position."""
    begin = page.evaluate("follow('news')")
    host.publish("news", "text", {"a": [1, None]}, b"\x00\xff")
    wait(page, "got.length === 3")
    found = page.evaluate("got.map(([_, m]) => [m.topic, m.data instanceof Uint8Array ? [...m.data] : m.data])")
    assert found == [["news", "text"], ["news", {"a": [1, None]}], ["news", [0, 255]]]
    positions = page.evaluate("got.map(([_, m]) => m.position)")
    assert {each["epoch"] for each in positions} == {begin["epoch"]}
    offsets = [begin["offset"], *(each["offset"] for each in positions)]
    assert offsets == sorted(set(offsets))
    assert page.evaluate("client.subscribe('news').position") == positions[-1]


def test_patterns_and_the_end_of_a_subscription(page: Page, host: Hosted) -> None:
    """A pattern's messages name their topic; after `unsubscribe` nothing comes."""
    assert page.evaluate("follow('chat.*')") is None
    host.publish("chat.a", "one")
    wait(page, "got.length === 1")
    assert page.evaluate("got[0][1].topic") == "chat.a"
    page.evaluate("client.subscribe('chat.*').unsubscribe()")
    page.evaluate("client.request('double', 1)")  # which is answered behind it
    host.publish("chat.a", "two")
    page.evaluate("client.request('double', 1)")
    assert page.evaluate("got.length") == 1


def test_refused(page: Page) -> None:
    """A topic that is forbidden is an error of its subscription, and of who awaits it."""
    told = page.evaluate("follow('secret.a').catch((error) => [error instanceof Error, error.code])")
    assert told == [True, "forbidden"]
    assert page.evaluate("got.map(([event, error]) => [event, error.code])") == [["error", "forbidden"]]
    assert page.evaluate("client.publish('secret.a', 1).catch((error) => error.code)") == "forbidden"


def test_publishing(page: Page) -> None:
    """Text, bytes and JSON are published as what they are; the same key twice is one message."""
    page.evaluate("follow('t')")
    positions = page.evaluate(
        """async () => {
            const found = [await client.publish("t", "text"), await client.publish("t", new Uint8Array([0, 200])),
                await client.publish("t", new Uint16Array([1, 2]).subarray(1)), await client.publish("t", { a: 1 })];
            for (const again of [1, 2]) found.push(await client.publish("t", null, { key: "k" }));
            return found;
        }"""
    )
    wait(page, "got.length === 5")
    data = page.evaluate("got.map(([_, m]) => m.data instanceof Uint8Array ? [...m.data] : m.data)")
    assert data == ["text", [0, 200], [2, 0], {"a": 1}, None]
    assert positions[:5] == page.evaluate("got.map(([_, m]) => m.position)") and positions[5] == positions[4]


def test_what_cannot_be_sent(page: Page) -> None:
    """What JSON has no form for fails by itself, and half of a character is replaced: the connection goes on."""
    page.evaluate("follow('t')")
    assert page.evaluate("client.publish('t', 1n).catch((error) => error.name)") == "TypeError"
    assert page.evaluate("client.request('double', [1n]).catch((error) => error.name)") == "TypeError"
    page.evaluate("client.publish('t', 'a\\ud83d').then(() => client.publish('t'))")
    wait(page, "got.length === 2")
    assert page.evaluate("got.map(([_, m]) => m.data)") == ["a\ufffd", None]
    assert page.evaluate("seen.map(([event]) => event)") == ["open"]


def test_what_is_published_is_that_of_the_call(page: Page, host: Hosted) -> None:
    """What becomes of an object while its publication waits for a connection does not matter."""
    page.evaluate("follow('t')")
    host.stop()
    wait(page, "!client.isOpen()")
    page.evaluate("() => { const data = { a: 1 }; client.publish('t', data); data.a = 2; }")
    host.start()
    wait(page, "got.some(([event]) => event === 'message')")
    assert page.evaluate("got.find(([event]) => event === 'message')[1].data") == {"a": 1}


def test_presence(page: Page, host: Hosted) -> None:
    """Who comes and goes on a topic with presence is told, and can be asked for."""
    page.evaluate(
        """() => {
            window.moves = [];
            for (const event of ["join", "leave"])
                client.subscribe("room.a").on(event, ({ topic, member }) => moves.push([event, topic, member.info]));
        }"""
    )
    wait(page, "moves.length === 1")
    host.run(lambda: host.server.get_clients()[0].subscribe("room.a", info={"name": "Ann"}))
    wait(page, "moves.length === 2")
    assert page.evaluate("moves") == [["join", "room.a", None], ["join", "room.a", {"name": "Ann"}]]
    assert page.evaluate("client.getPresence('room.a').then((all) => all.map((m) => m.info))") == [{"name": "Ann"}]


def test_taking_callbacks_off(page: Page, host: Hosted) -> None:
    """What was taken off is not called, and taking off what is not there is nothing."""
    page.evaluate(
        """async () => {
            window.heard = 0;
            const callback = () => heard++;
            const news = client.subscribe("news", callback).on("message", callback).off("message", () => {});
            await news.off("message", callback).confirmed;
        }"""
    )
    host.publish("news", "x")
    page.evaluate("client.request('double', 1)")
    assert page.evaluate("heard") == 0


def test_requests(page: Page) -> None:
    """A method's answer, its error, one that does not come in time, and a method that there is not."""
    assert page.evaluate("client.request('double', 21)") == 42
    assert page.evaluate("client.request('double', new Uint8Array([7])).then((bytes) => [...bytes])") == [7]
    for method, code in (("fail", "sold_out"), ("none", "no_method"), ("hang", "timeout")):
        told = page.evaluate(f"client.request('{method}', null, {{ timeout: 0.2 }}).catch((error) => error.code)")
        assert told == code


def test_ordinary_messages(page: Page) -> None:
    """They pass beside all that, in both directions."""
    page.evaluate("client.send('text'); client.send(new Uint8Array([30, 1])); client.send({ a: 1 })")
    wait(page, "seen.filter(([event]) => event === 'message').length === 3")
    found = page.evaluate("seen.filter(([e]) => e === 'message').map(([_, m]) => m.data).map((d) => d.at ? d : [...d])")
    assert [found[0], list(found[1].values()) if isinstance(found[1], dict) else found[1], found[2]] == [
        "text",
        [30, 1],
        '{"a":1}',
    ]


def test_resuming(page: Page, host: Hosted) -> None:
    """A topic with history loses nothing while the connection is broken, and nothing comes twice."""
    page.evaluate("follow('kept.a')")
    host.publish("kept.a", "1", "2")
    wait(page, "got.length === 2")
    for number in range(3, 30, 3):
        host.drop()
        host.publish("kept.a", *(str(number + each) for each in range(3)))
    wait(page, "got.length === 29")
    assert page.evaluate("got.map(([event, m]) => event + m.data)") == [f"message{number}" for number in range(1, 30)]
    assert page.evaluate("seen.some(([event, detail]) => event === 'open' && detail.reconnected)")


def test_a_server_that_starts_anew(page: Page, host: Hosted) -> None:
    """The client finds it again; what it has lost with its memory is a gap, and then messages come."""
    page.evaluate("follow('kept.a')")
    host.publish("kept.a", "before")
    wait(page, "got.length === 1")
    host.stop()
    wait(page, "seen.some(([event]) => event === 'reconnecting')")
    host.start()
    wait(page, "got.some(([event]) => event === 'gap')")
    host.publish("kept.a", "after")
    wait(page, "got.length === 3")
    told = page.evaluate("got.map(([event, detail]) => [event, detail.data ?? detail.reason])")
    assert told == [["message", "before"], ["gap", "epoch"], ["message", "after"]]


def test_a_server_that_restarts(context: BrowserContext, start_redis: Callable[..., RedisServer]) -> None:
    """Where a broker keeps the history, what other nodes publish meanwhile is missed by nobody, and comes once."""
    begin = partial(make, broker=start_redis().url)
    with hosted(begin) as host, hosted(begin) as other:
        page = look(context, host)
        page.evaluate("follow('kept.a')")
        host.publish("kept.a", "1")
        wait(page, "got.length === 1")
        for number in range(2, 6):
            host.stop()
            wait(page, "!client.isOpen()")
            other.publish("kept.a", str(number))
            host.start()
            wait(page, f"got.length === {number}")
        assert page.evaluate("got.map(([event, m]) => event + m.data)") == [f"message{each}" for each in range(1, 6)]


def test_what_is_published_during_an_outage(page: Page, host: Hosted) -> None:
    """It waits, and is sent in its order once the client is connected again; a request too that was not sent yet."""
    page.evaluate("follow('t')")
    host.stop()
    wait(page, "!client.isOpen()")
    page.evaluate("void (window.sent = Promise.all([...'abc'].map((each) => client.publish('t', each))))")
    page.evaluate("void (window.asked = client.request('double', 4))")
    host.start()
    assert len(page.evaluate("sent")) == 3 and page.evaluate("asked") == 8
    wait(page, "got.filter(([event]) => event === 'message').length === 3")
    assert page.evaluate("got.filter(([e]) => e === 'message').map(([_, m]) => m.data)") == ["a", "b", "c"]


def test_a_request_that_is_lost(page: Page, host: Hosted) -> None:
    """It is not repeated: the promise is broken with the connection."""
    page.evaluate("void (window.hanging = client.request('hang').catch((error) => error.code))")
    page.evaluate("client.request('double', 1)")
    host.drop()
    assert page.evaluate("hanging") == "lost"


def test_closing(page: Page, host: Hosted) -> None:
    """For good: nothing is connected again, and what waits is told so."""
    page.evaluate("void (window.hanging = client.request('hang').catch((error) => error.code))")
    page.evaluate("client.close(4000, 'bye')")
    wait(page, "seen.some(([event]) => event === 'close')")
    assert page.evaluate("seen.at(-1)") == ["close", {"code": 4000, "reason": "bye"}]
    assert page.evaluate("hanging") in ("lost", "closed")
    assert page.evaluate("client.publish('t', 1).catch((error) => error.code)") == "closed"
    assert page.evaluate("client.subscribe('t').confirmed.catch((error) => error.code)") == "closed"
    page.evaluate("client.close()")
    assert page.evaluate("seen.filter(([event]) => event === 'close').length") == 1
    assert page.evaluate("client.isOpen()") is False


def test_a_callback_that_throws(page: Page, host: Hosted) -> None:
    """Other callbacks hear of the event all the same, and the page hears of the error."""
    page.evaluate("follow('t')")
    page.evaluate(
        """() => {
            window.reportError = (error) => (window.reported = error.message);
            client.subscribe("t", () => { throw new Error("oops"); }).on("message", (m) => (window.last = m.data));
        }"""
    )
    host.publish("t", "x")
    wait(page, "window.last === 'x'")
    assert page.evaluate("reported") == "oops"


def test_its_size() -> None:
    """It stays small: ten KiB and a half as it is."""
    assert SOURCE.stat().st_size <= LARGEST


def test_its_syntax(tmp_path: Path) -> None:
    """Node reads it as a module, and it depends on none."""
    copied = tmp_path / "wsmash.mjs"
    copied.write_bytes(SOURCE.read_bytes())
    subprocess.run(["node", "--check", str(copied)], check=True)
    assert not re.search(r"^import\b", SOURCE.read_text("utf-8"), re.MULTILINE)
    assert max(map(len, SOURCE.read_text("utf-8").splitlines())) <= 120
