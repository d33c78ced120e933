"""The shim, built once for each run."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults import shim


@pytest.fixture(scope="session")
def shim_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What makes calls fail in a process that preloads it."""
    library = shim.build(tmp_path_factory.mktemp("shim"))
    if library is None:
        pytest.skip("there is no C compiler")
    return library
