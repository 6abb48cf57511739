"""The page in a real Chromium."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

QUERY = "a pink moon expands over the grass"
NONSENSE = "the parliament debates a law about the price of bread"


@pytest.fixture(scope="module")
def address(searcher, serving) -> Iterator[str]:
    with serving(searcher) as address:
        yield address


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Any]:
    """`open_page(address, **options)`: a page, whose scripts must not fail."""
    contexts, failures = [], []

    def make(address: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        page.on("pageerror", lambda error: failures.append(str(error)))
        page.goto(address)
        return page

    yield make
    for context in contexts:
        context.close()
    assert failures == []


def until(page: Page, expression: str, seconds: float = 20) -> None:
    """Wait for a script's expression; the page's own policy forbids what playwright does for that."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(50)


def ids(page: Page) -> list[str]:
    return page.locator(".tile .id").all_text_contents()


def test_typing_a_query_shows_the_right_clip_first_and_plays_it_at_its_moment(
    address: str, open_page, searcher
) -> None:
    page = open_page(address)
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type(QUERY)
    page.keyboard.press("Enter")
    best = searcher.search(QUERY, top=1)[0]
    expect(page.locator(".tile .id").first).to_have_text(best.id)
    until(page, "document.querySelector('.tile img').naturalWidth > 0")
    page.locator(".tile").first.click()
    until(page, "document.querySelector('video').readyState >= 2")
    assert "api/video" in page.evaluate("document.querySelector('video').src")
    until(page, "!document.querySelector('video').paused || document.querySelector('video').ended")
    bars = page.locator("#timeline button")
    assert bars.count() == int(searcher.gallery.count[searcher.row_of(best.id)])
    expect(page.locator("#timeline button.best")).to_have_count(1)
    bars.nth(4).click()
    until(page, "Math.abs(document.querySelector('video').currentTime - 1.0) < 0.5")


def test_the_video_starts_at_a_moment_that_is_not_its_beginning(address: str, open_page, searcher) -> None:
    text = next(
        text
        for text in searcher.store.caption_texts
        if (searcher.search(text, top=1)[0].moment_s or 0) >= 1.5
        and searcher.search(text, top=1)[0].score > searcher.cutoff.at()
    )
    moment = searcher.search(text, top=1)[0].moment_s
    page = open_page(address)
    page.add_init_script("HTMLMediaElement.prototype.play = async function () {}")  # so that the time stands still
    page.goto(f"{address}/?q={text}")
    page.locator(".tile").first.click()
    until(page, "document.querySelector('video').readyState >= 2 && !document.querySelector('video').seeking")
    assert page.evaluate("document.querySelector('video').currentTime") == pytest.approx(moment, abs=0.01)


def test_a_slider_re_ranks_at_once_and_the_address_tells(address: str, open_page, searcher) -> None:
    page = open_page(f"{address}/?q={QUERY}&cutoff=none")
    expect(page.locator("#stream-fusion")).to_be_visible()
    before = ids(page)
    page.locator("#stream-fusion").fill("0")
    page.locator("#stream-entity").fill("0")
    expect(page.locator("#stream-action + output")).to_have_text("100%")
    expected = [hit.id for hit in searcher.search(QUERY, top=24, weights={"action": 1})]
    assert expected != before
    expect(page.locator(".tile .id")).to_have_text(expected, timeout=20_000)
    shared = open_page(page.url)
    expect(shared.locator(".tile")).to_have_count(24)
    assert ids(shared) == expected


def test_the_words_that_a_stream_leaves_out_are_grey(address: str, open_page) -> None:
    page = open_page(f"{address}/?q={QUERY}&cutoff=none")
    left_out = page.locator(".words[data-stream=entity] .left-out")
    expect(left_out.first).to_be_visible()
    assert left_out.all_text_contents() == ["a", "pink", "expands", "over", "the"]


