"""Execute one code block of a document, read from standard input.

    block_runner.py NAME URL

A block that calls `run(...)` is a whole program and is executed as one. Any
other is a piece of one: it is executed inside a running loop, may `await`, and
finds `client`, open to the echo server at URL, and `server`, a started one.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from types import CodeType

import wsmash


def is_program(source: str) -> bool:
    """Whether the block calls something named run."""
    calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    names = [call.attr if isinstance(call, ast.Attribute) else getattr(call, "id", None) for call in calls]
    return "run" in names


async def execute_piece(code: CodeType, url: str) -> None:
    """Execute the code where a client and a server are at hand, and let what it started come to its end."""
    async with wsmash.create_server(port=0) as server, wsmash.connect(url) as client:
        names = {"wsmash": wsmash, "asyncio": asyncio, "server": server, "client": client, "url": url}
        waiting = eval(code, names)  # a coroutine where the code awaits, otherwise None
        if inspect.iscoroutine(waiting):
            await waiting


def main() -> None:
    name, url = sys.argv[1:]
    source = sys.stdin.read()
    if is_program(source):
        exec(compile(source, name, "exec"), {"__name__": "__main__"})
    else:
        code = compile(source, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        asyncio.run(execute_piece(code, url))


main()
