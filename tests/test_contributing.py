"""The samples of CONTRIBUTING.md are real: each is run in the place that the page names for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from camoe.evaluate.sweep.config import SweepConfig
from camoe.evaluate.sweep.run import sweep
from camoe.extract.config import ExtractConfig
from camoe.extract.datasets import VideoFile
from camoe.extract.run import extract
from camoe.pipeline import engines
from camoe.pipeline.engines.local import LocalEngine
from camoe.pipeline.errors import RunStoppedError
from camoe.pipeline.reranking.kinds import ALL_QUERIES, RERANKINGS, RerankingKind
from camoe.pipeline.reranking.table import RERANKERS, rerank
from camoe.pipeline.store import FeatureStore
from camoe.train import FeatureShape, TrainConfig

PAGE = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def sample(heading: str, package: str) -> dict[str, Any]:
    """What the first python fence under a heading defines, as a module of `package`."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.search(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert found, heading
    assert found[1].count("\n") <= 30, heading
    names: dict[str, Any] = {"__package__": package, "__name__": f"{package}.mine"}
    exec(compile(found[1], heading, "exec"), names)
    return names


def test_the_adapter_reads_its_files(tmp_path: Path) -> None:
    for subset, clip in (("train", "a"), ("test", "b")):
        (tmp_path / f"mine_{subset}.json").write_text(json.dumps([{"clip": clip, "captions": ["one", "two"]}]))
    load = sample("A benchmark's adapter", "camoe.extract.datasets")["load_mine"]
    captions, items = load(tmp_path, [VideoFile(name, Path(f"{name}.mp4")) for name in "ab"])
    assert captions.text == ["one", "two", "one", "two"]
    assert captions.protocols["mine"].tolist() == [1, 1, 3, 3]
    assert [item.id for item in items] == ["a", "b"]
    assert captions.shortfall["mine"]


def test_the_head_scores(tmp_path: Path) -> None:
    build = sample("A head", "camoe.train.heads")["build"]
    architecture = TrainConfig(features=("x.h5",), model="meanp", streams=("fusion",)).recipe.architecture
    model = build(architecture, FeatureShape(embed_dim=4, max_frames=3, clip_logit_scale=100.0))
    frames, mask = torch.eye(4)[None, :3], torch.tensor([[True, True, False]])
    expected = 100 * torch.nn.functional.normalize(torch.tensor([1.0, 1.0, 0.0, 0.0]), dim=0)
    torch.testing.assert_close(model.score(torch.eye(4)[None], frames, mask)[:, 0], expected)


def test_the_re_ranking_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RERANKERS, "levelled", sample("A re-ranking", "camoe.pipeline.reranking")["Levelled"])
    monkeypatch.setitem(RERANKINGS, "levelled", RerankingKind(ALL_QUERIES, {"share": 1.0}))
    scores = np.array([[3.0, 1.0, 0.0], [5.0, 2.0, 0.5]])
    np.testing.assert_allclose(rerank(scores, "levelled"), scores - scores.mean(axis=0))
    expected = scores - scores.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(rerank(scores, "levelled", "v2t"), expected)


class Doubler:
    def work(self, tasks: Any) -> Any:
        yield from (2 * task for task in tasks)


@pytest.mark.parametrize("tasks", [[], [1], [1, 2, 3]])
def test_the_engine_does_every_task(tasks: list[int]) -> None:
    engine = sample("An engine", "camoe.pipeline.engines")["ThreadEngine"]()
    assert sorted(engine.run(Doubler, tasks)) == sorted(LocalEngine().run(Doubler, tasks))


