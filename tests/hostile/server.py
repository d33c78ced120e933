"""A server in a process of its own, which tells what it holds: `python tests/hostile/server.py SETTING`.

The setting is JSON: `options` of the server (`compression` may be an object with
those of `Deflate`, and `generous` lets clients do everything with topics), `work`
(a function of `hostile.works`, or `module:function`), `certificate` (a file with
key and chain, for TLS), `level` of the log. The log and all complaints of Python
go to standard error.

The first line written is the port. After that each line read is a command, in
JSON, and each line written its answer:

* `["state"]`: what the process holds; see `state`.
* `["seen"]`: what its application has seen; see `hostile.works.Seen`.
* `["limit", N]`: no more than so many descriptors.
* `["close", CODE]`: close all connections.
* `["send", TEXT]`: to all connections.
* `["stop"]`: stop the server, and end.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import logging
import resource
import ssl
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import wsmash
from hostile.works import Seen
from wsmash.runtime.environment import current_environment

LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo")
"""What may take its time on the loop (the last two are what `socket.getfqdn` does); Python tells its auditors."""

OURS = ("ServerConnection", "ServerOpening", "Channel", "SocketChannel")
"""Types of which the state tells how many there are."""


_lookups: list[str] = []


def make_server(setting: dict[str, Any]) -> tuple[wsmash.WebSocketServer, Seen]:
    """The server, and what its work will have seen."""
    options: dict[str, Any] = {"host": "127.0.0.1", "port": 0} | setting.get("options", {})
    if isinstance(options.get("compression"), dict):
        options["compression"] = wsmash.Deflate(**options["compression"])
    if options.pop("generous", False):
        options["authorize"] = lambda _: True
    if "certificate" in setting:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(setting["certificate"])
        options["ssl"] = context
    server = wsmash.create_server(**options)
    seen = Seen()
    module, _, work = setting.get("work", "echo").rpartition(":")
    getattr(import_module(module or "hostile.works"), work)(server, seen)
    return server, seen


def state(server: wsmash.WebSocketServer, seen: Seen) -> dict[str, Any]:
    """What there is of everything that could be left behind, and what has been seen."""
    gc.collect()
    objects = gc.get_objects()
    types = Counter(type(each).__name__ for each in objects)
    loop: Any = asyncio.get_running_loop()
    wheel = current_environment("state").wheel
    timers = [each for each in loop._scheduled if not each._cancelled and each is not wheel._timer]
    return {
        "connections": server.get_client_count(),
        "openings": types["ServerOpening"],
        "alive": {name: types[name] for name in OURS if types[name]},
        "tasks": len(asyncio.all_tasks()),
        "wheel": len(wheel),
        "timers": len(timers) + len(wheel),
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "objects": len(objects),
        "blocks": sys.getallocatedblocks(),
        "lookups": list(_lookups),
        "counters": dataclasses.asdict(server.counters),
        "seen": dataclasses.asdict(seen),
    }


def act(server: wsmash.WebSocketServer, seen: Seen, name: str, *arguments: Any) -> object:
    """Do what a command says."""
    if name == "state":
        return state(server, seen)
    if name == "seen":
        return dataclasses.asdict(seen)
    if name == "limit":
        resource.setrlimit(resource.RLIMIT_NOFILE, (arguments[0], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    elif name == "close":
        for client in server.get_clients():
            client.close(*arguments)
    elif name == "send":
        return int(server.broadcast(*arguments))
    else:
        raise ValueError(f"no such command: {name!r}")
    return None


async def main() -> None:
    """Serve until told to stop, or until who started this has gone."""
    setting = json.loads(sys.argv[1])
    logging.basicConfig(
        stream=sys.stderr, level=setting.get("level", "INFO"), format="%(levelname)s %(name)s: %(message)s"
    )
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    server, seen = make_server(setting)
    async with server:
        sys.addaudithook(lambda event, _: _lookups.append(event) if event in LOOKUPS else None)
        print(server.port, flush=True)
        while line := await commands.readline():
            command = json.loads(line)
            if command == ["stop"]:
                break
            print(json.dumps(act(server, seen, *command)), flush=True)
    print("null", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
