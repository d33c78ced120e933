"""The URL parser: what is valid, what comes of it, and what its errors never show."""

import pickle

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from wsmash.errors import InvalidURL, WebSocketError
from wsmash.urls import WebSocketURL, http_to_ws_url, is_loopback, is_valid_url, parse_url, split_host

VALID = [
    ("ws://example.com", False, "example.com", 80, "/"),
    ("wss://example.com", True, "example.com", 443, "/"),
    ("WS://EXAMPLE.com/A", False, "example.com", 80, "/A"),
    ("wSS://example.com:/", True, "example.com", 443, "/"),
    ("ws://example.com:8080/chat", False, "example.com", 8080, "/chat"),
    ("ws://example.com:1", False, "example.com", 1, "/"),
    ("ws://example.com:65535", False, "example.com", 65535, "/"),
    ("ws://example.com?a=b", False, "example.com", 80, "/?a=b"),
    ("ws://example.com/?", False, "example.com", 80, "/?"),
    ("ws://example.com/a//b/../c?x=/y?z", False, "example.com", 80, "/a//b/../c?x=/y?z"),
    ("ws://example.com/%41%zz%", False, "example.com", 80, "/%41%zz%"),
    ("ws://example.com/ü?ö=€", False, "example.com", 80, "/%C3%BC?%C3%B6=%E2%82%AC"),
    ('ws://example.com/"<>^`{|}', False, "example.com", 80, "/%22%3C%3E%5E%60%7B%7C%7D"),
    ("ws://example.com/[1]:@!$&'()*+,;=-._~", False, "example.com", 80, "/[1]:@!$&'()*+,;=-._~"),
    ("ws://example.com./", False, "example.com.", 80, "/"),
    ("ws://my_service-1/", False, "my_service-1", 80, "/"),
    ("ws://bücher.example/", False, "xn--bcher-kva.example", 80, "/"),
    ("ws://BÜCHER。example/", False, "xn--bcher-kva.example", 80, "/"),
    ("ws://straße.de/", False, "xn--strae-oqa.de", 80, "/"),
    ("ws://127.0.0.1:9/", False, "127.0.0.1", 9, "/"),
    ("ws://１２７.0.0.1/", False, "127.0.0.1", 80, "/"),  # noqa: RUF001 - full-width digits are the case
    ("ws://[::1]/", False, "::1", 80, "/"),
    ("wss://[2001:DB8:0::1]:8443", True, "2001:db8::1", 8443, "/"),
]


@pytest.mark.parametrize(("url", "secure", "host", "port", "target"), VALID)
def test_parts(url: str, secure: bool, host: str, port: int, target: str) -> None:
    """A valid URL comes apart into scheme, ASCII host, port and a target that may go out as it is."""
    assert parse_url(url) == WebSocketURL(secure, host, port, target)


