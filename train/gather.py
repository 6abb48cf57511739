"""Batches of features that are not on the device, fetched ahead of the steps that take them."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from .data import Features, StreamTexts
from .kept import Carried, Carrier, Kept, KeptFrames, ahead
from .words import WordTokens

Batch = tuple[Sequence[Features], torch.Tensor]


def batches(features: Sequence[Features], captions: torch.Tensor) -> Generator[Batch, None, None]:
    """What each step of `captions (steps, members, K, B)` takes: its features, and the rows of its captions in them.

    `features` are one for each member, over the same videos. Those on the device are given as they are. Of others, a
    step gets what it reads, on the device, fetched while the steps before it are taken; nothing else is in them.
    """
    first = features[0]
    if isinstance(first.frames, torch.Tensor):
        for step in captions.to(first.device):
            yield features, step
        return
    fetching = _Fetching(features, first.frames, captions)
    for step in ahead(fetching.fetch, range(len(captions))):
        yield fetching.finished(step), fetching.rows


@dataclass(frozen=True)
class _Asked:
    """What a step reads of one source: `rows (steps, captions)`, for the captions at `places` of a step's `count`."""

    rows: np.ndarray
    places: np.ndarray
    count: int

    @classmethod
    def of(cls, row: torch.Tensor, captions: torch.Tensor, members: list[int]) -> _Asked:
        """`row (M,)` looked up for `captions (steps, members, K · B)`."""
        _, count, size = captions.shape
        found = row[captions[:, members].flatten(1).to(row.device)].cpu().numpy()
        return cls(found, np.arange(count * size).reshape(count, size)[members].ravel(), count * size)

    def once(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Each row of a step once, ascending, and for each of its captions the place among them."""
        used, inverse = np.unique(self.rows[step], return_inverse=True)
        place = np.zeros(self.count, np.int64)
        place[self.places] = inverse
        return used, place


class _Fetching:
    """An epoch's batches; `rows (members, K, B)` are the captions of any of them, which are numbered anew."""

    def __init__(self, features: Sequence[Features], frames: KeptFrames, captions: torch.Tensor) -> None:
        self.features, self.frames = list(features), frames
        self.carrier = Carrier(frames.device)
        self.rows = torch.arange(captions[0].numel(), device=frames.device).view(captions.shape[1:])
        flat = captions.flatten(2)
        everyone = list(range(len(features)))
        self.videos = _Asked.of(features[0].video_of_caption, flat, everyone)
        self.tables = {id(table): table for own in features for table in own.texts}
        self.sentences = {
            key: _Asked.of(table.row, flat, [place for place, own in enumerate(features) if _reads(own, table)])
            for key, table in self.tables.items()
        }
        self.words = features[0].words
        if self.words is not None:
            self.tokens = _Asked.of(self.words.row, flat, everyone)
            self.lengths = self.words.offsets.diff().cpu().numpy()

    def fetch(self, step: int) -> Carried:
        """In the order in which `finished` takes them."""
        videos, place = self.videos.once(step)
        found = [self.frames.rows[videos], videos, place]
        for key, table in self.tables.items():
            sentences, place = self.sentences[key].once(step)
            found += [_kept(table.embedding).rows[sentences], place]
        if self.words is not None:
            tokens, place = self.tokens.once(step)
            offsets = np.concatenate([[0], self.lengths[tokens].cumsum()])
            found += [_kept(self.words.values).rows[tokens], offsets, place]
        return self.carrier.carry(found)

    def finished(self, step: Carried) -> list[Features]:
        """Every member's features of the step."""
        arrived = iter(step.arrived())
        frames, videos, owner = next(arrived), next(arrived), next(arrived)
        frames, mask = self.frames.finish_frames(frames, videos), self.frames.mask[videos]
        texts = {
            key: StreamTexts(_kept(table.embedding).finish(next(arrived)), next(arrived))
            for key, table in self.tables.items()
        }
        words: WordTokens | None = None
        if self.words is not None:
            words = replace(self.words, values=next(arrived), offsets=next(arrived), row=next(arrived))
        return [
            replace(
                own,
                frames=frames,
                mask=mask,
                texts=[texts[id(table)] for table in own.texts],
                video_of_caption=owner,
                words=words,
            )
            for own in self.features
        ]


def _reads(features: Features, table: StreamTexts) -> bool:
    return any(own is table for own in features.texts)


def _kept(values: torch.Tensor | Kept) -> Kept:
    assert isinstance(values, Kept)
    return values
