"""Where a run's numbers go: reporters are told all of it, and whatever they do, the run is as without them."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from camoe.pipeline.errors import CamoeError, RunStoppedError
from camoe.train import report, trainer
from camoe.train.config import TrainConfig
from camoe.train.reporters.wandb_process import OURS, settings
from camoe.train.run import fit
from camoe.train.run_folder import load_run
from camoe.train.summary import summarise

Quick = Callable[..., TrainConfig]


class Told:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def start(self, config: Mapping[str, Any], tags: Sequence[str], past: Sequence[Mapping[str, Any]]) -> None:
        self.calls.append(("start", config, tuple(tags), [row["epoch"] for row in past]))

    def epoch(self, values: Mapping[str, float], step: int) -> None:
        self.calls.append(("epoch", step, values["R@1"]))

    def end(self, results: Mapping[str, Any] | None) -> None:
        self.calls.append(("end", results))


class Failing(Told):
    name = "failing"

    def epoch(self, values: Mapping[str, float], step: int) -> None:
        super().epoch(values, step)
        raise OSError("no\nroute\x1b")


class Hanging(Told):
    name = "hanging"

    def start(self, config: Mapping[str, Any], tags: Sequence[str], past: Sequence[Mapping[str, Any]]) -> None:
        time.sleep(60)


def test_a_reporter_is_told_of_the_whole_run(quick: Quick) -> None:
    told = Told()
    run = load_run(fit(quick(epochs=2, tags=("first, of many", "b")), reporters=[told]))
    start, *epochs, end = told.calls
    assert start[0] == "start"
    assert (start[1]["batch_size"], start[1]["protocol"]) == (32, "own")
    assert start[1]["store"] == run.record["store"]["content_hash"]
    assert start[2:] == (("first, of many", "b"), [])
    rows = [json.loads(line) for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert epochs == [("epoch", row["epoch"], row["R@1"]) for row in rows]
    assert (end[1]["selection"], end[1]["parameters"]) == (run.record["selection"], run.record["parameters"])
    assert run.config.tags == ("first, of many", "b")


def test_an_error_of_a_reporter_is_told_once_and_ends_no_run(quick: Quick, capsys: pytest.CaptureFixture[str]) -> None:
    failing, told = Failing(), Told()
    folder = fit(quick(epochs=2), reporters=[failing, told])
    assert load_run(folder).record["epochs"] == 2
    assert [call[0] for call in failing.calls] == ["start", "epoch"]
    assert [call[0] for call in told.calls] == ["start", "epoch", "epoch", "epoch", "end"]
    said = capsys.readouterr().err
    assert said.count("failing") == 1
    assert "failing logs no more (no route\\u001b); the run is not affected\n" in said


def test_a_reporter_that_hangs_is_not_waited_for(
    quick: Quick, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "FINISH_SECONDS", 0.05)
    assert load_run(fit(quick(epochs=1), reporters=[Hanging()])).record["epochs"] == 1
    assert "hanging is still busy after 0.05 s and is not waited for" in capsys.readouterr().err


def test_a_run_that_is_stopped_has_no_results(quick: Quick) -> None:
    told = Told()
    with pytest.raises(RunStoppedError, match="no longer finite"):
        fit(quick(loss="dsl", learning_rate=1e30), reporters=[told])
    assert told.calls[-1] == ("end", None)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (("a", "a"), "tags names one of a, a twice; name each once"),
        (("",), "tags must be of 1 to 64 letters each, not 0"),
        (("x" * 65,), "tags must be of 1 to 64 letters each, not 65"),
        (("a\nb",), r"tags must be plain words, not 'a\\nb'"),
        (tuple(map(str, range(33))), "tags has 33 entries; at most 32 are kept"),
    ],
)
def test_tags_that_are_refused(quick: Quick, tags: tuple[str, ...], message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        quick(tags=tags)


def test_loggers_are_named_once(quick: Quick) -> None:
    assert quick(log="wandb,tensorboard", tensorboard=True).reporters == ("wandb", "tensorboard")
    assert quick(tensorboard=True).reporters == ("tensorboard",)
    with pytest.raises(CamoeError, match="log must be one of tensorboard, wandb, not 'wandbb'; did you mean 'wandb'"):
        quick(log="wandbb")


def test_wandb_is_offline_unless_the_user_says_otherwise() -> None:
    known = {*OURS, "mode", "silent"}
    assert settings((), known) == OURS | {"mode": "offline", "silent": True}
    assert settings({"mode", "project"}, known) == {name: value for name, value in OURS.items() if name != "project"}
    assert settings((), {"console"}) == {"console": "off", "mode": "offline", "silent": True}


def _records(path: Path) -> Iterator[Any]:
    """The records of a `.wandb` file of one block: a header of 7 bytes, then of each checksum, length, type, bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, place = path.read_bytes(), 7
    assert content[:4] == b":W&B"
    assert len(content) < 32768
    while place < len(content):
        _, length, kind = struct.unpack_from("<IHB", content, place)
        assert kind == 1
        yield Record.FromString(content[place + 7 : place + 7 + length])
        place += 7 + length


def test_wandb_has_the_run_in_its_folder(quick: Quick, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped and resumed: two parts of one id, the later one whole."""
    pytest.importorskip("wandb")
    for name, value in (("CONFIG_DIR", "config"), ("CACHE_DIR", "cache"), ("BASE_URL", "http://127.0.0.1:9")):
        monkeypatch.setenv(f"WANDB_{name}", value if ":" in value else str(tmp_path / value))
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.chdir(tmp_path)
    config = quick(log="wandb", tags=("a", "b c"), epochs=3, checkpoint_seconds=0)
    epoch, taken = trainer.Trainer.epoch, []

    def stop(self: trainer.Trainer, *arguments: Any) -> Any:
        taken.append(1)
        if len(taken) == 3:
            raise KeyboardInterrupt
        return epoch(self, *arguments)

    monkeypatch.setattr(trainer.Trainer, "epoch", stop)
    monkeypatch.setattr(report, "STOP_SECONDS", 60.0)
    monkeypatch.setattr("camoe.train.reporters.wandb.STOP_SECONDS", 60.0)
    with pytest.raises(KeyboardInterrupt):
        fit(config)
    run = load_run(fit(config, resume=True))
    parts = sorted((run.path / "wandb").glob("offline-run-*"))
    assert len(parts) == 2
    assert len({part.name.rpartition("-")[2] for part in parts}) == 1
    first, last = ([*_records(next(part.glob("*.wandb")))] for part in parts)
    begun = next(record.run for record in last if record.HasField("run"))
    assert (begun.display_name, begun.project, sorted(begun.tags)) == ("run", "camoe", ["a", "b c"])
    told = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert (told["epochs"], told["store"]) == (3, run.record["store"]["content_hash"])

    def recalls(records: list[Any]) -> list[float]:
        rows = [record.history.item for record in records if record.HasField("history")]
        named = [{(item.key or item.nested_key[0]): item.value_json for item in row} for row in rows]
        return [float(row["R@1"]) for row in named]

    curve = [json.loads(line)["R@1"] for line in (run.path / "metrics.jsonl").read_text().splitlines()]
    assert recalls(last) == pytest.approx(curve)
    assert recalls(first) == pytest.approx(curve[:3])
    assert [record.exit.exit_code for records in (first, last) for record in records if record.HasField("exit")] == [
        1,
        0,
    ]
    assert not [path for path in run.path.rglob("*") if path.is_symlink()]
    assert f"to send it: wandb sync {parts[-1]}" in summarise(run)
