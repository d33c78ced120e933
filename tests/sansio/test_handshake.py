"""The server's side of the opening handshake, and that both sides agree, on heads parsed from bytes."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsmash.options import Deflate
from wsmash.sansio.deflate_negotiation import offer
from wsmash.sansio.handshake import (
    Agreement,
    accept,
    accept_key,
    build_request,
    check_host,
    check_request,
    check_response,
    is_upgrade,
)
from wsmash.sansio.head import Response
from wsmash.sansio.headers import Headers, format_extension
from wsmash.sansio.http1 import ParsedHead, encode_request, encode_response, parse_request, parse_response
from wsmash.urls import parse_url

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

REQUEST = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": KEY,
    "Sec-WebSocket-Version": "13",
}
ANSWER = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}
Change = str | Sequence[str] | None


def changed(headers: dict[str, str], changes: dict[str, Change]) -> list[tuple[str, str]]:
    """The headers with some replaced, doubled or left out; names have '_' for '-'."""
    found: dict[str, Change] = {**headers, **{name.replace("_", "-"): value for name, value in changes.items()}}
    pairs = []
    for name, value in found.items():
        values = [] if value is None else [value] if isinstance(value, str) else value
        pairs += [(name, each) for each in values]
    return pairs


def request(method: str = "GET", target: str = "/chat", version: str = "1.1", **changes: Change) -> ParsedHead:
    written = encode_request(method, target, changed(REQUEST, changes))
    return parse_request(written.replace(b"HTTP/1.1", b"HTTP/" + version.encode(), 1))


def refused(head: ParsedHead) -> Response:
    response = check_host(head) or check_request(head)
    assert response is not None
    assert len(response.body) < 500
    return response


def test_accept_key() -> None:
    """The example of RFC 6455 1.3."""
    assert accept_key(KEY) == ACCEPT


# The server's judgement


def test_good_request() -> None:
    """The request of RFC 6455 1.2 passes, with any case where there is none."""
    assert check_request(request()) is None
    assert check_request(request(Upgrade="h2c, WebSocket", Connection="keep-alive, upgrade")) is None
    assert check_request(request(Host="[::1]:8080", Sec_WebSocket_Protocol=["a", "b, c"], Content_Length="0")) is None
    assert check_request(request(target="http://EXAMPLE.com/chat")) is None


@pytest.mark.case(11)
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"Upgrade": "WEBSOCKET", "Connection": "Keep-Alive, UPGRADE"}, True),
        ({"Upgrade": ["h2c/1.0", "websocket"], "Connection": ["close", "upgrade"]}, True),
        ({"Upgrade": None}, False),
        ({"Connection": None}, False),
        ({"Upgrade": "notwebsocket"}, False),
        ({"Upgrade": "websocket2"}, False),
        ({"Connection": "notupgrade"}, False),
        ({"Connection": "keep-alive"}, False),
    ],
)
def test_is_upgrade(changes: dict[str, Change], expected: bool) -> None:
    """Only whole tokens make an upgrade (hostile case 11)."""
    assert is_upgrade(request(**changes)) is expected  # type: ignore[arg-type]


@pytest.mark.case(5, 6, 7, 12, 13, 14, 15, 16)
@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (405, {"method": "POST"}),
        (405, {"method": "HEAD"}),
        (505, {"version": "1.0"}),
        (400, {"Host": None}),
        (400, {"Host": ""}),
        (400, {"Host": ["example.com", "example.com"]}),
        (400, {"Host": "a b"}),
        (400, {"Host": "user@example.com"}),
        (400, {"Host": "example.com/"}),
        (400, {"Host": "example.com, evil.example"}),
        (400, {"Host": "example.com:http"}),
        (400, {"target": "http://evil.example/chat"}),
        (426, {"Sec_WebSocket_Version": None}),
        (426, {"Sec_WebSocket_Version": "12"}),
        (426, {"Sec_WebSocket_Version": "013"}),
        (426, {"Sec_WebSocket_Version": "13, 8"}),
        (426, {"Sec_WebSocket_Version": ["13", "13"]}),
        (400, {"Sec_WebSocket_Key": None}),
        (400, {"Sec_WebSocket_Key": ""}),
        (400, {"Sec_WebSocket_Key": [KEY, KEY]}),
        (400, {"Sec_WebSocket_Key": f"{KEY}, {KEY}"}),
        (400, {"Sec_WebSocket_Key": KEY[:-1]}),
        (400, {"Sec_WebSocket_Key": KEY[:-2] + "AA"}),
        (400, {"Sec_WebSocket_Key": "AAAA" * 5 + "AAA="}),
        (400, {"Sec_WebSocket_Key": "!" + KEY[1:]}),
        (400, {"Sec_WebSocket_Key": "A A" + KEY[3:]}),
        (400, {"Sec_WebSocket_Protocol": "a b"}),
        (400, {"Sec_WebSocket_Protocol": "b" + " " * 8000 + "x"}),
        (400, {"Sec_WebSocket_Extensions": 'a;b="' + "\\c" * 4000}),
        (400, {"Sec_WebSocket_Extensions": ", ".join(["a"] * 1000)}),
    ],
)
def test_refusals(status: int, changes: dict[str, Change]) -> None:
    """What is not a valid opening handshake gets its status (hostile cases 5-7 and 12-16)."""
    assert refused(request(**changes)).status == status  # type: ignore[arg-type]


def test_what_refusals_say() -> None:
    """A 405 names the method that is allowed, a 426 the protocol and its version."""
    assert refused(request("POST")).headers["Allow"] == "GET"
    upgrade = refused(request(Sec_WebSocket_Version="8"))
    assert upgrade.headers["Sec-WebSocket-Version"] == "13"
    assert upgrade.headers["Upgrade"] == "websocket"
    assert b"'8'" in upgrade.body


@pytest.mark.case(12)
def test_host_of_plain_http() -> None:
    """A request of HTTP/1.0 may have no Host, and one of HTTP/1.1 must have one (hostile case 12)."""
    assert check_host(parse_request(b"GET /healthz HTTP/1.0\r\n\r\n")) is None
    assert check_host(parse_request(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")) is None
    for head in (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"):
        response = check_host(parse_request(head))
        assert response is not None
        assert response.status == 400


# The server's answer


def test_accept() -> None:
    """The answer has the headers of RFC 6455 4.2.2, and the user's after them."""
    response, agreement = accept(request(), ("a",), Deflate(), [("X-A", "1")])
    assert response.status == 101
    assert response.headers.pairs == (*ANSWER.items(), ("X-A", "1"))
    assert agreement == Agreement(None, None)
    with pytest.raises(ValueError, match="Sec-WebSocket-Accept"):
        accept(request(), (), None, [("Sec-WebSocket-Accept", "x")])


