"""What a server answers to a request: a WebSocket, a file, a health check, or a refusal that says why."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, cast

from . import browser
from .addresses import counted_as
from .budget import Budget
from .callers import Caller, as_request
from .connections import Connections
from .endpoint import Endpoint
from .options import ServerOptions
from .routing import Router
from .runtime.counters import ServerCounters
from .runtime.emitter import must_run
from .runtime.limits import Rates, Verdict
from .runtime.opening import Admission, Answer, Download, ServerOpening, head_limits, try_later
from .sansio.handshake import check_host, check_request, is_upgrade
from .sansio.head import NO_PARAMS, RemoteAddress, Response, path_of
from .sansio.http1 import ParsedHead
from .sansio.origin import refusal
from .static import StaticFiles


class Asked(NamedTuple):
    """A request, from whom it came, and which endpoint it is for; its head is there whole and in parts."""

    raw: bytes
    head: ParsedHead
    caller: Caller
    endpoint: Endpoint | None
    state: dict[Any, Any] | None = None  # left by a hook


class Reception:
    """A server's door; see `runtime.opening.Door`.

    Attributes:
        closed: whether the server is stopping.
        head_limits: the bounds of a request's head.
        counters: the server's.
        reports: the server's.
        rates: how often each address connects, None where that does not matter.
        budget: what connections may hold together, None where that does not matter.
        opening_ended: called with each opening that became a connection, or is gone.
    """

    def __init__(
        self,
        options: ServerOptions,
        router: Router[Endpoint],
        connections: Connections,
        counters: ServerCounters,
        *,
        clock: Callable[[], float],
        secure: bool,
        loopback_only: bool,
        browser_module: str | None = None,
    ) -> None:
        self.closed = False
        self.counters = counters
        self.reports = connections.reports
        self.rates = None if options.connect_rate is None else Rates(options.connect_rate, clock())
        self.budget: Budget | None = None
        self.opening_ended: Callable[[ServerOpening], None] = lambda _: None
        self.head_limits = head_limits(options)
        self._clock = clock
        self._callers = connections.callers
        self._options = options
        self._router = router
        self._connections = connections
        self._origins = tuple(options.origins)
        self._allowed_hosts = None if options.allowed_hosts is None else tuple(options.allowed_hosts)
        self._secure = secure
        self._loopback_only = loopback_only
        self._browser_module = browser_module
        self._static = None if options.static is None else StaticFiles(options.static)

    def judge(self, peer: RemoteAddress) -> Verdict:
        """Whether somebody who connects from there comes too often; a proxy's clients are judged by their requests."""
        if self.rates is None or not isinstance(peer, tuple) or self._callers.trusts(peer):
            return Verdict.PASS
        verdict = self.rates.take(counted_as(peer[0]), self._clock())
        self.counters.refused_rate += verdict is not Verdict.PASS
        return verdict

    def too_fast(self) -> Response:
        """The answer to a client whose address connects too often."""
        seconds = 1 if self.rates is None else self.rates.retry_after
        return try_later(429, "this address connects too often (connect_rate)\n", seconds)

    def answer(self, opening: ServerOpening, head: ParsedHead) -> Answer | Awaitable[Answer]:
        """Decide; what needs waiting comes as an awaitable."""
        try:
            caller = self._callers.find(head.headers, opening.peer, secure=self._secure)
        except ValueError as error:
            self.counters.malformed += 1
            return Response(400, f"{error}\n")
        refused = self._refuse_rate(caller)
        if refused is not None:
            return refused
        refused = check_host(head)
        if refused is not None:
            self.counters.malformed += 1
            return refused
        found = self._router.find(path_of(head.target))
        asked = Asked(cast(bytes, opening.head), head, caller, None if found is None else found[0])
        hook = self._options.process_request
        if hook is not None:
            request = as_request(asked.raw, caller, NO_PARAMS if found is None else found[1])
            asked = asked._replace(state=request.state)
            result: Any = hook(request)
            if must_run(result):
                return self._after(result, asked)
            if result is not None:
                return self._answered_by_hook(result)
        return self._decide(asked)

    def _refuse_rate(self, caller: Caller) -> Response | None:
        """The refusal of a client that came through a proxy: that of others was judged when they connected."""
        if self.rates is None or not caller.forwarded or not isinstance(caller.address, tuple):
            return None
        if self.rates.take(counted_as(caller.address[0]), self._clock()) is Verdict.PASS:
            return None
        self.counters.refused_rate += 1
        return self.too_fast()

    async def _after(self, result: Awaitable[object], asked: Asked) -> Answer:
        response = await result
        if response is not None:
            return self._answered_by_hook(response)
        answer = self._decide(asked)
        return answer if isinstance(answer, (Response, Admission, Download)) else await answer

    def _answered_by_hook(self, response: object) -> Response:
        if not isinstance(response, Response):
            raise TypeError(f"process_request must return a Response or None, not {response!r}")
        self.counters.refused_hook += 1
        return response

    def _decide(self, asked: Asked) -> Answer | Awaitable[Answer]:
        head = asked.head
        if is_upgrade(head):
            return self._decide_upgrade(asked)
        if head.method not in ("GET", "HEAD"):
            response = Response(405, f"{head.method} is not served here\n", [("Allow", "GET, HEAD")])
        elif path_of(head.target) == self._options.health_path:
            response = try_later(503, "stopping\n") if self.closed else Response(200, "ok\n")
        elif path_of(head.target) == self._browser_module:
            response = browser.respond(head.headers.get("If-None-Match", ""))
        elif self._static is not None:
            return self._serve_file(self._static, asked)
        else:
            response = _no_file(asked.endpoint)
        self.counters.plain += 1
        return response

    def _decide_upgrade(self, asked: Asked) -> Answer:
        counters = self.counters
        refused = check_request(asked.head)
        if refused is not None:
            counters.malformed += 1
            return refused
        if self.closed:
            counters.refused_stopping += 1
            return try_later(503, "the server is stopping\n")
        if asked.endpoint is None:
            counters.refused_path += 1
            return Response(404, "no WebSocket is served at this path\n")
        caller = asked.caller
        why = refusal(
            asked.head.headers,
            secure=caller.secure,
            # A browser cannot send what a proxy adds: this is no page that was bound to another name (DNS rebinding).
            loopback_only=self._loopback_only and not caller.forwarded,
            origins=self._origins,
            allowed_hosts=self._allowed_hosts,
            forwarded_host=caller.host,
        )
        if why is not None:
            counters.refused_origin += 1
            return Response(403, f"{why}\n")
        return self._refuse_for_room(caller) or self._connections.admit(
            asked.endpoint, asked.raw, asked.head, asked.state
        )

    def _refuse_for_room(self, caller: Caller) -> Response | None:
        options = self._options
        if self.budget is not None and self.budget.spent:
            self.counters.refused_budget += 1
            return try_later(503, "the server has no memory left (max_buffered)\n")
        if options.max_connections is not None and self._connections.taken >= options.max_connections:
            self.counters.refused_connections += 1
            return try_later(503, "the server has as many connections as it takes (max_connections)\n")
        most = options.max_connections_per_ip
        if most is not None and self._connections.of_address(caller.address) >= most:
            self.counters.refused_per_ip += 1
            return try_later(429, "this address has as many connections as it may (max_connections_per_ip)\n")
        return None

    async def _serve_file(self, files: StaticFiles, asked: Asked) -> Answer:
        # Reading may take its time: not on the loop.
        request = as_request(asked.raw, asked.caller)
        finding = asyncio.get_running_loop().run_in_executor(None, files.respond, request)
        try:
            response = await asyncio.shield(finding)
        except asyncio.CancelledError:
            finding.add_done_callback(_close_file)
            raise
        self.counters.plain += 1
        return response or _no_file(asked.endpoint)


def _no_file(endpoint: Endpoint | None) -> Response:
    if endpoint is not None:
        return Response(426, "this is a WebSocket: connect with a WebSocket client\n", [("Upgrade", "websocket")])
    return Response(404, "not found\n")


def _close_file(finding: asyncio.Future[Response | Download | None]) -> None:
    """The file that was found is wanted no more."""
    if not finding.cancelled() and finding.exception() is None:
        found = finding.result()
        if isinstance(found, Download):
            found.file.close()