def test_nonsense_has_no_hits_until_the_cut_off_is_lowered(address: str, open_page) -> None:
    page = open_page(f"{address}/?q={NONSENSE}")
    told = re.compile(
        r"None of 64 videos reaches the cut-off of \d+\.\d; the best has -?\d+\.\d\. You can lower it under “Adjust”"
    )
    expect(page.locator("#status")).to_have_text(re.compile(told))
    expect(page.locator(".tile")).to_have_count(0)
    page.get_by_text("Show those below the cut-off").click()
    expect(page.locator(".tile.weak")).to_have_count(24)
    page.get_by_text("Show more").click()
    expect(page.locator(".tile")).to_have_count(48)


def test_filter_and_subtraction(address: str, open_page, searcher) -> None:
    page = open_page(f"{address}/?q={QUERY}&cutoff=none")
    page.locator("#only").fill("clip000")
    expect(page.locator(".tile")).to_have_count(10)
    page.locator("#only").fill("elsewhere")
    expect(page.locator("#status")).to_have_text("No id contains “elsewhere”.")
    page.locator("#only").fill("")
    expect(page.locator(".tile")).to_have_count(24)
    expected = [hit.id for hit in searcher.search(QUERY, top=24, without="moon")]
    assert expected != ids(page)
    page.locator("#not").fill("moon")
    expect(page.locator(".tile .id")).to_have_text(expected, timeout=20_000)


def test_the_keyboard_is_enough(address: str, open_page) -> None:
    page = open_page(f"{address}/?q={QUERY}&cutoff=none")
    expect(page.locator(".tile")).to_have_count(24)
    page.locator(".tile").nth(3).focus()
    page.keyboard.press("/")
    page.keyboard.type("a red star")
    page.keyboard.press("Enter")
    until(page, "document.title === 'a red star'")
    page.get_by_text("Show those below the cut-off").click()
    expect(page.locator(".tile")).to_have_count(24)
    page.locator("#q").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    second = ids(page)[1]
    page.keyboard.press("Enter")
    expect(page.locator("#player-id")).to_have_text(second)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#player-id")).to_have_text(ids(page)[2])
    page.keyboard.press("Escape")
    expect(page.locator("#player")).to_be_hidden()
    until(page, "document.activeElement.dataset.place === '2'")


def test_back_goes_to_the_search_before(address: str, open_page) -> None:
    page = open_page(f"{address}/?q={QUERY}&cutoff=none")
    expect(page.locator(".tile")).to_have_count(24)
    first = ids(page)[0]
    page.locator(".tile").first.click()
    page.locator("#player-like").click()
    expect(page.locator("#like-id")).to_have_text(first)
    page.go_back()
    until(page, "!location.search.includes('like=')")
    page.go_back()
    expect(page.locator("#q")).to_have_value(QUERY)


def test_more_like_this(address: str, open_page) -> None:
    page = open_page(f"{address}/?like=clip0005")
    expect(page.locator(".tile").first).to_be_visible()
    assert "clip0005" not in ids(page)
    page.locator("#like-clear").click()
    expect(page.locator("#status")).to_have_text("64 videos to search")


def test_a_hostile_caption_and_name_do_nothing(zoo, serving, open_page) -> None:
    with serving(zoo.searcher) as address:
        page = open_page(
            f"{address}/?q=<script>window.hacked=1</script><img src=x onerror=window.hacked=1>&cutoff=none"
        )
        expect(page.locator(".tile")).to_have_count(7)
        hostile = page.locator(".tile", has_text="onerror")
        hostile.click()
        expect(page.locator("#captions li")).to_have_count(3)
        assert any("<script>" in text for text in page.locator("#captions li").all_text_contents())
        until(page, "document.querySelector('video').readyState >= 2")
        assert page.evaluate("window.hacked") is None
        assert page.locator("main script, dialog script, .tile img[onerror]").count() == 0


@pytest.mark.parametrize(
    ("video_id", "words"), [("dead", "is not in"), ("link", "leads out of"), ("changed", "has changed since")]
)
def test_a_file_that_is_gone_is_told_kindly(zoo, serving, open_page, video_id: str, words: str) -> None:
    with serving(zoo.searcher) as address:
        page = open_page(f"{address}/?q=a red star&cutoff=none")
        tile = page.locator(".tile", has_text=video_id).filter(has=page.locator(f".id:text-is('{video_id}')"))
        expect(tile.locator(".frame")).to_contain_text("file missing or changed")
        tile.click()
        expect(page.locator("#video-note")).to_contain_text(words)
        expect(page.locator("#video")).to_be_hidden()
        expect(page.locator("#timeline button").first).to_be_visible()  # the store still knows its scores


