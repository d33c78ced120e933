"""The product's client, used as its users use it: through its events, with its defaults."""

from __future__ import annotations

import wsmash
from benchmarks.clients.trips import Trips, measure


async def make_trips(url: str, trips: Trips) -> float:
    """Send the next message where the last one comes back."""
    client = wsmash.create_client(url)
    client.on("open", lambda event: client.send(trips.payload))

    @client.on("message")
    def received(event: wsmash.MessageEvent) -> None:
        trips.done += 1
        client.send(event.data)

    await client.connect()
    return await trips.rate()


if __name__ == "__main__":
    measure(make_trips)
