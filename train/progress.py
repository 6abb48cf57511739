"""What a training run tells while it goes."""

from __future__ import annotations

from typing import Any

from ..pipeline.progress import Bar


class Progress(Bar):
    """Steps of `epochs · steps`, of which `done` epochs were taken before."""

    def __init__(self, epochs: int, steps: int, done: int) -> None:
        super().__init__(epochs * steps, "step", done=done * steps)
        self.epochs = epochs

    def epoch(self, row: dict[str, Any], best: float) -> None:
        """An epoch has ended with these metrics; `best` is the best R@1 so far."""
        text = f"epoch {row['epoch']}/{self.epochs}, loss {row['loss']:.3f}, val R@1 {row['R@1']:.1f}, best {best:.1f}"
        self.show(before=f"{text}: ")
        self.draw()
        self.tell(text)
