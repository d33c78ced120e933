"""Static files: what is served, how, and above all what is not."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsmash import static
from wsmash.runtime.opening import Download
from wsmash.sansio.head import Request, Response
from wsmash.static import StaticFiles

SECRET = b"this must never be served"


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A folder to serve, with secrets beside it and hidden in it."""
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "public2").mkdir()
    (tmp_path / "public2" / "secret.txt").write_bytes(SECRET)
    public = tmp_path / "public"
    for folder in (public, public / "sub", public / "empty", public / ".git"):
        folder.mkdir()
    (public / "index.html").write_bytes(b"<p>root")
    (public / "sub" / "index.html").write_bytes(b"<p>sub")
    (public / "sub" / "a b.txt").write_bytes("grüß".encode())
    (public / ".env").write_bytes(SECRET)
    (public / ".git" / "config").write_bytes(SECRET)
    return public


@pytest.fixture
def files(public: Path) -> StaticFiles:
    return StaticFiles(public)


def request(target: str, method: str = "GET", **headers: str) -> Request:
    lines = [f"{method} {target} HTTP/1.1", "Host: x"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return Request("\r\n".join([*lines, "", ""]).encode())


def respond(files: StaticFiles, target: str, method: str = "GET", **headers: str) -> Response:
    response = files.respond(request(target, method, **headers))
    assert response is not None
    if isinstance(response, Download):
        with response.file as file:
            return Response(200, file.read(response.size), response.response.headers.pairs)
    return response


class TestServed:
    @pytest.mark.parametrize(
        ("target", "body"),
        [
            ("/", b"<p>root"),
            ("/?query", b"<p>root"),
            ("/index.html", b"<p>root"),
            ("/sub/", b"<p>sub"),
            ("/sub/a%20b.txt", "grüß".encode()),
            ("/%73ub/index.html?x=/../y", b"<p>sub"),
        ],
    )
    def test_body(self, files: StaticFiles, target: str, body: bytes) -> None:
        """A file is served whole; a folder is served by its index.html."""
        response = respond(files, target)
        assert response.status == 200
        assert response.body == body

    def test_headers(self, files: StaticFiles) -> None:
        """Nothing is sniffed, and nothing is used without asking again."""
        headers = respond(files, "/").headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-cache"
        assert headers["Content-Type"] == "text/html; charset=utf-8"

    def test_head_has_the_same_answer(self, files: StaticFiles) -> None:
        """HEAD is answered as GET is; the encoder leaves the body out."""
        assert respond(files, "/", "HEAD") == respond(files, "/")

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("a.html", "text/html; charset=utf-8"),
            ("a.HTML", "text/html; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.txt", "text/plain; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.svg", "image/svg+xml"),
            ("a.png", "image/png"),
            ("a.tar.gz", "application/octet-stream"),
            ("a.unheard-of", "application/octet-stream"),
            ("data:,x.html", "text/html; charset=utf-8"),
            ("noend", "application/octet-stream"),
        ],
    )
    @pytest.mark.skipif(os.name == "nt", reason="one of the names is none on Windows")
    def test_content_type(self, public: Path, files: StaticFiles, name: str, kind: str) -> None:
        """The type follows from the suffix, the same on every system."""
        (public / name).write_bytes(b"")
        assert respond(files, f"/{name}").headers["Content-Type"] == kind

    def test_folder_without_slash_is_redirected(self, files: StaticFiles) -> None:
        """A folder's path without a slash leads to the one with it, relative to where it was asked for."""
        response = respond(files, "/sub?x")
        assert response.status == 307
        assert response.headers["Location"] == "./sub/"

    def test_prefixes(self, public: Path) -> None:
        """The longest prefix of whole segments decides, and its folder alone."""
        files = StaticFiles({"/": public, "/docs/": public / "sub"})
        assert respond(files, "/").body == b"<p>root"
        assert respond(files, "/docs/").body == b"<p>sub"
        assert respond(files, "/docs/a%20b.txt").status == 200
        assert respond(files, "/docs").headers["Location"] == "./docs/"
        assert files.respond(request("/docs/sub/index.html")) is None
        assert files.respond(request("/docsx")) is None

    def test_prefix_is_no_start_of_a_name(self, public: Path) -> None:
        """`/docs` is not for `/docsx`, `/docs../` or anything else that begins with these letters."""
        files = StaticFiles({"/docs": public})
        for target in ("/docsindex.html", "/docsx/index.html", "/docs../secret.txt", "/", "/index.html", "/DOCS/"):
            assert files.respond(request(target)) is None

    def test_change_is_seen_at_once(self, public: Path, files: StaticFiles) -> None:
        """Nothing is kept between requests."""
        before = respond(files, "/")
        (public / "index.html").write_bytes(b"<p>changed")
        after = respond(files, "/")
        assert after.body == b"<p>changed"
        assert after.headers["ETag"] != before.headers["ETag"]

    def test_link_inside_the_folder(self, public: Path, files: StaticFiles) -> None:
        """A link to a file of the same folder is served."""
        (public / "link.html").symlink_to(public / "sub" / "index.html")
        assert respond(files, "/link.html").body == b"<p>sub"

    def test_folder_that_is_a_link(self, public: Path, tmp_path: Path) -> None:
        """The folder itself may be reached by a link."""
        (tmp_path / "current").symlink_to(public)
        assert respond(StaticFiles(tmp_path / "current"), "/").body == b"<p>root"

    def test_many_threads(self, files: StaticFiles) -> None:
        """One object answers from several threads at once."""
        with ThreadPoolExecutor(8) as pool:
            responses = list(pool.map(lambda _: respond(files, "/sub/").body, range(200)))
        assert set(responses) == {b"<p>sub"}


