"""Tables and significance from made-up ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from camoe.evaluate.result import Metrics, MetricsPair
from camoe.evaluate.scored import Ranks
from camoe.evaluate.sweep.cells import Cells
from camoe.evaluate.sweep.comparison import holm
from camoe.evaluate.sweep.contrasts import markdown_contrasts
from camoe.evaluate.sweep.grid import Cell, Sweep, read_grid
from camoe.evaluate.sweep.overview import _troubles, winners
from camoe.evaluate.sweep.plots import heat, write_plots
from camoe.evaluate.sweep.result import OK, Result, reranking_name
from camoe.evaluate.sweep.summary import summarise
from camoe.evaluate.sweep.tables import latex, markdown
from PIL import Image

QUERIES = 100


def result_of(cell: Cell, seed: int, found: int, validation: float, key: str) -> Result:
    """`found` of 100 queries rank first, the others second; the same in both directions."""
    ranks = np.where(np.arange(QUERIES) < found, 1, 2)
    name = reranking_name(cell.config.reranking)
    metrics = Metrics.of(ranks)
    return Result(
        key=key,
        status=OK,
        settings={},
        seed=seed,
        best={"epoch": 1, "R@1": validation},
        curve=({"epoch": 0, "R@1": 1.0}, {"epoch": 1, "R@1": validation}),
        validation={name: validation},
        metrics={name: MetricsPair(metrics, metrics)},
        ranks={name: Ranks(ranks, ranks)},
        owner=np.arange(QUERIES),
    )


@pytest.fixture
def measured(tmp_path: Path) -> Callable[..., tuple[Any, dict[str, Result]]]:
    """A plan of a grid's text, and results with these numbers of found queries per cell and seed."""

    def make(text: str, found: Sequence[Sequence[int]], validation: Sequence[float]) -> tuple[Any, dict[str, Result]]:
        (tmp_path / "mine.yaml").write_text(text)
        sweep: Sweep = read_grid(str(tmp_path / "mine.yaml"), ("store.h5",))
        results, keys, runs = {}, {}, {}
        for place, cell in enumerate(sweep.cells):
            keys[cell.identity] = []
            for config, count in zip(cell.trainings(sweep.seeds), found[place], strict=True):
                key = f"{place}-{config.seed}"
                keys[cell.identity].append(key)
                results[key] = result_of(cell, config.seed, count, validation[place], key)
                runs[key] = SimpleNamespace(config=config, key=key)
        told = {"protocol": "own", "tags": ("a_b",), "tuned": "", "allow_missing": True}
        return SimpleNamespace(sweep=sweep, keys=keys, runs=runs, **told), results

    return make


def test_a_table_as_a_paper_shows_it(measured) -> None:
    plan, results = measured(
        "title: Gates & losses\ngrid: {gate: [none, full], loss: [ce]}\nseeds: [0, 1]",
        [[40, 42], [90, 91]],
        [10.0, 20.0],
    )
    (table,) = summarise(plan, results)
    lines = markdown(plan, [table]).splitlines()
    assert lines[0] == "## Gates & losses"
    assert lines[2].startswith("| gate | T2V R@1 | T2V R@5 | T2V R@10 | T2V MdR | T2V MnR | V2T R@1 |")
    assert lines[4].startswith("| none | 41.0 ± 1.4 | **100.0** ± 0.0 | **100.0** ± 0.0 | 2.0 ± 0.0 | 1.6 ± 0.0 | 41.0")
    assert lines[5].startswith("| full | **90.5** ± 0.7† | **100.0** ± 0.0 | **100.0** ± 0.0 | **1.0** ± 0.0 |")
    assert "corrected over the table after Holm" in lines[7]
    text = latex(plan, [table])
    assert (
        r"\caption{Gates \& losses; Protocol own, 100 test captions of 100 videos, R@K in percent; mean $\pm$" in text
    )
    assert r"full & \textbf{90.5}\,$\pm$\,0.7$^\dagger$ & \textbf{100.0}\,$\pm$\,0.0" in text
    assert r" & \multicolumn{5}{c}{Text to video} & \multicolumn{5}{c}{Video to text} \\" in text
    assert r"\cmidrule(lr){2-6} \cmidrule(lr){7-11}" in text
    assert text.count("{") == text.count("}")


def test_a_difference_that_could_be_chance_has_no_mark(measured) -> None:
    plan, results = measured("grid: {gate: [none, full]}", [[40], [42]], [10.0, 20.0])
    (table,) = summarise(plan, results)
    assert table.rows[1].against_first["t2v"].value == pytest.approx(2.0)
    text = markdown(plan, [table])
    assert "| full | **42.0** | " in text
    assert "one seed, so no deviation" in text


def test_the_winner_is_chosen_by_validation_not_by_test(measured) -> None:
    plan, results = measured("grid: {gate: [none, full, single]}", [[90], [50], [60]], [70.0, 80.0, 79.0])
    (table,) = summarise(plan, results)
    for row in table.rows:
        for result in row.results:
            plan.runs[result.key].config = row.cell.config.training
    lines = winners(plan, table)
    assert lines[0] == "- Best raw, by R@1 on val (both directions): **gate=full**, 80.0."
    assert lines[1] == "  Ahead of gate=single (79.0) by 1.0 (one seed, so this may be chance)."
    assert "against the first row (gate=none) -40.0 [" in lines[2]
    assert lines[4] == "  Train it alone: `camoe-train --features store.h5 --protocol own --allow-missing --gate full`"


def test_a_row_that_training_never_helped_is_told(measured) -> None:
    plan, results = measured("grid: {gate: [none, full]}\nseeds: [0, 1]", [[40, 40], [42, 42]], [10.0, 20.0])
    results["1-0"] = replace(results["1-0"], best={"epoch": 0, "R@1": 20.0})
    troubles = _troubles(SimpleNamespace(left_out=[]), summarise(plan, results))
    assert troubles == ["- mine: gate=full: val chose epoch 0, the untrained model, in 1 of 2 seeds"]


