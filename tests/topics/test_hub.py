"""All topics of one server, on the broker in its own memory."""

from __future__ import annotations

import wsmash
from fixtures.in_loop import in_loop, until


@in_loop
async def test_a_subscriber_gets_what_is_published() -> None:
    """On its topics and on those that its patterns match, and on no others."""
    server = wsmash.create_server(port=0)
    server.on("connection", lambda event: (event.client.subscribe("chat.a"), event.client.subscribe("news.>")))
    got: list[str | bytes] = []
    async with server, wsmash.connect(f"ws://localhost:{server.port}/") as client:
        client.on("message", lambda event: got.append(event.data))
        await until(lambda: server.get_subscriber_count("chat.a"))
        first = await server.publish("chat.a", "text")
        await server.publish("chat.b", "another topic's")
        await server.publish("news.world.today", {"a": 1})
        last = await server.publish("chat.a", b"bytes")
        await until(lambda: len(got) == 3)
        assert got == ["text", '{"a":1}', b"bytes"]
        assert first is not None and last is not None
        assert first.epoch == last.epoch and first.offset < last.offset
        assert server.get_clients()[0].topics == ("chat.a", "news.>")
        await client.close()
        await until(lambda: not server.get_clients())
        assert server.get_subscriber_count("chat.a") == server.get_subscriber_count("news.>") == 0
