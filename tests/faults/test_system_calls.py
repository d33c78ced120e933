"""Each system call fails in its turn: what passes changes nothing, and what does not ends one connection alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.codec import NATIVE, existing

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

MOST = int(os.environ.get("FAULTS", "2"))
"""Calls of each kind that fail with each error, spread over all of them; half as many of TLS, which takes longer."""

LONGEST = 900.0
"""Seconds that a sweep may take where all calls are tried."""


def run(engine: str, library: Path, program: str, *arguments: str) -> dict[str, Any]:
    """What a program of this folder printed, which ran with the shim and must end well."""
    path = os.pathsep.join(map(str, (ROOT / "src", ROOT / "tests")))
    ran = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(HERE / program), *arguments],
        env={**os.environ, "WSMASH_ENGINE": engine, "LD_PRELOAD": str(library), "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=LONGEST,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(ran.stdout)
    assert found["engine"] == engine
    return found


@pytest.mark.case(19, 51, 67)
@pytest.mark.timeout(LONGEST)
@pytest.mark.skipif("WSMASH_SANITIZED" in os.environ, reason="the sanitizers have the place of the shim")
@pytest.mark.parametrize("kind", ["plain", "tls", "deflate"])
@pytest.mark.parametrize("engine", ["native", "portable"])
def test_failing_calls(shim_library: Path, engine: str, kind: str) -> None:
    """EINTR, EAGAIN and one byte at a time pass unnoticed; a hard error ends one connection, with 1006, and no more."""
    if engine == "native":
        existing(NATIVE)
    most = -(-MOST // 2) if kind == "tls" else MOST
    found = run(engine, shim_library, "sweep.py", kind, str(most))
    assert found["faults"] == []
    assert found["tried"] > 15 * min(most, 2)
