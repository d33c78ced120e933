"""The fuzzer's targets on what it begins with, on what it once found, and on some bytes at random."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from fuzz import heads, whole
from fuzz.run import CORPUS, NAMES, REGRESSIONS, told
from fuzz.targets import TARGETS, TWINS
from wsmash.transports import native

CORPUS_SIZE = 500 * 1024
"""Bytes of all the inputs that are kept."""


@pytest.fixture(scope="module", autouse=True)
def _loops() -> Iterator[None]:
    """The loops that targets keep are closed in the end."""
    yield
    for module in (heads, whole):
        module.close()


_targets = pytest.mark.parametrize("name", [
    pytest.param(
        name,
        marks=pytest.mark.skipif(name in TWINS and bool(native.missing), reason=f"no native engine: {native.missing}"),
    )
    for name in TARGETS
])  # fmt: skip


@_targets
def test_corpus(name: str) -> None:
    """What the fuzzer begins with."""
    files = sorted((CORPUS / name).iterdir())
    assert files
    for path in files:
        assert TARGETS[name](path.read_bytes()) == "", path


@pytest.mark.case(128)
@_targets
def test_found_before(name: str) -> None:
    """Inputs that once showed a fault, or that the process died of."""
    for path in sorted(REGRESSIONS.glob(f"{name}-*")):
        print(path)  # what is left where the process dies
        assert TARGETS[name](path.read_bytes()) == "", path


@pytest.mark.case(128)
@_targets
def test_any_bytes(name: str) -> None:
    """Bytes at random."""
    random = Random(1)
    for number in range(20):
        data = random.randbytes(100 << number % 4)
        assert TARGETS[name](data) == "", data.hex()


def test_what_is_kept() -> None:
    """There is a corpus for each target and for nothing else, and it is small."""
    assert set(NAMES) == set(TARGETS)
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert {path.name.partition("-")[0] for path in REGRESSIONS.iterdir()} <= {*TARGETS, "README.md"}
    assert sum(path.stat().st_size for path in Path(__file__).parent.rglob("*") if path.is_file()) < CORPUS_SIZE


def test_what_a_log_comes_to() -> None:
    """A line for a target without a fault; where there is one, the end of the log too."""
    log = "#2 INITED\nstat::number_of_executed_units: 12345\nAssertionError: it was this\n"
    assert told(log, 0) == "12,345 inputs, nothing found"
    assert told(log, 77).startswith("12,345 inputs, failed with status 77") and "it was this" in told(log, 77)
    assert told("no such module\n", 1) == "ended early, failed with status 1; its log ends\nno such module"