@pytest.mark.parametrize("video_id", ["sub/moon", "cross", "odd"])
def test_what_browsers_do_not_play_is_converted(zoo, serving, open_page, video_id: str) -> None:
    with serving(zoo.searcher) as address:
        page = open_page(f"{address}/?q=a pink moon&cutoff=none&open={video_id}")
        until(page, "document.querySelector('video').videoWidth > 0", seconds=40)
        assert "api/preview" in page.evaluate("document.querySelector('video').src")
        expect(page.locator("#video-note")).to_contain_text("converted while it plays")


def test_a_stopped_server_is_told_and_its_return_noticed(searcher, serving, open_page) -> None:
    with serving(searcher) as address:
        page = open_page(f"{address}/?q={QUERY}")
        expect(page.locator(".tile").first).to_be_visible()
    page.locator("#q").fill("a red star")
    page.keyboard.press("Enter")
    expect(page.locator("#alert")).to_contain_text("The server does not answer")
    port = int(address.rpartition(":")[2])
    with serving(searcher, port=port):
        expect(page.locator("#alert")).to_be_hidden()
        until(page, "document.querySelector('#status').textContent.includes('of 64 videos')")


def test_an_empty_store_is_told(serving, open_page) -> None:
    with serving(None, empty="shards.h5 holds no videos to search; extract some") as address:
        page = open_page(address)
        expect(page.locator("#alert")).to_have_text(
            "There is nothing to search yet: shards.h5 holds no videos to search; extract some"
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(320, 640), (390, 844), (1200, 900)])
def test_nothing_sticks_out_on_any_screen(address: str, open_page, width: int, height: int, scheme: str) -> None:
    page = open_page(
        f"{address}/?q={QUERY}&cutoff=none", viewport={"width": width, "height": height}, color_scheme=scheme
    )
    expect(page.locator("#controls")).to_be_visible()
    fits = "document.documentElement.scrollWidth <= window.innerWidth"
    assert page.evaluate(fits)
    page.locator(".tile").first.click()
    until(page, "document.querySelector('video').readyState >= 2")
    assert page.evaluate(fits)
    box = page.locator("#player").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width
    assert contrast(page, "#player-id") > 7
    assert contrast(page, "#captions-title") > 4.5


def contrast(page: Page, selector: str) -> float:
    """WCAG's, of an element's text on the dialog."""
    colours = page.evaluate(
        "selector => [getComputedStyle(document.querySelector(selector)).color,"
        " getComputedStyle(document.querySelector('dialog')).backgroundColor]",
        selector,
    )
    lights = []
    for colour in colours:
        parts = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        lights.append(0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)
    return max(lights) / min(lights)


def test_the_api_page_lists_the_endpoints(address: str, open_page) -> None:
    page = open_page(f"{address}/api")
    expect(page.get_by_role("heading", name="/api/search")).to_be_visible()


def test_nothing_is_fetched_from_elsewhere(address: str, browser: Browser) -> None:
    context = browser.new_context()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.goto(f"{address}/?q={QUERY}")
    page.wait_for_load_state("networkidle")
    context.close()
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:"))] == []


def test_another_page_cannot_read_it(address: str, browser: Browser) -> None:
    """A page of another origin: neither its script nor its pictures get anything."""
    page = browser.new_page()
    page.goto("data:text/html,<title>elsewhere</title>")
    got = page.evaluate(
        "async address => { try { return await (await fetch(address + '/api/about')).text() } catch { return null } }",
        address,
    )
    assert got is None
    picture = page.evaluate(
        "address => new Promise(done => { const i = new Image(); i.onload = () => done(true);"
        " i.onerror = () => done(false); i.src = address + '/api/still?id=clip0000' })",
        address,
    )
    assert picture is False
    page.close()
    assert httpx.get(f"{address}/api/about").status_code == 200
    assert socket.gethostbyname("localhost").startswith("127.")
