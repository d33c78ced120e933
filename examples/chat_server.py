"""A chat in one file: everyone hears what anyone says, who comes and who goes.

    python examples/chat_server.py [PORT]
"""

import asyncio
import contextlib
import random
import sys

import wsmash

server = wsmash.create_server(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
users: dict[wsmash.WebSocketConnection, str] = {}


@server.on("connection")
def join(event: wsmash.ConnectionEvent) -> None:
    client = event.client
    username = f"User{random.randrange(1000)}"

    users[client] = username

    # Welcome message
    client.send(f"Welcome, {username}!")

    # Broadcast join message
    server.broadcast(f"{username} has joined the chat", lambda c: c is not client)

    @client.on("message")
    def say(event: wsmash.MessageEvent) -> None:
        # Broadcast the message to all clients
        server.broadcast(f"{username}: {event.data!s}")

    @client.on("close")
    def leave(event: wsmash.CloseEvent) -> None:
        # Broadcast leave message
        server.broadcast(f"{username} has left the chat")
        del users[client]


async def main() -> None:
    async with server:  # starts it, and stops it at the end
        print(f"Chat server running on ws://localhost:{server.port}", flush=True)
        await server.wait_closed()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
