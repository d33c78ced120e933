"""Certificates in files: loaded again while the server runs, and never lost for files that are wrong."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import sys
from pathlib import Path

import pytest

import wsmash
from fixtures.certificates import authority, contexts
from fixtures.in_loop import in_loop, until
from fixtures.raw import serving
from test_run import start
from wsmash.errors import InvalidState
from wsmash.server import WebSocketServer


def write(folder: Path, *names: str, password: str | None = None) -> tuple[str, str]:
    """Put a new certificate for these names into the folder's two files."""
    issued = authority().issue_cert(*names)
    key = issued.private_key_pem.bytes()
    if password is not None:
        from cryptography.hazmat.primitives.serialization import (
            BestAvailableEncryption,
            Encoding,
            PrivateFormat,
            load_pem_private_key,
        )

        loaded = load_pem_private_key(key, None)
        key = loaded.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(password.encode())
        )
    certfile, keyfile = folder / "chain.pem", folder / "key.pem"
    certfile.write_bytes(b"".join(each.bytes() for each in issued.cert_chain_pems))
    keyfile.write_bytes(key)
    return str(certfile), str(keyfile)


async def serial(port: int) -> bytes:
    """The certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=contexts().client, server_hostname="localhost")
    found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    assert isinstance(found, bytes)
    return found


async def talk(server: WebSocketServer, client: wsmash.WebSocketClient) -> None:
    """A message and its echo."""
    server.get_clients()[0].send("still there")
    assert await client.recv() == "still there"


@in_loop
async def test_loaded_again_when_told(tmp_path: Path) -> None:
    """New connections get the new certificate, those that are open go on."""
    async with serving(ssl=wsmash.Certificate(*write(tmp_path, "localhost"))) as server:
        url = f"wss://localhost:{server.port}/"
        async with wsmash.connect(url, ssl=contexts().client) as client:
            before = await serial(server.port)
            write(tmp_path, "localhost")
            assert await serial(server.port) == before
            server.reload_certificates()
            assert await serial(server.port) != before
            await talk(server, client)


@in_loop
async def test_loaded_again_when_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were replaced are seen after a while; the server stops without waiting for the next look."""
    monkeypatch.setattr("wsmash.certificates.LOOK_INTERVAL", 0.01)
    certificate = wsmash.Certificate(*write(tmp_path, "localhost"))
    before = certificate.context
    async with serving(ssl=certificate) as server:
        first = await serial(server.port)
        write(tmp_path, "localhost")
        await until(lambda: certificate.context is not before)
        assert await serial(server.port) != first


