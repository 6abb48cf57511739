"""A sweep's folder as a page: its own words, tables and plots, and the link between them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from camoe.evaluate.report.config import ReportConfig
from camoe.evaluate.report.run import report
from camoe.evaluate.report.sweeps import LINK, inline, read_sweep
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.run import sweep
from camoe.pipeline.errors import CamoeError

OVERVIEW = f"""# Sweep mine

2 cells, <b>seeds</b> 1.

{LINK}

## Losses: the choice

- Best raw: **dsl**, 40.0.
  Ahead of ce.

## Losses

|  | T2V R@1 | V2T MdR |
|:--|--:|--:|
| ce | 39.5 ± 1.2 | 2.0 |
| a \\| b | **40.1 ± 0.3**† | – |

Notes; all of them.

![losses-bars](plots/losses-bars.png)

![x](plots/../../secret.png)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plots").mkdir()
    (tmp_path / "sweep.json").write_text("{}")
    (tmp_path / "overview.md").write_text(OVERVIEW)
    (tmp_path / "plots" / "losses-bars.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    return tmp_path


def test_parts(folder: Path) -> None:
    first, choice, losses = read_sweep(folder)
    assert (first.title, first.text) == ("Sweep mine", ["2 cells, &lt;b&gt;seeds&lt;/b&gt; 1."])
    assert choice.text == ["Best raw: <strong>dsl</strong>, 40.0. Ahead of ce."]
    assert losses.table is not None
    assert losses.table.columns == ["T2V R@1", "V2T MdR"]
    rows = [(row.label, [(cell.text, cell.value, cell.best) for cell in row.cells]) for row in losses.table.rows]
    assert rows == [
        ("ce", [("39.5 ± 1.2", 39.5, False), ("2.0", 2.0, False)]),
        ("a | b", [("40.1 ± 0.3†", 40.1, True), ("–", None, False)]),
    ]
    assert (losses.text, losses.notes) == ([], ["Notes; all of them."])
    assert [name for name, _ in losses.images] == ["losses-bars"]


def test_inline_escapes_all_but_its_own_marks() -> None:
    assert inline("- **a** `b<` <script>") == "<strong>a</strong> <code>b&lt;</code> &lt;script&gt;"


def test_page_lies_in_the_folder(folder: Path) -> None:
    page = report([folder], ReportConfig())
    assert page == folder / "report" / "index.html"
    text = page.read_text(encoding="utf-8")
    assert "<h1>Sweep mine</h1>" in text
    assert "<strong>40.1 ± 0.3†</strong>" in text
    assert "data:image/svg+xml;base64," in text
    assert "&lt;b&gt;seeds" in text


def test_a_sweep_without_an_overview_says_what_writes_it(folder: Path) -> None:
    (folder / "overview.md").unlink()
    with pytest.raises(CamoeError, match="the same camoe-sweep command writes it"):
        report([folder], ReportConfig())


def test_a_sweep_writes_its_page_and_leads_to_it(
    random_store_maker: Callable[..., Path], tmp_path: Path, browser: Any
) -> None:
    """What is in its table is in the page, and the overview's link leads somewhere."""
    (tmp_path / "grid.yaml").write_text(
        "grid: {loss_temperature: [1000, 10]}\nseeds: [0]\n"
        "base: {model: meanp, streams: [fusion], loss: dsl, epochs: 2, batch_size: 16}\n"
    )
    store = random_store_maker("store.h5", {"train": 30, "val": 12, "test": 20})
    settings = {"features": (str(store),), "grid": str(tmp_path / "grid.yaml"), "out": tmp_path / "sweep"}
    outcome = sweep(SweepConfig(**settings, workers=1, device="cpu"), lambda line: None)
    overview = (outcome.folder / "overview.md").read_text()
    assert LINK in overview
    page = browser.new_page()
    page.goto((outcome.folder / re.findall(r"\]\((report/.+?)\)", overview)[0]).resolve().as_uri())
    tables = page.locator("table.sortable")
    assert tables.count() == 2
    rows, costs = (tables.nth(number).locator("tbody tr") for number in range(2))
    assert rows.count() == costs.count() == 2
    measured = (outcome.folder / "costs.md").read_text()
    assert all(cell.strip() in measured for cell in costs.first.locator("td").all_inner_texts())
    table = (outcome.folder / "table.md").read_text()
    for cell in rows.first.locator("td").all_inner_texts():
        assert cell.strip() in table
    assert page.eval_on_selector_all("img", "all => all.every(one => one.naturalWidth > 100)")
    assert "TOO FEW: 20 test videos" in page.locator("main").inner_text()
    page.close()


def test_an_overview_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "overview.md").write_bytes(b"# \xff")
    with pytest.raises(CamoeError, match=r"overview.md cannot be read \(it is not text\); the same camoe-sweep"):
        read_sweep(tmp_path)
