"""Reports of runs that a search refuses or reads otherwise: EMCL, and models that compare words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from camoe.evaluate.report.examples import frame_scores
from camoe.extract.config import ExtractConfig
from camoe.extract.run import extract
from camoe.train.config import TrainConfig
from camoe.train.loop import fit

LEFT_OUT = "Those of single frames leave EMCL out"


def test_a_run_with_emcl_has_a_report_whose_frames_are_compared_without_it(
    world: Any, make_report: Any, open_material: Any, one: Any, tmp_path: Path
) -> None:
    shared: dict[str, Any] = {"features": (str(world.store),), "device": "cpu", "model": "zero-shot"}
    run, plain = (fit(TrainConfig(out=tmp_path / name, emcl=name == "emcl", **shared)) for name in ("emcl", "plain"))
    text = make_report(tmp_path / "page", run, pictures=False).text
    assert LEFT_OUT in text
    assert LEFT_OUT not in one.text
    material, other = (open_material(path) for path in (run, plain))
    found, expected = (frame_scores(each, 0, each.video_ids[:2]) for each in (material, other))
    np.testing.assert_allclose(found, expected)
    assert material.ranked.scored.similarity.tolist() != other.ranked.scored.similarity.tolist()


def test_a_run_that_compares_words_has_a_report(world: Any, make_report: Any, tmp_path: Path) -> None:
    store = tmp_path / "tokens.h5"
    extract(
        ExtractConfig(
            videos=world.videos, captions=world.videos.parent / "captions.csv", out=store, clip="tiny", fps=4.0,
            precision="fp32", device="cpu", tokens=True,
        )
    )  # fmt: skip
    run = fit(
        TrainConfig(features=(str(store),), out=tmp_path / "run", model="wti", streams=("fusion",), epochs=1,
                    device="cpu", threads=1)
    )  # fmt: skip
    text = make_report(tmp_path / "page", run, pictures=False).text
    assert len(re.findall(r'<ol class="found">', text)) >= 6
    assert "nan" not in re.findall(r'<div class="strip".*?</div>', text, re.DOTALL)[0]
