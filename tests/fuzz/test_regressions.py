"""What the fuzzer once found, and some inputs as it begins with: the native half does what the pure one does."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from fuzz.targets import TARGETS
from wsmash.transports import native

pytestmark = pytest.mark.skipif(bool(native.missing), reason=f"no native engine: {native.missing}")

FOUND = sorted(path for path in (Path(__file__).parent / "regressions").iterdir() if path.suffix != ".md")


def test_found_before() -> None:
    """Inputs on which the two differed, or the process died."""
    for path in FOUND:
        print(path)  # what is left where the process dies
        assert TARGETS[path.name.partition("-")[0]](path.read_bytes()) == "", path.name


@pytest.mark.parametrize("name", TARGETS)
def test_any_bytes(name: str) -> None:
    """Bytes at random make schedules on which the two do the same."""
    random = Random(1)
    for number in range(20):
        data = random.randbytes(100 << number % 4)
        assert TARGETS[name](data) == "", data.hex()