@in_loop
async def test_wrong_files_keep_the_one_in_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A key that does not belong to the certificate, or is gone, is logged once, and raised to who asks for it."""
    monkeypatch.setattr("wsmash.certificates.LOOK_INTERVAL", 0.01)
    certificate = wsmash.Certificate(*write(tmp_path, "localhost"))
    async with serving(ssl=certificate) as server:
        before = await serial(server.port)
        key = authority().issue_cert("localhost").private_key_pem.bytes()
        (tmp_path / "key.pem").write_bytes(key)
        await until(lambda: caplog.records)
        await asyncio.sleep(0.05)
        with pytest.raises(ssl.SSLError, match=r"key\.pem"):
            server.reload_certificates()
        (tmp_path / "key.pem").unlink()
        with pytest.raises(OSError, match=r"key\.pem"):
            server.reload_certificates()
        await until(lambda: len(caplog.records) > 1)
        await asyncio.sleep(0.05)
        assert await serial(server.port) == before
    assert [each.levelname for each in caplog.records] == ["ERROR", "ERROR"]
    assert all("the certificate in use stays" in each.getMessage() for each in caplog.records)
    assert "key.pem': No such file" in caplog.records[1].getMessage()


def test_files_that_change_are_left_alone_until_they_settle(tmp_path: Path) -> None:
    """Of two files that are replaced one after the other, no half is loaded."""
    certificate = wsmash.Certificate(*write(tmp_path, "localhost"))
    assert not certificate.look()
    write(tmp_path, "localhost", "127.0.0.1")
    assert not certificate.look()
    write(tmp_path, "localhost", "::1", "127.0.0.1")
    assert not certificate.look()
    assert certificate.look()
    assert not certificate.look()
    (tmp_path / "chain.pem").unlink()
    assert not certificate.look()
    with pytest.raises(FileNotFoundError, match=r"chain\.pem': No such file"):
        certificate.look()
    assert not certificate.look() and not certificate.look()
    write(tmp_path, "localhost")
    assert not certificate.look() and certificate.look()


def test_what_cannot_be_loaded_at_first(tmp_path: Path) -> None:
    """It is an error where the certificate is made, which names the files."""
    certfile, keyfile = write(tmp_path, "localhost")
    with pytest.raises(FileNotFoundError, match=r"none\.pem': No such file"):
        wsmash.Certificate(certfile, tmp_path / "none.pem")
    with pytest.raises(ssl.SSLError, match=r"chain\.pem"):
        wsmash.Certificate(keyfile, certfile)


@pytest.mark.parametrize("content", [b"", b"not PEM", bytes(range(256))])
def test_a_file_that_is_not_pem(tmp_path: Path, content: bytes) -> None:
    """The error names it, and what it lacks."""
    certfile, keyfile = write(tmp_path, "localhost")
    other = tmp_path / "other.pem"
    other.write_bytes(content)
    with pytest.raises(ssl.SSLError, match=r"other\.pem' holds no certificate as PEM"):
        wsmash.Certificate(other, keyfile)
    with pytest.raises(ssl.SSLError, match=r"other\.pem' holds no private key as PEM"):
        wsmash.Certificate(certfile, other)
    with pytest.raises(ssl.SSLError, match=r"chain\.pem' holds no private key as PEM"):
        wsmash.Certificate(certfile)


def test_an_encrypted_key(tmp_path: Path) -> None:
    """Its password is taken, and never asked for at the terminal."""
    files = write(tmp_path, "localhost", password="secret")
    certificate = wsmash.Certificate(*files, password="secret")
    assert "secret" not in repr(certificate)
    for password in (None, "wrong"):
        with pytest.raises(ssl.SSLError):
            wsmash.Certificate(*files, password=password)


@in_loop
async def test_a_context_of_the_user_s(tmp_path: Path) -> None:
    """`load_cert_chain` on a context in use is for new connections too; there is no Certificate to load again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write(tmp_path, "localhost"))
    async with (
        serving(ssl=context) as server,
        wsmash.connect(f"wss://localhost:{server.port}/", ssl=contexts().client) as client,
    ):
        before = await serial(server.port)
        context.load_cert_chain(*write(tmp_path, "localhost"))
        assert await serial(server.port) != before
        await talk(server, client)
        with pytest.raises(InvalidState, match="Certificate"):
            server.reload_certificates()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGHUP")
def test_sighup(tmp_path: Path) -> None:
    """Under `wsmash.run` it loads the files again, and a broken one does no harm."""
    files = write(tmp_path, "localhost")
    program = f"""
        import asyncio, logging
        logging.basicConfig(level="INFO")
        class Telling(wsmash.WebSocketServer):
            async def tell(self):
                while not self.is_started():
                    await asyncio.sleep(0.01)
                print(self.port, flush=True)
            def start(self):
                self.telling = asyncio.get_running_loop().create_task(self.tell())
                return super().start()
            def reload_certificates(self):
                try:
                    super().reload_certificates()
                finally:
                    print("loaded", flush=True)
        wsmash.run(Telling(host="127.0.0.1", port=0, ssl=wsmash.Certificate(*{files!r})))
    """
    with start(program) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        before = asyncio.run(serial(port))
        write(tmp_path, "localhost")
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "loaded\n"
        after = asyncio.run(serial(port))
        assert after != before
        Path(files[1]).write_bytes(b"broken")
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "loaded\n"
        assert asyncio.run(serial(port)) == after
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert "the certificate in use stays" in errors and "Traceback" not in errors
        assert errors.count("was loaded again") == 1
