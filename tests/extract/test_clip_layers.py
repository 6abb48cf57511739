"""`--clip-layers` puts the text tower's first layers beside the store, whole and unrounded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.pipeline.clip_layers import find_layers, layers_path
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore


def captions_only(tmp_path: Path, out: str, layers: int) -> ExtractConfig:
    captions = tmp_path / "captions.csv"
    captions.write_text("video_id,caption\n" + "".join(f"v{row},a red circle {row}\n" for row in range(6)))
    return ExtractConfig(captions=captions, out=tmp_path / out, clip="tiny", device="cpu", clip_layers=layers)


@pytest.mark.parametrize(("out", "beside"), [("s.h5", "s.clip-layers.safetensors"), ("s", "s/clip-layers.safetensors")])
def test_the_layers_are_clips(tmp_path: Path, out: str, beside: str) -> None:
    config = captions_only(tmp_path, out, 2)
    extract(config)
    sha256 = FeatureStore.open(config.store).settings.clip_sha256

    layers = find_layers([config.store], clip_sha256=sha256)

    assert layers_path(config.store) == tmp_path / beside
    model = ClipEncoder.load("tiny", "cpu", "fp32").model
    assert layers is not None
    assert torch.equal(layers["positional_embedding"], model.positional_embedding.float())
    for name, value in model.transformer.resblocks.state_dict().items():
        assert torch.equal(layers[f"resblocks.{name}"], value.float())


def test_without_the_option_there_are_none(tmp_path: Path) -> None:
    config = captions_only(tmp_path, "s.h5", 0)
    extract(config)
    assert find_layers([config.store], clip_sha256="x") is None


def test_more_layers_than_there_are(tmp_path: Path) -> None:
    with pytest.raises(CamoeError, match="--clip-layers 9: the text tower of tiny has 2 layers"):
        extract(captions_only(tmp_path, "s.h5", 9))
    assert not (tmp_path / "s.h5").exists()
