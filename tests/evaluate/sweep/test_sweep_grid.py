from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from camoe.evaluate.sweep.grid import read_grid, shipped
from camoe.pipeline.errors import CamoeError
from camoe.train.names import MODELS

STORE = ("store.h5",)


@pytest.fixture
def grid_file(tmp_path: Path):
    def write(text: str, name: str = "mine.yaml") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


def names(sweep) -> list[str]:
    return [cell.name for cell in sweep.cells]


def test_every_combination_is_a_cell_in_the_order_of_the_file(grid_file) -> None:
    sweep = read_grid(grid_file("grid: {gate: [none, full], loss: [ce, dsl]}\nseeds: [4, 0]"), STORE)
    assert names(sweep) == ["gate=none, loss=ce", "gate=none, loss=dsl", "gate=full, loss=ce", "gate=full, loss=dsl"]
    assert sweep.seeds == (4, 0)
    assert [config.seed for config in sweep.cells[0].trainings(sweep.seeds)] == [4, 0]


def test_include_above_the_grid_comes_first(grid_file) -> None:
    text = "include: [{model: meanp, label: mean pooling}]\ngrid: {gate: [none, full]}"
    assert names(read_grid(grid_file(text), STORE)) == ["mean pooling", "gate=none", "gate=full"]


def test_titles_and_labels_are_one_line_or_none(grid_file) -> None:
    text = 'title: "Two\\nlines"\ninclude: [{gate: full, label: "a\\n b"}, {gate: none, label: " "}]'
    sweep = read_grid(grid_file(text), STORE)
    assert (sweep.tables[0].title, names(sweep)) == ("Two lines", ["a b", "gate=none"])


def test_a_name_that_leaves_no_room_for_those_of_pictures(tmp_path: Path) -> None:
    path = tmp_path / f"{'名' * 67}.yaml"
    path.write_text("grid: {gate: [none, full]}")
    with pytest.raises(CamoeError, match="pictures are named after the file; give it a name of at most 200 bytes"):
        read_grid(str(path), STORE)


def test_exclude_takes_lists_as_alternatives_and_sees_the_base(grid_file) -> None:
    text = "base: {text_head: linear}\ngrid: {gate: [none, single, full], loss: [ce, dsl]}\n"
    text += "exclude: [{gate: [none, full], loss: dsl, text_head: linear}]"
    assert names(read_grid(grid_file(text), STORE)) == [
        "gate=none, loss=ce",
        "gate=single, loss=ce",
        "gate=single, loss=dsl",
        "gate=full, loss=ce",
    ]


def test_a_list_is_one_value_of_a_setting_that_is_a_list(grid_file) -> None:
    sweep = read_grid(grid_file("grid: {streams: [fusion, [fusion, entity], 'fusion,action']}"), STORE)
    assert [cell.config.streams for cell in sweep.cells] == [("fusion",), ("fusion", "entity"), ("fusion", "action")]


def test_settings_that_change_nothing_make_one_cell(grid_file) -> None:
    text = "grid: {loss: [ce, dsl], loss_temperature: [1000, 100]}"
    (table,) = read_grid(grid_file(text), STORE).tables
    shown = [[cell.value(name) for name in table.columns] for cell in table.cells]
    assert table.columns == ["loss", "loss_temperature"]
    assert shown == [["ce", "–"], ["dsl", "1000"], ["dsl", "100"]]
    assert table.doubles == 1


def test_an_untrained_model_has_one_seed(grid_file) -> None:
    sweep = read_grid(grid_file("include: [{model: zero-shot}, {model: meanp}]\nseeds: [3, 4]"), STORE)
    assert [len(cell.trainings(sweep.seeds)) for cell in sweep.cells] == [1, 2]


def test_the_base_of_other_models_is_left_aside(grid_file) -> None:
    text = "base: {gate: full, aggregator: se}\ninclude: [{model: zero-shot}, {model: camoe}]"
    zero_shot, camoe = read_grid(grid_file(text), STORE).cells
    assert zero_shot.config.gate == "single"
    assert (camoe.config.gate, camoe.config.aggregator) == ("full", ("se",))


