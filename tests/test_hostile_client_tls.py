"""The client against servers whose TLS is not in order. Numbers in brackets are those of the list of hostile inputs."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest
import trustme

import wsmash
from fixtures.certificates import authority, contexts, server_context
from fixtures.failures import fails, listened_to
from fixtures.frames import close
from fixtures.in_loop import in_loop
from fixtures.raw import serving
from fixtures.scripted_server import scripted, switching


@pytest.mark.case(79)
@pytest.mark.parametrize("what", ["unknown issuer", "other name", "other address"])
@in_loop
async def test_wrong_certificate(what: str) -> None:
    """A certificate that is not in order is a ConnectError that says so, and no request is sent (79)."""
    requests: list[bytes] = []

    async def script(request: bytes, *_: object) -> None:
        requests.append(request)

    names = {"unknown issuer": "127.0.0.1", "other name": "other.example", "other address": "127.0.0.2"}
    context = None if what == "unknown issuer" else contexts().client
    async with scripted(script, server_context(names[what])) as port:
        error = await fails(port, wsmash.ConnectError, "wss://127.0.0.1", ssl=context)
    assert requests == [] and "certificate" in str(error).lower()
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError) and error.permanent
    assert "TLS failed with 127.0.0.1: certificate verify failed: " in str(error) and "_ssl" not in str(error)
    assert ("cafile" if context is None else "a name that the certificate has") in str(error)


@in_loop
async def test_tls_to_a_plain_port() -> None:
    """A wss client at a plain port ends in an error of the package's, whatever the port says."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    error = await fails(port, wsmash.ConnectError, "wss://127.0.0.1", ssl=contexts().client)
    assert "TLS" in str(error)
    server.close()


@in_loop
async def test_plain_to_a_tls_port() -> None:
    """A ws client at a TLS port ends in an error of the package's."""
    async with scripted(lambda *_: asyncio.sleep(0), contexts().server) as port:
        client = wsmash.create_client(f"ws://127.0.0.1:{port}")
        heard = listened_to(client)
        with pytest.raises((wsmash.ConnectError, wsmash.HandshakeError)):
            await client.connect()
        assert [name for name, _ in heard] == ["error", "close"]


@pytest.mark.case(80)
@in_loop
async def test_stalled_tls_handshake() -> None:
    """A TLS handshake that never ends is inside `open_timeout` (80)."""
    done = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    await fails(port, wsmash.OpenTimeout, "wss://127.0.0.1", ssl=contexts().client, open_timeout=0.1)
    done.set()
    server.close()


@pytest.mark.case(79)
@in_loop
async def test_unverified_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Not verifying is the user's explicit choice, and logged once for each connect (79)."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with answering_tls() as port, wsmash.connect(f"wss://127.0.0.1:{port}", ssl=context) as client:
        assert client.is_open()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "not verified" in caplog.text


def answering_tls() -> Any:
    """A server over TLS that says yes and echoes the close."""

    async def script(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(switching(request))
        await reader.read(100)
        writer.write(close(1000))

    return scripted(script, contexts().server)


def asking() -> ssl.SSLContext:
    """A server's context that wants a certificate of the client's."""
    context = server_context("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(context)
    return context


@in_loop
async def test_client_certificate() -> None:
    """The certificate in the client's context is shown to a server that asks for one, which sees whose it is."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    authority().issue_cert("me.example").configure_cert(context)
    names: list[Any] = []

    async def script(request: bytes, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        names.append(writer.get_extra_info("peercert")["subjectAltName"])
        writer.write(switching(request) + close(1000))

    async with scripted(script, asking()) as port:
        client = wsmash.create_client(f"wss://127.0.0.1:{port}", ssl=context)
        await client.connect()
        await client.wait_closed()
    assert names == [(("DNS", "me.example"),)]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["none", "of another issuer"])
@in_loop
async def test_client_certificate_is_wrong(shown: str, version: ssl.TLSVersion) -> None:
    """A server that does not take the client's certificate, or misses it, is a ConnectError in TLS' own words."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    context.maximum_version = version
    if shown != "none":
        trustme.CA().issue_cert("me.example").configure_cert(context)
    async with serving(ssl=asking()) as server:
        error = await fails(server.port, wsmash.ConnectError, "wss://127.0.0.1", ssl=context)
    assert isinstance(error.__cause__, ssl.SSLError) and "TLS failed with 127.0.0.1: " in str(error)
    assert "alert" in str(error) and "load_cert_chain" in str(error)
    unclear = shown == "none" and version is ssl.TLSVersion.TLSv1_2  # a "handshake failure" may be anything
    assert error.permanent is not unclear
    assert wsmash.Reconnect().is_fatal(wsmash.Outage(attempt=1, error=error)) is not unclear


@in_loop
async def test_client_certificate_is_missing_without_a_word() -> None:
    """A server that wants one, and just ends without it, is a ConnectError too."""
    async with scripted(lambda *_: asyncio.sleep(0), asking()) as port:
        error = await fails(port, wsmash.ConnectError, "wss://127.0.0.1", ssl=contexts().client)
    assert isinstance(error.__cause__, (ssl.SSLError, OSError)) or "closed" in str(error)
