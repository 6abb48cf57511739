"""The samples of CONTRIBUTING.md are real: each is run in the place that the page names for it."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from camoe.extract.datasets import VideoFile
from camoe.pipeline.reranking.kinds import ALL_QUERIES, RERANKINGS, RerankingKind
from camoe.pipeline.reranking.table import RERANKERS, rerank
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
    engines = pytest.importorskip("camoe.pipeline.engines")
    engine = sample("An engine", "camoe.pipeline.engines")["ThreadEngine"]()
    local = importlib.import_module("camoe.pipeline.engines.local").LocalEngine()
    assert sorted(engine.run(Doubler, tasks)) == sorted(local.run(Doubler, tasks)), engines


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:docs|extract|train|evaluate|tests)/[\w/.-]+\.(?:py|md))`", PAGE)))
)
def test_the_files_that_it_names_are_there(path: str) -> None:
    if "mine" not in path:
        assert (Path(__file__).parents[1] / path).exists()