def test_parts_are_tables_of_one_sweep(grid_file) -> None:
    grid_file("grid: {gate: [none, single]}\nbase: {epochs: 9}\nseeds: [7]", "a.yaml")
    grid_file("title: Losses\ngrid: {loss: [ce, dsl]}", "b.yaml")
    sweep = read_grid(grid_file("parts: [a.yaml, b.yaml, gate]\nbase: {epochs: 2}\nseeds: [1]"), STORE)
    assert [table.title for table in sweep.tables] == ["a", "Losses", "How the experts are mixed"]
    assert sweep.seeds == (1,)
    assert {cell.config.epochs for cell in sweep.cells} == {2}
    assert names(sweep) == ["gate=none", "gate=single", "loss=dsl", "gate=full"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grid: {loss_temprature: [1, 2]}", "grid: there is no setting 'loss_temprature'; did you mean 'loss_temp"),
        ("grid: {gate: [none, singel]}", "grid: gate must be one of none, single, full, not 'singel'; did you mean"),
        ("trials: 3\nsearch: {dropout: [0, 0.1]}", "holds search, as searches do; give it as --search "),
        ("gird: {gate: [none]}", "there is no setting 'gird'; did you mean 'grid'"),
        ("grid: {gate: none}", r"gate is a list of values, as gate: \[none\]; one goes to base"),
        ("grid: {seed: [0, 1]}", r"grid cannot hold seed: list the seeds beside the grid"),
        ("base: {features: a.h5}\ngrid: {gate: [none]}", "base cannot hold features: give the store as --features"),
        ("grid: {learning_rate: [0.1, -1]}", "cell learning_rate=-1: learning_rate must be a positive number, not -1"),
        ("grid: {gate: [single], streams: [[entity]]}", "cell gate=single, streams=entity: gate single mixes .* exclu"),
        ("include: [{model: meanp, gate: full}]", "gate has no effect on model meanp"),
        ("grid: {rerank: [dls]}", "rerank must be one of none, dsl, .*did you mean 'dsl'"),
        ("grid: {gate: [none]}\nexclude: [{gate: full}]", "exclude 1 matches no cell of the grid"),
        ("grid: {gate: [none]}\nseeds: 3", r"seeds is a list of different whole numbers from 0, .*not 3"),
        ("grid: {gate: [none]}\nseeds: [1, 1]", "seeds is a list of different whole numbers"),
        ("base: {epochs: 2}", "holds no cells"),
        ("include: {gate: none}", "include is a list of settings"),
        ("parts: [gate]\ngrid: {gate: [none]}", "parts is a list of grids, without grid"),
        ("parts: [mine.yaml]", "contains itself"),
        ("parts: [gat]", "there is no grid 'gat'; did you mean 'gate'"),
        ("- 1", "holds no settings; a YAML file of settings has lines"),
    ],
)
def test_mistakes_are_named(grid_file, text: str, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        read_grid(grid_file(text), STORE)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(
        CamoeError, match=r"there is no grid file nowhere\.yaml; give one, or one of aggregator, defaults,"
    ):
        read_grid("nowhere.yaml", STORE)


def test_the_shipped() -> None:
    cells = {name: len(read_grid(name, STORE).cells) for name in shipped()}
    assert cells == {
        "aggregator": 3,
        "dsl": 14,
        "duplicates": 6,
        "field": 100,
        "gate": 3,
        "heads": 6,
        "paper": 26,
        "published": 10,
        "strategy": 5,
        "streams": 6,
        "temperature": 10,
        "defaults": 19,
    }
    seeds = {name: read_grid(name, STORE).seeds for name in shipped()}
    assert seeds.pop("field") == (0, 1, 2, 3, 4)
    assert set(seeds.values()) == {(0, 1, 2)}


def test_the_field_is_every_head_under_both_losses_raw_and_reranked() -> None:
    cells = [cell.config for cell in read_grid("field", STORE).cells]
    trained = {name for name, facts in MODELS.items() if facts.trains} - {"frame-attention"}
    rerankings = {"none", "dsl", "querybank", "nnn"}
    plain = Counter((cell.model, cell.loss, cell.rerank) for cell in cells if not cell.emcl)
    assert plain == Counter(
        [(model, loss, rerank) for model in trained for loss in ("ce", "dsl") for rerank in rerankings]
        + [(model, "ce", rerank) for model in ("zero-shot", "query-scoring") for rerank in rerankings]
    )
    assert {(cell.model, cell.loss) for cell in cells if cell.emcl} == {
        (model, loss) for model in ("meanp", "xpool") for loss in ("ce", "dsl")
    }
    effort = {(cell.epochs, cell.batch_size, cell.learning_rate, cell.captions_per_video) for cell in cells}
    assert len(effort) == 1
