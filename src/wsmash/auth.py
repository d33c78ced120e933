"""Credentials of requests: ready hooks for `process_request` that ask for a password or a token.

Secrets are compared in a time that does not depend on where they differ (hostile
case 100). Who is let in is `request.state["user"]`, which becomes `client.state["user"]`.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection, Mapping
from hmac import compare_digest
from typing import Any, Final

from .grammar import OWS, is_field_value
from .runtime.emitter import must_run
from .sansio.head import Request, Response

Hook = Callable[[Request], "Response | Awaitable[Response | None] | None"]
Verify = Callable[..., object]
"""Who has these credentials: a false value for nobody, True for whom they name, or what `state["user"]` is to be."""

USER: Final = "user"
"""Where in the state of a request, and of its connection, the user stands."""


def basic_auth(credentials: tuple[str, str] | Mapping[str, str] | Verify, *, realm: str = "wsmash") -> Hook:
    """A hook that asks for a user name and a password (RFC 7617), and answers 401 without them.

    ```python no-run
    server = wsmash.create_server(process_request=wsmash.basic_auth({"ann": "her password"}))
    ```

    It asks for them at every path, `health_path` too: where some are to be open, call it from
    a hook of your own. **Mind the order**: passwords stand by user here, `{user: password}`,
    but users by token in `bearer_auth`, `{token: user}`.

    Args:
        credentials: one `(user, password)`, passwords by user, or a function or coroutine
            function of the two, which gives whom they belong to: True for that user, any
            other true value to be kept in place of the name, a false one for nobody.
        realm: what the password is for, which browsers show.

    Raises:
        TypeError: the credentials are none of these.
        ValueError: a user's name has a colon in it, or the realm a quotation mark.
    """
    verify = credentials if callable(credentials) else _known_passwords(credentials)
    challenge = _challenge("Basic", realm, ', charset="UTF-8"')
    refused = Response(401, "a user name and a password are needed\n", [challenge])

    def check(request: Request) -> Response | Awaitable[Response | None] | None:
        found = _basic(_credentials(request, "basic"))
        return refused if found is None else _decide(request, verify(*found), found[0], refused)

    return check


def bearer_auth(tokens: str | Collection[str] | Mapping[str, object] | Verify, *, realm: str = "wsmash") -> Hook:
    """A hook that asks for a bearer token (RFC 6750), and answers 401 without one.

    ```python no-run
    server = wsmash.create_server(process_request=wsmash.bearer_auth({"anns-token": "ann"}))
    ```

    Browsers cannot send one with a WebSocket: for their pages use cookies, or the first message.
    **Mind the order**: it is `{token: user}`. Written as `{user: password}`, the names would be
    the secrets that let in.

    Args:
        tokens: one token, several of them, users by token (each is compared with all of them),
            or a function or coroutine function of the token, which gives its user as that of
            `basic_auth` does. The user of a token without one is the token itself.
        realm: what the token is for.

    Raises:
        TypeError: the tokens are none of these.
        ValueError: a token is empty or holds what no token may, or the realm a quotation mark.
    """
    verify = tokens if callable(tokens) else _known_tokens(tokens)
    missing = Response(401, "a token is needed\n", [_challenge("Bearer", realm)])
    refused = Response(401, "the token is not valid\n", [_challenge("Bearer", realm, ', error="invalid_token"')])

    def check(request: Request) -> Response | Awaitable[Response | None] | None:
        token = _credentials(request, "bearer")
        return missing if token is None else _decide(request, verify(token), token, refused)

    return check


def _decide(request: Request, user: Any, named: str, refused: Response) -> Response | Awaitable[Response | None] | None:
    if must_run(user):
        return _decide_later(request, user, named, refused)
    if not user:
        return refused
    request.state[USER] = named if user is True else user
    return None


async def _decide_later(request: Request, user: Awaitable[Any], named: str, refused: Response) -> Response | None:
    found = _decide(request, await user, named, refused)
    return found if found is None or isinstance(found, Response) else await found


def _credentials(request: Request, scheme: str) -> str | None:
    """What follows the scheme in the one `Authorization` header; None without it."""
    values = request.headers.get_all("Authorization")
    given, _, credentials = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    return credentials.strip(OWS) or None if given.lower() == scheme else None


def _basic(credentials: str | None) -> tuple[str, str] | None:
    """User and password of RFC 7617 2."""
    try:
        text = b64decode(credentials or "", validate=True).decode()
    except ValueError:
        return None
    user, colon, password = text.partition(":")
    return (user, password) if colon else None


def _known_passwords(credentials: tuple[str, str] | Mapping[str, str]) -> Verify:
    pairs: list[Any] = [credentials]
    if isinstance(credentials, Mapping):
        pairs = list(credentials.items())
    if not all(isinstance(each, tuple) and len(each) == 2 for each in pairs):
        raise TypeError(
            "basic_auth takes (user, password), passwords by user or a function of the two, "
            f"not {_kind(credentials)}"
        )
    known: dict[str, str] = dict(pairs)
    if not all(isinstance(each, str) for pair in known.items() for each in pair):
        raise TypeError("user names and passwords must be str")
    if bad := [user for user in known if ":" in user]:
        raise ValueError(f"a user name that holds a colon can't be sent as Basic credentials (RFC 7617 2): {bad[0]!r}")
    encoded = {user: password.encode() for user, password in known.items()}

    def verify(user: str, password: str) -> bool:
        given, expected = password.encode(), encoded.get(user)
        # An unknown user costs the same: the name is as secret as it can be.
        return compare_digest(given, given if expected is None else expected) and expected is not None

    return verify


def _known_tokens(tokens: Any) -> Verify:
    if isinstance(tokens, str):
        tokens = [tokens]
    if isinstance(tokens, bytes | bytearray) or not isinstance(tokens, Collection):
        raise TypeError(f"bearer_auth takes a token, several, users by token or a function, not {_kind(tokens)}")
    users: Mapping[str, object] = tokens if isinstance(tokens, Mapping) else dict.fromkeys(tokens, True)
    if not all(isinstance(token, str) for token in users):
        raise TypeError("tokens must be str")
    if not all(token and token.isascii() and token.isprintable() and " " not in token for token in users):
        raise ValueError("a token is ASCII text without blanks and control characters, and not empty")
    if not all(users.values()):
        raise ValueError("the user of a token can't be a false value, which stands for nobody")
    known = [(token.encode(), user) for token, user in users.items()]

    def verify(token: str) -> object:
        given = token.encode()
        found: object = None
        for each, user in known:  # all of them, found or not
            found = user if compare_digest(given, each) else found
        return found

    return verify


def _kind(given: object) -> str:
    """What it is, without what it says: it may be a secret in the wrong place."""
    return f"a {type(given).__name__} of {len(given)}" if isinstance(given, tuple) else f"a {type(given).__name__}"


def _challenge(scheme: str, realm: str, rest: str = "") -> tuple[str, str]:
    if not is_field_value(realm) or not {'"', "\\"}.isdisjoint(realm):
        raise ValueError(f"a realm is Latin-1 text without control characters, '\"' and '\\', and this is {realm!r}")
    return "WWW-Authenticate", f'{scheme} realm="{realm}"{rest}'
