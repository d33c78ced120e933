"""A board of notes that everybody who looks at it sees alike: a topic, three methods, and the browser module.

    python examples/board [--port PORT] [--check]

A page asks for "notes", which tells what there is and at which position of the topic "board" that is so, and subscribes
to what comes after it. When its connection breaks it goes on where it was; when the server has begun anew, which it is
told as a gap, it asks again.
"""

import argparse
import asyncio
import sys
from itertools import count
from pathlib import Path
from time import perf_counter

import wsmash

PAGE = Path(__file__).parent / "page"
TOPIC = "board"
MOST = 200
LONGEST = 280


class Board:
    """What is on it. It lives in this process, and as long as that does."""

    def __init__(self, server: wsmash.WebSocketServer) -> None:
        self.server = server
        self.notes: dict[int, str] = {}
        self.numbers = count(1)
        self.position: wsmash.Position | None = None
        server.topic(TOPIC, history_size=1000, history_ttl=3600)
        server.method("notes", self.tell)
        server.method("add", self.add)
        server.method("remove", self.remove)

    def tell(self, event: wsmash.RequestEvent) -> dict[str, object]:
        return {"notes": self.notes, "position": self.position and self.position._asdict()}

    async def add(self, event: wsmash.RequestEvent) -> int:
        text = event.data.strip() if isinstance(event.data, str) else ""
        if not 0 < len(text) <= LONGEST:
            raise wsmash.RequestError("length", f"a note has 1 to {LONGEST} characters")
        if len(self.notes) >= MOST:
            raise wsmash.RequestError("full", "take a note off the board first")
        number = next(self.numbers)
        self.notes[number] = text
        await self.change({"number": number, "text": text})
        return number

    async def remove(self, event: wsmash.RequestEvent) -> None:
        number = event.json(int)
        if self.notes.pop(number, None) is not None:
            await self.change({"number": number, "text": None})

    async def change(self, what: dict[str, object]) -> None:
        # Without a broker this waits for nothing: nobody is told of notes and a position that do not belong together.
        self.position = await self.server.publish(TOPIC, what)


async def round_trip(port: int) -> float:
    """Ask for the notes once, as any page does, and return how many seconds that took."""
    async with wsmash.connect(f"ws://localhost:{port}/ws", "wsmash.v1") as client:
        started = perf_counter()
        await client.request("notes")
        return perf_counter() - started


async def serve(port: int, *, only_check: bool) -> None:
    server = wsmash.create_server(
        port=port,
        path="/ws",
        static=PAGE,
        protocols="wsmash.v1",
        authorize=lambda request: (request.action, request.topic) == ("subscribe", TOPIC),
    )
    board = Board(server)
    async with server:
        await board.change({"number": 0, "text": None})  # so that there is a position
        print(f"round trip ok: {await round_trip(server.port) * 1000:.1f} ms", flush=True)
        if not only_check:
            print(f"Board on http://localhost:{server.port}/", flush=True)
            await server.wait_closed()


def main() -> None:
    parser = argparse.ArgumentParser(prog="board", description="A board of notes on http://localhost:8080/")
    parser.add_argument("--port", type=int, default=8080, help="where to serve it; 0 takes a free port")
    parser.add_argument("--check", action="store_true", help="end after the first round trip")
    wanted = parser.parse_args()
    try:
        asyncio.run(serve(wanted.port, only_check=wanted.check))
    except OSError as error:
        sys.exit(f"board: {error.strerror or error}")
    except KeyboardInterrupt:
        print()


main()
