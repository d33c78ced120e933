"""Credentials: hooks that ask for them, and connections that have to say in time who they are."""

from __future__ import annotations

import asyncio
import hmac
from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest

import wsmash
from fixtures.clock import elapse, idle, virtual
from fixtures.ends import open_server_end
from fixtures.in_loop import in_loop, until
from fixtures.raw import Answer, ask, get, serving
from wsmash.constants import Opcode
from wsmash.sansio.frames import encode_close


def basic(user: str, password: str) -> str:
    """The credentials as they travel."""
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


async def answer_to(hook: Any, *authorization: str) -> Answer:
    """What a plain request with these credentials gets; 404 is what stands behind the hook."""
    async with serving(process_request=hook) as server:
        return await ask(server, get("/", *(f"Authorization: {each}" for each in authorization)))


async def user_or_none(user: str, password: str) -> dict[str, str] | None:
    await asyncio.sleep(0)
    return {"name": user} if password == "päss:word" else None


HOOKS: list[Callable[[], Any]] = [
    lambda: wsmash.basic_auth(("änn", "päss:word")),
    lambda: wsmash.basic_auth({"bob": "other", "änn": "päss:word"}),
    lambda: wsmash.basic_auth(lambda user, password: (user, password) == ("änn", "päss:word")),
    lambda: wsmash.basic_auth(user_or_none),
]


@pytest.mark.case(100)
@pytest.mark.parametrize("make", HOOKS)
@in_loop
async def test_basic(make: Callable[[], Any]) -> None:
    """The right password is let in; anything else is a 401 that says what is asked for."""
    hook = make()
    assert (await answer_to(hook, basic("änn", "päss:word"))).status == 426
    assert (await answer_to(hook, "b" + basic("änn", "päss:word")[1:])).status == 426
    wrong = [
        (),
        (basic("änn", "wrong"),),
        (basic("änn", ""),),
        (basic("eve", "wrong"),),
        (basic("änn", "päss:word")[:-4],),
        ("Basic",),
        ("Basic !",),
        ("Basic /w==",),
        (f"Basic {b64encode(b'no colon').decode()}",),
        ("Bearer x",),
        (basic("änn", "päss:word"), basic("änn", "päss:word")),
    ]
    for each in wrong:
        answer = await answer_to(hook, *each)
        assert answer.status == 401, each
        assert answer.headers["www-authenticate"] == 'Basic realm="wsmash", charset="UTF-8"'


@pytest.mark.case(100)
@in_loop
async def test_bearer() -> None:
    """The same of tokens; a wrong one is told from none (RFC 6750 3)."""

    async def find(token: str) -> str | None:
        return {"t0ken": "ann"}.get(token)

    for hook in (
        wsmash.bearer_auth("t0ken", realm="x"),
        wsmash.bearer_auth(["other", "t0ken"], realm="x"),
        wsmash.bearer_auth({"other": "bob", "t0ken": "ann"}, realm="x"),
        wsmash.bearer_auth(find, realm="x"),
    ):
        assert (await answer_to(hook, "Bearer t0ken")).status == 426
        assert (await answer_to(hook)).headers["www-authenticate"] == 'Bearer realm="x"'
        for wrong in ("Bearer t0ke", "Bearer t0ken2", "Bearer t0ken t0ken", "Bearer t\u00f6ken"):
            answer = await answer_to(hook, wrong)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="x", error="invalid_token"'


@pytest.mark.case(100)
@pytest.mark.parametrize("nobody", [None, False, 0, "", [], {}])
@in_loop
async def test_nobody(nobody: object) -> None:
    """Whatever false value a function has for nobody lets nobody in."""

    async def later(*_: str) -> object:
        return nobody

    for hook in (wsmash.basic_auth(lambda *_: nobody), wsmash.basic_auth(later)):
        assert (await answer_to(hook, basic("ann", "secret"))).status == 401
    for hook in (wsmash.bearer_auth(lambda _: nobody), wsmash.bearer_auth(later)):
        assert (await answer_to(hook, "Bearer t0ken")).status == 401


