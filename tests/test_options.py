"""The options: their defaults are promises, wrong values are refused with a text that helps, secrets stay hidden."""

from __future__ import annotations

import inspect
import pickle
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

import wsmash
from fixtures.certificates import contexts
from wsmash.options import ClientOptions, ServerOptions
from wsmash.options.server import BROKERS
from wsmash.sansio.headers import Headers
from wsmash.topics.brokers.choice import SCHEMES

KIB = 1024
MIB = 1024 * KIB

COMMON = {
    "open_timeout": 10,
    "max_headers": 128,
    "max_header_line": 8 * KIB,
    "max_head_size": 64 * KIB,
    "message_timeout": 60,
    "max_queue": 16,
    "ping_interval": 20,
    "ping_timeout": 20,
    "close_timeout": 10,
    "write_high_water": 64 * KIB,
    "max_write_buffer": MIB,
    "write_timeout": 30,
    "message_type": None,
    "invalid_message": "error",
    "ssl": None,
    "protocols": (),
}
CLIENT = COMMON | {
    "max_message_size": 16 * MIB,
    "max_fragments": 65_536,
    "slow_consumer": "raise",
    "compression": "deflate",
    "headers": (),
    "cookies": None,
    "auth": None,
    "unix": None,
    "proxy": True,
    "proxy_ssl": None,
    "max_redirects": 10,
    "reconnect": False,
    "offline_queue": None,
}
SERVER = COMMON | {
    "max_message_size": MIB,
    "max_fragments": 4096,
    "slow_consumer": "close",
    "compression": None,
    "port": 8080,
    "host": "localhost",
    "path": "/",
    "max_connections": None,
    "max_connections_per_ip": None,
    "connect_rate": None,
    "max_openings": 1024,
    "auth_timeout": None,
    "max_buffered": None,
    "trusted_proxies": (),
    "proxy_headers": "x-forwarded",
    "message_rate": None,
    "origins": (),
    "allowed_hosts": None,
    "broker": "memory",
    "namespace": "wsmash",
    "authorize": None,
    "max_topics_per_connection": 128,
    "subscribe_rate": 100,
    "process_request": None,
    "browser_module": "/wsmash.js",
    "health_path": "/healthz",
    "static": None,
    "shutdown_timeout": 30,
    "unix": None,
    "sock": None,
    "reuse_port": False,
    "backlog": 1024,
}

SECONDS = ["open_timeout", "message_timeout", "ping_interval", "ping_timeout", "write_timeout", "close_timeout"]
COUNTS = ["max_headers", "max_header_line", "max_head_size", "max_queue", "write_high_water"]
BOUNDS = ["max_message_size", "max_fragments", "max_write_buffer"]

MAKERS: list[Callable[..., Any]] = [
    lambda **options: wsmash.create_client("ws://localhost", **options),
    wsmash.create_server,
]


def client(**options: Any) -> ClientOptions:
    """A client's options, as a client has them."""
    return wsmash.create_client("ws://localhost", **options).options


def server(**options: Any) -> ServerOptions:
    """A server's."""
    return wsmash.create_server(**options).get_options()


@pytest.mark.parametrize("name", CLIENT)
def test_defaults_of_a_client(name: str) -> None:
    """Each default of a client is the one that is promised."""
    assert getattr(client(), name) == CLIENT[name]


@pytest.mark.parametrize("name", SERVER)
def test_defaults_of_a_server(name: str) -> None:
    """Each default of a server is the one that is promised."""
    assert getattr(server(), name) == SERVER[name]


@pytest.mark.parametrize(
    ("function", "names"),
    [
        (wsmash.WebSocketClient, {"url", *CLIENT}),
        (wsmash.create_client, {"url", *CLIENT}),
        (wsmash.connect, {"url", *CLIENT}),
        (wsmash.WebSocketServer, set(SERVER)),
        (wsmash.create_server, set(SERVER)),
    ],
)
def test_signatures(function: Callable[..., Any], names: set[str]) -> None:
    """Every option is an explicit parameter, all but a client's URL and protocols by keyword only."""
    parameters = inspect.signature(function).parameters
    assert set(parameters) == names
    positional = [name for name, each in parameters.items() if each.kind is not inspect.Parameter.KEYWORD_ONLY]
    assert positional == (["url", "protocols"] if "url" in names else [])
    assert all(each.default is not inspect.Parameter.empty for name, each in parameters.items() if name != "url")


