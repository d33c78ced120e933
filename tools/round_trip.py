"""Send messages from a client to a server and back, all of the installed package, and print the engine.

    python tools/round_trip.py
"""

import asyncio

import wsmash

MESSAGES: list[str | bytes] = ["text", b"binary", "long " * 100_000]


async def main() -> None:
    """Serve on a free port, and hear what was sent."""
    server = wsmash.create_server(port=0)
    server.on("connection", lambda event: event.client.on("message", lambda event: event.client.send(event.data)))
    await server.start()
    async with wsmash.connect(f"ws://localhost:{server.port}/") as client:
        for message in MESSAGES:
            await client.send(message)
            if await client.recv() != message:
                raise SystemExit(f"another message came back than {message!r:.20}")
    await server.stop()


asyncio.run(main())
print(wsmash.engine())