class TestNotModified:
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"x", {}', '"x" ,W/{} ', "*"])
    def test_known_tag(self, files: StaticFiles, form: str) -> None:
        """RFC 9110 13.1.2: a tag that the client has, weak or not, is answered with 304 and no body."""
        tag = respond(files, "/").headers["ETag"]
        response = respond(files, "/", If_None_Match=form.format(tag))
        assert (response.status, response.body) == (304, b"")
        assert response.headers["ETag"] == tag

    @pytest.mark.parametrize("known", ['"x"', "", "x", '"', "W/", ",,,", "* , *"])
    def test_other_tag(self, files: StaticFiles, known: str) -> None:
        """Another tag, or none at all, gets the file."""
        assert respond(files, "/", If_None_Match=known).status == 200


class TestNotServed:
    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
    def test_other_methods(self, files: StaticFiles, method: str) -> None:
        """Files are for GET and HEAD."""
        assert files.respond(Request(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())) is None

    @pytest.mark.parametrize(
        "target",
        [
            "/missing",
            "/sub/missing/",
            "/index.html/",
            "/index.html/x",
            "/empty",
            "/empty/",
            "//",
            "//index.html",
            "/sub//index.html",
            "/" + "x" * 5000,
            "/%FF",
        ],
    )
    def test_nothing_there(self, files: StaticFiles, target: str) -> None:
        """Where no file is, the answer is left to others."""
        assert files.respond(request(target)) is None

    @pytest.mark.parametrize(
        "target",
        [
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/%2E%2E%2Fsecret.txt",
            "/sub/../../secret.txt",
            "/sub/../index.html",
            "/./index.html",
            "/..",
            "/../",
            "/..%2f..%2f..%2f..%2fetc%2fpasswd",
            "/..%5csecret.txt",
            "/..%5c..%5csecret.txt",
            "/sub%5cindex.html",
            "/../public2/secret.txt",
            "/%2e%2e%2fpublic2/secret.txt",
            "//etc/passwd",
            "/%2fetc/passwd",
            "/%2fetc%2fpasswd",
            "/C:/Windows/win.ini",
            "/C:%5cWindows%5cwin.ini",
            "/index.html%00",
            "/index.html%00.txt",
            "/%00",
            "/index.html%0a",
            "/.env",
            "/%2eenv",
            "/.git/config",
            "/.git/",
            "/sub/.../x",
            "/%c0%ae%c0%ae/secret.txt",
            "/%252e%252e/secret.txt",
            "/~root",
        ],
    )
    def test_way_out(self, files: StaticFiles, target: str) -> None:
        """No path leaves the folder or reaches what is hidden in it, however it is written."""
        assert files.respond(request(target)) is None

    def test_links_out_of_the_folder(self, public: Path, tmp_path: Path, files: StaticFiles) -> None:
        """A link is followed only where it ends inside the folder, and not at what is hidden."""
        (public / "out.txt").symlink_to(tmp_path / "secret.txt")
        (public / "up").symlink_to(tmp_path)
        (public / "beside").symlink_to("../public2")
        (public / "env.txt").symlink_to(public / ".env")
        (public / "circle").symlink_to("circle")
        (public / "dangling").symlink_to("nothing")
        (public / "empty" / "index.html").symlink_to(tmp_path / "secret.txt")
        for target in (
            "/out.txt",
            "/up/secret.txt",
            "/up/",
            "/up",
            "/beside/secret.txt",
            "/env.txt",
            "/circle",
            "/dangling",
            "/empty/",
            "/empty",
        ):
            assert files.respond(request(target)) is None, target

    def test_link_put_there_after_the_look(
        self, public: Path, tmp_path: Path, files: StaticFiles, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that becomes a link between the check and the opening is not followed."""
        target = public / "late.txt"
        target.write_bytes(b"harmless")
        opened = static._open

        def swap(path: str, flags: int) -> int:
            target.unlink()
            target.symlink_to(tmp_path / "secret.txt")
            return opened(path, flags)

        monkeypatch.setattr(static, "_open", swap)
        assert files.respond(request("/late.txt")) is None

    @pytest.fixture
    def special(self, public: Path) -> Iterator[list[str]]:
        os.mkfifo(public / "pipe")
        (public / "null").symlink_to("/dev/null")
        with socket.socket(socket.AF_UNIX) as listener:
            here = Path.cwd()
            os.chdir(public)  # a socket's path is short
            listener.bind("socket")
            os.chdir(here)
            yield ["/pipe", "/null", "/socket"]

    @pytest.mark.skipif(os.name == "nt", reason="Windows has no such files")
    def test_what_is_no_file(self, files: StaticFiles, special: list[str]) -> None:
        """Pipes, devices and sockets are not served, and not waited for."""
        for target in special:
            assert files.respond(request(target)) is None, target

    @pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read every file")
    def test_file_that_may_not_be_read(self, public: Path, files: StaticFiles) -> None:
        """A file without permission is as good as not there."""
        (public / "index.html").chmod(0)
        assert files.respond(request("/")) is None

    def test_too_large(self, public: Path, files: StaticFiles, caplog: pytest.LogCaptureFixture) -> None:
        """A file above the limit is not served; the log says so once, and then for the next such file."""
        for name, size in (("at", 0), ("above", 1), ("more", 2)):
            with (public / name).open("wb") as file:
                file.truncate(static.MAX_FILE_SIZE + size)
        with caplog.at_level(logging.WARNING, "wsmash"):
            assert len(respond(files, "/at").body) == static.MAX_FILE_SIZE
            assert not caplog.records
            for target in ("/above", "/above", "/more"):
                assert files.respond(request(target)) is None
        assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
        assert "above' is not served: it has 16777217 bytes, and 16777216 are the most" in caplog.text

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=500)
    @given(
        st.lists(
            st.sampled_from(
                [
                    "/",
                    "%2f",
                    "..",
                    "%2e",
                    ".",
                    "\\",
                    "%5c",
                    "%00",
                    "sub",
                    "secret.txt",
                    "public2",
                    ".env",
                    ".git",
                    "config",
                ]
            )
        )
    )
    def test_any_path(self, files: StaticFiles, parts: list[str]) -> None:
        """Whatever path is made of the pieces of an attack, no secret comes out and nothing is raised."""
        response = files.respond(request("/" + "".join(parts)))
        assert response is None or (isinstance(response, Response) and SECRET not in response.body)


class TestConstruction:
    def test_folder_that_does_not_exist(self, public: Path) -> None:
        """A missing folder, or a file in its place, is a ValueError that names it."""
        with pytest.raises(ValueError, match="nowhere"):
            StaticFiles(public / "nowhere")
        with pytest.raises(ValueError, match=r"index\.html"):
            StaticFiles({"/": public / "index.html"})

    @pytest.mark.parametrize("prefix", ["", "docs", "docs/", "\\docs"])
    def test_bad_prefix(self, public: Path, prefix: str) -> None:
        """A prefix that does not start with a slash is a ValueError."""
        with pytest.raises(ValueError, match="must start with '/'"):
            StaticFiles({prefix: public})

    def test_prefix_twice(self, public: Path) -> None:
        """With and without a slash at the end it is the same prefix."""
        with pytest.raises(ValueError, match="twice"):
            StaticFiles({"/docs": public, "/docs/": public})

    def test_relative_folder(self, public: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A relative folder is meant where the server was made, wherever the process goes then."""
        monkeypatch.chdir(public.parent)
        files = StaticFiles("public")
        monkeypatch.chdir("/")
        assert respond(files, "/").body == b"<p>root"
