"""The Nth allocation fails, Python's own and those of the engine's C: one connection at most pays for it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import pytest

from faults.test_system_calls import LONGEST, MOST, run
from fixtures.codec import NATIVE, existing


@pytest.mark.timeout(LONGEST)
@pytest.mark.skipif("WSMASH_SANITIZED" in os.environ, reason="the sanitizers have the place of the shim")
@pytest.mark.skipif(importlib.util.find_spec("_testcapi") is None, reason="this Python has no _testcapi")
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python itself does not outlive each missing allocation")
@pytest.mark.parametrize("engine", ["native", "portable"])
def test_no_memory_for_python(shim_library: Path, engine: str) -> None:
    """Wherever memory is missing while a socket is worked off: the process lives, and so do all other connections."""
    if engine == "native":
        existing(NATIVE)
    found = run(engine, shim_library, "allocations.py", "python", str(MOST))
    assert found["faults"] == []
    assert found["tried"] >= 20


@pytest.mark.timeout(LONGEST)
@pytest.mark.skipif("WSMASH_SANITIZED" in os.environ, reason="the sanitizers have the place of the shim")
def test_no_memory_for_the_engine(shim_library: Path) -> None:
    """The same of what the engine asks malloc for: its slots, its chunks, what is left of a read."""
    existing(NATIVE)
    found = run("native", shim_library, "allocations.py", "c", str(10 * MOST))
    assert found["faults"] == []
    assert found["tried"] > 0
