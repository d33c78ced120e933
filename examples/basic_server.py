"""A server's life: start, answer each client, tell all of them something, stop.

    python examples/basic_server.py [PORT [SECONDS]]
"""

import asyncio
import sys

import wsmash

port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 60

# Create a WebSocket server
server = wsmash.create_server(port=port, host="localhost", path="/ws")


# Handle client connections
@server.on("connection")
def connected(event: wsmash.ConnectionEvent) -> None:
    client = event.client
    print("New client connected!")

    @client.on("message")
    def received(event: wsmash.MessageEvent) -> None:
        print(f"Received message: {event.data!s}")
        client.send(f"Echo: {event.data!s}")

    @client.on("close")
    def disconnected(event: wsmash.CloseEvent) -> None:
        print(f"Client disconnected: {event.reason}")


async def main() -> None:
    # Start the server
    await server.start()
    print("Server started!")
    await asyncio.sleep(seconds)

    # Broadcast a message to all clients
    server.broadcast("Server announcement")

    # Stop the server
    await server.stop()


asyncio.run(main())
