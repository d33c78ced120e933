"""Subscribe to a topic, publish to it and call a method of the server; what is said during an outage comes after it.

    python examples/topics_client.py [URL]
"""

import sys

import wsmash

url = sys.argv[1] if len(sys.argv) > 1 else "ws://localhost:8080/ws"
client = wsmash.create_client(url, protocols="wsmash.v1", reconnect=True)
room = client.subscribe("room.lobby")  # on each connection, from where the last one came to


@room.on("message")
def show(event: wsmash.TopicMessage) -> None:
    print(f"Somebody said: {event.data!s}")
    if event.data == "bye":
        client.close()


@room.on("gap")
def missed(event: wsmash.TopicGap) -> None:
    print(f"Some of it was missed: {event.reason}")


@client.on("open")
async def talk(event: wsmash.OpenEvent) -> None:
    if event.reconnected:
        return
    await room  # until the server has confirmed
    print("1 + 2 =", await client.request("add", [1, 2], timeout=5))
    await client.publish("room.lobby", "hello")
    client.publish("room.lobby", "bye")


wsmash.run(client)
