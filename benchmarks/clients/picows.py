"""The client of picows' core."""

from __future__ import annotations

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from benchmarks.clients.trips import Trips, measure


async def make_trips(url: str, trips: Trips) -> float:
    """Send the next message where the last one comes back."""
    class Listener(WSListener):
        def on_ws_connected(self, transport: WSTransport) -> None:
            transport.send(WSMsgType.BINARY, trips.payload)

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            trips.done += 1
            transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())

    await ws_connect(Listener, url)
    return await trips.rate()


if __name__ == "__main__":
    measure(make_trips)
