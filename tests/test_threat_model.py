"""Every case of docs/threat-model.md has a test that shows it, and the page and the tests' marks say the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import threat_model
from tools.threat_model import WrongMark, cases, faults, marks, page

TEXT = threat_model.DOCUMENT.read_text(encoding="utf-8")
MARKS = marks(threat_model.TESTS)

SCOPE = sorted({*range(1, 86), *range(98, 129)})
"""The cases that are about features which there are."""

ROWS = "| case | input |\n|---|---|\n| 1 | rain | an umbrella | - |\n| 2 | snow, `a` | a coat | `old.py::test_x` |\n"


def test_the_page_has_every_case() -> None:
    """All numbers stand there once, in their order; a case cannot be dropped to silence what follows."""
    assert cases(TEXT) == SCOPE


@pytest.mark.parametrize("number", SCOPE)
def test_every_case_has_a_test(number: int) -> None:
    """Some test is marked with the case."""
    assert [test for test, numbers in MARKS.items() if number in numbers], f"no test shows case {number}"


def test_the_page_says_what_the_marks_say() -> None:
    """Each test that the page names for a case is there and has its mark, and it names all that have."""
    assert faults(TEXT, MARKS) == []
    stale = [
        line for line, told in zip(TEXT.splitlines(), page(TEXT, MARKS).splitlines(), strict=True) if line != told
    ]
    assert not stale, "run python tools/threat_model.py"


def test_the_tests_that_are_named_exist() -> None:
    """Read without the tool: the file is there, and defines what the page names."""
    named = {each.strip("`") for row in TEXT.splitlines() if row[:3] != "|--" for each in row.split("<br>")}
    tests = {each.rsplit("| `", 1)[-1].removesuffix(" |").strip("`") for each in named if "::test_" in each}
    assert len(tests) > 200
    for test in tests:
        path, *names = test.split("::")
        source = (threat_model.TESTS / path).read_text(encoding="utf-8")
        assert all(f"def {name}(" in source or f"class {name}:" in source for name in names), test


def test_finding_marks(tmp_path: Path) -> None:
    """Marks of functions, plain and async, of classes, of modules and of single parameters count for their tests."""
    (tmp_path / "test_a.py").write_text(
        "@pytest.mark.case(1, 2)\n@pytest.mark.slow\ndef test_one(): ...\n"
        "@pytest.mark.parametrize('x', [1, pytest.param(2, marks=pytest.mark.case(3))])\n"
        "async def test_two(): ...\n"
        "def test_none(): ...\n"
        "@pytest.mark.case(4)\nclass TestIt:\n    @pytest.mark.case(5)\n    def test_three(self): ...\n"
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "test_b.py").write_text("pytestmark = [pytest.mark.case(6)]\ndef test_four(): ...\n")
    assert marks(tmp_path) == {
        "deep/test_b.py::test_four": {6},
        "test_a.py::test_one": {1, 2},
        "test_a.py::test_two": {3},
        "test_a.py::TestIt::test_three": {4, 5},
    }


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("@pytest.mark.case(1)\ndef helper(): ...\n", "belongs to no test"),
        ("shown = pytest.mark.case(1)\n", "belongs to no test"),
        ("@pytest.mark.case()\ndef test_x(): ...\n", "names no case"),
        ("@pytest.mark.case('1')\ndef test_x(): ...\n", "is a number"),
        ("@pytest.mark.case(ONE)\ndef test_x(): ...\n", "is a number"),
    ],
)
def test_wrong_marks(tmp_path: Path, source: str, what: str) -> None:
    """A mark that would be lost in silence is an error that says where it stands."""
    (tmp_path / "test_a.py").write_text(source)
    with pytest.raises(WrongMark, match=rf"test_a\.py:\d+: .*{what}"):
        marks(tmp_path)


def test_the_column_is_written() -> None:
    """Only the last column changes; a case without a test says so; written twice it stays."""
    written = page(ROWS, {"a.py::test_x": {2}, "b.py::test_y": {2, 3}})
    assert written == (
        "| case | input |\n|---|---|\n| 1 | rain | an umbrella | **nothing** |\n"
        "| 2 | snow, `a` | a coat | `a.py::test_x`<br>`b.py::test_y` |\n"
    )
    assert page(written, {"a.py::test_x": {2}, "b.py::test_y": {2, 3}}) == written


def test_faults_are_found() -> None:
    """A case without a test, a mark without a case and a case that stands there twice are told apart."""
    assert faults(ROWS, {"a.py::test_x": {1, 7}}) == [
        "case 2 has no test",
        "a.py::test_x is marked with case 7, which the page does not have",
    ]
    assert faults(ROWS + ROWS, {"a.py::test_x": {1, 2}}) == ["case 1 stands there twice", "case 2 stands there twice"]


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """--check fails, and writes nothing, where the page differs or a case has no test; else the page is written."""
    document = tmp_path / "page.md"
    document.write_text(ROWS)
    (tmp_path / "test_a.py").write_text("@pytest.mark.case(1, 2)\ndef test_x(): ...\n")
    monkeypatch.setattr(threat_model, "DOCUMENT", document)
    monkeypatch.setattr(threat_model, "TESTS", tmp_path)
    monkeypatch.setattr("sys.argv", ["threat_model.py", "--check"])
    assert threat_model.main() == 1
    assert "run python" in capsys.readouterr().out
    assert document.read_text() == ROWS
    monkeypatch.setattr("sys.argv", ["threat_model.py"])
    assert threat_model.main() == 0
    monkeypatch.setattr("sys.argv", ["threat_model.py", "--check"])
    assert threat_model.main() == 0
    document.write_text(document.read_text() + "| 3 | hail | a roof | **nothing** |\n")
    assert threat_model.main() == 1