def test_re_ranked_rows_are_marked_and_compared_among_themselves(measured) -> None:
    text = "grid: {rerank: [none, dsl]}"
    plan, results = measured(text, [[40], [60]], [10.0, 20.0])
    (table,) = summarise(plan, results)
    lines = markdown(plan, [table]).splitlines()
    assert lines[4].startswith("| none | **40.0** |")
    assert lines[5].startswith("| dsl * | **60.0**† |")
    assert lines[7].endswith("*: needs all queries at once (transductive); tags: a_b.")
    assert r"tags: a\_b." in latex(plan, [table])


def test_a_missing_seed_is_shown(measured) -> None:
    plan, results = measured("grid: {gate: [none, full]}\nseeds: [0, 1]", [[40, 41], [42, 43]], [1.0, 2.0])
    del results["1-1"]
    (table,) = summarise(plan, results)
    assert (table.rows[1].missing, len(table.rows[1].results)) == (1, 1)
    assert "| full ‡ | **42.0** |" in markdown(plan, [table])


@pytest.mark.parametrize("above", [False, True])
def test_a_cell_beside_the_grid_has_no_place_on_its_heat_map(measured, above: bool) -> None:
    grid = "grid: {patience: [null, 3], loss: [ce, dsl]}"
    include = "include: [{patience: 4, loss: ce}, {patience: 3, loss: dsl, dropout: 0.5}, {loss: dsl, dropout: 0.3}]"
    own, others = [[40], [50], [60], [70]], [[80], [90], [95]]
    text, found = (f"{include}\n{grid}", others + own) if above else (f"{grid}\n{include}", own + others)
    plan, results = measured(text, found, [1.0] * 7)
    (table,) = summarise(plan, results)
    figure = heat(table, table.rows)
    assert figure is not None
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), [[40, 50], [60, 70]])


def test_pictures_show_a_label_as_it_is_typed(
    measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr("camoe.evaluate.sweep.plots.MOST_INCHES", 3.0)
    plan, results = measured("title: $x_{\ninclude: [{gate: none, label: 日本 $a^ b$}]", [[40]], [1.0])
    (bars, curves) = write_plots(summarise(plan, results), tmp_path / "plots")
    assert (bars.name, curves.name) == ("mine-bars.png", "mine-curves.png")
    with Image.open(bars) as picture:
        assert max(picture.size) == 3 * 130
    assert not recwarn.list


def test_what_one_setting_changes(measured) -> None:
    """Each cell beside the one that differs in that setting alone; zero-shot, which has no loss, stands for both."""
    plan, results = measured(
        "grid: {model: [zero-shot, meanp], loss: [ce, dsl]}\nseeds: [0, 1]", [[40], [60, 62], [80, 82]], [1.0, 2.0, 3.0]
    )
    lines = markdown_contrasts(summarise(plan, results)).splitlines()
    titles = [line for line in lines if line.startswith("## ")]
    assert titles == ["## mine: model, meanp against zero-shot", "## mine: loss, dsl against ce"]
    of_model, of_loss = (lines[lines.index(title) + 4 :] for title in titles)
    assert of_model[0].startswith("| ce | +21.0 [+1")
    assert of_model[1].startswith("| dsl | +41.0 [+3")
    assert of_loss[0].startswith("| meanp | +20.0 [+1")
    assert all(line.count("†") == 2 for line in (*of_model[:2], of_loss[0]))
    assert of_loss[1] == ""
    text = "base: {model: meanp}\ngrid: {emcl: [false, true], loss: [ce, dsl]}"
    of_emcl, of_loss = (
        part.splitlines()[4:]
        for part in markdown_contrasts(
            summarise(*measured(text, [[40], [50], [70], [72]], [1.0, 2.0, 3.0, 4.0]))
        ).split("## ")[1:]
    )
    assert of_emcl[0].startswith("| ce | +30.0 [")
    assert of_emcl[1].startswith("| dsl | +22.0 [")
    assert of_loss[0].startswith("| – | +10.0 [")
    assert of_loss[1].startswith("| true | +2.0 ["), "with EMCL held against with EMCL, not without"
    text = "include: [{gate: none}, {gate: full, label: all | mixed}]"
    assert r"| all \| mixed | +10.0" in markdown_contrasts(summarise(*measured(text, [[40], [50]], [1.0, 2.0])))
    plan, results = measured("grid: {gate: [none]}", [[40]], [1.0])
    assert "No two cells of this sweep differ in one setting alone" in markdown_contrasts(summarise(plan, results))


def test_holm() -> None:
    p_values = {("a", "t2v"): 0.01, ("a", "v2t"): 0.04, ("b", "t2v"): 0.02, ("b", "v2t"): 0.9}
    assert holm(p_values) == {
        ("a", "t2v"): True,  # 0.01 <= 0.05 / 4
        ("b", "t2v"): False,  # 0.02 > 0.05 / 3
        ("a", "v2t"): False,
        ("b", "v2t"): False,
    }


def test_results_survive_their_files(measured, tmp_path: Path) -> None:
    _, results = measured("grid: {gate: [none, full]}", [[40], [42]], [10.0, 20.0])
    stored = Cells(tmp_path / "cells")
    stored.write(results["0-0"])
    read = stored.read("0-0")
    assert read is not None
    assert read.metrics == results["0-0"].metrics
    np.testing.assert_array_equal(read.ranks["none"]["t2v"], results["0-0"].ranks["none"]["t2v"])
    assert stored.read("1-0") is None
