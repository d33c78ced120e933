"""Subscribe to a channel of a JSON service, and print its updates.

    python examples/json_client.py [URL]
"""

import sys

import wsmash

client = wsmash.create_client(sys.argv[1] if len(sys.argv) > 1 else "wss://api.example.com/ws")


@client.on("open")
def subscribe(event: wsmash.OpenEvent) -> None:
    # Send a JSON message
    client.send({
        "type": "subscribe",
        "channel": "updates",
        "params": {"frequency": "realtime"},
    })


@client.on("message")
def show(event: wsmash.MessageEvent) -> None:
    try:
        data = event.json()
    except wsmash.InvalidMessage:
        print("Failed to parse message as JSON", file=sys.stderr)
        return

    match data:
        case {"type": "update", "content": content}:
            print(f"Update received: {content}")
        case {"type": "error", "message": message}:
            print(f"Error: {message}", file=sys.stderr)


wsmash.run(client)
