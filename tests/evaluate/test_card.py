"""A run's model card after its evaluations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from camoe.evaluate.config import EvaluateConfig
from camoe.evaluate.run import evaluate
from camoe.train.card import CARD, YOURS

Maker = Callable[..., Path]


@pytest.fixture
def run(store_maker: Maker, run_maker: Maker) -> Path:
    eye = np.eye(4)[:3]
    return run_maker("run", store_maker("s.h5", eye, eye, [0, 1, 2], ["test"] * 3, shortfall={"missing_videos": 2}))


def test_a_card_has_every_evaluation_raw_first(run: Path) -> None:
    evaluate(EvaluateConfig(run=run, rerank=("none", "dsl"), cost=True))
    evaluate(EvaluateConfig(run=run, rerank="none", v2t="ce"))
    text = (run / CARD).read_text()
    table = text.partition("### test of s, protocol own\n\n")[2].splitlines()
    assert table[0].startswith("| re-ranking | T2V R@1 | T2V R@5 |")
    assert table[2].startswith("| raw | 100.0 | 100.0 |")
    assert "video to text as ce" in text
    assert "dsl" not in text
    evaluate(EvaluateConfig(run=run, rerank=("none", "dsl"), cost=True))
    text = (run / CARD).read_text()
    assert text.partition("| raw |")[2].splitlines()[1].startswith("| dsl \\* | 100.0")
    for line in (
        "- \\* needs all queries at once (transductive)",
        "- TOO FEW: 3 test videos",
        "- INCOMPLETE: this copy of the data set has 2 videos not found",
        "| a search | 8 bytes a video in an index |",
        "ms a query over 1,000 videos |",
        f"camoe-evaluate --run {run} --protocol own --subset test --rerank none,dsl --v2t c4c\n",
    ):
        assert line in text
    assert "Not evaluated" not in text


def test_what_the_user_wrote_is_kept(run: Path) -> None:
    card = run / CARD
    card.write_text(card.read_text().partition(YOURS)[0] + YOURS + "\n\nCC BY 4.0, ü\n")
    evaluate(EvaluateConfig(run=run, rerank="none"))
    assert card.read_text().endswith(YOURS + "\n\nCC BY 4.0, ü\n")
    assert "### test of s" in card.read_text()


def test_a_card_that_is_the_users_is_left_alone(run: Path) -> None:
    (run / CARD).write_text("mine")
    said: list[str] = []
    evaluate(EvaluateConfig(run=run, rerank="none"), said.append)
    assert (run / CARD).read_text() == "mine"
    assert said == [f"{run / CARD} has no line {YOURS!r} any more and is left as it is"]


def test_a_run_without_a_card_gets_one(run: Path) -> None:
    (run / CARD).unlink()
    (run / "evaluation").mkdir()
    (run / "evaluation" / "damaged.json").write_text("{")
    evaluate(EvaluateConfig(run=run, rerank="none"))
    assert "### test of s" in (run / CARD).read_text()
