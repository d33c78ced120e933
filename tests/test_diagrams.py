"""The state diagrams are those of the tables, in ARCHITECTURE.md too."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from wsmash.sansio.states import LIFE

ROOT = Path(__file__).parent.parent
TOOL = ROOT / "tools" / "diagrams.py"
ARCHITECTURE = ROOT / "ARCHITECTURE.md"


@pytest.fixture(scope="module")
def diagrams() -> ModuleType:
    """The tool as a module."""
    spec = spec_from_file_location("diagrams", TOOL)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_architecture_shows_the_tables(diagrams: ModuleType) -> None:
    """Every diagram of ARCHITECTURE.md is what the tables say today."""
    text = ARCHITECTURE.read_text(encoding="utf-8") if ARCHITECTURE.exists() else ""
    assert diagrams.fill(text) == text, "run python tools/diagrams.py"


def test_every_row_is_an_arrow(diagrams: ModuleType) -> None:
    """A diagram has one arrow for each row, one in, and one out of each state that nothing leaves."""
    lines = diagrams.draw(diagrams.DIAGRAMS["LIFE"]).splitlines()
    arrows = [line.strip() for line in lines if "-->" in line]
    assert len(arrows) == len(LIFE) + 2
    assert arrows[0] == "[*] --> CONNECTING"
    assert "OPEN --> CLOSE_SENT: SEND_CLOSE" in arrows
    assert arrows[-1] == "LOST --> [*]"
    assert (lines[0], lines[1], lines[-1]) == ("```mermaid", "stateDiagram-v2", "```")


def test_a_table_without_an_end(diagrams: ModuleType) -> None:
    """A server may start again: no state is the last, and no arrow leads out."""
    assert "--> [*]" not in diagrams.draw(diagrams.DIAGRAMS["SERVER_LIFE"])


def test_what_is_around_the_markers_stays(diagrams: ModuleType) -> None:
    """Text outside the markers, and the markers, are left as they are; what is inside is replaced; twice is once."""
    life, assembly = "<!-- diagram: LIFE -->\nold\n<!-- end -->", "<!-- diagram: ASSEMBLY -->\n<!-- end -->"
    text = f"# Title\n\n{life}\nbetween\n{assembly}\nafter\n"
    filled = diagrams.fill(text)
    assert filled.startswith("# Title\n\n<!-- diagram: LIFE -->\n```mermaid\n")
    assert "```\n<!-- end -->\nbetween\n<!-- diagram: ASSEMBLY -->\n```mermaid\n" in filled
    assert filled.endswith("```\n<!-- end -->\nafter\n")
    assert "old" not in filled
    assert diagrams.fill(filled) == filled


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- diagram: NOTHING -->\n<!-- end -->\n", "LIFE, SERVER_LIFE, ASSEMBLY"),
        ("<!-- diagram: LIFE -->\nno end\n", "no end"),
        ("<!-- diagram: LIFE -->\n<!-- diagram: ASSEMBLY -->\n<!-- end -->\n", "LIFE has no end"),
    ],
)
def test_wrong_markers(diagrams: ModuleType, text: str, said: str) -> None:
    """A marker without a table or an end is an error that says so."""
    with pytest.raises(ValueError, match=said):
        diagrams.fill(text)


def test_the_command(tmp_path: Path) -> None:
    """--check fails, and writes nothing, where a diagram differs; without it the document is mended."""
    document = tmp_path / "page.md"
    document.write_text("<!-- diagram: LIFE -->\n<!-- end -->\n", encoding="utf-8")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(TOOL), *arguments, str(document)]
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT / "src")}
        )

    checked = run("--check")
    assert checked.returncode == 1
    assert "page.md" in checked.stderr
    assert "mermaid" not in document.read_text(encoding="utf-8")
    assert run().returncode == 0
    assert "mermaid" in document.read_text(encoding="utf-8")
    assert run("--check").returncode == 0
