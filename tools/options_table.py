"""Write docs/options.md from the options themselves, or with --check fail where it differs.

    python tools/options_table.py [--check]
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path

from wsmash.options import (
    KIB,
    MIB,
    ClientOptions,
    ConnectionOptions,
    Deflate,
    OfflineQueue,
    Reconnect,
    ServerOptions,
)

Options = type[ConnectionOptions | Deflate | OfflineQueue | Reconnect]

DOCUMENT = Path(__file__).parent.parent / "docs" / "options.md"

HEAD = """# Options

Written by `tools/options_table.py` from the code; `make test` fails where the two differ.

All options are keyword-only parameters, but for a client's URL and subprotocols. Times are in seconds, sizes in bytes,
and None means no limit. A wrong value is a `ValueError` or a `TypeError` at the call, which says what is allowed; an
unknown name is a `TypeError`.
"""


def meanings(options: type) -> dict[str, str]:
    """What the docstring's Attributes say of each option."""
    text = inspect.getdoc(options) or ""
    entries = re.split(r"\n(?=    \w[\w, ]*:)", text.partition("Attributes:\n")[2])
    found = {}
    for entry in entries:
        names, _, meaning = entry.strip().partition(":")
        for name in names.split(", "):
            found[name.strip()] = " ".join(meaning.split())
    return found


def shown(name: str, value: object) -> str:
    """A default as a reader would write it."""
    if value is MISSING:
        return "required"
    if inspect.isfunction(value):
        return value.__name__.strip("_")
    if isinstance(value, int) and value >= KIB and re.search("size|line|buffer|water|bytes", name):
        return f"{value // MIB} MiB" if value % MIB == 0 else f"{value // KIB} KiB"
    return "`" + repr(value).replace("'", '"') + "`"


def rows(options: Options, names: list[str]) -> Iterator[str]:
    """A line for each of these options, with its default there."""
    text = meanings(ConnectionOptions) | meanings(options)
    defaults = {each.name: each.default for each in fields(options)}
    for name in names:
        yield f"| `{name}` | {shown(name, defaults[name])} | {text[name]} |"


def table(options: Options, names: list[str]) -> str:
    """A table of these options."""
    return "\n".join(["| option | default | meaning |", "|---|---|---|", *rows(options, names)])


def document() -> str:
    """The whole page."""
    both = [each.name for each in fields(ConnectionOptions)]
    text = meanings(ConnectionOptions)
    of_client = {each.name: each.default for each in fields(ClientOptions)}
    of_server = {each.name: each.default for each in fields(ServerOptions)}
    lines = ["| option | client | server | meaning |", "|---|---|---|---|"]
    lines += [
        f"| `{name}` | {shown(name, of_client[name])} | {shown(name, of_server[name])} | {text[name]} |"
        for name in both
    ]
    return "\n\n".join(
        [
            HEAD.strip(),
            "## Of clients and servers",
            "\n".join(lines),
            "## Of clients",
            table(ClientOptions, [name for name in of_client if name not in both]),
            "## Of servers",
            table(ServerOptions, [name for name in of_server if name not in both]),
            "## Of compression",
            '`compression=wsmash.Deflate(...)`; `compression="deflate"` stands for one with these defaults.',
            table(Deflate, [each.name for each in fields(Deflate)]),
            "## Of reconnecting",
            "`reconnect=wsmash.Reconnect(...)`; `reconnect=True` stands for one with these defaults.",
            table(Reconnect, [each.name for each in fields(Reconnect)]),
            "## Of the offline queue",
            "`offline_queue=wsmash.OfflineQueue(...)`; a number stands for one with so many messages at most.",
            table(OfflineQueue, [each.name for each in fields(OfflineQueue)]),
        ]
    ) + "\n"


def main() -> int:
    """Write the page, or check it."""
    if sys.argv[1:] == ["--check"]:
        if not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != document():
            print(f"{DOCUMENT.name} is not what the options say: run python tools/options_table.py")
            return 1
        return 0
    DOCUMENT.write_text(document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
