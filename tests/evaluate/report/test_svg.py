"""Axes: round numbers, written alike."""

from __future__ import annotations

import pytest
from camoe.evaluate.report.svg import Axis, axis


@pytest.mark.parametrize(
    ("shown", "texts"),
    [
        (axis("loss", [0.85, 1.71]), ["0.75", "1.00", "1.25", "1.50", "1.75"]),
        (axis("percent", [0, 83.3], zero=True), ["0", "25", "50", "75", "100"]),
        (axis("videos", [0, 4200], zero=True), ["0", "2,000", "4,000", "6,000"]),
        (Axis("epoch", 0, 2, whole=True), ["0", "1", "2"]),
        (Axis("epoch", 0, 9, whole=True), ["0", "3", "6", "9"]),
        (Axis("rank", 0.8, 17.5, log=True), ["1", "2", "5", "10"]),
    ],
)
def test_ticks(shown: Axis, texts: list[str]) -> None:
    assert [text for _, text in shown.labelled] == texts
