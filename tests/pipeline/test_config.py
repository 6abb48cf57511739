from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from camoe.pipeline.config import Config, SettingError, dump_config, load_config, setting
from camoe.pipeline.errors import CamoeError
from hypothesis import given
from hypothesis import strategies as st

GATES = {"none": 0, "single": 1}


@dataclass(frozen=True, kw_only=True)
class ExampleConfig(Config):
    features: tuple[str, ...] = setting(help="the feature store")
    loss_temperature: float = setting(1000.0, help="of the prior")
    batch_size: int = setting(64, help="videos a step")
    gate: str = setting("single", help="how experts are mixed", choices=lambda: GATES)
    shuffle: bool = setting(False, help="a control")
    out: Path | None = setting(None, help="the run folder", flag="--to")
    stream: tuple[str, ...] = setting((), help="NAME=TAG,TAG", repeat=True)
    widths: tuple[int, ...] = setting((1, 2), help="numbers")

    def check(self) -> None:
        if self.batch_size < 2:
            raise SettingError.about("batch_size", f"must be at least 2, not {self.batch_size}")
        if self.shuffle and self.out is None:
            raise SettingError("{shuffle} needs {out}; give it")


def load(text: str, folder: Path, **overrides: object) -> ExampleConfig:
    (folder / "x.yaml").write_text(text)
    return load_config(ExampleConfig, folder / "x.yaml", {"features": "a.h5", **overrides})


def test_command_line_wins_over_file_over_defaults(tmp_path: Path) -> None:
    config = load("loss_temperature: 10\nbatch_size: 8\n", tmp_path, batch_size="16")
    assert config == ExampleConfig(features=("a.h5",), loss_temperature=10.0, batch_size=16)


def test_values_are_converted(tmp_path: Path) -> None:
    text = "loss_temperature: 3e-3\nwidths: '4, 5'\nstream: a=b,c\nout: runs/x\nshuffle: true\n"
    config = load(text, tmp_path)
    assert (config.loss_temperature, config.widths, config.stream) == (0.003, (4, 5), ("a=b,c",))
    assert config.out == Path("runs/x")
    assert config.shuffle is True
    assert ExampleConfig(features=["a,b", "c"]).features == ("a,b", "c")  # type: ignore[arg-type]
    assert load("out: runs/x", tmp_path, out="none").out is None
    assert load("", tmp_path).widths == (1, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "loss_temprature: 1",
            "x.yaml: there is no setting 'loss_temprature'; did you mean 'loss_temperature'?",
        ),
        ("zzz: 1", "x.yaml: there is no setting 'zzz'; there are features, loss_temperature"),
        ("loss_temperature: hot", "x.yaml: loss_temperature must be a number, not 'hot'"),
        ("loss_temperature: .nan", "x.yaml: loss_temperature must be a number, not nan"),
        ("loss_temperature: true", "x.yaml: loss_temperature must be a number, not True"),
        ("batch_size: 1.5", "x.yaml: batch_size must be a whole number, not 1.5"),
        ("batch_size: [1]", "x.yaml: batch_size must be a whole number, not [1]"),
        ("shuffle: 1", "x.yaml: shuffle must be true or false, not 1"),
        ("gate: sinlge", "x.yaml: gate must be one of none, single, not 'sinlge'; did you mean 'single'?"),
        ("batch_size: 1", "x.yaml: batch_size must be at least 2, not 1"),
        ("shuffle: true", "x.yaml: shuffle needs --to; give it"),
        ("widths: [a]", "x.yaml: widths must be a whole number, not 'a'"),
        ("out: 3", "x.yaml: out must be a path, not 3"),
        ("- 1", "x.yaml holds no settings; a YAML file of settings has lines such as `seed: 0`"),
        ("a: [", "x.yaml is not valid YAML: line 2, column 1: did not find expected node content"),
    ],
)
def test_mistakes_name_the_file_and_the_setting(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CamoeError) as caught:
        load(text, tmp_path)
    assert message in str(caught.value)


