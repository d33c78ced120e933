"""All subcommands of `wsmash`, and how a failure of one ends it.

Exit statuses: 0, it has ended as asked to; 1, it failed; 2, it was called wrongly,
and would fail again.
"""

from __future__ import annotations

import click

from .._version import __version__
from .serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def commands() -> None:
    """WebSockets: serve an application."""


commands.add_command(serve)
