from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from camoe.evaluate.cli import main
from camoe.evaluate.golden import CHECKS, golden_check
from camoe.pipeline.errors import CamoeError

Maker = Callable[..., Path]
CHECK = CHECKS["msrvtt-1ka"]
KNOWN = {"clip_sha256": CHECK.clip_sha256, "protocol": "msrvtt-1ka-9k", "captions": 1}


def test_what_is_published() -> None:
    assert CHECK.published == {"R@1": 31.2, "R@5": 53.7, "R@10": 64.2}
    assert CHECK.clip_sha256 == "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"


def test_whose_numbers_they_are_is_said(random_store_maker: Maker) -> None:
    store = random_store_maker("s.h5", {"test": 3}, **KNOWN)
    text = golden_check("msrvtt-1ka", (str(store),)).render()
    assert "published: A Straightforward Framework For Video Retrieval Using CLIP (arXiv 2102.12443)" in text
    assert "CLIP4Clip's frames and mean pooling (arXiv 2104.08860), for which others quote 30.6/54.4/64.3" in text
    assert "TOO FEW: 3 test videos" in text


def test_a_store_that_is_off_says_where_to_look(random_store_maker: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    shortfall = {"expected": {}, "found": {}, "missing_videos": 1, "first_missing": ["v1"], "missing_files": []}
    store = random_store_maker("s.h5", {"train": 2, "test": 20}, noise=0.1, shortfall=shortfall, **KNOWN)
    assert main(["--check", "msrvtt-1ka", "--features", str(store)], standalone_mode=False) == 3
    out = capsys.readouterr().out
    assert "msrvtt-1ka: zero-shot text to video on s, 20 captions" in out
    assert "R@1          31.2     100.0       +68.8" in out
    assert "FAIL: more than 1.5 points off" in out
    assert "look at: the test list, 20 captions instead of 1000" in out
    assert "look at: missing videos" in out
    assert "look at: sampling, uniform instead of clip4clip" in out
    assert "max_frames" not in out
    assert [path.name for path in store.parent.iterdir()] == ["s.h5"]


def test_a_store_within_the_tolerance_passes(
    random_store_maker: Maker, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = random_store_maker("s.h5", {"test": 60}, **KNOWN)
    measured = golden_check("msrvtt-1ka", (str(store),)).measured
    assert 0 < measured["R@1"] < 100
    for offset, passed in ((1.4, True), (-1.4, True), (1.6, False)):
        published = {name: measured[name] + offset for name in CHECK.published}
        monkeypatch.setitem(CHECKS, "msrvtt-1ka", replace(CHECK, published=published))
        result = golden_check("msrvtt-1ka", (str(store),))
        assert result.passed is passed
        assert result.render().splitlines()[-1].startswith("PASS") is passed
    monkeypatch.setitem(CHECKS, "msrvtt-1ka", replace(CHECK, published={"R@1": measured["R@1"]}))
    assert main(["--check", "msrvtt-1ka", "--features", str(store)], standalone_mode=False) == 0
    assert "PASS: within 1.5 points" in capsys.readouterr().out


def test_another_clip_or_data_set_is_refused(random_store_maker: Maker) -> None:
    other_clip = random_store_maker("a.h5", {"test": 4}, protocol="msrvtt-1ka-9k")
    other_data = random_store_maker("b.h5", {"test": 4}, clip_sha256=CHECK.clip_sha256)
    with pytest.raises(CamoeError, match=r"about ViT-B/32 \(SHA-256 40d36571.*are of made-up \(abab"):
        golden_check("msrvtt-1ka", (str(other_clip),))
    with pytest.raises(CamoeError, match="needs protocol msrvtt-1ka-9k or msrvtt-1ka-7k, the store has own"):
        golden_check("msrvtt-1ka", (str(other_data),))
