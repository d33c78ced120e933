"""The client's side of the opening handshake: the request it builds, and the answers it takes."""

from collections.abc import Sequence

import pytest

from wsmash.errors import HandshakeError
from wsmash.options import Deflate
from wsmash.sansio.deflate_negotiation import DeflateParams
from wsmash.sansio.handshake import Agreement, build_request, check_response, refuse_reserved
from wsmash.sansio.headers import Headers
from wsmash.sansio.http1 import ParsedHead, parse_response
from wsmash.urls import parse_url

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ANSWER = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}
Change = str | Sequence[str] | None


def answer(first: str = "HTTP/1.1 101 Switching Protocols", **changes: Change) -> ParsedHead:
    """A good answer with some headers replaced, doubled or left out; names may have '_' for '-'."""
    headers: dict[str, Change] = {**ANSWER, **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [first]
    for name, value in headers.items():
        values = [] if value is None else [value] if isinstance(value, str) else value
        lines += [f"{name}: {each}" for each in values]
    return parse_response("\r\n".join([*lines, "", ""]).encode("latin-1"))


# The client's request


def test_build_request() -> None:
    """A request has the headers of RFC 6455 4.1, Host first."""
    found = build_request(parse_url("wss://example.com:8443/chat?x=1"), KEY, user_agent="wsmash/1")
    assert found.target == "/chat?x=1"
    assert found.headers == (
        ("Host", "example.com:8443"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
        ("User-Agent", "wsmash/1"),
    )


def headers_of(url: str = "ws://example.com", **arguments: object) -> Headers:
    return Headers(build_request(parse_url(url), KEY, **arguments).headers)  # type: ignore[arg-type]


def test_offers() -> None:
    """Subprotocols and extensions are offered in one line each, in the order given."""
    headers = headers_of(protocols=("b", "a"), extension_offer="permessage-deflate")
    assert headers["Sec-WebSocket-Protocol"] == "b, a"
    assert headers["Sec-WebSocket-Extensions"] == "permessage-deflate"


def test_user_headers() -> None:
    """A user's headers go along, and take the place of Host, Origin, User-Agent and Authorization."""
    given_headers = (
        ("host", "other.example:1"),
        ("Origin", "https://example.com"),
        ("user-agent", "mine"),
        ("Authorization", "Custom x"),
        ("X-A", "1"),
        ("X-A", "2"),
    )
    found = build_request(parse_url("ws://u:p@example.com"), KEY, headers=given_headers, user_agent="wsmash/1")
    headers = Headers(found.headers)
    assert found.headers[0] == ("Host", "other.example:1")
    assert headers.get_all("Host") == ("other.example:1",)
    assert headers["Origin"] == "https://example.com"
    assert headers.get_all("User-Agent") == ("mine",)
    assert headers.get_all("Authorization") == ("Custom x",)
    assert headers.get_all("X-A") == ("1", "2")


@pytest.mark.parametrize(
    "name",
    [
        "Upgrade",
        "connection",
        "Sec-WebSocket-Key",
        "sec-websocket-version",
        "Sec-WebSocket-Protocol",
        "Content-Length",
        "Sec-WebSocket-Extensions",
        "Sec-WebSocket-Accept",
        "Transfer-Encoding",
        "Sec-WebSocket-Anything",
    ],
)
def test_reserved_headers(name: str) -> None:
    """The handshake's own headers can't be set by a user."""
    for call in (
        lambda: refuse_reserved([(name, "x")]),
        lambda: headers_of(headers=[(name, "x")]),
    ):
        with pytest.raises(ValueError, match=name):
            call()


@pytest.mark.parametrize("value", ["", "a b", "a/b", "user@a", "a:0", "ü@"])
def test_bad_user_host(value: str) -> None:
    """A user's Host must be one."""
    with pytest.raises(ValueError, match="Host"):
        headers_of(headers=[("Host", value)])
    with pytest.raises(ValueError, match="once"):
        headers_of(headers=[("Host", "a"), ("host", "a")])


@pytest.mark.parametrize(
    ("url", "auth", "expected"),
    [
        ("ws://example.com", None, None),
        ("ws://example.com", ("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("ws://Aladdin:open%20sesame@example.com", None, "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("ws://example.com", ("test", "123£"), "Basic dGVzdDoxMjPCow=="),  # the example of RFC 7617 2.1
        ("ws://user@example.com", None, "Basic dXNlcjo="),
        ("ws://:pw@example.com", None, "Basic OnB3"),
        ("ws://a:b@example.com", "to.ken", "Bearer to.ken"),
    ],
)
def test_credentials(url: str, auth: tuple[str, str] | str | None, expected: str | None) -> None:
    """A pair is Basic credentials in UTF-8, a str a bearer token; without either the URL's userinfo is sent."""
    assert headers_of(url, auth=auth).get("Authorization") == expected


@pytest.mark.case(25)
@pytest.mark.parametrize(
    "auth", ["", "a\r\nb", "a\0", "€", ("us:er", "pw"), ("us\ner", "pw"), ("user", "\rpw"), ("user", "pw\0")]
)
def test_bad_credentials(auth: tuple[str, str] | str) -> None:
    """Credentials that can't be sent are refused, and not shown."""
    with pytest.raises(ValueError, match=r"bearer token|colon|control") as caught:
        headers_of(auth=auth)
    assert "pw" not in str(caught.value)


def test_credentials_given_twice() -> None:
    """Credentials from two places are a mistake."""
    with pytest.raises(ValueError, match="twice"):
        headers_of(auth="a", headers=[("authorization", "b")])


def test_cookies() -> None:
    """Cookies go in one header."""
    assert headers_of(cookies={"a": "1", "b": '"x, y"'})["Cookie"] == 'a=1; b="x, y"'
    assert "Cookie" not in headers_of(cookies={})
    with pytest.raises(ValueError, match="twice"):
        headers_of(cookies={"a": "1"}, headers=[("cookie", "b=2")])


@pytest.mark.case(25)
@pytest.mark.parametrize("cookies", [{"a b": "1"}, {"": "1"}, {"a=": "1"}, {"a": "1;b=2"}, {"a": "\r\n"}, {"a": "€"}])
def test_bad_cookies(cookies: dict[str, str]) -> None:
    """A cookie that would be read as two, or end the line, is refused (hostile case 25)."""
    with pytest.raises(ValueError, match="cookie"):
        headers_of(cookies=cookies)


# The client's judgement


def test_good_answers() -> None:
    """An answer is taken with any case of names and of the values that have none."""
    assert check_response(answer(), KEY, (), None) == Agreement(None, None)
    relaxed = answer("HTTP/1.1 101", Upgrade="WebSocket", Connection=["keep-alive", "foo, UPGRADE"])
    assert check_response(relaxed, KEY, (), None) == Agreement(None, None)


def test_agreed_protocol() -> None:
    """The server may take one of the subprotocols offered, or none."""
    assert check_response(answer(Sec_WebSocket_Protocol="b"), KEY, ("a", "b"), None).subprotocol == "b"
    assert check_response(answer(), KEY, ("a", "b"), None).subprotocol is None


def test_agreed_deflate() -> None:
    """The server may take the extension offered, or not."""
    taken = answer(Sec_WebSocket_Extensions="permessage-deflate; client_max_window_bits=10")
    assert check_response(taken, KEY, (), Deflate()).deflate == DeflateParams(False, False, 15, 10)
    assert check_response(answer(), KEY, (), Deflate()).deflate is None


@pytest.mark.case(22, 23)
@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"Upgrade": None}, "Upgrade .* missing"),
        ({"Upgrade": "websocket2"}, "Upgrade .*'websocket2'"),
        ({"Upgrade": "websocket, h2c"}, "Upgrade"),
        ({"Upgrade": ["websocket", "websocket"]}, "Upgrade .* and "),
        ({"Connection": None}, "Connection .* missing"),
        ({"Connection": "notupgrade"}, "Connection .*'notupgrade'"),
        ({"Connection": "close"}, "Connection"),
        ({"Sec-WebSocket-Accept": None}, "Accept .* missing"),
        ({"Sec-WebSocket-Accept": ""}, "Accept"),
        ({"Sec-WebSocket-Accept": ACCEPT.lower()}, "Accept"),
        ({"Sec-WebSocket-Accept": KEY}, f"Accept .*'{KEY}'"),
        ({"Sec-WebSocket-Accept": [ACCEPT, ACCEPT]}, "Accept"),
        ({"Sec-WebSocket-Accept": f"{ACCEPT}, {ACCEPT}"}, "Accept"),
        ({"Sec-WebSocket-Protocol": "c"}, r"Protocol .*\(a, b\).*'c'"),
        ({"Sec-WebSocket-Protocol": "A"}, "Protocol"),
        ({"Sec-WebSocket-Protocol": ""}, "Protocol"),
        ({"Sec-WebSocket-Protocol": "a, b"}, "Protocol"),
        ({"Sec-WebSocket-Protocol": ["a", "b"]}, "Protocol"),
        ({"Sec-WebSocket-Extensions": "x-other"}, "Extensions .*'x-other'"),
        ({"Sec-WebSocket-Extensions": "Permessage-Deflate"}, "Extensions"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate, permessage-deflate"}, "Extensions"),
        ({"Sec-WebSocket-Extensions": ["permessage-deflate", "x-other"]}, "Extensions"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; a="}, "extension"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=7"}, "server_max_window_bits"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=16"}, "server_max_window_bits"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits"}, "server_max_window_bits"),
        ({"Sec-WebSocket-Extensions": "permessage-deflate; unknown"}, "unknown"),
    ],
)
def test_bad_answers(changes: dict[str, Change], problem: str) -> None:
    """A 101 that is not the answer to this request fails the connection (hostile cases 22 and 23)."""
    head = answer(**changes)  # type: ignore[arg-type]
    with pytest.raises(HandshakeError, match=f"HTTP 101.*{problem}") as caught:
        check_response(head, KEY, ("a", "b"), Deflate())
    assert caught.value.status == 101
    assert caught.value.headers == head.headers
    assert len(str(caught.value)) < 500


