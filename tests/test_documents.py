"""Every Python block of README.md and docs/ does what it says, or at least compiles where it is marked no-run."""

from __future__ import annotations

import ast
import asyncio
import re
from pathlib import Path

import pytest

import wsmash
from documents import ROOT, Block, documents, python_blocks
from programs import Ended, echo_server, free_port, program

RUNNER = Path(__file__).parent / "block_runner.py"
ADDRESS = re.compile(r"wss?://(?:echo\.websocket\.org|(?:\w+\.)?example\.(?:com|org)|localhost:8080)[^\"'\s]*")
BLOCKS = list(python_blocks(documents()))


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.is_run], ids=str)
def test_block_runs(block: Block) -> None:
    """The block ends with status 0, talking to a local server in place of the addresses it names."""
    ended = asyncio.run(execute(block.source, str(block)))
    assert ended.status == 0, ended.err


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_compiles(block: Block) -> None:
    """The block is Python."""
    compile(block.source, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


SECRETS = re.compile(r"authorization|cookie|password|secret|token|digest|let-me-in", re.IGNORECASE)


def compared(code: str) -> list[str]:
    """The comparisons of a secret in here whose time tells how much of a guess is right."""
    tree = compile(code, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    kinds = (ast.Eq, ast.NotEq, ast.In, ast.NotIn)
    return [
        text
        for node in found
        if any(isinstance(each, kinds) for each in node.ops) and SECRETS.search(text := ast.unparse(node))
    ]


@pytest.mark.case(100)
@pytest.mark.parametrize("path", [*documents(), *sorted((ROOT / "examples").rglob("*.py"))], ids=lambda path: path.name)
def test_no_secret_is_compared_by_hand(path: Path) -> None:
    """What readers copy compares credentials in constant time, as `hmac.compare_digest` does."""
    codes = [path.read_text("utf-8")] if path.suffix == ".py" else [each.code for each in python_blocks([path])]
    assert [text for code in codes for text in compared(code)] == []


@pytest.mark.case(100)
def test_finding_what_is_compared() -> None:
    """A comparison is found however it is written; one in constant time is none."""
    assert compared('if request.headers.get("Authorization") != "Bearer x":\n    pass')
    assert compared("assert password in known")
    assert not compared("hmac.compare_digest(token, known)")
    assert not compared("token is None")


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ('import wsmash\nc = wsmash.create_client("ws://localhost:8080/x")\nwsmash.run(c)', 0),
        ('import wsmash\nwsmash.run(wsmash.create_server(port=8080, path="/ws"))', 0),
        ('await client.send("x")\nassert await client.recv() == "x"', 0),
        ("server.on('connection', print)", 0),
        ("assert await client.recv() == 1", 1),
        ("raise ValueError", 1),
    ],
)
def test_executing(code: str, status: int) -> None:
    """A block may be a client, a server or a piece of a program, and one that fails is seen to fail."""
    assert asyncio.run(execute(code, "block")).status == status


def test_finding(tmp_path: Path) -> None:
    """A block is found with its line, and only one without the mark is run."""
    document = tmp_path / "a.md"
    document.write_text("# A\n```python\n1\n```\n```\n2\n```\n```python no-run\n3\n```\n```sh\n4\n```\n")
    first, second = python_blocks([document])
    assert (first.line, first.code, first.is_run) == (2, "1\n", True)
    assert (second.line, second.code, second.is_run) == (8, "3\n", False)
    assert first.source == "\n\n1\n"


def test_unknown_mark(tmp_path: Path) -> None:
    """A misspelt mark is an error, not a block that silently runs."""
    document = tmp_path / "a.md"
    document.write_text("```python norun\n1\n```\n")
    with pytest.raises(ValueError, match="norun"):
        list(python_blocks([document]))


LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("path", [*documents(), *ROOT.glob("*.md")], ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Each link to a file of the project names one that is there."""
    links = LINK.findall(path.read_text("utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


async def execute(source: str, name: str) -> Ended:
    """Run a block's code; a server that it starts is visited once and then interrupted."""
    port = free_port()
    is_server = "create_server" in source and "port=8080" in source
    source = source.replace("port=8080", f"port={port}")
    async with echo_server() as url:
        if not is_server:
            source = ADDRESS.sub(url, source)
        async with program(RUNNER, name, url) as started:
            if not is_server:
                return await started.ended(source)
            ending = asyncio.create_task(started.ended(source))
            await visit(port, ending)
            if not ending.done():
                started.interrupt()
            return await ending


async def visit(port: int, ending: asyncio.Task[Ended]) -> None:
    """Knock until the server answers: with a WebSocket, or with a refusal of this path, or by having ended."""
    while not ending.done():
        try:
            async with wsmash.connect(f"ws://localhost:{port}/ws"):
                return
        except wsmash.HandshakeError:
            return
        except wsmash.ConnectError:
            await asyncio.wait([ending], timeout=0.05)
