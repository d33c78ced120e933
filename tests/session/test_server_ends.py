"""What becomes of commands whose connection ends."""

from __future__ import annotations

import asyncio
import gc

from fixtures.clock import virtual
from fixtures.nodes import Node
from fixtures.scripted_broker import ScriptedBroker
from wsmash.session.server import Session


@virtual
async def test_a_publication_whose_connection_ends_before_it_is_waited_for() -> None:
    """It has been made, and nothing of its answer is left: no coroutine that nobody has awaited."""
    async with Node(ScriptedBroker(), authorize=lambda request: True) as node:
        connection = node.client(spoken=False).connection
        session = Session(connection, node.hub, {})
        session.take(connection, '\x1e{"type":"publish","id":1,"topic":"news","text":"x"}')
        await asyncio.sleep(0)  # it was taken up, and a task that waits for its position is about to begin
        assert len(session._slow) == 1
        session.end()
        await asyncio.sleep(0.1)
        assert not session._slow
        gc.collect()
