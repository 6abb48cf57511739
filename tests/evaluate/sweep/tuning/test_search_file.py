"""Files of searches: what they may hold, and one sentence naming file and key for what they may not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.grid import shipped
from camoe.evaluate.sweep.tuning.file import Pruner, described, read_search
from camoe.evaluate.sweep.tuning.space import Choices, Range
from camoe.pipeline.errors import CamoeError

SMALL = "search: {dropout: {low: 0, high: 0.4}}\ntrials: 3\n"


def read(text: str, tmp_path: Path, **changes: object):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return read_search(SweepConfig(features=("store.h5",), search=str(path), **changes))


def test_what_a_file_says(tmp_path: Path) -> None:
    text = """
base: {loss: dsl}
grid: {model: [meanp, camoe, zero-shot], rerank: [none, dsl]}
search:
  learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}
  batch_size: {low: 32, high: 130, step: 32}
  gate: [none, single]
  streams: [fusion, [fusion, entity]]
trials: 7
seeds: [4, 5]
sampler: random
sampler_seed: 3
pruner: {name: percentile, percentile: 30}
objective: {metric: t2v_R@1, direction: maximize}
"""
    search = read(text, tmp_path)
    assert search.space == {
        "learning_rate": Range(1e-4, 1e-2, log=True),
        "batch_size": Range(32, 128, step=32),
        "gate": Choices(("none", "single")),
        "streams": Choices((("fusion",), ("fusion", "entity"))),
    }
    assert (search.trials, search.trial_seeds, search.sweep.seeds) == (7, (4,), (4, 5))
    assert (search.sampler, search.sampler_seed, search.objective) == ("random", 3, "t2v_R@1")
    assert search.pruner == Pruner("percentile", {"percentile": 30, "startup_trials": 5, "warmup": 0.0})
    by_model = {cell.config.model: sorted(search.space_of(cell)) for cell in search.sweep.cells}
    assert by_model == {
        "meanp": ["batch_size", "learning_rate", "streams"],  # which has no gate
        "camoe": ["batch_size", "gate", "learning_rate", "streams"],
        "zero-shot": [],  # which is not trained
    }


def test_what_a_cell_does_not_read_is_not_searched_in_it(tmp_path: Path) -> None:
    """The temperature of DSL is for cells with DSL, unless the loss is searched too."""
    temperature = "loss_temperature: {low: 1, high: 100}"
    search = read(
        f"grid: {{loss: [ce, dsl]}}\nsearch: {{dropout: {{low: 0, high: 0.4}}, {temperature}}}\ntrials: 1", tmp_path
    )
    assert [set(search.space_of(cell)) for cell in search.sweep.cells] == [{"dropout"}, {"dropout", "loss_temperature"}]
    search = read(f"search: {{loss: [ce, dsl], {temperature}}}\ntrials: 1", tmp_path)
    assert [set(search.space_of(cell)) for cell in search.sweep.cells] == [{"loss", "loss_temperature"}]


def test_a_grid_that_is_named_as_a_search() -> None:
    with pytest.raises(CamoeError, match="gate is a grid, not a search; give it as --grid gate"):
        read_search(SweepConfig(features=("store.h5",), search="gate"))


def test_a_file_without_a_grid_tunes_one_cell(tmp_path: Path) -> None:
    search = read("base: {loss: dsl}\n" + SMALL, tmp_path)
    (cell,) = search.sweep.cells
    assert (cell.name, cell.config.loss, search.trial_seeds) == ("tuned", "dsl", (0,))
    assert read("base: {loss: dsl}\n" + SMALL, tmp_path, seeds=(8, 9)).sweep.seeds == (8, 9)


def test_how_many_trials_is_no_part_of_what_they_depend_on(tmp_path: Path) -> None:
    first, more, other = (
        described(read(text, tmp_path)) for text in (SMALL, SMALL.replace("3", "30"), SMALL + "sampler_seed: 1")
    )
    assert first == more != other


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trials: 3", "search is missing"),
        ("search: {dropout: {low: 0, high: .nan}}\ntrials: 3", "search: dropout: high must be a finite number"),
        ("search: {}\ntrials: 3", "search holds `name:"),
        ("search: {droput: [0, 1]}\ntrials: 3", "search: there is no setting 'droput'; did you mean 'dropout'"),
        ("search: {seed: [0, 1]}\ntrials: 3", "search cannot hold seed: list the seeds"),
        ("search: {rerank: [none, dsl]}\ntrials: 3", "search cannot hold rerank: a re-ranking is not trained"),
        ("search: {dropout: 0.3}\ntrials: 3", "search: dropout is a range, .* a single value goes to base"),
        ("search: {dropout: [0.3]}\ntrials: 3", "search: dropout is a range"),
        ("search: {dropout: [0.3, 0.30]}\ntrials: 3", "search: dropout is a range"),
        ("search: {dropout: [0.3, a]}\ntrials: 3", "search: dropout must be a number, not 'a'"),
        ("search: {dropout: {low: 0.1}}\ntrials: 3", "search: dropout needs both low and high"),
        ("search: {dropout: {low: 0.4, high: 0.1}}\ntrials: 3", "search: dropout: low must be below high, not 0.4 and"),
        ("search: {dropout: {low: 0, high: 0.1, log: true}}\ntrials: 3", "search: dropout: log needs a low above 0"),
        ("search: {dropout: {low: 0, high: 0.1, lgo: true}}\ntrials: 3", "dropout: there is no key 'lgo'; did you"),
        ("search: {dropout: {low: 0, high: .inf}}\ntrials: 3", "search: dropout: high must be a finite number"),
        ("search: {epochs: {low: 1, high: 2.5}}\ntrials: 3", "search: epochs: high must be a whole number, not 2.5"),
        ("search: {epochs: {low: 1, high: 4, step: 9}}\ntrials: 3", "search: epochs: step must be above 0, at most"),
        ("search: {gate: {low: 1, high: 2}}\ntrials: 3", "search: gate is no number; give a list of choices"),
        ("search: {dropout: {low: 0, high: 1.5}}\ntrials: 3", "cell tuned with dropout=1.5: dropout must be at"),
        ("base: {dropout: 0.1}\n" + SMALL, "base fixes dropout, which search: dropout searches"),
        ("grid: {dropout: [0, 0.1]}\n" + SMALL, "cell dropout=0 sets dropout, which search: dropout searches"),
        ("base: {model: zero-shot}\n" + SMALL, "search: dropout changes nothing in any cell"),
        ("grid: {dropout: [0, 0.1]}", "search is missing, .*; give a file without it as --grid"),
        ("search: {dropout: [0, 0.1]}", "trials is missing, as trials: 20"),
        (SMALL.replace("3", "0"), "trials must be a whole number from 1"),
        (SMALL + "trial_seeds: [0, 0]", "trial_seeds is a list of different whole numbers"),
        (SMALL + "sampler: tep", "sampler: there is no sampler 'tep'; did you mean 'tpe'"),
        (SMALL + "sampler_seed: -1", "sampler_seed must be a whole number from 0"),
        (SMALL + "pruner: medain", "pruner: there is no pruner 'medain'; did you mean 'median'"),
        (SMALL + "pruner: {name: median, percentile: 3}", "pruner: there is no option of median 'percentile'"),
        (SMALL + "pruner: {name: median, warmup: 2}", "pruner: warmup must be from 0 to below 1, not 2"),
        (SMALL + "objective: MnR", "objective: there is no objective 'MnR'"),
        (SMALL + "objective: {metric: R@1, direction: minimize}", "objective: direction must be maximize, as more"),
        (SMALL + "objctive: R@1", "there is no setting 'objctive'; did you mean 'objective'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match=rf"mine\.yaml: .*{message}|mine\.yaml: {message}") as caught:
        read(text, tmp_path)
    assert "\n" not in str(caught.value)


def test_what_is_searched_is_not_fixed_by_a_part_either(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("base: {dropout: 0.3}\ngrid: {gate: [none, full]}")
    with pytest.raises(CamoeError, match=r"mine\.yaml: cell gate=none sets dropout, which search: dropout searches"):
        read("parts: [part.yaml]\n" + SMALL, tmp_path)


def test_options_that_a_search_does_not_read(tmp_path: Path) -> None:
    text = SMALL.replace("dropout: {low: 0, high: 0.4}", "epochs: {low: 1, high: 4}")
    with pytest.raises(CamoeError, match=r"--epochs 3 has no effect, as .*mine.yaml searches epochs; leave it out"):
        read(text, tmp_path, epochs=3)
    for options, message in (
        ({"retry_failed": True}, "retry_failed has no effect with search"),
        ({"other_code": "train"}, "other_code train has no effect with search"),
        ({"grid": "gate"}, "give either grid or search, not both"),
    ):
        with pytest.raises(CamoeError, match=message):
            read(text, tmp_path, **options)
    with pytest.raises(CamoeError, match=r"give either grid or search$"):
        SweepConfig(features=("store.h5",))
    with pytest.raises(CamoeError, match="there is no search 'feild'; did you mean 'field'"):
        read_search(SweepConfig(features=("store.h5",), search="feild"))


@pytest.mark.parametrize("name", shipped("search"))
def test_the_shipped_searches_tune_every_head_that_learns(name: str) -> None:
    search = read_search(SweepConfig(features=("store.h5",), search=name))
    untuned = {cell.config.model for cell in search.sweep.cells if not search.space_of(cell)}
    assert untuned == {"zero-shot", "query-scoring"}
    assert all(len(search.space_of(cell)) == 3 for cell in search.sweep.cells if cell.config.model not in untuned)


@pytest.mark.soak
def test_no_altered_file_is_a_traceback(
    tmp_path: Path, soak_count: Callable[[int, int], int], mutants: Callable[..., Iterator[bytes]]
) -> None:
    text = """base: {loss: dsl}
search: {learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}, epochs: {low: 8, high: 48, step: 4}, gate: [none, full]}
trials: 20
trial_seeds: [0, 1]
pruner: {name: percentile, percentile: 25, startup_trials: 5, warmup: 0.2}
objective: {metric: R@1, direction: maximize}
"""
    path, read = tmp_path / "mutant.yaml", 0
    for mutant in mutants(text.encode(), soak_count(100, 1000)):
        path.write_bytes(mutant)
        with suppress(CamoeError):
            read += read_search(SweepConfig(features=("store.h5",), search=str(path))).trials > 0
    assert read > 0
