"""The page in a real browser: from disk, without a network, whatever its captions hold, on any screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any) -> Iterator[Open]:
    """`opened(path, width=…, dark=…)`: the page; `page.trouble` is what it complained of or asked the network for."""
    contexts = []

    def open_page(path: Path, *, width: int = 1280, dark: bool = False, scripts: bool = True) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        contexts.append(context)
        page = context.new_page()
        page.trouble = []
        page.on("console", lambda message: page.trouble.append(message.text))
        page.on("pageerror", lambda error: page.trouble.append(str(error)))
        page.on("dialog", lambda dialog: page.trouble.append(dialog.message))
        page.on("requestfailed", lambda request: page.trouble.append(request.url))
        page.on("request", lambda request: _note_network(page, request.url))
        page.goto(path.resolve().as_uri())
        page.wait_for_load_state("networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()


def _note_network(page: Any, url: str) -> None:
    if not url.startswith(("file:", "data:")):
        page.trouble.append(url)


@pytest.mark.parametrize("dark", [False, True])
def test_opens_from_disk_with_all_its_pictures_and_no_trouble(opened: Open, one: Any, dark: bool) -> None:
    page = opened(one.page, dark=dark)
    assert page.trouble == []
    assert page.locator("h1").inner_text() == "<b>bold"
    images = page.eval_on_selector_all("main img", "all => all.map(one => [one.naturalWidth, one.complete])")
    assert len(images) > 50
    assert all(width == 160 and done for width, done in images)
    assert page.locator("svg").count() >= 5


def test_hostile_captions_do_nothing(opened: Open, one: Any, hostile: tuple[str, ...]) -> None:
    page = opened(one.page)
    assert page.title() == "<b>bold: CAMoE report"
    assert page.locator("script").count() == 1
    assert page.locator("main script, main [onerror], main [onload], h1 b").count() == 0
    shown = page.locator("main").inner_text()
    for caption in hostile:
        assert " ".join(caption.split()) in " ".join(shown.split())


def test_no_other_script_would_run(opened: Open, one: Any, tmp_path: Path) -> None:
    """Were a script to slip in all the same, the page's own policy stops it."""
    text = one.text.replace(
        "</h1>", "</h1><script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"
    )
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    page = opened(tmp_path / "index.html")
    assert page.title() == "<b>bold: CAMoE report"
    assert any("Content Security Policy" in line for line in page.trouble)


def test_a_table_sorts_both_ways(opened: Open, one: Any) -> None:
    page = opened(one.page)
    table = page.locator("#headline-1")

    def column() -> list[str]:
        return table.locator("tbody tr").evaluate_all(
            "rows => rows.map(row => row.cells[1].dataset.value === undefined ? '' : row.cells[1].dataset.value)"
        )

    values = [float(value) for value in column()]
    assert values != sorted(values, reverse=True)
    head = table.locator("thead button").nth(1)
    head.click()
    assert [float(value) for value in column()] == sorted(values, reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1
    head.focus()
    page.keyboard.press("Enter")
    assert [float(value) for value in column()] == sorted(values)
    table.locator("thead button").first.click()
    labels = table.locator("tbody th").all_inner_texts()
    assert labels == sorted(labels, key=str.casefold)
    assert page.trouble == []


@pytest.mark.parametrize("width", [320, 390, 820])
def test_a_narrow_screen_does_not_scroll_sideways(opened: Open, one: Any, two: Any, width: int) -> None:
    for made in (one, two):
        page = opened(made.page, width=width)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_link_opens_the_run_it_leads_to(opened: Open, two: Any) -> None:
    page = opened(two.page)
    second = page.locator("#run-2")
    assert second.get_attribute("open") is None
    page.locator("nav a", has_text="shuffled").click()
    page.wait_for_function("document.getElementById('run-2').open")


def test_reads_without_scripts_and_prints_whole(opened: Open, one: Any, two: Any) -> None:
    page = opened(one.page, scripts=False)
    assert page.locator("#headline-1 tbody tr").count() == 5
    printed = opened(two.page)
    printed.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert printed.locator("details:not([open])").count() == 0
    assert printed.pdf()[:5] == b"%PDF-"


def test_dark_and_light_differ_and_both_can_be_read(opened: Open, one: Any) -> None:
    """Contrast of the body's text, as WCAG reckons it."""

    def luminance(colour: str) -> float:
        channels = [int(part) / 255 for part in colour[colour.index("(") + 1 : -1].split(",")[:3]]
        linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
        return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    papers = []
    for dark in (False, True):
        page = opened(one.page, dark=dark)
        paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        papers.append(paper)
        for selector, least in (("body", 7.0), (".note", 4.5), ("td small", 4.5), (".readings s", 3.0)):
            ink = luminance(page.eval_on_selector(selector, "one => getComputedStyle(one).color"))
            contrast = (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)
            assert contrast >= least, (selector, dark, contrast)
    assert papers[0] > 0.8
    assert papers[1] < 0.05
    page.emulate_media(media="print", color_scheme="dark")
    ink, paper = (page.evaluate(f"getComputedStyle(document.body).{name}") for name in ("color", "backgroundColor"))
    assert luminance(ink) < 0.05 < 0.9 < luminance(paper), "printed from a dark screen"


def test_a_sorted_column_stays_where_it_is(opened: Open, one: Any) -> None:
    head = opened(one.page).locator("#headline-1 thead button").nth(1)
    before = head.bounding_box()
    head.click()
    assert head.bounding_box() == before


def test_plots_beside_each_other_are_level_whatever_their_legends(opened: Open, one: Any) -> None:
    page = opened(one.page)
    boxes = [page.locator(".plots svg").nth(number).bounding_box() for number in range(4)]
    assert [boxes[0]["y"], boxes[2]["y"]] == [boxes[1]["y"], boxes[3]["y"]]


def test_tables_beside_each_other_begin_at_one_height(opened: Open, one: Any) -> None:
    page = opened(one.page)
    left, right = (page.locator(f"#headline-{number}").bounding_box() for number in (1, 2))
    assert left["y"] == right["y"]
    assert left["x"] + left["width"] < right["x"]
