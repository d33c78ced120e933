"""docs/limits.md names every bound there is, each with its real default or value."""

from __future__ import annotations

import re
from dataclasses import fields
from importlib import import_module

import pytest

import wsmash
from documents import ROOT
from tools.measure_memory import CLIENT, SERVER
from tools.options_table import shown
from wsmash.options import KIB, MIB, ClientOptions, ServerOptions

TEXT = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")

OPTIONS = {
    name: (client.strip(), server.strip())
    for name, client, server in re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|[^|]+\|$", TEXT, re.MULTILINE)
}
VALUES = dict(re.findall(r"^\| `([\w.]+\.\w+)` \| ([^|]+) \| [^|]+ \|$", TEXT, re.MULTILINE))
SETTINGS = {name: value for name, value in VALUES.items() if name[0].isupper()}
CONSTANTS = {name: value for name, value in VALUES.items() if name[0].islower()}

NO_LIMITS = {
    "allowed_hosts", "auth", "authorize", "broker", "browser_module", "compression", "cookies", "headers",
    "health_path", "host", "invalid_message", "message_type", "namespace", "origins", "path", "port",
    "process_request", "protocols", "proxy", "proxy_headers", "proxy_ssl", "reconnect", "reuse_port",
    "slow_consumer", "sock", "ssl", "static", "trusted_proxies", "unix", "url",
}  # fmt: skip
"""Options that say what is done, and bound nothing."""


def defaults(options: type[ClientOptions | ServerOptions]) -> dict[str, str]:
    """The limits among the options of one side, with their defaults as a reader would write them."""
    return {each.name: shown(each.name, each.default) for each in fields(options) if each.name not in NO_LIMITS}


@pytest.mark.case(68)
def test_every_limit_is_there_with_its_default() -> None:
    """An option that is added is missed here until the page says what happens at it."""
    assert {name: client for name, (client, _) in OPTIONS.items() if client} == defaults(ClientOptions)
    assert {name: server for name, (_, server) in OPTIONS.items() if server} == defaults(ServerOptions)


def test_what_is_no_limit_is_an_option() -> None:
    """The list of what is left out names nothing that there is not."""
    assert {each.name for options in (ClientOptions, ServerOptions) for each in fields(options)} >= NO_LIMITS


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_have_their_defaults(name: str) -> None:
    """What stands under the name of a class of settings is one, with that default."""
    holder, _, setting = name.partition(".")
    assert SETTINGS[name] == size(getattr(getattr(wsmash, holder)(), setting))


@pytest.mark.parametrize("holder", [wsmash.OfflineQueue])
def test_every_setting_that_bounds_is_there(holder: type[wsmash.OfflineQueue]) -> None:
    """The settings of a queue are all bounds."""
    assert {f"{holder.__name__}.{each.name}" for each in fields(holder)} <= SETTINGS.keys()


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_have_their_values(name: str) -> None:
    """Each constant that the page names is there, and has that value."""
    module, _, constant = name.rpartition(".")
    value = getattr(import_module(f"wsmash.{module}"), constant)
    assert CONSTANTS[name] == size(value)


def test_every_state_was_measured() -> None:
    """The table has what the tool measures, in its order, with a size for each engine."""
    measured = TEXT.partition("<!-- measured -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"^\| ([^|]+) \| [\d.]+ [KM]iB \| [\d.]+ [KM]iB \|$", measured, re.MULTILINE)
    assert rows == [state.name for state in SERVER + CLIENT]


BOUND = re.compile(r"^((?:MAX|MOST)_\w+|\w+_PER_(?:TURN|SHARE|SECOND))(?:: Final\S*)? = ", re.MULTILINE)
ELSEWHERE = {
    "runtime.deadlines.TICKS_PER_SECOND",
    "sansio.frames.MAX_LENGTH",
    "session.envelopes.MAX_ID",
    "urls.MAX_HOST_LENGTH",
}
"""A clock's grain, and limits of JavaScript, of RFC 6455 5.2 and of the DNS: none of ours."""


def test_every_constant_is_there() -> None:
    """A bound that is written down as one of a module's public names is on the page."""
    found = set()
    for path in sorted((ROOT / "src" / "wsmash").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "src" / "wsmash").with_suffix("").parts)
        for constant in BOUND.findall(path.read_text("utf-8")):
            found.add(f"{module}.{constant}")
    assert found - CONSTANTS.keys() <= ELSEWHERE


def size(value: float) -> str:
    """A value as the page writes it."""
    if isinstance(value, int) and value >= KIB and value % KIB == 0 and value not in (1024, 8192):
        return f"{value // MIB} MiB" if value % MIB == 0 else f"{value // KIB} KiB"
    return f"`{value}`"