@pytest.mark.parametrize("make", MAKERS)
def test_unknown_option(make: Callable[..., Any]) -> None:
    """An option that there is not is a TypeError that names it."""
    with pytest.raises(TypeError, match="max_mesage_size"):
        make(max_mesage_size=1)


def test_an_option_of_the_other_side_is_unknown() -> None:
    """A client has no port, a server no cookies."""
    with pytest.raises(TypeError, match="port"):
        client(port=1)
    with pytest.raises(TypeError, match="cookies"):
        server(cookies={})
    with pytest.raises(TypeError):
        wsmash.create_server(8080)  # type: ignore[call-arg]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(
    "name", [*SECONDS, "shutdown_timeout", "message_rate", "connect_rate", "auth_timeout", "subscribe_rate"]
)
@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), (float("inf"), ValueError), ("5", TypeError),
     (True, TypeError)],
)  # fmt: skip
def test_wrong_seconds(make: Callable[..., Any], name: str, value: object, error: type[Exception]) -> None:
    """A time is a number above 0: the error names the option and the value."""
    if name not in inspect.signature(wsmash.WebSocketClient).parameters and make is MAKERS[0]:
        return
    with pytest.raises(error) as caught:
        make(**{name: value})
    assert name in str(caught.value) and repr(value) in str(caught.value)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", SECONDS)
def test_no_limit(make: Callable[..., Any], name: str) -> None:
    """None is no limit for every time but the close, which always ends."""
    if name == "close_timeout":
        with pytest.raises(TypeError, match="close_timeout must be a number"):
            make(**{name: None})
    else:
        make(**{name: None})


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("name", [*COUNTS, *BOUNDS])
@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("5", TypeError)])
def test_wrong_counts(make: Callable[..., Any], name: str, value: object, error: type[Exception]) -> None:
    """A size or a count is an int of at least 1."""
    with pytest.raises(error) as caught:
        make(**{name: value})
    assert name in str(caught.value) and repr(value) in str(caught.value)


@pytest.mark.parametrize("make", MAKERS)
def test_no_bound(make: Callable[..., Any]) -> None:
    """Sizes of messages and buffers may be without bound; those of heads and queues may not."""
    make(**dict.fromkeys(BOUNDS, None))
    for name in COUNTS:
        with pytest.raises(TypeError, match=name):
            make(**{name: None})


