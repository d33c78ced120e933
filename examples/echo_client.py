"""The smallest client: say one thing to an echo server, print the answer, close.

    python examples/echo_client.py [URL]
"""

import sys

import wsmash

client = wsmash.create_client(sys.argv[1] if len(sys.argv) > 1 else "ws://echo.websocket.org")


@client.on("open")
def greet(event: wsmash.OpenEvent) -> None:
    print("Connected to echo server")
    client.send("Hello, echo server!")


@client.on("message")
def show(event: wsmash.MessageEvent) -> None:
    print(f"Echo: {event.data!s}")
    client.close()


wsmash.run(client)
