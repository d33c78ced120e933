"""The request and the response as users see them."""

import dataclasses

import pytest

from wsmash.sansio.head import Request, Response
from wsmash.sansio.headers import Headers


def request(line: str = "GET /chat?room=1 HTTP/1.1", *headers: str, secure: bool = False) -> Request:
    head = "\r\n".join([line, "Host: example.com:8080", *headers, "", ""])
    return Request(head.encode("latin-1"), secure=secure, remote_address=("192.0.2.1", 5))


def test_parts() -> None:
    """A request tells its parts by name."""
    found = request("GET /a%20b/%C3%BC?x=%20&y HTTP/1.1", "X-A: 1", "x-a: 2")
    assert found.method == "GET"
    assert found.target == "/a%20b/%C3%BC?x=%20&y"
    assert found.path == "/a b/ü"
    assert found.query == "x=%20&y"
    assert found.version == "1.1"
    assert found.host == "example.com:8080"
    assert found.url == "ws://example.com:8080/a%20b/%C3%BC?x=%20&y"
    assert found.headers == {"Host": "example.com:8080", "X-A": "1, 2"}
    assert found.remote_address == ("192.0.2.1", 5)
    assert found.params == {}


def test_url_over_tls() -> None:
    """Over TLS the URL's scheme is wss."""
    assert request("GET / HTTP/1.1", secure=True).url == "wss://example.com:8080/"


def test_params() -> None:
    """The parameters of the path are those given."""
    assert Request(b"GET /a HTTP/1.1\r\n\r\n", params={"name": "a"}).params == {"name": "a"}


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/?", "/", ""),
        ("/a?b?c", "/a", "b?c"),
        ("//other.example/a", "//other.example/a", ""),
        ("/%2e%2E/%2F%zz%", "/..//%zz%", ""),
        ("/%FF", "/\ufffd", ""),
        ("/a://b", "/a://b", ""),
        ("http://example.com:8080", "/", ""),
        ("http://example.com:8080/a?b", "/a", "b"),
        ("http://example.com:8080?b", "/", "b"),
    ],
)
def test_path_and_query(target: str, path: str, query: str) -> None:
    """The path is percent-decoded once and the query stays as it is, in the absolute form too."""
    found = request(f"GET {target} HTTP/1.1")
    assert (found.path, found.query) == (path, query)


def test_without_host() -> None:
    """A request of HTTP/1.0 may have no Host, and has a useful repr all the same."""
    found = Request(b"HEAD /healthz HTTP/1.0\r\n\r\n")
    assert (found.host, found.version, found.method) == ("", "1.0", "HEAD")
    assert repr(found) == "<Request HEAD /healthz from None>"


def test_cookies() -> None:
    """Cookies of all lines come by name, unquoted, the first of two first; what has no '=' is skipped."""
    found = request("GET / HTTP/1.1", 'Cookie: a=1; b="two"; junk; a=3;; =x', "Cookie: c=x=y; d= \x85\xff ")
    assert found.cookies == {"a": "1", "b": "two", "": "x", "c": "x=y", "d": "\x85\xff"}


@pytest.mark.case(106)
def test_repr_has_no_secrets() -> None:
    """The repr shows where the request went, without query and headers (hostile case 106)."""
    found = request("GET /chat?token=hunter2 HTTP/1.1", "Cookie: session=hunter2", "Authorization: Basic hunter2")
    assert repr(found) == "<Request GET ws://example.com:8080/chat?*** from ('192.0.2.1', 5)>"


def test_a_request_keeps_only_the_bytes() -> None:
    """An idle connection's request is its head: reading from it leaves nothing behind, and it can't be changed."""
    found = request()
    assert found.headers is not found.headers
    assert not hasattr(found, "__dict__")
    names = {each.name for each in dataclasses.fields(found)}
    assert names == {"head", "secure", "remote_address", "forwarded_host", "params", "state"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.secure = True  # type: ignore[misc]


def test_response_defaults() -> None:
    """A response without arguments is an empty 200."""
    found = Response()
    assert (found.status, found.reason, found.body, found.headers) == (200, "OK", b"", Headers())


def test_response_of_text() -> None:
    """Text goes as UTF-8 and says so, unless the headers say otherwise."""
    assert Response(403, "nö").body == b"n\xc3\xb6"
    assert Response(403, "nö").headers == {"Content-Type": "text/plain; charset=utf-8"}
    assert Response(200, "<p>", {"content-type": "text/html"}).headers.pairs == (("content-type", "text/html"),)
    assert Response(200, b"x").headers == {}


def test_response_reason() -> None:
    """The reason is the usual one, one's own, or none for a status that has none."""
    assert Response(404).reason == "Not Found"
    assert Response(404, reason="Nothing here").reason == "Nothing here"
    assert Response(599).reason == ""
    assert Response(404, reason="").reason == ""


@pytest.mark.parametrize("status", [99, 600, 0, -1, 1000])
def test_bad_status(status: int) -> None:
    """A status outside 100 to 599 is refused."""
    with pytest.raises(ValueError, match=f"{status}"):
        Response(status)


@pytest.mark.case(25)
@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\x7f", "€"])
def test_injection(bad: str) -> None:
    """Nothing that could end a line gets into reason, names or values (hostile case 25)."""
    with pytest.raises(ValueError, match="reason"):
        Response(200, reason=f"OK{bad}")
    with pytest.raises(ValueError, match="X-A"):
        Response(200, headers={"X-A": f"1{bad}"})
    with pytest.raises(ValueError, match="token"):
        Response(200, headers={f"X{bad}": "1"})


def test_arguments_of_another_type() -> None:
    """What is of another type is a TypeError that names the argument."""
    with pytest.raises(TypeError, match="status"):
        Response("200")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="status"):
        Response(True)
    with pytest.raises(TypeError, match="body"):
        Response(200, {})  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="reason"):
        Response(200, reason=5)  # type: ignore[arg-type]


def test_response_is_a_value() -> None:
    """Responses compare and hash by value, can't be changed, and show no cookie."""
    found = Response(302, headers={"Location": "/login", "Set-Cookie": "a=hunter2"})
    assert found == Response(302, headers={"location": "/login", "set-cookie": "a=hunter2"})
    assert len({found, Response(302)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.status = 200  # type: ignore[misc]
    assert repr(found) == "<Response 302 Found, 0 bytes, Headers([('Location', '/login'), ('Set-Cookie', '***')])>"
