"""Progress in a file and on a terminal."""

from __future__ import annotations

import io
import sys
import time

import pytest
from camoe.extract import progress
from camoe.extract.frames import FrameCounts


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_file_gets_a_line_now_and_then(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress.Bars().videos(100) as show:
        for done in range(1, 101):
            now[0] += 1.0
            show(FrameCounts(ok=done - done // 50, failed=done // 50, frames=10 * done))
    assert capsys.readouterr().err.splitlines() == [
        "videos: 30 of 100 after 30 s, 10 frames/s, 0 failed",
        "videos: 60 of 100 after 60 s, 10 frames/s, 1 failed",
        "videos: 90 of 100 after 90 s, 10 frames/s, 1 failed",
        "videos: 100 of 100 after 100 s, 10 frames/s, 2 failed",
    ]


def test_a_run_that_ends_early_says_how_far_it_came(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        with progress.Bars().captions(100) as show:
            show(40)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert capsys.readouterr().err == "captions: 40 of 100 after 0 s\n"


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.Bars().videos(2) as show:
        show(FrameCounts(ok=1, frames=10))
        show(FrameCounts(ok=2, frames=20))
    assert "\r" in screen.getvalue()
    assert "2/2" in screen.getvalue()
    assert "0 failed" in screen.getvalue()