INVALID = [
    ("", "ws:// or wss://"),
    ("example.com", "ws:// or wss://"),
    ("ws:example.com", "ws:// or wss://"),
    ("ws:/example.com", "ws:// or wss://"),
    ("//example.com", "ws:// or wss://"),
    ("ftp://example.com", "ws:// or wss://"),
    ("http://example.com", "http_to_ws_url"),
    ("HTTPS://example.com", "http_to_ws_url"),
    ("ws://", "host is missing"),
    ("ws:///path", "host is missing"),
    ("ws://?query", "host is missing"),
    ("ws://:80/", "host is missing"),
    ("ws://user@", "host is missing"),
    ("ws://example.com/#", "no fragment"),
    ("ws://example.com/#part", "no fragment"),
    ("ws://example.com/a b", "whitespace"),
    (" ws://example.com/", "whitespace"),
    ("ws://example.com/\n", "whitespace"),
    ("ws://example.com/\u00a0", "whitespace"),
    ("ws://example.com/\u2028", "whitespace"),
    ("ws://example.com/\0", "control"),
    ("ws://example.com/\x7f", "control"),
    ("ws://example.com/\x85", "control"),
    ("ws://example.com\\path", "backslash"),
    ("ws://example.com/\ud800", "surrogate"),
    ("ws://example.com:0/", "port"),
    ("ws://example.com:65536/", "port"),
    ("ws://example.com:-1/", "port"),
    ("ws://example.com:+1/", "port"),
    ("ws://example.com:8_0/", "port"),
    ("ws://example.com:８０/", "port"),  # noqa: RUF001 - full-width digits are the case
    ("ws://example.com:http/", "port"),
    ("ws://example.com:" + "1" * 5000, "port"),
    ("ws://::1/", "brackets"),
    ("ws://[::1/", "brackets"),
    ("ws://[::1]x/", "brackets"),
    ("ws://[]/", "IPv6"),
    ("ws://[127.0.0.1]/", "IPv6"),
    ("ws://[v1.x]/", "IPv6"),
    ("ws://[fe80::1%25eth0]/", "brackets must be an IPv6|zone"),
    ("ws://[fe80::1%eth0]/", "zone"),
    ("ws://exa%6dple.com/", "letters"),
    ("ws://example.com,evil.com/", "letters"),
    ("ws://a..b/", "labels"),
    ("ws://.a/", "labels"),
    ("ws://./", "labels"),
    ("ws://" + "a" * 64 + "/", "labels"),
    ("ws://" + "a." * 127 + "a/", "253|labels"),
    ("ws://" + "ü" * 100_000 + "/", "longer"),
    ("ws://" + "ü" * 63 + "/", "internationalized"),
    ("ws://☃.net/", "internationalized"),
    ("ws://127.1/", "IPv4"),
    ("ws://1/", "IPv4"),
    ("ws://0x7f000001/", "IPv4"),
    ("ws://0x/", "IPv4"),
    ("ws://256.0.0.1/", "IPv4"),
    ("ws://1.2.3.4.5/", "IPv4"),
    ("ws://a@b@example.com/", "%40"),
    ("ws://a%3Ab:c@example.com/", "colon"),
    ("ws://a%0D%0Ab:c@example.com/", "control"),
    ("ws://a:b%00@example.com/", "control"),
    ("ws://%FF@example.com/", "UTF-8"),
]


@pytest.mark.parametrize(("url", "problem"), INVALID)
def test_refusals(url: str, problem: str) -> None:
    """Each refusal says what is wrong."""
    with pytest.raises(InvalidURL, match=problem) as caught:
        parse_url(url)
    assert not is_valid_url(url)
    assert len(str(caught.value)) < 400
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", [None, 5, b"ws://example.com", ["ws://example.com"], object()])
def test_what_is_no_str(value: object) -> None:
    """What is not a str is an invalid URL, and False."""
    with pytest.raises(InvalidURL, match=type(value).__name__):
        parse_url(value)  # type: ignore[arg-type]
    with pytest.raises(InvalidURL, match=type(value).__name__):
        http_to_ws_url(value)  # type: ignore[arg-type]
    assert not is_valid_url(value)


@pytest.mark.parametrize(
    ("userinfo", "username", "password"),
    [
        ("", None, None),
        ("user", "user", None),
        ("user:", "user", ""),
        (":secret", "", "secret"),
        ("user:se:cret", "user", "se:cret"),
        ("us%40er:p%2Fw%C3%BC", "us@er", "p/wü"),
        ("üser:пароль", "üser", "пароль"),
    ],
)
def test_userinfo(userinfo: str, username: str | None, password: str | None) -> None:
    """User name and password come percent-decoded, and are not part of the URL's text."""
    address = parse_url(f"ws://{userinfo}@example.com/")
    assert (address.username, address.password) == (username, password)
    assert str(address) == "ws://example.com/"


@pytest.mark.case(106)
def test_nothing_shows_the_secrets() -> None:
    """Neither `str` nor `repr` shows the userinfo, and `repr` and `redacted` no query (hostile case 106)."""
    address = parse_url("wss://user:hunter2@example.com:444/chat?token=hunter3")
    assert str(address) == "wss://example.com:444/chat?token=hunter3"
    assert address.redacted == "wss://example.com:444/chat?***"
    assert repr(address) == "<WebSocketURL wss://example.com:444/chat?***>"


@pytest.mark.case(104)
def test_what_is_shown_of_a_long_one_is_cut() -> None:
    """After 200 characters; what is asked for is whole."""
    address = parse_url("ws://example.com/" + "a" * 8000)
    assert len(address.redacted) == 203 and address.redacted.endswith("aaa...") and len(address.target) == 8001


