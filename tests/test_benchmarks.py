"""The benchmarks' own logic; what they measure is not tested, and no time is."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from camoe.pipeline.store import FeatureStore

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def everything(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    import everything

    return everything


def test_an_aim_is_about_the_ratio_or_else_about_our_own_number(everything: ModuleType) -> None:
    figure = everything.Figure
    faster = figure("text", 260.0, "captions/s", plain=24.0, ratio=10.83, least=12.0)
    assert (faster.aim, faster.held) == ("≥ 12x", False)
    assert everything.cells(faster) == ("text", "24.0 captions/s", "260 captions/s", "10.83x", "≥ 12x", "missed")
    help_ = figure("--help", 0.31, "s", most=0.5)
    assert (help_.aim, help_.held) == ("≤ 0.5 s", True)
    assert everything.cells(help_) == ("--help", "", "0.31 s", "", "≤ 0.5 s", "held")
    assert figure("open", 3.2, "s", 1.0, 3.2).held is None


def test_every_script_has_a_part_or_is_named_as_left_out(everything: ModuleType) -> None:
    scripts = {path.name for path in FOLDER.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")}
    assert everything.__doc__ is not None
    left_out = set(re.findall(r"`(\w+\.py)`", everything.__doc__.split("Not here:")[1]))
    assert {part.script for part in everything.PARTS.values()} | left_out | {"everything.py"} == scripts


def test_a_table_with_what_failed_and_what_took_too_long(
    everything: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each part is a script that is run as the real ones are; what was told before a part ended badly stays."""
    monkeypatch.setattr(everything, "HERE", tmp_path)
    start = f"import sys, time\nsys.path.append({str(FOLDER)!r})\nfrom figures import Figure, tell\n"
    for name, then in {"good": "", "bad": "sys.exit('no room left')", "slow": "time.sleep(60)"}.items():
        told = f"tell(sys.argv[-1], Figure({name!r} + ''.join(sys.argv[1:-2]), 2.0, 's', 4.0, 2.0, least=1.5))\n"
        (tmp_path / f"{name}.py").write_text(start + told + then)
    parts = {name: everything.Part(f"{name}.py", "--full", "--tiny", 20) for name in ("good", "bad")}
    monkeypatch.setattr(everything, "PARTS", {**parts, "slow": everything.Part("slow.py", "--full", "--tiny", 4)})
    options = argparse.Namespace(
        videos=None, captions=None, only="good,bad,slow", minutes=10.0, small=True, show=False, json=tmp_path / "told"
    )
    troubles = everything.measure(options, tmp_path)
    assert troubles == ["bad: failed; no room left", "slow: ended after 4 s"]
    shown = capsys.readouterr().out
    assert re.findall(r"^(\w+--tiny) +4.00 s +2.00 s +2.00x +≥ 1.5x +held$", shown, re.MULTILINE)[0] == "good--tiny"
    assert "3 of 3 aims held" in shown
    assert [figure.what for figure in everything.read(options.json)] == ["good--tiny", "bad--tiny", "slow--tiny"]


def test_a_made_up_store(everything: ModuleType, tmp_path: Path) -> None:
    from made_up_store import make_store

    make_store(tmp_path / "s.h5", 10, captions_each=2, width=8, frames=3, held=2, words=4, first=5)
    store = FeatureStore.open(tmp_path / "s.h5")
    assert store.video_ids[0] == "video0000005"
    assert store.frames().shape == (10, 3, 8)
    assert np.bincount(store.protocols["own"]).tolist() == [0, 12, 4, 4]
    assert store.text_table("muw", "action").embedding.shape == (20, 8)
    assert store.has_word_tokens
