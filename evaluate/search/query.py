"""What is searched for, encoded: a text or a video, and what is subtracted from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from .phrases import length_of
from .records import Reading


@dataclass(frozen=True)
class Part:
    """One thing that is searched for, or subtracted: `texts (S, 1, D)` as the tower gave them (`with_words` of them
    for a model that reads words), or the vectors `videos (S, 1, D)` of a video and its pooled `clip (D,)`; `weight` is
    1, or that of what is subtracted."""

    weight: float
    texts: torch.Tensor | None = None
    videos: torch.Tensor | None = None
    clip: torch.Tensor | None = None
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Query:
    """What is searched for, encoded: `score` and `frame_scores` take it.

    `own_row`: of a video of the gallery its row, so that it is not among its own results.
    """

    parts: tuple[Part, ...]
    own_row: int | None = None

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The words of what is searched for as each stream reads them; none where that is a video."""
        return self.parts[0].readings

    @property
    def length(self) -> int | None:
        """How many words are searched for, articles left out; none where they are not known."""
        return length_of(self.readings[0].words) if self.readings else None