def test_the_engine_runs_both_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_video: Callable[..., Path]
) -> None:
    """By its name alone, with the results of the local one."""
    engine = sample("An engine", "camoe.pipeline.engines")["ThreadEngine"]
    used: list[int] = []

    class Watched(engine):  # type: ignore[misc, valid-type]
        def run(self, make_worker: Any, tasks: Any, lost: Any = None) -> Any:
            used.append(len(tasks))
            yield from super().run(make_worker, tasks, lost)

    monkeypatch.setattr(engines, "_REGISTERED", {})
    engines.register_engine("threads", Watched)
    videos = tmp_path / "videos"
    videos.mkdir()
    for number in range(5):
        make_video(videos / f"clip{number}.mp4", source=("-f", "lavfi", "-i", "testsrc=size=32x32:rate=5:duration=1"))
    rows = [
        f"clip{number},video {number} of a test,{split}" for number, split in enumerate(("train",) * 3 + ("test",) * 2)
    ]
    (tmp_path / "captions.csv").write_text("\n".join(["video_id,caption,split", *rows]))
    (tmp_path / "grid.yaml").write_text("base: {epochs: 1, batch_size: 2}\ngrid: {loss: [ce, dsl]}\nseeds: [0]")
    space = "search: {dropout: {low: 0, high: 0.4}}\ntrials: 3\nsampler: random"
    (tmp_path / "search.yaml").write_text(f"base: {{epochs: 1, batch_size: 2}}\n{space}\nseeds: [0]")
    stores, tables = [], []
    torch.set_num_threads(2)
    for name in ("threads", "local"):
        store = tmp_path / name
        given = {"videos": videos, "captions": tmp_path / "captions.csv", "out": store, "shard_size": 2}
        extract(ExtractConfig(**given, clip="tiny", device="cpu", engine=name))
        stores.append(FeatureStore.open(store).content_hash)
        config = {"features": (str(store),), "grid": str(tmp_path / "grid.yaml"), "out": tmp_path / f"sweep-{name}"}
        done = sweep(SweepConfig(**config, device="cpu", workers=1, engine=name), lambda line: None)
        assert done.status == 0
        tables.append(pandas.read_csv(done.folder / "results.csv").filter(regex="R@|loss"))
        searched = {
            "features": (str(store),),
            "search": str(tmp_path / "search.yaml"),
            "out": tmp_path / f"search-{name}",
        }
        done = sweep(SweepConfig(**searched, device="cpu", workers=1, engine=name), lambda line: None)
        tables.append(pandas.read_csv(done.folder / "trials.csv").filter(regex="val R@1|^dropout"))
    assert used == [3, 2, 3, 1]
    assert torch.get_num_threads() == 2
    assert stores[0] == stores[1]
    for there, here in zip(tables[:2], tables[2:], strict=True):
        pandas.testing.assert_frame_equal(there, here)


class Idle(LocalEngine):
    def run(self, make_worker: Any, tasks: Any, lost: Any = None) -> Any:
        yield from ()


def test_an_engine_that_does_nothing_is_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_video: Callable[..., Path]
) -> None:
    monkeypatch.setattr(engines, "_REGISTERED", {})
    engines.register_engine("idle", Idle)
    (tmp_path / "videos").mkdir()
    for subset in ("train", "val", "test"):
        clip = ("-f", "lavfi", "-i", "testsrc=size=32x32:rate=5:duration=1")
        make_video(tmp_path / "videos" / f"{subset}.mp4", source=clip)
    rows = [f"{subset},a video to {subset},{subset}" for subset in ("train", "val", "test")]
    (tmp_path / "captions.csv").write_text("\n".join(["video_id,caption,split", *rows]))
    given = {"videos": tmp_path / "videos", "captions": tmp_path / "captions.csv", "out": tmp_path / "store.h5"}
    with pytest.raises(RunStoppedError, match="--engine idle ended with 0 of 3 videos done; the same command goes on"):
        extract(ExtractConfig(**given, clip="tiny", device="cpu", engine="idle"))
    extract(ExtractConfig(**given, clip="tiny", device="cpu"))
    (tmp_path / "grid.yaml").write_text("grid: {loss: [ce, dsl]}\nseeds: [0]")
    (tmp_path / "search.yaml").write_text("search: {dropout: {low: 0, high: 0.4}}\ntrials: 3")
    for kind, left in (("grid", "2 runs"), ("search", "3 trials")):
        config = {
            "features": (str(tmp_path / "store.h5"),),
            kind: str(tmp_path / f"{kind}.yaml"),
            "out": tmp_path / kind,
        }
        with pytest.raises(RunStoppedError, match=f"ended with {left} not done; the same command goes on"):
            sweep(SweepConfig(**config, device="cpu", engine="idle"), lambda line: None)


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:docs|extract|train|evaluate|tests)/[\w/.-]+\.(?:py|md))`", PAGE)))
)
def test_the_files_that_it_names_are_there(path: str) -> None:
    if "mine" not in path:
        assert (Path(__file__).parents[1] / path).exists()