@pytest.mark.parametrize(
    ("spoken", "offered", "expected"),
    [
        (("a", "b"), "b, a", "a"),
        (("c", "b"), ["a", "b"], "b"),
        (("c",), "a, b", None),
        ((), "a", None),
        (("a",), "A", None),
        (("a",), None, None),
        (("a",), "", None),
    ],
)
def test_accepted_protocol(spoken: tuple[str, ...], offered: Change, expected: str | None) -> None:
    """The first of the server's list that was offered is taken, none if none match."""
    response, agreement = accept(request(Sec_WebSocket_Protocol=offered), spoken, None)
    assert agreement.subprotocol == expected
    assert response.headers.get("Sec-WebSocket-Protocol") == expected


def test_accepted_deflate() -> None:
    """The extension is accepted where both sides want it."""
    head = request(Sec_WebSocket_Extensions="x-other, permessage-deflate; client_no_context_takeover")
    response, agreement = accept(head, (), Deflate())
    assert response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
    assert agreement.deflate is not None
    assert agreement.deflate.client_no_context_takeover
    response, agreement = accept(head, (), None)
    assert "Sec-WebSocket-Extensions" not in response.headers
    assert agreement.deflate is None


SETTINGS = st.none() | st.builds(
    Deflate,
    server_no_context_takeover=st.booleans(),
    client_no_context_takeover=st.booleans(),
    server_max_window_bits=st.integers(9, 15),
    client_max_window_bits=st.integers(9, 15),
)
PROTOCOLS = st.lists(st.sampled_from(["a", "b", "c", "d"]), unique=True)


@given(PROTOCOLS, PROTOCOLS, SETTINGS, SETTINGS)
def test_both_sides_agree(offered: list[str], spoken: list[str], ours: Deflate | None, theirs: Deflate | None) -> None:
    """Over bytes, our client and our server agree on the same, whatever each of them wants."""
    extension_offer = None if ours is None else format_extension(offer(ours))
    target, headers = build_request(
        parse_url("ws://example.com/x"), KEY, protocols=offered, extension_offer=extension_offer
    )
    received = parse_request(encode_request("GET", target, headers))
    assert is_upgrade(received)
    assert check_request(received) is None
    response, agreement = accept(received, spoken, theirs)
    assert check_response(parse_response(encode_response(response)), KEY, offered, ours) == agreement
    assert agreement.subprotocol == next((protocol for protocol in spoken if protocol in offered), None)
    assert (agreement.deflate is not None) == (ours is not None and theirs is not None)


NAMES = st.sampled_from([*REQUEST, "Content-Length", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"])
VALUES = st.text('websocktupgrad13;=,"\\ /:[]@', max_size=20) | st.sampled_from(list(REQUEST.values()))


@given(st.lists(st.tuples(NAMES, VALUES)))
def test_any_request(pairs: list[tuple[str, str]]) -> None:
    """Whatever the headers say, a request is refused with an answer, or accepted, and nothing raises."""
    head = ParsedHead("GET", "/", 0, "", "1.1", Headers([*REQUEST.items(), *pairs]))
    for each in (head, head._replace(headers=Headers(pairs))):
        response = check_host(each) or check_request(each)
        if response is None:
            response, _ = accept(each, ("a",), Deflate())
        assert encode_response(response)
