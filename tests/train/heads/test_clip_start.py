"""seqtransf starts from CLIP's text layers where they lie beside the store, and the run says which it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from camoe.pipeline.clip_layers import write_layers
from camoe.pipeline.errors import CamoeError
from camoe.train.config import TrainConfig
from camoe.train.heads.seqtransf import SeqTransf
from camoe.train.loop import fit
from camoe.train.model import FeatureShape, build_model
from camoe.train.run_folder import load_run

WIDTH = 16


def layers(width: int = WIDTH, count: int = 4) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    blocks = torch.nn.ModuleList(
        build_model(
            TrainConfig(features=("x",), model="seqtransf").recipe, FeatureShape(width, 4, 1.0)
        ).transformerClip.resblocks[place]  # type: ignore[union-attr, index]
        for place in range(count)
    )
    state = {f"resblocks.{name}": torch.randn_like(value) * 0.1 for name, value in blocks.state_dict().items()}
    return state | {"positional_embedding": torch.randn(77, width)}


@pytest.fixture
def store(store_maker: Callable[..., Path]) -> Path:
    return store_maker("own.h5", subsets={"train": 12, "val": 6, "test": 6})


def config(store: Path, out: Path, **changes: object) -> TrainConfig:
    values: dict = {"features": (str(store),), "out": out, "model": "seqtransf", "streams": "fusion", "epochs": 1}
    return TrainConfig(**(values | {"device": "cpu"} | changes))


def test_the_start_is_clips_where_it_can_be(store: Path, tmp_path: Path) -> None:
    state = layers()
    write_layers(store, state, clip_sha256="ab" * 32)
    run = load_run(fit(config(store, tmp_path / "run", learning_rate=1e-12)))
    assert run.record["start"] == "clip"
    assert run.title == "seqtransf"
    assert isinstance(run.model, SeqTransf)
    for name, value in run.model.transformerClip.state_dict().items():
        torch.testing.assert_close(value, state[name])
    torch.testing.assert_close(run.model.frame_position_embeddings.weight.data, state["positional_embedding"][:4])


def test_a_run_without_them_says_so(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from camoe.train.cli import main

    run = tmp_path / "run"
    arguments = ["--features", str(store), "--out", str(run), "--model", "seqtransf", "--epochs", "1"]
    assert main(arguments, standalone_mode=False) == 0
    assert load_run(run).title == "seqtransf (no CLIP init)"
    assert "seqtransf (no CLIP init)" in capsys.readouterr().out


def test_a_run_begun_without_them_does_not_go_on_with_them(store: Path, tmp_path: Path) -> None:
    fit(config(store, tmp_path / "run"))
    write_layers(store, layers(), clip_sha256="ab" * 32)
    with pytest.raises(CamoeError, match="was begun with start random, not clip"):
        fit(config(store, tmp_path / "run"), resume=True)


def test_layers_that_do_not_fit(store: Path, tmp_path: Path) -> None:
    write_layers(store, layers(32), clip_sha256="ab" * 32)
    with pytest.raises(CamoeError, match="which are 32 wide here while embeddings are 16; delete the file"):
        fit(config(store, tmp_path / "run"))
    write_layers(store, layers(count=2), clip_sha256="ab" * 32)
    with pytest.raises(CamoeError, match=r"lacks resblocks.2.* camoe-extract --clip-layers 4"):
        fit(config(store, tmp_path / "run"))
    assert not (tmp_path / "run").exists()
