"""The WebSockets of aiohttp's client."""

from __future__ import annotations

import asyncio

from aiohttp import ClientSession

from benchmarks.clients.trips import Trips, measure


async def make_trips(url: str, trips: Trips) -> float:
    """Send the next message where the last one comes back."""
    async with ClientSession() as session, session.ws_connect(url) as connection:
        await connection.send_bytes(trips.payload)

        async def go_on() -> None:
            async for message in connection:
                trips.done += 1
                await connection.send_bytes(message.data)

        going = asyncio.ensure_future(go_on())
        try:
            return await trips.rate()
        finally:
            going.cancel()


if __name__ == "__main__":
    measure(make_trips)