@pytest.mark.case(106)
@pytest.mark.parametrize(
    "url",
    [
        "ws://user:hunter2@example.com/#",
        "ws://user:hunter2@example.com:0/",
        "ws://user:hunter2/x@example.com/",
        "ws://user:hunter2?x@example.com/",
        "ws://user:hunter2#x@example.com/",
        "ws://user:hunter2@x@example.com/",
        "user:hunter2://x@example.com/",
        "http://user:hunter2@example.com/",
        "ws://user:hunter2 @example.com/",
        "ws://example.com/?token=hunter2#",
        "ws://example.com/#hunter2",
    ],
)
def test_errors_never_show_the_secrets(url: str) -> None:
    """An InvalidURL hides what is, or may have been meant as, a password or a token."""
    with pytest.raises(InvalidURL) as caught:
        parse_url(url)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("url", "host_header"),
    [
        ("ws://example.com:80/", "example.com"),
        ("ws://example.com:443/", "example.com:443"),
        ("wss://example.com:443/", "example.com"),
        ("wss://example.com:80/", "example.com:80"),
        ("ws://[::1]/", "[::1]"),
        ("ws://[::1]:8080/", "[::1]:8080"),
    ],
)
def test_host_header(url: str, host_header: str) -> None:
    """`Host` has brackets around IPv6, and no default port."""
    assert parse_url(url).host_header == host_header


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://example.com", "ws://example.com"),
        ("https://example.com/a?b#c", "wss://example.com/a?b"),
        ("HTTPS://u:p@Example.com:443/%zz", "wss://u:p@Example.com:443/%zz"),
        ("ws://example.com/ü", "ws://example.com/ü"),
        ("WSS://example.com/#", "WSS://example.com/"),
    ],
)
def test_http_to_ws_url(url: str, expected: str) -> None:
    """Only the scheme changes, and a fragment goes."""
    assert http_to_ws_url(url) == expected


@pytest.mark.parametrize("url", ["", "example.com", "ftp://example.com", "http:example.com", "http://", "http://a b/"])
def test_http_to_ws_url_refusals(url: str) -> None:
    """Another scheme, or what would be no WebSocket URL, is refused."""
    with pytest.raises(InvalidURL):
        http_to_ws_url(url)


def test_the_error_is_a_value_error() -> None:
    """InvalidURL is both of the package's root and a ValueError."""
    assert issubclass(InvalidURL, WebSocketError)
    assert issubclass(InvalidURL, ValueError)


def test_pickle() -> None:
    """An address survives pickling, for processes that hand it on."""
    address = parse_url("ws://user:pw@example.com/")
    assert pickle.loads(pickle.dumps(address)) == address


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("localhost.", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.200.0.1", True),
        ("::1", True),
        ("localhost.example", False),
        ("notlocalhost", False),
        ("128.0.0.1", False),
        ("::2", False),
        ("0.0.0.0", False),
    ],
)
def test_is_loopback(host: str, expected: bool) -> None:
    """Loopback is localhost with what is under it, 127.0.0.0/8 and ::1."""
    assert is_loopback(host) is expected


def test_split_host() -> None:
    """A host with an optional port comes in normal form; an empty port is none."""
    assert split_host("Example.com") == ("example.com", None)
    assert split_host("example.com:") == ("example.com", None)
    assert split_host("[::1]:80") == ("::1", 80)


URL_LIKE = st.lists(
    st.sampled_from(
        [
            "ws",
            "wss",
            "http",
            "https",
            "://",
            ":",
            "/",
            "?",
            "#",
            "@",
            "[",
            "]",
            "::1",
            "a",
            ".",
            "%",
            "%41",
            "80",
            "ü",
            "0x1",
        ]
    ),
    max_size=12,
).map("".join)


@given(st.text() | URL_LIKE | st.text().map("ws://".__add__) | URL_LIKE.map("ws://".__add__))
@example("ws://\u00ad")
@example("ws://xn--a\u00fc")
def test_any_text(url: str) -> None:
    """No text raises anything but InvalidURL, and what is valid stays so in normal form."""
    try:
        address = parse_url(url)
    except InvalidURL:
        assert not is_valid_url(url)
        return
    assert is_valid_url(url)
    assert parse_url(str(address)) == WebSocketURL(address.secure, address.host, address.port, address.target)
    assert str(address).isascii()
    assert address.host == split_host(address.host_header)[0]


@given(st.text() | URL_LIKE | URL_LIKE.map("http://".__add__))
def test_http_to_ws_url_with_any_text(url: str) -> None:
    """No text raises anything but InvalidURL, and what comes out is a valid URL."""
    try:
        changed = http_to_ws_url(url)
    except InvalidURL:
        return
    assert is_valid_url(changed)
    assert http_to_ws_url(changed) == changed
