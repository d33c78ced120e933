"""The command `wsmash`: a subcommand in each file, and what all of them have in common in `commands`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; what it is made with is an extra."""
    try:
        from .commands import commands  # noqa: PLC0415  # which may lack click
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("wsmash: the command line needs click, which is an extra: pip install 'wsmash[cli]'")
    commands(prog_name="wsmash")