WRONG_FOR_BOTH = [
    ({"max_write_buffer": 1000}, ValueError, "write_high_water"),
    ({"slow_consumer": "wait"}, ValueError, "'close', 'raise', 'drop', 'conflate'"),
    ({"compression": "gzip"}, ValueError, "'deflate', None"),
    ({"compression": True}, ValueError, "True"),
    ({"invalid_message": 1000}, ValueError, "1007, 1008"),
    ({"ssl": True}, TypeError, "ssl.SSLContext"),
    ({"protocols": "a b"}, ValueError, "'a b'"),
    ({"protocols": [""]}, ValueError, "''"),
    ({"protocols": ["a", "a"]}, ValueError, "twice"),
    ({"protocols": [1]}, TypeError, "[1]"),
    ({"protocols": 5}, TypeError, "protocols must be a str or a sequence of str, not 5"),
    ({"protocols": None}, TypeError, "protocols"),
    ({"protocols": b"chat"}, TypeError, "b'chat'"),
    ({"unix": 5}, TypeError, "a path or None"),
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("options", "error", "text"), WRONG_FOR_BOTH)
def test_wrong_for_both(
    make: Callable[..., Any], options: dict[str, Any], error: type[Exception], text: str
) -> None:
    """Each wrong value is refused where the object is made, by an error that names the option and what helps."""
    with pytest.raises(error) as caught:
        make(**options)
    assert next(iter(options)) in str(caught.value) and text in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"port": -1}, ValueError, "0 to 65535"),
        ({"port": 65536}, ValueError, "65536"),
        ({"port": "80"}, TypeError, "'80'"),
        ({"host": 5}, TypeError, "5"),
        ({"host": []}, ValueError, "None is every interface"),
        ({"host": [None]}, TypeError, "[None]"),
        ({"path": "chat"}, ValueError, "'chat'"),
        ({"path": None}, TypeError, "None"),
        ({"path": "/{room"}, ValueError, "{room"),
        ({"health_path": "healthz"}, ValueError, "'healthz'"),
        ({"health_path": 5}, TypeError, "5"),
        ({"browser_module": "wsmash.js"}, ValueError, "'wsmash.js'"),
        ({"browser_module": "/a?b"}, ValueError, "'/a?b'"),
        ({"browser_module": 5}, TypeError, "5"),
        ({"browser_module": "/healthz"}, ValueError, "both '/healthz'"),
        ({"health_path": "/"}, ValueError, "no health check"),
        ({"path": "/healthz"}, ValueError, "no health check"),
        ({"max_connections": 0}, ValueError, "at least 1"),
        ({"max_connections_per_ip": 1.5}, TypeError, "1.5"),
        ({"max_openings": 0}, ValueError, "at least 1"),
        ({"max_buffered": 0}, ValueError, "at least 1"),
        ({"trusted_proxies": 5}, TypeError, "5"),
        ({"trusted_proxies": ["proxy.example"]}, ValueError, "'proxy.example'"),
        ({"trusted_proxies": ["10.0.0.1/8"]}, ValueError, "networks"),
        ({"proxy_headers": "x-real-ip"}, ValueError, "'x-forwarded', 'forwarded'"),
        ({"origins": [5]}, TypeError, "[5]"),
        ({"origins": "example.com"}, ValueError, "'example.com'"),
        ({"origins": ["https://example.com/"]}, ValueError, "'https://example.com/'"),
        ({"origins": ["https://*.example.com"]}, ValueError, "*.example.com"),
        ({"allowed_hosts": 5}, TypeError, "5"),
        ({"allowed_hosts": []}, ValueError, "None accepts any"),
        ({"allowed_hosts": ["https://example.com"]}, ValueError, "'https://example.com'"),
        ({"broker": 5}, TypeError, "a str or a Broker, not 5"),
        ({"broker": "kafka://user:secret@localhost"}, ValueError, "'redis://...'"),
        ({"broker": "redis"}, ValueError, "'nats://...'"),
        ({"broker": "redis"}, ValueError, "'unix://...'"),
        ({"namespace": 5}, TypeError, "5"),
        ({"namespace": "a.b"}, ValueError, "'a.b'"),
        ({"namespace": "a" * 65}, ValueError, "1 to 64 letters"),
        ({"authorize": "f"}, TypeError, "'f'"),
        ({"authorize": lambda: None}, TypeError, "the TopicRequest"),
        ({"max_topics_per_connection": 0}, ValueError, "at least 1"),
        ({"process_request": "f"}, TypeError, "'f'"),
        ({"process_request": lambda: None}, TypeError, "the request"),
        ({"process_request": wsmash.basic_auth}, TypeError, "call it"),
        ({"process_request": wsmash.bearer_auth}, TypeError, "call it"),
        ({"static": 5}, TypeError, "a folder"),
        ({"sock": 5}, TypeError, "a socket"),
        ({"sock": [5]}, TypeError, "a socket"),
        ({"sock": []}, ValueError, "a socket at least"),
        ({"reuse_port": "yes"}, TypeError, "True or False"),
        ({"backlog": 0}, ValueError, "at least 1"),
        ({"ssl": contexts().client}, ValueError, "PROTOCOL_TLS_CLIENT"),
    ],
)
def test_wrong_for_a_server(options: dict[str, Any], error: type[Exception], text: str) -> None:
    """Each wrong value is refused where the server is made, by an error that names what was wrong."""
    with pytest.raises(error) as caught:
        server(**options)
    name = next(iter(options))
    assert (name in str(caught.value) or name == "path") and text in str(caught.value)


def policy(delay: Any) -> Any:
    """A reconnect policy that is asked for its delay by this."""
    found: Any = type("Policy", (), {})()
    found.delay = delay
    return found


async def later(outage: wsmash.Outage) -> float:
    """What nobody would await."""
    return 1.0


