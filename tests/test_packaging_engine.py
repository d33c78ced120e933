"""Which engine an installed package takes, and what it says where that is the portable one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import wsmash
from fixtures.codec import NATIVE, existing
from wsmash.transports import native


@pytest.mark.case(127)
def test_without_the_global_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that runs without its global lock takes the portable engine."""
    monkeypatch.delenv(native.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    assert native._load() == (None, None, "this interpreter runs without its global lock")


def test_with_the_global_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that can tell that it has the lock takes the native engine, as one does that was never asked."""
    monkeypatch.delenv(native.VARIABLE, raising=False)
    existing(NATIVE)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: True, raising=False)
    assert native._load()[2] == ""
    monkeypatch.delattr(sys, "_is_gil_enabled")
    assert native._load()[2] == ""


def test_another_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux there is no native engine to look for."""
    monkeypatch.delenv(native.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert native._load() == (None, None, "it stands on Linux' epoll, and this is darwin")


def test_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """WSMASH_ENGINE=portable does without it; a word that it does not know is an error that names those it does."""
    monkeypatch.setenv(native.VARIABLE, " Portable ")
    assert native._load() == (None, None, "WSMASH_ENGINE=portable")
    monkeypatch.setenv(native.VARIABLE, "fast")
    with pytest.raises(ValueError, match="must be one of auto, native, portable, and is 'fast'"):
        native._load()


def test_native_or_nothing() -> None:
    """WSMASH_ENGINE=native is an ImportError where it cannot be, and says why."""
    program = "import sys; sys.platform = 'darwin'; import wsmash"
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={"WSMASH_ENGINE": "native", "PYTHONPATH": str(Path(wsmash.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ImportError: WSMASH_ENGINE=native asks for the native engine, but it stands on Linux' epoll" in ran.stderr


def test_what_the_build_wrote_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The reason that setup.py left in place of the modules is repeated; without one, both that it can be are named."""
    (tmp_path / "_native").mkdir()
    monkeypatch.setattr(native, "__file__", str(tmp_path / "transports" / "native.py"))
    assert native._what_was_missing() == "WSMASH_BUILD=pure left it out, or nothing was built for this Python"
    (tmp_path / "_native" / f"unbuilt.{sys.implementation.cache_tag}.txt").write_text("there was no sun\n")
    assert native._what_was_missing() == "there was no sun"