@pytest.mark.case(100)
def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each secret goes through `hmac.compare_digest`, whether its user is known or not."""
    seen: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        seen.append((one, other))
        return hmac.compare_digest(one, other)

    monkeypatch.setattr("wsmash.auth.compare_digest", compare)

    def knock(hook: Any, authorization: str) -> Any:
        return hook(wsmash.Request(f"GET / HTTP/1.1\r\nAuthorization: {authorization}\r\n\r\n".encode("latin-1")))

    hook = wsmash.basic_auth({"ann": "secret"})
    assert knock(hook, basic("ann", "wrong")).status == 401
    assert knock(hook, basic("eve", "wrong")).status == 401
    assert seen == [(b"wrong", b"secret"), (b"wrong", b"wrong")]
    seen.clear()
    assert knock(wsmash.bearer_auth({"a": 1, "b": 2}), "Bearer a") is None
    assert seen == [(b"a", b"a"), (b"a", b"b")]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: wsmash.basic_auth("secret"), TypeError),  # type: ignore[arg-type]
        (lambda: wsmash.basic_auth(("secret",)), TypeError),  # type: ignore[arg-type]
        (lambda: wsmash.basic_auth(["ann", "secret"]), TypeError),  # type: ignore[arg-type]
        (lambda: wsmash.basic_auth(5), TypeError),  # type: ignore[arg-type]
        (lambda: wsmash.bearer_auth(5), TypeError),  # type: ignore[arg-type]
        (lambda: wsmash.bearer_auth(b"secret"), TypeError),  # type: ignore[arg-type]
        (lambda: wsmash.bearer_auth([b"secret"]), TypeError),  # type: ignore[list-item]
        (lambda: wsmash.bearer_auth(["a secret"]), ValueError),
        (lambda: wsmash.bearer_auth("secret\n"), ValueError),
        (lambda: wsmash.basic_auth({"a:b": "x"}), ValueError),
        (lambda: wsmash.basic_auth({"a": 5}), TypeError),  # type: ignore[dict-item]
        (lambda: wsmash.basic_auth(("a", "b"), realm='"'), ValueError),
        (lambda: wsmash.bearer_auth(""), ValueError),
        (lambda: wsmash.bearer_auth({"ö": 1}), ValueError),
        (lambda: wsmash.bearer_auth({"a": "ann", "b": 0}), ValueError),
    ],
)
def test_wrong_credentials(make: Callable[[], object], error: type[Exception]) -> None:
    """What no client could send is refused where the hook is made."""
    with pytest.raises(error) as caught:
        make()
    assert "secret" not in str(caught.value)


@in_loop
async def test_the_user_is_known_to_callbacks() -> None:
    """What a hook leaves in the request's state is the connection's, and its request's."""
    seen: list[Any] = []

    async def check(request: wsmash.Request) -> Any:
        request.state["asked"] = True
        return await hook(request)  # type: ignore[misc]

    hook = wsmash.basic_auth(user_or_none)
    async with serving(process_request=check, auth_timeout=5) as server:

        @server.on("connection")
        def connected(event: wsmash.ConnectionEvent) -> None:
            seen.append((event.client.state, event.request.state, event.client.is_authenticated()))

        async with wsmash.connect(f"ws://127.0.0.1:{server.port}/", auth=("ann", "päss:word")):
            pass
    state = {"asked": True, "user": {"name": "ann"}}
    assert seen == [(state, state, True)]


@pytest.mark.case(101)
@in_loop
async def test_a_user_that_is_none() -> None:
    """A hook of one's own that found nobody, and lets them in, has not said who they are."""

    def look_up(request: wsmash.Request) -> None:
        request.state["user"] = {"known": "ann"}.get(request.cookies.get("session", ""))

    async with serving(process_request=look_up, auth_timeout=5) as server:
        for cookie, known in (("known", True), ("other", False)):
            async with wsmash.connect(f"ws://127.0.0.1:{server.port}/", cookies={"session": cookie}):
                (client,) = server.get_clients()
                assert client.is_authenticated() is known
            await until(lambda: not server.get_clients())


# In time


@pytest.mark.case(101)
@virtual
async def test_nobody_says_who_they_are() -> None:
    """A connection that is not authenticated in time is closed with 1008, whatever else it says."""
    connection, channel = open_server_end(auth_timeout=15, ping_interval=None)
    await elapse(14)
    connection.message(Opcode.TEXT, "hello")
    assert connection.is_open() and not connection.is_authenticated()
    await elapse(1.5)
    assert not connection.is_open()
    assert channel.sent[-1].payload == encode_close(1008, "not authenticated within auth_timeout")
    assert connection._endpoint.server_counters.closed_unauthenticated == 1
    channel.lose()
    await idle()


@pytest.mark.case(101)
@virtual
async def test_an_authentication_that_expires() -> None:
    """It holds until it expires, and is prolonged by being said again."""
    connection, channel = open_server_end(auth_timeout=15, ping_interval=None)
    await elapse(10)
    connection.set_authenticated(expires_in=60)
    await elapse(50)
    assert connection.is_open() and connection.is_authenticated()
    connection.set_authenticated(expires_in=60)
    await elapse(58)
    assert connection.is_open() and connection.is_authenticated()
    await elapse(4)
    assert not connection.is_open()
    assert channel.sent[-1].payload == encode_close(1008, "the authentication has expired")
    assert not connection.is_authenticated()
    channel.lose()
    await idle()


@virtual
async def test_an_authentication_for_good() -> None:
    """Without a time it does not expire; without `auth_timeout` it may be given one all the same."""
    connection, channel = open_server_end(auth_timeout=15, ping_interval=None)
    connection.set_authenticated()
    await elapse(10_000)
    assert connection.is_open()
    connection.set_authenticated(expires_in=1)
    await elapse(2)
    assert not connection.is_open()
    channel.lose()
    await idle()


@virtual
async def test_a_wrong_time() -> None:
    """It is the caller's mistake."""
    connection, channel = open_server_end()
    for wrong, error in ((0, ValueError), ("5", TypeError)):
        with pytest.raises(error, match="expires_in"):
            connection.set_authenticated(expires_in=wrong)  # type: ignore[arg-type]
    connection.close()
    channel.lose()
    await idle()
