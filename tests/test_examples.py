"""Every file of examples/ does what it says, in a process of its own, against a real peer."""

from __future__ import annotations

import asyncio
import re
import socket
from pathlib import Path

import pytest

import wsmash
from programs import ROOT, echo_server, free_port, program, run

EXAMPLES = ROOT / "examples"
CHAT = EXAMPLES / "chat"


def test_all_are_tested() -> None:
    """An example that is added is missed here until it has a test."""
    source = Path(__file__).read_text(encoding="utf-8")
    for example in EXAMPLES.glob("*.py"):
        assert f'EXAMPLES / "{example.name}"' in source


def test_echo_client() -> None:
    """It says hello, prints the echo and ends."""

    async def scenario() -> None:
        async with echo_server() as url:
            ended = await run(EXAMPLES / "echo_client.py", url)
        assert ended == (0, "Connected to echo server\nEcho: Hello, echo server!\n", "")

    asyncio.run(scenario())


def test_basic_client() -> None:
    """Its callbacks fire in order, and the close frame's reason comes back."""

    async def scenario() -> None:
        async with echo_server(quiet=20) as url:
            ended = await run(EXAMPLES / "basic_client.py", url)
        out = "Connection opened!\nReceived message: Hello, WebSocket!\nConnection closed: Done\n"
        assert ended == (0, out, "")

    asyncio.run(scenario())


def test_basic_client_without_server() -> None:
    """Where nobody listens it prints the error and the end."""
    ended = asyncio.run(run(EXAMPLES / "basic_client.py", f"ws://localhost:{free_port()}/"))
    assert ended.status == 0
    assert re.match(r"Error: .*\nConnection closed: .+\n$", ended.out)
    assert ended.err == ""


def test_json_client() -> None:
    """It subscribes, and prints updates, errors and what is no JSON, each to its stream."""

    async def scenario() -> None:
        subscribed: list[object] = []

        def serve(event: wsmash.ConnectionEvent) -> None:
            def answer(event: wsmash.MessageEvent) -> None:
                subscribed.append(event.json())
                event.client.send({"type": "update", "content": "7 up"})
                event.client.send({"type": "error", "message": "2 down"})
                event.client.send({"type": "other"})
                event.client.send("no JSON")
                event.client.close()

            event.client.on("message", answer)

        async with wsmash.create_server(port=0, path="/ws") as server:
            server.on("connection", serve)
            ended = await run(EXAMPLES / "json_client.py", f"ws://localhost:{server.port}/ws")
        assert subscribed == [{"type": "subscribe", "channel": "updates", "params": {"frequency": "realtime"}}]
        assert ended == (0, "Update received: 7 up\n", "Error: 2 down\nFailed to parse message as JSON\n")

    asyncio.run(scenario())


def test_chat_server() -> None:
    """Each is welcomed; the others hear who joins, all hear what is said, the rest hear who leaves."""

    async def scenario() -> None:
        async with program(EXAMPLES / "chat_server.py", "0") as chat:
            url = (await chat.line()).removeprefix("Chat server running on ")
            async with wsmash.connect(url) as ada:
                assert re.fullmatch(r"Welcome, User\d+!", str(await ada.recv()))
                async with wsmash.connect(url) as bob:
                    name = str(await bob.recv()).removeprefix("Welcome, ").removesuffix("!")
                    assert await ada.recv() == f"{name} has joined the chat"
                    await bob.send("hi")
                    assert await ada.recv() == f"{name}: hi"
                    assert await bob.recv() == f"{name}: hi"
                assert await ada.recv() == f"{name} has left the chat"
            chat.interrupt()
            assert await chat.ended() == (0, "", "")

    asyncio.run(scenario())


def test_basic_server() -> None:
    """It answers, announces to all, and goes away with 1001."""

    async def scenario() -> None:
        port = free_port()
        async with program(EXAMPLES / "basic_server.py", str(port), "1") as server:
            assert await server.line() == "Server started!"
            client = await wsmash.connect(f"ws://localhost:{port}/ws")
            await client.send("hi")
            assert await client.recv() == "Echo: hi"
            assert await client.recv() == "Server announcement"
            with pytest.raises(wsmash.ConnectionClosed) as closed:
                await client.recv()
            assert closed.value.code == wsmash.CLOSE_CODES.GOING_AWAY
            ended = await server.ended()
        assert (ended.status, ended.err) == (0, "")
        assert ended.out.startswith("New client connected!\nReceived message: hi\nClient disconnected:")

    asyncio.run(scenario())


