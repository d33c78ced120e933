"""The client of `websockets`."""

from __future__ import annotations

import asyncio

from websockets.asyncio.client import connect

from benchmarks.clients.trips import Trips, measure


async def make_trips(url: str, trips: Trips) -> float:
    """Send the next message where the last one comes back."""
    async with connect(url, compression=None) as connection:
        await connection.send(trips.payload)

        async def go_on() -> None:
            async for message in connection:
                trips.done += 1
                await connection.send(message)

        going = asyncio.ensure_future(go_on())
        try:
            return await trips.rate()
        finally:
            going.cancel()


if __name__ == "__main__":
    measure(make_trips)