def test_other_mistakes(tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match=r"--features is missing: the feature store"):
        load_config(ExampleConfig)
    with pytest.raises(CamoeError, match=r"absent.yaml cannot be read: No such file"):
        load_config(ExampleConfig, tmp_path / "absent.yaml")
    with pytest.raises(CamoeError, match=r"--to must be a path, not 3"):
        load_config(ExampleConfig, None, {"features": "a", "out": 3})
    with pytest.raises(CamoeError, match=r"gate must be one of none, single, not 'x'"):
        replace(ExampleConfig(features=("a",)), gate="x")


HOSTILE = {
    "deep flow": "a: " + "[" * 15_000,
    "deep blocks": "a: " + "- " * 15_000,
    "deep keys": "? " * 15_000 + "x",
    "laughs": "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)),
    "merges": "a0: &a0 {k: x}\n"
    + "".join(f"a{n}: &a{n} {{<<: [{','.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 10)),
    "itself": "a: &a [*a]",
    "digits": "batch_size: " + "9" * 5000,
    "more digits": "batch_size: " + "1:" * 400_000 + "1",
    "large": "a: '" + "x" * 2_000_000 + "'",
    "date": "out: 2026-99-99",
    "tag": "out: !!python/object/apply:os.system [echo]",
    "huge": "loss_temperature: 1" + "0" * 400,
    "bytes": "out: !!binary 'x'",
    "controls": "out: \x00",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_yaml_is_one_sentence(name: str, tmp_path: Path) -> None:
    started = time.perf_counter()
    with pytest.raises(CamoeError) as caught:
        load("features: [a]\n" + HOSTILE[name], tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/x.yaml")
    assert len(str(caught.value)) < 600
    assert time.perf_counter() - started < 5


@pytest.mark.soak
def test_mutated_yaml_is_read_or_refused(
    tmp_path: Path, mutants: Callable[..., Iterator[bytes]], soak_count: Callable[[int, int], int]
) -> None:
    text = dump_config(ExampleConfig(features=("a.h5", "b"), loss_temperature=3.5, out=Path("runs/x"), widths=(3, 4)))
    for mutant in mutants(text.encode() * 3, soak_count(150, 1000), seed=1):
        (tmp_path / "m.yaml").write_bytes(mutant)
        try:
            load_config(ExampleConfig, tmp_path / "m.yaml")
        except CamoeError as error:
            assert len(str(error)) < 2000  # noqa: PT017


@given(
    features=st.lists(st.text(), min_size=1).map(tuple),
    temperature=st.floats(allow_nan=False),
    stream=st.lists(st.text()).map(tuple),
    out=st.none() | st.text(min_size=1).filter(lambda text: text != "none").map(Path),
    shuffle=st.booleans(),
    widths=st.lists(st.integers()).map(tuple),
)
def test_dump_and_load_give_the_same_config(
    tmp_path_factory: pytest.TempPathFactory,
    features: tuple[str, ...],
    temperature: float,
    stream: tuple[str, ...],
    out: Path | None,
    shuffle: bool,
    widths: tuple[int, ...],
) -> None:
    config = ExampleConfig(
        features=features,
        loss_temperature=temperature,
        stream=stream,
        out=out,
        widths=widths,
        shuffle=shuffle and out is not None,
    )
    path = tmp_path_factory.mktemp("config") / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(ExampleConfig, path) == config


def test_a_setting_is_named_as_it_was_given(tmp_path: Path) -> None:
    """An option on the command line, a key in a config file, a field from Python."""
    with pytest.raises(CamoeError, match=r"^--batch-size must be at least 2, not 1$"):
        load("batch_size: 8", tmp_path, batch_size="1")
    with pytest.raises(CamoeError, match=r"^--shuffle needs --to; give it$"):
        load("", tmp_path, shuffle=True)
    with pytest.raises(CamoeError, match=r"^batch_size must be at least 2, not 1$"):
        ExampleConfig(features=("a",), batch_size=1)


def test_what_a_message_says_of_a_setting_is_not_a_template() -> None:
    error = SettingError.about("out", "is {odd}, {0} and {")
    assert str(error) == "out is {odd}, {0} and {"
    assert error.spelled("--{}".format) == "--out is {odd}, {0} and {"
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
