"""Loops and interpreters that end while connections live, stop and go on, or are forked: silently, on either engine."""

from __future__ import annotations

from textwrap import dedent

import pytest

from fixtures.native import CLEAN, Ended, run_program

pytestmark = pytest.mark.case(126)

BEGIN = """
new_loop = __import__("uvloop").new_event_loop if {uvloop} else asyncio.new_event_loop

async def begin():
    server = wsmash.create_server(host="127.0.0.1", port=0)
    server.on("connection", echo)
    await server.start()
    url = f"ws://127.0.0.1:{{server.port}}/"
    clients = [await wsmash.connect(url, proxy=None) for _ in range(3)]
    again = wsmash.create_client(url, proxy=None, reconnect=True, offline_queue=9)
    await again.connect()
    for client in clients:
        await talk(client)
    clients[0].send("x" * 3_000_000)
    begun, go_on = asyncio.Event(), asyncio.Event()

    @again.on("message")
    async def received(event):
        begun.set()
        await go_on.wait()

    again.send("one whose callback waits")
    await begun.wait()
    return server, clients, again, go_on

async def end(server, clients, again, go_on):
    await talk(clients[2])
    go_on.set()
    again.send("x")
    await again.close()
    for client in clients:
        await client.close()
    await server.stop()

loop = new_loop()
loop.set_debug({debug})
loop.slow_callback_duration = 9
kept = loop.run_until_complete(begin())
"""

ENDS = {
    "the interpreter ends": 'print("done")',
    "the loop is closed, and the connections are dropped after it": """
        loop.close()
        kept = None
        gc.collect()
        print("done")
    """,
    "all tasks are cancelled, as asyncio.run does": """
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        print("done")
    """,
    "the loop is stopped, and goes on": """
        for _ in range(3):
            loop.call_later(0.01, loop.stop)
            loop.run_forever()
        loop.run_until_complete(end(*kept))
        loop.close()
        print("done")
    """,
    "a child is forked that ends": """
        child = os.fork()
        if child:
            assert os.waitpid(child, 0)[1] == 0
            loop.run_until_complete(end(*kept))
            loop.close()
            print("done")
        else:
            os._exit(0)
    """,
}


def run(engine: str, end: str, *options: str, uvloop: bool = False, debug: bool = False) -> Ended:
    """How a program ends that has a server and clients, and then comes to this."""
    begin = BEGIN.format(uvloop=uvloop, debug=debug)
    return run_program(begin + dedent(ENDS[end]), *options, WSMASH_ENGINE=engine)


@pytest.mark.parametrize("loop", ["asyncio", "asyncio in debug mode", "uvloop"])
@pytest.mark.parametrize("end", ENDS)
def test_what_ends_under_connections(engine: str, end: str, loop: str) -> None:
    """The exit is clean, and there is not a word of it: no task was destroyed, no exception never retrieved."""
    assert run(engine, end, uvloop=loop == "uvloop", debug="debug" in loop) == CLEAN