def test_nothing_offered() -> None:
    """What was not offered at all can't be taken."""
    with pytest.raises(HandshakeError, match=r"Protocol .*\(none\)"):
        check_response(answer(Sec_WebSocket_Protocol="a"), KEY, (), None)
    with pytest.raises(HandshakeError, match=r"Extensions .*\(none\)"):
        check_response(answer(Sec_WebSocket_Extensions="permessage-deflate"), KEY, (), None)


@pytest.mark.parametrize("first", ["HTTP/1.1 200 OK", "HTTP/1.1 403 Forbidden", "HTTP/1.1 302 Found", "HTTP/1.1 599 "])
def test_other_statuses(first: str) -> None:
    """Any status but 101 is a HandshakeError whose text holds it, though all else were right."""
    with pytest.raises(HandshakeError, match=f"HTTP {first[9:].strip()}") as caught:
        check_response(answer(first), KEY, (), None)
    assert caught.value.status == int(first[9:12])


def test_answer_of_http_1_0() -> None:
    """HTTP/1.0 knows no 101."""
    with pytest.raises(HandshakeError, match=r"1\.0"):
        check_response(answer("HTTP/1.0 101 Switching Protocols"), KEY, (), None)


@pytest.mark.case(104)
def test_error_text_is_escaped_and_cut() -> None:
    """What the server says is escaped and cut in the error's text (hostile case 104)."""
    with pytest.raises(HandshakeError) as caught:
        check_response(answer("HTTP/1.1 500 " + "\x85" * 5000), KEY, (), None)
    assert "\\x85" in str(caught.value)
    assert len(str(caught.value)) < 500
