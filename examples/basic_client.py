"""Every event of a client, and a close with a code and a reason.

    python examples/basic_client.py [URL]
"""

import asyncio
import sys

import wsmash

# Create a WebSocket client
client = wsmash.create_client(sys.argv[1] if len(sys.argv) > 1 else "ws://echo.websocket.org")


# Set up event handlers
@client.on("open")
def opened(event: wsmash.OpenEvent) -> None:
    print("Connection opened!")
    client.send("Hello, WebSocket!")


@client.on("message")
def received(event: wsmash.MessageEvent) -> None:
    print(f"Received message: {event.data!s}")


@client.on("close")
def closed(event: wsmash.CloseEvent) -> None:
    print(f"Connection closed: {event.reason}")


@client.on("error")
def failed(event: wsmash.ErrorEvent) -> None:
    print(f"Error: {event.error}")


async def main() -> None:
    # Connect to the server
    client.connect()

    # Later, close the connection
    await asyncio.sleep(1)
    await client.close(wsmash.CLOSE_CODES.NORMAL, "Done")


asyncio.run(main())
