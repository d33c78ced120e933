"""What clients may call, how it is answered and how it ends; on each engine."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

import wsmash
from fixtures.in_loop import in_loop, until
from fixtures.live import errors
from fixtures.talker import speaking, talking
from wsmash import Position, RequestError, RequestEvent
from wsmash.session.requests import MAX_REQUESTS

pytestmark = pytest.mark.usefixtures("engine")


class TestRequests:
    @in_loop
    async def test_the_end_of_another_connection(self) -> None:
        """A method that meets it has failed, and is answered; only where its own client is gone is nobody told."""
        async with speaking() as server, talking(server) as peer:
            async with talking(server):
                other = server.get_clients()[1]
            await until(lambda: not other.is_open())
            server.method("tell", lambda _: other.send("x"))
            assert (await peer.ask("request", method="tell"))["code"] == "internal"

    @pytest.mark.parametrize(
        ("answer", "content"),
        [
            ("text", {"text": "text"}),
            (b"\0", {"binary": "AA=="}),
            (None, {"json": None}),
            (3, {"json": 3}),
            ((1, 2), {"json": [1, 2]}),
            ({"a": 1}, {"json": {"a": 1}}),
            (Position("e", 1), {"json": ["e", 1]}),
        ],
    )
    @pytest.mark.parametrize("coroutine", [False, True])
    @in_loop
    async def test_answers(self, answer: object, content: dict[str, object], coroutine: bool) -> None:
        """What a method returns is text, bytes or JSON; it may be a function or a coroutine function."""

        async def later(event: RequestEvent) -> object:
            await asyncio.sleep(0)
            return answer

        async with speaking() as server, talking(server) as peer:
            server.method("m", later if coroutine else lambda event: answer)
            assert await peer.ask("request", method="m") == {"type": "reply", "id": 1, **content}

    @in_loop
    async def test_what_a_method_is_given(self) -> None:
        """The client, the name, and the data: text and JSON as text, bytes, or nothing."""
        got: list[RequestEvent] = []
        async with speaking() as server, talking(server) as peer:

            @server.method("m")
            def method(event: RequestEvent) -> None:
                got.append(event)

            for content in ({"text": "t"}, {"json": [1, {"a": None}]}, {"binary": "AAE="}, {}):
                await peer.ask("request", method="m", **content)
            assert [event.data for event in got] == ["t", '[1, {"a": null}]', b"\0\1", None]
            assert got[1].json() == got[1].json(list) == [1, {"a": None}]
            assert {event.method for event in got} == {"m"}
            assert {event.client for event in got} == {*server.get_clients()}

    @in_loop
    async def test_errors(self, caplog: pytest.LogCaptureFixture) -> None:
        """A RequestError is answered as it is; of any other the client learns nothing, and the log all."""
        async with speaking() as server, talking(server) as peer:

            @server.method("m")
            async def method(event: RequestEvent) -> object:
                match event.data:
                    case "own":
                        raise RequestError("sold_out", "none is left \ud800")
                    case "type":
                        return event.json(dict)
                    case "answer":
                        return object()
                    case "cancelled":
                        future = asyncio.get_running_loop().create_future()
                        future.cancel()
                        await future
                raise ValueError("a secret")

            heard = [await peer.ask("request", method="m", text=each) for each in ("own", "type")]
            assert heard[0] == {"type": "error", "id": 1, "code": "sold_out", "message": "none is left ?"}
            assert heard[1]["code"] == "bad_data" and "JSON" in heard[1]["message"]
            assert not errors(caplog)
            for each in ("answer", "secret", "cancelled"):
                error = await peer.ask("request", method="m", text=each)
                assert {**error, "id": 0} == {"type": "error", "id": 0, "code": "internal"}
            assert len(errors(caplog)) == 3
            assert (await peer.ask("request", method="n"))["code"] == "no_method"

    @in_loop
    async def test_they_run_beside_each_other(self) -> None:
        """Answers come as requests end; other commands do not wait for them."""
        events = {name: asyncio.Event() for name in "ab"}
        async with speaking() as server, talking(server) as peer:

            @server.method("wait")
            async def wait(event: RequestEvent) -> str:
                await events[str(event.data)].wait()
                return str(event.data)

            for name in "ab":
                await peer.say("request", method="wait", text=name)
            assert (await peer.ask("subscribe", topic="t"))["id"] == 3
            events["b"].set()
            assert await peer.hear() == {"type": "reply", "id": 2, "text": "b"}
            events["a"].set()
            assert await peer.hear() == {"type": "reply", "id": 1, "text": "a"}

    @in_loop
    async def test_so_many_at_once(self) -> None:
        """Above that one is refused; once one has ended another may begin."""
        go = asyncio.Event()
        async with speaking() as server, talking(server) as peer:

            @server.method("wait")
            async def wait(_: RequestEvent) -> None:
                await go.wait()

            for _ in range(MAX_REQUESTS):
                await peer.say("request", method="wait")
            assert (await peer.ask("request", method="wait"))["code"] == "too_many"
            go.set()
            await peer.hear_all(MAX_REQUESTS)
            assert (await peer.ask("request", method="wait"))["type"] == "reply"

    @in_loop
    async def test_the_end_of_its_time(self) -> None:
        """A method is cancelled when its time is over; a TimeoutError of its own is an error like any."""
        ended: list[str] = []
        async with speaking() as server, talking(server) as peer:

            @server.method("wait")
            async def wait(event: RequestEvent) -> None:
                if event.data == "own":
                    raise TimeoutError
                try:
                    await asyncio.sleep(60)
                finally:
                    ended.append("yes")

            assert (await peer.ask("request", method="wait", timeout=0.02))["code"] == "timeout"
            assert ended == ["yes"]
            assert (await peer.ask("request", method="wait", timeout=5, text="own"))["code"] == "internal"

    @in_loop
    async def test_cancelling(self) -> None:
        """It is answered at once; what has ended, or never began, is not cancelled, and the id is free again."""
        async with speaking() as server, talking(server) as peer:
            running = asyncio.Event()
            stopped = asyncio.Event()

            @server.method("wait")
            async def wait(_: RequestEvent) -> None:
                running.set()
                try:
                    await asyncio.sleep(60)
                finally:
                    stopped.set()

            await peer.say("request", id=5, method="wait")
            await running.wait()
            await peer.say("cancel", id=5)
            assert (await peer.hear()) == {"type": "error", "id": 5, "code": "cancelled"}
            await stopped.wait()
            await peer.say("cancel", id=5)
            assert (await peer.ask("request", id=5, method="none"))["code"] == "no_method"

    @in_loop
    async def test_one_that_minds_no_cancelling(self) -> None:
        """It still counts among those that run, so that cancelling lets nobody run more of them."""
        go = asyncio.Event()
        async with speaking() as server, talking(server) as peer:

            @server.method("stubborn")
            async def stubborn(_: RequestEvent) -> str:
                while not go.is_set():
                    with contextlib.suppress(asyncio.CancelledError):
                        await go.wait()
                return "unheard"

            for number in range(MAX_REQUESTS):
                await peer.say("request", id=number, method="stubborn")
                await peer.say("cancel", id=number)
                assert (await peer.hear())["code"] == "cancelled"
            # One that was cancelled before it began does not run.
            [client] = server.get_clients()
            session: Any = client._gate
            left = MAX_REQUESTS - len(session._requests)
            for number in range(left):
                await peer.say("request", id=100 + number, method="stubborn")
            assert (await peer.ask("request", id=999, method="stubborn"))["code"] == "too_many"
            go.set()
            assert len(await peer.hear_all(left)) == left
            assert (await peer.ask("unsubscribe", topic="t"))["type"] == "reply"

    @in_loop
    async def test_the_same_id_twice(self) -> None:
        """A request with the id of one that runs closes with 1007: nobody could tell their answers apart."""
        async with speaking() as server, talking(server) as peer:
            server.method("wait", lambda _: asyncio.sleep(60))
            await peer.say("request", id=1, method="wait")
            await peer.say("request", id=1, method="wait")
            assert await peer.closed() == 1007

    @in_loop
    async def test_the_connection_is_lost(self) -> None:
        """Its requests are cancelled, and nothing is left of it."""
        running, stopped = asyncio.Event(), asyncio.Event()
        async with speaking() as server:

            @server.method("wait")
            async def wait(_: RequestEvent) -> None:
                running.set()
                try:
                    await asyncio.sleep(60)
                finally:
                    stopped.set()

            async with talking(server) as peer:
                await peer.say("request", method="wait")
                await running.wait()
            await stopped.wait()
            await until(lambda: len(asyncio.all_tasks()) == 2)

    @in_loop
    async def test_a_server_that_stops(self) -> None:
        """A request does not hold up the end: nobody waits for its answer."""
        async with speaking(close_timeout=0.1, shutdown_timeout=5) as server, talking(server) as peer:
            running = asyncio.Event()

            @server.method("wait")
            async def wait(_: RequestEvent) -> None:
                running.set()
                await asyncio.sleep(60)

            await peer.say("request", method="wait")
            await running.wait()
            begin = asyncio.get_running_loop().time()
            await server.stop()
            assert asyncio.get_running_loop().time() - begin < 2

    def test_names(self) -> None:
        """A method has a name, takes one argument, and is the only one of its name."""
        server = wsmash.create_server()

        @server.method("sum")
        def add(event: RequestEvent) -> int:
            return sum(event.json(list[int]))

        assert server.method("other", add) is add
        wrong: list[tuple[Any, Any, type[Exception]]] = [
            ("sum", add, ValueError),
            ("", add, ValueError),
            ("x" * 256, add, ValueError),
            (1, add, TypeError),
            ("new", 1, TypeError),
            ("new", lambda: 1, TypeError),
        ]
        for name, callback, error in wrong:
            with pytest.raises(error):
                server.method(name, callback)
