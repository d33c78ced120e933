"""The two peers that the Autobahn test suite is run against: an echo server and an echo client.

    echo.py server                  prints its address, echoes until it is ended
    echo.py client URL AGENT        runs every case that the suite's server at URL has chosen
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any
from urllib.parse import quote

import wsmash

OPTIONS: dict[str, Any] = {
    "compression": "deflate",
    "max_message_size": 16 * 1024 * 1024,  # cases 9.1.6 and 9.2.6
    "max_fragments": 70_000,  # cases 9.3.1 and 9.4.1 send 65 536, and an empty last one
    "max_write_buffer": None,
    "ping_interval": None,  # a case counts each frame that comes
}


def echo(event: wsmash.MessageEvent) -> None:
    """Send back what came, as text or as binary: at once, so before the close frame that a later fault gets."""
    event.client.send(event.data)


async def serve() -> None:
    """Echo on a free port of the loopback interface until cancelled."""
    async with wsmash.create_server(port=0, host="127.0.0.1", **OPTIONS) as server:
        server.on("connection", lambda event: event.client.on("message", echo))
        print(f"ws://127.0.0.1:{server.port}", flush=True)
        await server.wait_closed()


async def run_case(url: str) -> None:
    """Echo to one case until it closes; a case that fails to open, or breaks the protocol, is the suite's to judge."""
    client = wsmash.create_client(url, **OPTIONS)
    client.on("message", echo)
    client.on("error", leave_to_the_suite)
    try:
        await client.connect()
        await client.wait_closed()
    except wsmash.WebSocketError:
        return


def leave_to_the_suite(event: wsmash.ErrorEvent) -> None:
    """Most cases break the protocol on purpose; an error with a callback is not logged."""


async def run_cases(url: str, agent: str) -> None:
    """Ask how many cases were chosen, and run each."""
    async with wsmash.connect(f"{url}/getCaseCount") as client:
        count = int(await client.recv())
    for case in range(1, count + 1):
        await run_case(f"{url}/runCase?case={case}&agent={quote(agent)}")


def main() -> None:
    role, *arguments = sys.argv[1:]
    asyncio.run(serve() if role == "server" else run_cases(*arguments))


if __name__ == "__main__":
    main()