def test_topics() -> None:
    """The client calls a method, publishes twice and hears both; the server goes on, and keeps strangers out."""

    async def scenario() -> None:
        async with program(EXAMPLES / "topics_server.py", "0") as server:
            url = (await server.line()).removeprefix("Topics on ")
            ended = await run(EXAMPLES / "topics_client.py", url)
            out = "1 + 2 = 3\nSomebody said: hello\nSomebody said: bye\n"
            assert ended == (0, out, "")
            async with wsmash.connect(url, "wsmash.v1") as client:
                with pytest.raises(wsmash.RequestError, match="forbidden"):
                    await client.subscribe("secrets")
            server.interrupt()
            assert await server.ended() == (0, "", "")

    asyncio.run(scenario())


def test_chat_check() -> None:
    """The demo proves itself with one round trip, prints it and ends."""
    ended = asyncio.run(run(CHAT, "--check", "--port", "0"))
    assert (ended.status, ended.err) == (0, "")
    assert re.fullmatch(r"round trip ok: \d+\.\d ms\n", ended.out)


def test_chat_port_in_use() -> None:
    """Where the port is taken the demo says so in one line that names it, and fails."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = asyncio.run(run(CHAT, "--port", str(port)))
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.count("\n") == 1
    assert str(port) in ended.err


def test_chat_serves() -> None:
    """One port serves the page and the room, and Ctrl-C ends both without a traceback."""

    async def scenario() -> None:
        async with program(CHAT, "--port", "0") as chat:
            assert (await chat.line()).startswith("round trip ok")
            address = (await chat.line()).removeprefix("Chat on ")
            port = int(address.split(":")[2].strip("/"))
            reader, writer = await asyncio.open_connection("localhost", port)
            writer.write(f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(), 10)
            writer.close()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"<title>wsmash chat</title>" in answer
            await talk(f"ws://localhost:{port}/ws")
            chat.interrupt()
            ended = await chat.ended()
        assert ended.status == 0
        assert ended.err == ""  # a message that is no JSON is logged at INFO, which nobody asked for

    asyncio.run(scenario())


async def talk(url: str) -> None:
    """Two people in the room; the same name twice gets a number, and what is no message of a page gets 1007."""
    async with wsmash.connect(url) as ada, wsmash.connect(url) as other:
        await ada.send({"type": "join", "text": "Ada"})
        assert '"name":"Ada"' in str(await ada.recv())
        await other.send({"type": "join", "text": "Ada"})
        assert '"name":"Ada 2"' in str(await other.recv())
        assert '"joined"' in str(await ada.recv())
        await ada.send({"type": "say", "text": "<b>hi</b>"})
        assert '"<b>hi</b>"' in str(await other.recv())
        await other.send("no JSON")
        with pytest.raises(wsmash.ConnectionClosed) as closed:
            await other.recv()
        assert closed.value.code == wsmash.CLOSE_CODES.INVALID_FRAME_PAYLOAD_DATA


BOARD = EXAMPLES / "board"


def test_board_check() -> None:
    """With --check the board asks for its notes once, and ends."""
    ended = asyncio.run(run(BOARD, "--check", "--port", "0"))
    assert (ended.status, ended.err) == (0, "")
    assert re.fullmatch(r"round trip ok: \d+\.\d ms\n", ended.out)


def test_board() -> None:
    """Notes are told with a position, after which their changes follow; Ctrl-C ends without a traceback."""

    async def scenario() -> None:
        async with program(BOARD, "--port", "0") as board:
            assert (await board.line()).startswith("round trip ok")
            port = int((await board.line()).split(":")[2].strip("/\n"))
            async with wsmash.connect(f"ws://localhost:{port}/ws", "wsmash.v1") as client:
                begin = await client.request("notes")
                changes = client.subscribe("board", since=wsmash.Position(**begin["position"]))
                assert await client.request("add", "milk") == 1
                with pytest.raises(wsmash.RequestError, match="length"):
                    await client.request("add", " ")
                await client.request("remove", 1)
                found = [(await anext(aiter(changes))).json() for _ in range(2)]
                assert found == [{"number": 1, "text": "milk"}, {"number": 1, "text": None}]
                with pytest.raises(wsmash.RequestError, match="forbidden"):
                    await client.publish("board", "x")
            board.interrupt()
            ended = await board.ended()
        assert (ended.status, ended.err) == (0, "")

    asyncio.run(scenario())
