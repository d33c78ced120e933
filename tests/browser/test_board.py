"""The page of examples/board in a real browser: two tabs that see the same board."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from programs import ENVIRONMENT, ROOT

pytestmark = pytest.mark.browser


class Board:
    """The example in a process of its own."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, str(ROOT / "examples" / "board"), "--port", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("round trip ok")
        self.url = self._process.stdout.readline().strip().removeprefix("Board on ")
        self.port = int(self.url.rsplit(":", 1)[1].strip("/"))

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


@pytest.fixture
def board() -> Iterator[Board]:
    """The example, on a free port."""
    started = Board()
    yield started
    started.stop()


def look(context: BrowserContext, board: Board) -> Page:
    """A tab that is connected."""
    page = context.new_page()
    page.goto(board.url)
    expect(page.locator("#status")).to_have_text("connected")
    return page


def pin(page: Page, text: str) -> None:
    """Type a note and press Enter."""
    page.fill("#text", text)
    page.press("#text", "Enter")


def shown(*texts: str) -> list[str]:
    """What is read of notes with these texts, and of the button on each."""
    return [f"\N{MULTIPLICATION SIGN}{text}" for text in texts]


def test_two_tabs_see_the_same(context: BrowserContext, board: Board) -> None:
    """A note is on both, also on one that looks later; taken off one it is off both; markup is text."""
    ada, bob = look(context, board), look(context, board)
    pin(ada, "milk")
    pin(ada, "<b>bread</b><img src=x onerror='document.title = 1'>")
    expect(bob.locator("#notes li")).to_have_text(shown("milk", "<b>bread</b><img src=x onerror='document.title = 1'>"))
    bob.locator("#notes button").first.click()
    for page in (ada, bob, look(context, board)):
        expect(page.locator("#notes li")).to_have_count(1)
        assert page.title() == "wsmash board"


def test_what_is_refused(context: BrowserContext, board: Board) -> None:
    """What the server says of a note that it does not take is shown."""
    page = look(context, board)
    page.eval_on_selector("#text", "(input) => input.removeAttribute('maxlength')")
    pin(page, "x" * 281)
    expect(page.locator("#error")).to_have_text("a note has 1 to 280 characters")
    pin(page, "short")
    expect(page.locator("#notes li")).to_have_count(1)
    expect(page.locator("#error")).to_have_text("")


def test_a_board_that_begins_anew(context: BrowserContext, board: Board) -> None:
    """When the server is back with another board, the page shows that one, and what happens on it."""
    page = look(context, board)
    pin(page, "old")
    expect(page.locator("#notes li")).to_have_text(shown("old"))
    board.stop()
    expect(page.locator("#status")).to_have_text("reconnecting")
    again = Board(board.port)
    try:
        expect(page.locator("#status")).to_have_text("connected", timeout=30_000)
        expect(page.locator("#notes li")).to_have_count(0)
        pin(page, "new")
        expect(page.locator("#notes li")).to_have_text(shown("new"))
    finally:
        again.stop()
