"""Tests of whole servers run on each engine."""

from __future__ import annotations

import pytest

from fixtures.driver import DRIVERS
from wsmash.runtime import environment
from wsmash.transports import native


@pytest.fixture(params=sorted(DRIVERS))
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of the engine that connections run on in this test."""
    name: str = request.param
    if name == "native" and native.missing:
        pytest.skip(f"no native engine: {native.missing}")
    monkeypatch.setattr(environment, "make_driver", DRIVERS[name])
    return name
