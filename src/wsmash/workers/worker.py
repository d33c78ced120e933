"""A worker's side: it loads the server, asks for sockets, serves, and ends as its parent says or when that is gone."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import current_process
from typing import Any

from ..errors import InvalidState, LoadError, WebSocketError
from ..loading import load_server, own_traceback
from ..logs import log_to_stderr
from ..loops import new_event_loop
from ..options import ServerOptions
from ..server import WebSocketServer
from ..signals import ended_by_signals
from ..watchdog import Watchdog
from .messages import LOCAL, MEMORY, Command, Failed, Grant, Job, Link, Order, Ready, StandBack, StandIn, Wish

logger = logging.getLogger("wsmash")

VARIABLE = "WSMASH_WORKER"
"""The environment variable in which a worker finds its number, from 1 on."""


def work(link: Link, job: Job) -> int:
    """Do it; returns the process's exit status."""
    current_process().name = f"worker-{job.number}"  # which is %(processName)s in a log
    os.environ[VARIABLE] = str(job.number)
    broker = job.changes.get("broker")
    changes = {name: value for name, value in job.changes.items() if value != LOCAL or name != "broker"}
    try:
        server = load_server(job.name, changes)
        if job.log_level is not None:
            log_to_stderr(job.log_level)
        if not _equip(server, link, local=broker == LOCAL or (broker is None and _names_no_broker(server))):
            return 1
        with Watchdog() as watchdog, asyncio.Runner(loop_factory=new_event_loop) as runner:
            watchdog.patience = server.get_options().shutdown_timeout
            runner.run(_serve(server, link, watchdog))
    except (OSError, WebSocketError) as error:
        return _failed(link, error, "")  # whose text says all
    except Exception as error:
        return _failed(link, error, own_traceback(error))
    return 0


def _failed(link: Link, error: Exception, trace: str) -> int:
    sys.stderr.write(trace)
    why = str(error) if not trace else f"{type(error).__name__}: {error}"
    link.send(Failed(why, named=isinstance(error, LoadError)))
    return 1


def _names_no_broker(server: WebSocketServer) -> bool:
    return server.get_options().broker == MEMORY


def _equip(server: WebSocketServer, link: Link, *, local: bool) -> bool:
    """Ask for what it needs, and give it that; whether there is still a parent to give it."""
    options = server.get_options()
    if options.sock is not None:
        raise LoadError("the server's sock cannot be had by several workers: name host and port, or unix")
    link.send(_wish(options, local=local))
    grant = link.receive()
    if not isinstance(grant, Grant):
        return False
    given: dict[str, Any] = {} if grant.broker is None else {"broker": grant.broker}
    server._change_options(sock=link.take_sockets(grant.sockets), unix=None, **given)
    return True


def _wish(options: ServerOptions, *, local: bool) -> Wish:
    hosts = [options.host] if options.host is None or isinstance(options.host, str) else list(options.host)
    unix = None if options.unix is None else os.fspath(options.unix)
    return Wish(hosts, options.port, unix, options.reuse_port, options.shutdown_timeout, local)


async def _serve(server: WebSocketServer, link: Link, watchdog: Watchdog) -> None:
    ending = Ending(server, watchdog)
    with ended_by_signals(server.stop, ending.begins):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the parent's affair, which a whole group may have been sent
        threading.Thread(target=ending.obey, args=(link,), daemon=True).start()
        try:
            await server.start()
        except InvalidState:
            pass  # it was stopped while it started
        else:
            link.send(Ready())
        await server.wait_closed()
        await server.callbacks_done()


class Ending:
    """How a worker comes to its end, whoever asks for it, and how often: a signal may reach it and its parent alike.

    Only its parent's "abort" is more than a first signal.
    """

    def __init__(self, server: WebSocketServer, watchdog: Watchdog) -> None:
        self._server = server
        self._watchdog = watchdog
        self._loop = asyncio.get_running_loop()
        self._begun = False

    def begins(self, _: object = None) -> None:
        """From now on the time of a stop is running; at any time, from any thread."""
        if not self._begun:
            self._begun = True
            self._watchdog.signalled(self._loop)

    def obey(self, link: Link) -> None:
        """Hear of orders, in a thread of its own, until the parent is gone: then none is left to serve for."""
        while (message := link.receive()) is not None:
            if isinstance(message, StandIn):
                self._call(self._server._listen_also, message.number, link.take_sockets(message.sockets))
            elif isinstance(message, StandBack):
                self._call(self._server._listen_also, message.number, ())
            elif isinstance(message, Command):
                self._end(message.order)
        if not self._begun:
            logger.warning("the parent process is gone: this worker stops")
            self.begins()
            self._call(self._server.stop)

    def _end(self, order: Order) -> None:
        self.begins()
        if order == "abort":
            self._watchdog.signalled(self._loop)
            self._call(self._server.abort)
        else:
            self._call(self._server.stop if order == "stop" else self._server._make_way)

    def _call(self, act: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has come to its end by itself
            self._loop.call_soon_threadsafe(act, *arguments)
