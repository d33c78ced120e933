"""Connections do the same on both engines, whatever their callbacks are; see `fixtures/connection_traces.py`."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

import wsmash
from fixtures.codec import NATIVE, existing
from fixtures.connection_traces import KINDS, Scene, trace
from wsmash.runtime.ending import Ending
from wsmash.runtime.inbox import Inbox

COUNT = 400
TESTS = Path(__file__).parent.parent


def begin(engine: str) -> subprocess.Popen[str]:
    """A process that writes down what is seen on an engine."""
    path = os.pathsep.join((str(Path(wsmash.__file__).parent.parent), str(TESTS)))
    return subprocess.Popen(
        [sys.executable, "-m", "fixtures.connection_traces", "0", str(COUNT)],
        env={**os.environ, "PYTHONPATH": path, "WSMASH_ENGINE": engine},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.case(128)
def test_the_engines_agree() -> None:
    """Callbacks hear the same, peers read the same, and the log has the same lines, whenever all is quiet."""
    existing(NATIVE)
    portable, native = (begin(engine) for engine in ("portable", "native"))
    written = [process.communicate(timeout=100)[0].splitlines() for process in (portable, native)]
    for one, other in zip_longest(*written):
        assert one == other
    assert len(written[0]) == COUNT


def test_all_kinds_occur() -> None:
    """The schedules have connections with callbacks of each kind."""
    scenes = [Scene(seed) for seed in range(60)]
    for scene in scenes:
        list(scene.play())
    assert {kind for scene in scenes for kind in scene.server.kinds} == KINDS.keys()


@pytest.mark.case(128)
@pytest.mark.parametrize("broken", [(Ending, "_callback_failed"), (Inbox, "pull")], ids=lambda each: each[1])
def test_another_runtime_is_caught(broken: tuple[type, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not do its part is seen in what callbacks hear."""
    seeds = range(60)
    right = [trace(seed) for seed in seeds]
    monkeypatch.setattr(*broken, lambda *_: None)
    assert [trace(seed) for seed in seeds] != right
