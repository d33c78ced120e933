"""`wsmash serve app:server`: a server that a module has, in one process or in several."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..errors import LoadError, WebSocketError
from ..loading import own_traceback
from ..logs import LEVELS, log_to_stderr
from ..run import run_app
from ..workers.messages import LOCAL, App


@click.command()
@click.argument("app", metavar="MODULE:NAME")
@click.option("--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that serve.")
@click.option("--host", multiple=True, help="Address to listen on, in place of the server's own; may be repeated.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on, in place of the server's own.")
@click.option("--unix", metavar="PATH", help="Unix socket to listen on, in place of host and port.")
@click.option(
    "--broker",
    metavar="URL",
    envvar="WSMASH_BROKER",
    help="redis://… or nats://…, in place of the server's own. For workers also 'local': a NATS server of theirs, as "
    "they get where the server names none; or 'memory': each has topics of its own. A URL with a password belongs "
    "into WSMASH_BROKER, where no list of processes shows it.",
)
@click.option(
    "--app-dir",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="Where MODULE is looked for first.",
)
@click.option(
    "--log-level",
    type=click.Choice([*LEVELS, "none"]),
    default="info",
    show_default=True,
    help="What is logged to standard error, unless the application sets up logging of its own.",
)
def serve(
    app: str,
    workers: int,
    host: tuple[str, ...],
    port: int | None,
    unix: str | None,
    broker: str | None,
    app_dir: Path,
    log_level: str,
) -> None:
    """Serve what NAME is in MODULE: a WebSocketServer, or a function without parameters that makes one.

    SIGINT and SIGTERM stop it gracefully, and a second one at once. At SIGHUP several workers are replaced, one after
    the other; a single process loads its certificate again.

    Exit status: 0 after a signal; 1 where it could not start, or not end by itself; 2 where MODULE:NAME or an option
    is wrong.
    """
    if broker == LOCAL and workers == 1:
        raise click.UsageError("'local' is a broker for several workers; one process has its topics in memory")
    sys.path.insert(0, str(app_dir.resolve()))
    given: dict[str, Any] = {"host": list(host) or None, "port": port, "unix": unix, "broker": broker}
    changes = {name: value for name, value in given.items() if value is not None}
    level = None if log_level == "none" else log_level
    if level is not None and workers > 1:
        log_to_stderr(level)  # this process loads no application that could do so
    try:
        run_app(App(app, changes, level), workers)
    except LoadError as error:
        raise click.UsageError(str(error)) from None
    except (WebSocketError, OSError) as error:
        click.echo(f"wsmash: {error}", err=True)
        sys.exit(1)
    except Exception as error:
        click.echo(f"{own_traceback(error)}wsmash: {app} failed, as above", err=True)
        sys.exit(1)
