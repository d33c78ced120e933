"""Which engine carries connections: what the environment asks for, and what an extension that is broken comes to."""

from __future__ import annotations

import pytest

from fixtures.native import run_program

pytestmark = pytest.mark.usefixtures("native_engine")

LOADS = {
    "native": (0, "native"),
    "auto": (0, "native"),
    "": (0, "native"),
    "portable": (0, "portable (WSMASH_ENGINE=portable)"),
    "fast": (1, "ValueError: WSMASH_ENGINE must be one of auto, native, portable, and is 'fast'"),
}


@pytest.mark.parametrize("choice", LOADS)
def test_the_environment_chooses(choice: str) -> None:
    """As the package is imported; `engine()` says what came of it."""
    status, says = LOADS[choice]
    ended = run_program("import wsmash; print(wsmash.engine())", prelude="", WSMASH_ENGINE=choice)
    assert ended.status == status
    assert says in (ended.err if status else ended.out)


def test_an_extension_that_cannot_be_loaded() -> None:
    """One line of warning in the log, and the portable engine carries everything."""
    program = """
    import logging, sys
    from importlib.machinery import ModuleSpec

    class Broken:
        def find_spec(name, path, target=None):
            return ModuleSpec(name, Broken) if name == "wsmash._native.engine" else None

        def create_module(spec):
            raise ImportError("undefined symbol: PyOld")

        def exec_module(module):
            pass

    sys.meta_path.insert(0, Broken)
    logging.basicConfig(level=logging.INFO)
    import asyncio, wsmash

    async def main():
        async with wsmash.create_server(host="127.0.0.1", port=0) as server:
            server.on("connection", lambda event: event.client.on("message", lambda m: m.client.send(m.data)))
            async with wsmash.connect(f"ws://127.0.0.1:{server.port}/") as client:
                await client.send("hello")
                print(await client.recv())

    asyncio.run(main())
    print(wsmash.engine())
    """
    ended = run_program(program, prelude="", WSMASH_ENGINE="auto")
    assert ended.out == "hello\nportable (it cannot be loaded: undefined symbol: PyOld)\n"
    warnings = [line for line in ended.err.splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert warnings[0].endswith("cannot be loaded, and the portable one runs in its place: undefined symbol: PyOld")
