"""The requests of one connection: methods that run beside each other until they end, or nobody waits any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from functools import partial
from typing import Any, Final, cast

from ..errors import ConnectionClosed, InvalidMessage, RequestError
from ..runtime.delivery import FAILURES
from ..runtime.emitter import must_run
from .answers import Answers, error_of, raise_if_cancelled
from .envelopes import Code, FromServer, Reply, Request, content_of
from .methods import Method, RequestEvent, record_of_answer

MAX_REQUESTS: Final = 16
"""Requests of one connection that run at once."""


class _Running:
    """A method that runs; the id is None once its request is answered."""

    __slots__ = ("id", "task")

    id: int | None
    task: asyncio.Task[Any]


class Requests:
    """Those of one session.

    Args:
        answers: how it answers.
        methods: what may be called, by name.
    """

    __slots__ = ("_answers", "_methods", "_running")

    def __init__(self, answers: Answers, methods: Mapping[str, Method]) -> None:
        self._answers = answers
        self._methods = methods
        self._running: list[_Running] = []

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, command: Request) -> None:
        """Call the method.

        Raises:
            RequestError: there is none, or too many run.
        """
        if any(each.id == command.id for each in self._running):
            self._answers.fail(InvalidMessage(f"a request with the id {command.id} is running"))
            return
        method = self._methods.get(command.method)
        if method is None:
            raise RequestError(Code.NO_METHOD, "the server has no such method")
        if len(self._running) >= MAX_REQUESTS:
            raise RequestError(Code.TOO_MANY, f"{MAX_REQUESTS} requests are running")
        running = _Running()
        running.id = command.id
        running.task = self._answers.run(self._call(running, command, method))
        self._running.append(running)
        running.task.add_done_callback(partial(self._ended, running))

    def cancel(self, id: int) -> None:
        """Answer the request with this id at once; its method counts among those that run for as long as it does."""
        for each in self._running:
            if each.id == id:
                each.task.cancel()
                self._answer(each, error_of(id, Code.CANCELLED))

    def end(self) -> None:
        """Nobody waits for any of them."""
        for each in tuple(self._running):
            each.task.cancel()

    def _ended(self, running: _Running, _: object) -> None:
        self._running.remove(running)

    def _answer(self, running: _Running, envelope: FromServer) -> None:
        if running.id is not None:
            running.id = None
            self._answers.tell(envelope)

    async def _call(self, running: _Running, command: Request, method: Method) -> None:
        answers, id = self._answers, command.id
        try:
            async with asyncio.timeout(command.timeout) as deadline:
                result = method(RequestEvent(answers.connection, command.method, command.record))
                if must_run(result):
                    result = await cast(Awaitable[Any], result)
            answer: FromServer = Reply(id, **content_of(record_of_answer(result)))
        except RequestError as error:
            answer = error_of(id, error.code, error.message)
        except InvalidMessage as error:
            answer = error_of(id, Code.BAD_DATA, str(error))
        except FAILURES as error:
            raise_if_cancelled(error)
            if isinstance(error, ConnectionClosed) and not answers.connection.is_open():
                return  # while it is open, it is another connection's end that the method has met
            if isinstance(error, TimeoutError) and deadline.expired():
                answer = error_of(id, Code.TIMEOUT, f"not done within {command.timeout:g} s")
            else:
                answers.report(error, f"method {command.method!r}")
                answer = error_of(id, Code.INTERNAL)
        self._answer(running, answer)
