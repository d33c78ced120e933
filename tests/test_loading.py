"""A server that is named by text: "module:name"."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wsmash
from wsmash.errors import LoadError
from wsmash.loading import load_server, own_traceback

MODULE = """
# A module with a server in many forms.

import wsmash

server = wsmash.create_server(port=1)
number = 5


def make() -> wsmash.WebSocketServer:
    return wsmash.create_server(port=2)


class Own(wsmash.WebSocketServer):
    pass


class held:
    server = wsmash.create_server(port=3)


def make_nothing():
    return None


def make_of(port):
    return wsmash.create_server(port=port)


async def make_later():
    return server


def make_wrongly():
    raise KeyError("wrong")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that modules are imported from."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "some_app.py").write_text(MODULE, "utf-8")
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "port"),
    [("server", 1), ("make", 2), ("held.server", 3), ("Own", 8080)],
)
def test_what_a_name_may_stand_for(folder: Path, name: str, port: int) -> None:
    """An object, what a function makes, a name in a name, a class."""
    assert load_server(f"some_app:{name}").port == port


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("", "'module:name'"),
        ("some_app", "'module:name'"),
        ("some_app:", "'module:name'"),
        (":server", "'module:name'"),
        ("some_app:server:x", "'module:name'"),
        ("some app:server", "'module:name'"),
        ("../some_app:server", "'module:name'"),
        ("__main__:server", "__main__"),
        ("no_such_app:server", "no module 'no_such_app'"),
        ("no_such_app.part:server", "no module 'no_such_app'"),
        ("some_app.part:server", "no module 'some_app.part'"),
        ("some_app:servr", "'some_app' has no 'servr'"),
        ("some_app:held.servr", "'some_app:held' has no 'servr'"),
        ("some_app:number", "but 5"),
        ("some_app:make_nothing", "but None"),
        ("some_app:make_of", "without arguments"),
        ("some_app:make_later", "coroutine function"),
    ],
)
def test_what_is_no_name_of_a_server(folder: Path, name: str, text: str) -> None:
    """The error says what was not found, or what was found in its place."""
    with pytest.raises(LoadError) as caught:
        load_server(name)
    assert text in str(caught.value) and caught.value.__cause__ is None


def test_a_module_that_fails_to_import_something_fails_itself(folder: Path) -> None:
    """Its own error comes as it is, and its traceback begins in the module."""
    (folder / "broken_app.py").write_text("import no_such_dependency\n", "utf-8")
    with pytest.raises(ModuleNotFoundError, match="no_such_dependency") as caught:
        load_server("broken_app:server")
    assert not isinstance(caught.value, LoadError)
    frames = [line for line in own_traceback(caught.value).splitlines() if line.startswith("  File ")]
    assert "broken_app.py" in frames[0]


def test_a_function_that_fails(folder: Path) -> None:
    """Its error comes as it is."""
    with pytest.raises(KeyError, match="wrong"):
        load_server("some_app:make_wrongly")


def test_a_module_that_runs_itself_is_told_so(folder: Path) -> None:
    """Its `run`, which would never let the import end, says where it belongs."""
    (folder / "eager_app.py").write_text("import wsmash\nwsmash.run(wsmash.create_server(port=0))\n", "utf-8")
    with pytest.raises(RuntimeError, match="if __name__ == '__main__'"):
        load_server("eager_app:server")


@pytest.mark.parametrize("workers", [0, -1])
def test_numbers_of_workers_that_are_none(workers: int) -> None:
    """One process at least."""
    with pytest.raises(ValueError, match="at least 1"):
        wsmash.run("app:server", workers=workers)
    wrong: Any = "2"
    with pytest.raises(TypeError, match="int"):
        wsmash.run("app:server", workers=wrong)


def test_an_object_is_for_one_process() -> None:
    """Several have to load it for themselves, and the error says how it is named then."""
    server = wsmash.create_server()
    with pytest.raises(TypeError, match="'module:name'"):
        wsmash.run(server, workers=2)
    with pytest.raises(TypeError, match="'module:name'"):
        wsmash.run(server, broker="local")


def test_a_broker_of_workers_is_none_of_one_process() -> None:
    """There is nobody to start it for."""
    with pytest.raises(ValueError, match="several workers"):
        wsmash.run("app:server", broker="local")
    with pytest.raises(ValueError, match="several workers"):
        wsmash.run("app:server", workers=1, broker="local")
