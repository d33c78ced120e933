"""What a server answers to a request: a WebSocket, a file, a health check, or a refusal that says why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from .connections import Connections
from .endpoint import Endpoint
from .options import ServerOptions
from .routing import Router
from .runtime.counters import ServerCounters
from .runtime.emitter import must_run
from .runtime.limits import Rates
from .runtime.opening import Admission, Answer, ServerOpening, head_limits, try_later
from .sansio.handshake import check_host, check_request, is_upgrade
from .sansio.head import NO_PARAMS, Request, Response, path_of
from .sansio.http1 import ParsedHead
from .sansio.origin import refusal
from .static import StaticFiles


class Reception:
    """A server's door; see `runtime.opening.Door`.

    Attributes:
        closed: whether the server is stopping.
        head_limits: the bounds of a request's head.
        counters: the server's.
        rates: how often each address connects, None where that does not matter.
        opening_ended: called with each opening that became a connection, or is gone.
    """

    def __init__(
        self,
        options: ServerOptions,
        router: Router[Endpoint],
        connections: Connections,
        counters: ServerCounters,
        *,
        now: float,
        secure: bool,
        loopback_only: bool,
    ) -> None:
        self.closed = False
        self.counters = counters
        self.rates = None if options.connect_rate is None else Rates(options.connect_rate, now)
        self.opening_ended: Callable[[ServerOpening], None] = lambda _: None
        self.head_limits = head_limits(options)
        self._options = options
        self._router = router
        self._connections = connections
        self._origins = tuple(options.origins)
        self._allowed_hosts = None if options.allowed_hosts is None else tuple(options.allowed_hosts)
        self._secure = secure
        self._loopback_only = loopback_only
        self._static = None if options.static is None else StaticFiles(options.static)

    def too_fast(self) -> Response:
        """The answer to a client whose address connects too often."""
        seconds = 1 if self.rates is None else self.rates.retry_after
        return try_later(429, "this address connects too often (connect_rate)\n", seconds)

    def answer(self, opening: ServerOpening, head: ParsedHead) -> Answer | Awaitable[Answer]:
        """Decide; what needs waiting comes as an awaitable."""
        refused = check_host(head)
        if refused is not None:
            return refused
        found = self._router.find(path_of(head.target))
        endpoint = None if found is None else found[0]
        hook = self._options.process_request
        if hook is not None:
            result: Any = hook(opening.request(NO_PARAMS if found is None else found[1]))
            if must_run(result):
                return self._after(result, endpoint, opening, head)
            if result is not None:
                return _checked(result)
        return self._decide(endpoint, opening, head)

    async def _after(
        self, result: Awaitable[object], endpoint: Endpoint | None, opening: ServerOpening, head: ParsedHead
    ) -> Answer:
        response = await result
        if response is not None:
            return _checked(response)
        answer = self._decide(endpoint, opening, head)
        return answer if isinstance(answer, (Response, Admission)) else await answer

    def _decide(
        self, endpoint: Endpoint | None, opening: ServerOpening, head: ParsedHead
    ) -> Answer | Awaitable[Answer]:
        if is_upgrade(head):
            return self._decide_upgrade(endpoint, opening, head)
        if head.method not in ("GET", "HEAD"):
            return Response(405, f"{head.method} is not served here\n", [("Allow", "GET, HEAD")])
        if path_of(head.target) == self._options.health_path:
            return try_later(503, "stopping\n") if self.closed else Response(200, "ok\n")
        if self._static is not None:
            return self._serve_file(self._static, endpoint, opening.request())
        return _no_file(endpoint)

    def _decide_upgrade(self, endpoint: Endpoint | None, opening: ServerOpening, head: ParsedHead) -> Answer:
        counters = self.counters
        refused = check_request(head)
        if refused is not None:
            counters.malformed += 1
            return refused
        if self.closed:
            counters.refused_stopping += 1
            return try_later(503, "the server is stopping\n")
        if endpoint is None:
            return Response(404, "no WebSocket is served at this path\n")
        why = refusal(
            head.headers,
            secure=self._secure,
            loopback_only=self._loopback_only,
            origins=self._origins,
            allowed_hosts=self._allowed_hosts,
        )
        if why is not None:
            counters.refused_origin += 1
            return Response(403, f"{why}\n")
        options = self._options
        if options.max_connections is not None and len(self._connections) >= options.max_connections:
            counters.refused_connections += 1
            return try_later(503, "the server has as many connections as it takes (max_connections)\n")
        most = options.max_connections_per_ip
        if most is not None and self._connections.of_address(opening.request().remote_address) >= most:
            counters.refused_per_ip += 1
            return try_later(429, "this address has as many connections as it may (max_connections_per_ip)\n")
        return self._connections.admit(endpoint, cast(bytes, opening.head), head)

    async def _serve_file(self, files: StaticFiles, endpoint: Endpoint | None, request: Request) -> Answer:
        # Reading may take its time: not on the loop.
        response = await asyncio.get_running_loop().run_in_executor(None, files.respond, request)
        return response or _no_file(endpoint)


def _no_file(endpoint: Endpoint | None) -> Response:
    if endpoint is not None:
        return Response(426, "this is a WebSocket: connect with a WebSocket client\n", [("Upgrade", "websocket")])
    return Response(404, "not found\n")


def _checked(response: object) -> Response:
    if not isinstance(response, Response):
        raise TypeError(f"process_request must return a Response or None, not {response!r}")
    return response
