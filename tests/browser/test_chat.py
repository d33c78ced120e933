"""The chat page of examples/chat in a real browser: two tabs that talk to each other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from programs import ENVIRONMENT, ROOT

pytestmark = pytest.mark.browser

class Chat:
    """The demo in a process of its own."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, str(ROOT / "examples" / "chat"), "--port", str(port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
        assert self._process.stdout is not None
        assert self._process.stdout.readline().startswith("round trip ok")
        self.url = self._process.stdout.readline().strip().removeprefix("Chat on ")
        self.port = int(self.url.rsplit(":", 1)[1].strip("/"))

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=30)


@pytest.fixture
def chat() -> Iterator[Chat]:
    """The demo, on a free port."""
    started = Chat()
    yield started
    started.stop()


def join(context: BrowserContext, chat: Chat, name: str) -> Page:
    """A tab that has joined under this name."""
    page = context.new_page()
    page.goto(chat.url)
    page.fill("#name", name)
    page.click("#name-form button")
    expect(page.locator("#status")).to_have_text("connected")
    return page


def say(page: Page, text: str) -> None:
    """Type a line and press Enter."""
    page.fill("#text", text)
    page.press("#text", "Enter")


def test_two_tabs_talk(context: BrowserContext, chat: Chat) -> None:
    """Each sees who joins, what the other says and who leaves; one's own lines are marked."""
    ada, bob = join(context, chat, "Ada"), join(context, chat, "Bob")
    expect(ada.locator(".notice").last).to_have_text("Bob joined")
    expect(ada.locator("#people li")).to_have_text(["Ada", "Bob"])
    say(ada, "hello, Bob")
    expect(bob.locator(".said p")).to_have_text(["hello, Bob"])
    expect(bob.locator(".said b")).to_have_text(["Ada"])
    say(bob, "hello, Ada \N{WAVING HAND SIGN}")
    expect(ada.locator(".said p")).to_have_text(["hello, Bob", "hello, Ada \N{WAVING HAND SIGN}"])
    expect(ada.locator(".said.mine p")).to_have_text(["hello, Bob"])
    bob.close()
    expect(ada.locator(".notice").last).to_have_text("Bob left")
    expect(ada.locator("#count")).to_have_text("1")


def test_markup_is_text(context: BrowserContext, chat: Chat) -> None:
    """Tags in a line or a name are shown, never obeyed."""
    markup = '<b>bold</b><img src=x onerror="document.title = 1">'
    ada, bob = join(context, chat, "<i>Ada</i>"), join(context, chat, "Bob")
    say(ada, markup)
    expect(bob.locator(".said p")).to_have_text([markup])
    expect(bob.locator(".said b")).to_have_text(["<i>Ada</i>"])
    expect(bob.locator(".said p *")).to_have_count(0)
    assert bob.title() == "wsmash chat"


def test_history(context: BrowserContext, chat: Chat) -> None:
    """Who comes later sees what was said before."""
    ada = join(context, chat, "Ada")
    say(ada, "first")
    expect(ada.locator(".said p")).to_have_text(["first"])
    bob = join(context, chat, "Bob")
    expect(bob.locator(".said p")).to_have_text(["first"])


def test_page_reconnects(context: BrowserContext, chat: Chat) -> None:
    """When the server goes the page says so, and finds it again when it is back."""
    ada = join(context, chat, "Ada")
    chat.stop()
    expect(ada.locator("#status")).to_have_text("reconnecting")
    expect(ada.locator("#say-form button")).to_be_disabled()
    again = Chat(chat.port)
    try:
        expect(ada.locator("#status")).to_have_text("connected", timeout=30_000)
        say(ada, "back")
        expect(ada.locator(".said p")).to_have_text(["back"])
    finally:
        again.stop()


def test_narrow_screen(context: BrowserContext, chat: Chat) -> None:
    """On a phone nothing is wider than the screen, however long the words."""
    ada = join(context, chat, "Ada")
    ada.set_viewport_size({"width": 360, "height": 640})
    say(ada, "x" * 300)
    expect(ada.locator(".said p")).to_have_text(["x" * 300])
    assert ada.evaluate("document.documentElement.scrollWidth") == 360
    expect(ada.locator("#text")).to_be_in_viewport()