@pytest.mark.case(25)
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"headers": 5}, TypeError, "headers"),
        ({"headers": None}, TypeError, "headers"),
        ({"headers": {"a": 5}}, TypeError, "a"),
        ({"headers": {"a b": "x"}}, ValueError, "'a b'"),
        ({"headers": {"X-A": "x\r\nB: y"}}, ValueError, "X-A"),
        ({"headers": {"Upgrade": "h2c"}}, ValueError, "Upgrade"),
        ({"headers": {"Sec-WebSocket-Key": "x"}}, ValueError, "Sec-WebSocket-Key"),
        ({"cookies": "a=b"}, TypeError, "cookies"),
        ({"cookies": {"a": "b;c"}}, ValueError, "cookie a"),
        ({"cookies": {"a": 5}}, TypeError, "cookie"),
        ({"cookies": {"a": None}}, TypeError, "cookie"),
        ({"auth": 5}, TypeError, "bearer"),
        ({"auth": ("user",)}, TypeError, "(user, password), two strings, not (str)"),
        ({"auth": ("user", None)}, TypeError, "not (str, NoneType)"),
        ({"headers": {"X-Key": 1}}, TypeError, "the header 'X-Key' must be a str, not int"),
        ({"open_timeout": float("inf")}, ValueError, "a finite number above 0, and is inf; None is no limit"),
        ({"proxy_ssl": contexts().client, "proxy": None}, ValueError, "proxy=None is none"),
        ({"auth": ("us:er", "x")}, ValueError, "colon"),
        ({"auth": "to\nken"}, ValueError, "bearer token"),
        ({"ssl": contexts().client}, ValueError, "wss://"),
        ({"proxy": False}, TypeError, "None"),
        ({"proxy": 5}, TypeError, "proxy"),
        ({"proxy": "proxy.example"}, ValueError, "http://, https://, socks4://"),
        ({"proxy": "http://proxy.example", "unix": "/run/x"}, ValueError, "/run/x"),
        ({"proxy_ssl": True}, TypeError, "proxy_ssl"),
        ({"proxy_ssl": contexts().server}, ValueError, "PROTOCOL_TLS_SERVER"),
        ({"proxy_ssl": contexts().client, "proxy": "http://proxy.example"}, ValueError, "https:// proxies"),
        ({"max_redirects": -1}, ValueError, "at least 0"),
        ({"max_redirects": None}, TypeError, "max_redirects"),
        ({"max_redirects": True}, TypeError, "max_redirects"),
        ({"reconnect": None}, TypeError, "a policy with a method delay(outage), not None"),
        ({"reconnect": 5}, TypeError, "reconnect must be True, False or a policy"),
        ({"reconnect": type("P", (), {"delay": print, "healthy_after": None})()}, TypeError, "healthy_after"),
        ({"reconnect": wsmash.Reconnect}, TypeError, "an instance, Reconnect(...), not the class"),
        ({"reconnect": policy(lambda: None)}, TypeError, "takes one argument, the outage"),
        ({"reconnect": policy(later)}, TypeError, "must be a plain method, and later is async"),
        ({"offline_queue": wsmash.OfflineQueue}, TypeError, "an instance, OfflineQueue(...), not the class"),
        ({"offline_queue": "10"}, TypeError, "an int, an OfflineQueue or None, not '10'"),
        ({"offline_queue": 0}, ValueError, "offline_queue must be at least 1"),
        ({"offline_queue": True}, TypeError, "offline_queue must be an int"),
        ({"offline_queue": 1.5}, TypeError, "offline_queue"),
    ],
)
def test_wrong_for_a_client(options: dict[str, Any], error: type[Exception], text: str) -> None:
    """What cannot be sent is refused where the client is made (hostile case 25)."""
    with pytest.raises(error) as caught:
        client(**options)
    assert text in str(caught.value)


def test_a_server_s_context_is_none_for_a_client() -> None:
    """A TLS context of the other side is told apart before anybody connects."""
    with pytest.raises(ValueError, match="PROTOCOL_TLS_SERVER"):
        wsmash.create_client("wss://localhost", ssl=contexts().server)


def test_two_places_to_listen() -> None:
    """A Unix socket and an inherited one exclude each other."""
    with socket.socket() as sock, pytest.raises(ValueError, match="unix and sock"):
        server(unix="/tmp/x", sock=sock)


@pytest.mark.parametrize(
    "options",
    [
        {"level": 0},
        {"level": 10},
        {"threshold": -1},
        {"server_max_window_bits": 8},
        {"client_max_window_bits": 16},
        {"server_no_context_takeover": 1},
        {"client_no_context_takeover": "yes"},
    ],
)
def test_wrong_deflate(options: dict[str, Any]) -> None:
    """The parameters of compression are checked where they are given."""
    with pytest.raises((ValueError, TypeError)) as caught:
        wsmash.Deflate(**options)
    name, value = next(iter(options.items()))
    assert name in str(caught.value) and repr(value) in str(caught.value)


@pytest.mark.parametrize(
    "bounds", [{"max_messages": 0}, {"max_messages": None}, {"max_bytes": 0}, {"max_age": 0}, {"max_age": "1"}]
)
def test_wrong_bounds_of_an_offline_queue(bounds: dict[str, Any]) -> None:
    """Bytes and age may be without bound, the number of messages may not."""
    wsmash.OfflineQueue(max_bytes=None, max_age=None)
    with pytest.raises((ValueError, TypeError), match=next(iter(bounds))):
        wsmash.OfflineQueue(**bounds)


