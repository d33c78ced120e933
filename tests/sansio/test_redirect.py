"""Where redirects lead, and which of them are followed."""

from __future__ import annotations

import pytest

from wsmash.sansio.http1 import ParsedHead, parse_response
from wsmash.sansio.redirect import REDIRECTS, is_redirect, redirect_target, same_origin
from wsmash.urls import parse_url

HERE = "ws://user:secret@here.example/a/b?q=1"


def answer(*locations: str, status: int = 302) -> ParsedHead:
    """A redirect with these locations."""
    lines = [f"HTTP/1.1 {status} Moved", *(f"Location: {each}" for each in locations)]
    return parse_response("\r\n".join([*lines, "", ""]).encode())


@pytest.mark.parametrize("status", range(300, 310))
def test_which_answers_are_redirects(status: int) -> None:
    """301, 302, 303, 307 and 308 with a Location; not 300, 304, 305 and 306."""
    assert is_redirect(answer("/", status=status)) is (status in {301, 302, 303, 307, 308}) is (status in REDIRECTS)
    assert not is_redirect(answer(status=status))


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("ws://there.example/x", "ws://there.example/x"),
        ("wss://there.example/x", "wss://there.example/x"),
        ("http://there.example/x", "ws://there.example/x"),
        ("HTTPS://There.example:8443/x?y#z", "wss://there.example:8443/x?y"),
        ("//there.example/x", "ws://there.example/x"),
        ("/x", "ws://here.example/x"),
        ("x", "ws://here.example/a/x"),
        ("../x", "ws://here.example/x"),
        ("?x", "ws://here.example/a/b?x"),
        ("", "ws://here.example/a/b?q=1"),
        ("#there", "ws://here.example/a/b?q=1"),
        ("/ü", "ws://here.example/%C3%BC"),
        ("http://münchen.example/", "ws://xn--mnchen-3ya.example/"),
    ],
)
def test_targets(location: str, target: str) -> None:
    """A Location is resolved as URLs are (RFC 3986 5), where http and https mean ws and wss."""
    found = redirect_target(parse_url(HERE), answer(location))
    assert str(found) == target


@pytest.mark.parametrize("location", ["/x", "ws://you:there@here.example/", "ws://other:one@there.example/"])
def test_userinfo_is_dropped(location: str) -> None:
    """Neither the last URL's credentials nor those of the Location are the target's."""
    found = redirect_target(parse_url(HERE), answer(location))
    assert (found.username, found.password) == (None, None)


@pytest.mark.case(23)
@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "ftp://there.example/",
        "data:,x",
        "unix:/run/x.sock",
        "mailto:a@b",
        "ws://",
        "ws:there.example",
        "http://there.example:99999/",
        "//",
        "/a\tb",
        "/a b",
        "/a\\b",
        "\\\\there.example\\x",
        "http://there.example@@/",
    ],
)
def test_what_leads_to_no_websocket(location: str) -> None:
    """Other schemes, and what is no URL, are refused."""
    with pytest.raises(ValueError):
        redirect_target(parse_url(HERE), answer(location))


@pytest.mark.case(23)
@pytest.mark.parametrize("location", ["ws://here.example/", "http://here.example/", "ws://there.example/"])
def test_never_from_wss_to_ws(location: str) -> None:
    """What began encrypted stays so."""
    with pytest.raises(ValueError, match="from wss to ws"):
        redirect_target(parse_url("wss://here.example/"), answer(location))


def test_two_locations() -> None:
    """An answer that names two places leads to none."""
    with pytest.raises(ValueError, match="more than one"):
        redirect_target(parse_url(HERE), answer("/a", "/b"))


def test_location_that_is_no_utf8() -> None:
    """Bytes that are no text are refused."""
    head = parse_response(b"HTTP/1.1 302 Found\r\nLocation: /\xff\r\n\r\n")
    with pytest.raises(ValueError, match="UTF-8"):
        redirect_target(parse_url(HERE), head)


def test_secrets_of_the_location_are_not_told() -> None:
    """An error names the place without userinfo and query."""
    with pytest.raises(ValueError) as caught:
        redirect_target(parse_url(HERE), answer("ftp://user:hunter2@there.example/?token=hunter3"))
    assert "there.example" in str(caught.value) and "hunter" not in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ws://a.example/", "ws://a.example/x", True),
        ("ws://a.example/", "ws://A.EXAMPLE:80/", True),
        ("ws://a.example/", "wss://a.example/", True),
        ("ws://a.example:8080/", "wss://a.example:8080/", True),
        ("ws://a.example/", "wss://a.example:80/", True),
        ("ws://a.example/", "ws://b.example/", False),
        ("ws://a.example/", "ws://a.example.evil/", False),
        ("ws://a.example/", "ws://a.example:8080/", False),
        ("ws://a.example:8080/", "wss://a.example/", False),
        ("ws://a.example/", "wss://a.example:8443/", False),
    ],
)
@pytest.mark.case(24)
def test_same_origin(one: str, other: str, same: bool) -> None:
    """Host and port, where a change to TLS at the default ports is none of server."""
    assert same_origin(parse_url(one), parse_url(other)) is same
