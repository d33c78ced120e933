"""Topics for clients that speak wsmash.v1: who may do what with them, a history, and a method to call.

    python examples/topics_server.py [PORT]
"""

import asyncio
import contextlib
import sys

import wsmash


def allow(request: wsmash.TopicRequest) -> bool:
    # Everybody may subscribe to rooms, publish there and see who is present
    return request.topic.startswith("room.")


port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
server = wsmash.create_server(port=port, path="/ws", protocols="wsmash.v1", authorize=allow)

# Who comes back gets what was said meanwhile: the last 100 messages of an hour
server.topic("room.*", history_size=100, history_ttl=3600)


@server.method("add")
def add(event: wsmash.RequestEvent) -> int:
    return sum(event.json(list[int]))


async def main() -> None:
    async with server:
        print(f"Topics on ws://localhost:{server.port}/ws", flush=True)
        await server.wait_closed()


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
