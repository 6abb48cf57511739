"""A head of another package: by an entry point for every command, or by `register_model` in a script."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from camoe.evaluate import EvaluateConfig, evaluate
from camoe.pipeline.errors import CamoeError
from camoe.train import ModelFacts, fit, load_run, names, register_model
from camoe.train.config import TrainConfig

HEAD = """
import torch
from camoe.train import Architecture, FeatureShape, Scorer, text_side


class LongestFrame(Scorer):
    \"\"\"A video is its longest frame, turned by a matrix that starts as the identity.\"\"\"

    def __init__(self, embed_dim, **side):
        super().__init__(**side)
        self.turn = torch.nn.Parameter(torch.eye(embed_dim))

    def encode_videos(self, frames, mask, dropout=None):
        longest = frames.norm(dim=-1).masked_fill(~mask, -1).argmax(dim=1)
        picked = frames[torch.arange(len(frames)), longest] @ self.turn.T
        return torch.nn.functional.normalize(picked, dim=-1).expand(len(self.text_heads), -1, -1)


def build(architecture: Architecture, shape: FeatureShape) -> Scorer:
    return LongestFrame(shape.embed_dim, **text_side(architecture, shape, text_head="none"))
"""
ENTRY = "from camoe.train.names import ModelFacts\n\nFACTS = ModelFacts('their_head:build', raw=True, stacks=False)\n"


@pytest.fixture
def their_package(tmp_path: Path) -> Path:
    """A folder as pip would install a package with a head into."""
    folder = tmp_path / "site"
    installed = folder / "their_package-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: their-package\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[camoe.models]\nlongest-frame = their_facts:FACTS\n")
    (folder / "their_head.py").write_text(HEAD)
    (folder / "their_facts.py").write_text(ENTRY)
    return folder


def test_an_installed_head_is_a_choice_of_the_commands(their_package: Path, store_path: Path, tmp_path: Path) -> None:
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "title: theirs\ngrid: {model: [meanp, longest-frame]}\nbase: {streams: fusion, epochs: 1}\nseeds: [0]\n"
    )
    shared = ["--features", str(store_path), "--device", "cpu"]
    train = ["--model", "longest-frame", "--epochs", "1", "--out", str(tmp_path / "run")]
    sweep = ["--grid", str(grid), "--out", str(tmp_path / "sweep"), "--workers", "1"]
    commands = {
        "camoe.train.cli": [*shared, *train],
        "camoe.evaluate.sweep.cli": [*shared, *sweep],
    }
    environment = os.environ | {"PYTHONPATH": str(their_package)}
    for module, arguments in commands.items():
        command = [sys.executable, "-c", f"from {module} import main; main()", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "longest-frame" in (tmp_path / "sweep" / "table.md").read_text()
    assert "longest-frame" in (tmp_path / "run" / "config.yaml").read_text()


def test_an_installed_head_that_cannot_be_loaded_is_left_out(their_package: Path) -> None:
    (their_package / "their_facts.py").write_text("import nothing_of_that_name")
    script = "from camoe.train.names import MODELS; print(*MODELS)"
    environment = os.environ | {"PYTHONPATH": str(their_package)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert "model longest-frame (their_facts:FACTS) is left out: No module named 'nothing_of_that_name'" in done.stderr
    assert {"camoe", "zero-shot"} <= set(done.stdout.split())
    assert "longest-frame" not in done.stdout


def test_a_registered_head_trains_and_is_evaluated(
    their_package: Path, quick: Callable[..., TrainConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "mine" not in names.MODELS  # and so looks for installed ones before theirs is on the path
    monkeypatch.syspath_prepend(str(their_package))
    register_model("mine", ModelFacts("their_head:build", raw=True, stacks=False))
    try:
        run = load_run(fit(quick(model="mine", epochs=2)))
        assert not torch.equal(run.model.state_dict()["turn"], torch.eye(16))
        assert evaluate(EvaluateConfig(run=run.path)).captions > 0
    finally:
        del names.MODELS["mine"]


def test_a_name_is_given_once() -> None:
    register_model("meanp", names.MODELS["meanp"])
    with pytest.raises(CamoeError, match="there is a model 'meanp' already; register yours under another name"):
        register_model("meanp", ModelFacts("their_head:build"))


def test_a_package_that_is_imported_first_gives_its_head_too(their_package: Path) -> None:
    script = "import their_facts; from camoe.train import names; print(names.MODELS['longest-frame'].build)"
    environment = os.environ | {"PYTHONPATH": str(their_package)}
    command = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "their_head:build\n", done.stderr