def test_what_a_client_makes_of_reconnect_and_offline_queue() -> None:
    """True and a number stand for the policy and the queue with their defaults."""
    policy, bounds = wsmash.Reconnect(max_attempts=3), wsmash.OfflineQueue(max_age=1)
    assert client().reconnect_policy is None and client().offline_bounds is None
    assert client(reconnect=True).reconnect_policy == wsmash.Reconnect()
    assert client(reconnect=policy).reconnect_policy is policy
    assert client(offline_queue=7).offline_bounds == wsmash.OfflineQueue(max_messages=7)
    assert client(offline_queue=bounds).offline_bounds is bounds
    assert (wsmash.OfflineQueue().max_messages, wsmash.OfflineQueue().max_bytes) == (1000, MIB)
    assert wsmash.OfflineQueue().max_age == 300


def test_right_values() -> None:
    """What is allowed is taken: strings for sequences, and every form that the documentation shows."""
    found = server(
        port=0, host=["127.0.0.1", "::1"], protocols="chat", origins="*", allowed_hosts="example.com:8080",
        health_path=None, message_rate=0.5, compression=wsmash.Deflate(level=1), max_connections=1,
    )  # fmt: skip
    assert (found.protocols, found.origins, found.allowed_hosts) == (("chat",), ("*",), ("example.com:8080",))
    assert server(origins=["null", "https://a.example", "app://x"]).origins == ("null", "https://a.example", "app://x")
    assert client(auth="token", cookies={"a": "b"}, headers=[("X-A", "1"), ("X-A", "2")]).auth == "token"


def test_options_are_frozen() -> None:
    """Options cannot be changed after they were checked."""
    for options in (client(), server()):
        with pytest.raises(AttributeError):
            options.max_queue = 5  # type: ignore[misc]


@pytest.mark.case(106)
def test_repr_hides_secrets() -> None:
    """No credential, cookie, header, query or TLS context is in a `repr` (hostile case 106)."""
    found = wsmash.create_client(
        "wss://user:hunter2@example.com/feed?token=hunter3",
        headers={"X-Key": "hunter4"},
        cookies={"session": "hunter5"},
        auth=("admin", "hunter6"),
        ssl=ssl.create_default_context(),
    )
    for text in (repr(found), repr(found.options), str(found.options)):
        assert "hunter" not in text and "SSLContext" not in text
    assert "example.com/feed" in repr(found.options)
    shown = repr(server(ssl=contexts().server, port=1234))
    assert "SSLContext" not in shown and "port=1234" in shown
    assert "***" not in repr(client())
    shared = repr(server(broker="redis://user:hunter2@localhost/0?password=hunter3"))
    assert "hunter" not in shared and "broker='redis://***@localhost/0?***'" in shared


@pytest.mark.case(106)
def test_no_secret_in_pickles() -> None:
    """Options, clients and servers are not pickled, and the error of a refused handshake without its cookies."""
    made = wsmash.create_client("ws://user:hunter2@example.com/", auth=None)
    for each in (made, made.options, wsmash.create_server(port=0), server()):
        with pytest.raises(TypeError, match="cannot be pickled"):
            pickle.dumps(each)
    headers = Headers([("Set-Cookie", "hunter3"), ("Via", "a")])
    error = wsmash.HandshakeError("no", status=401, headers=headers, body=b"b")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.status, again.body) == ("no", 401, b"b")
    assert again.headers == {"Set-Cookie": "***", "Via": "a"}


@pytest.mark.case(106)
def test_no_secret_in_errors() -> None:
    """An error about a credential does not quote it."""
    for wrong in ({"auth": b"hunter2"}, {"auth": ("hunter2",)}, {"auth": "hunter2\n"}, {"cookies": "s=hunter2"}):
        with pytest.raises((ValueError, TypeError)) as caught:
            client(**wrong)
        assert "hunter2" not in str(caught.value)


def test_a_server_takes_the_url_of_every_broker_that_there_is() -> None:
    """Those of a Redis behind a Unix socket too, and without showing its password."""
    assert set(BROKERS) == set(SCHEMES)
    found = server(broker="unix://:hunter2@/run/redis/redis.sock?db=1")
    assert found.broker == "unix://:hunter2@/run/redis/redis.sock?db=1"
    assert "hunter" not in repr(found)
