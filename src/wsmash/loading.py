"""A server that is named by text: `"module:name"`, as a command line and fresh processes have it."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import Any, Final

from .errors import InvalidState, LoadError
from .server import WebSocketServer

_FORM: Final = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*(?:\.[^\W\d]\w*)*)")

_loading: str | None = None


def load_server(name: str, changes: Mapping[str, Any] = MappingProxyType({})) -> WebSocketServer:
    """The server that `"module:name"` stands for: an object, or what a function without parameters returns.

    Args:
        name: such a text.
        changes: options in place of its own.

    Raises:
        LoadError: nothing is named so, it is no server, or has been started, or cannot have these options.
        Exception: the module, or the function, has raised it; the traceback begins there.
    """
    module, path = split_name(name)
    found: Any = _import(module)
    reached = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise LoadError(f"{name!r}: {reached!r} has no {part!r}") from None
        reached += f"{':' if reached == module else '.'}{part}"
    server = _server(name, found)
    try:
        server._change_options(**changes)
    except (TypeError, ValueError, InvalidState) as error:
        raise LoadError(f"{name!r}: {error}") from None
    return server


def split_name(name: str) -> tuple[str, str]:
    """A module's name and a name in it.

    Raises:
        LoadError: the text has another form, or a module that no other process can import.
    """
    match = _FORM.fullmatch(name)
    if match is None:
        raise LoadError(f"a server is named 'module:name', as 'app:server', and not {name!r:.200}")
    if match[1] == "__main__":
        raise LoadError(f"{name!r}: no other process can import __main__: give the module's own name")
    return match[1], match[2]


def being_loaded() -> str | None:
    """The name of a server whose module is being imported just now, or None."""
    return _loading


def own_traceback(error: BaseException) -> str:
    """How the module of a server failed, from its first line on: without the frames that have led there."""
    trace = first = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == __file__:
            first = trace.tb_next
        trace = trace.tb_next
    while first is not None and _imports(first):
        first = first.tb_next
    return "".join(traceback.format_exception(type(error), error, first))


def _imports(trace: TracebackType) -> bool:
    name = trace.tb_frame.f_code.co_filename
    return name.startswith("<frozen importlib") or name == importlib.__file__


def _import(module: str) -> object:
    try:
        return _during(module, importlib.import_module, module)
    except ModuleNotFoundError as error:
        # One that the module asks for itself is its own failure.
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        first = sys.path[0] if sys.path else ""
        raise LoadError(f"there is no module {error.name!r} in {first or '.'!r}, nor elsewhere on sys.path") from None


def _server(name: str, found: object) -> WebSocketServer:
    if isinstance(found, WebSocketServer):
        return found
    if not callable(found):
        raise LoadError(f"{name!r} is neither a WebSocketServer nor a function that makes one, but {_shown(found)}")
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        raise LoadError(f"{name!r} cannot be called without arguments to make a server") from None
    made = _during(name, found)
    if isinstance(made, WebSocketServer):
        return made
    if inspect.iscoroutine(made):
        made.close()
        raise LoadError(f"{name!r} is a coroutine function: a server is made by a plain one, before any loop runs")
    raise LoadError(f"{name!r} has returned no WebSocketServer, but {_shown(made)}")


def _during(name: str, call: Callable[..., object], *arguments: object) -> object:
    """Call it; `run` refuses to be called meanwhile, since the loading would never end."""
    global _loading  # noqa: PLW0603  # of this process, as the modules are
    before, _loading = _loading, name
    try:
        return call(*arguments)
    finally:
        _loading = before


def _shown(value: object) -> str:
    return f"{value!r:.100}"
