"""Whatever a user searches by, made a query: a text, a caption of the store, a video of the gallery, or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from ...extract.reasons import FrameDecodeError
from ...pipeline.errors import CamoeError
from ...pipeline.store import FeatureStore
from ...train.data import load_texts
from ...train.run_folder import Run
from ...train.scoring import check_words
from ...train.words import WordTokens, with_words
from .query import Part, Query
from .query_text import QueryReader
from .query_video import embed_file
from .query_words import stored_words
from .ranker import Ranker, pooled
from .video_rows import VideoRows

WITHOUT_WEIGHT = -0.5
"""What is subtracted counts half, so that what is searched for still leads."""


@dataclass
class QueryMaker:
    """Encodes for `ranker`: texts by `reader`, captions of the `store` by `strategies` (stream -> strategy).

    `run` is none for zero-shot.
    """

    run: Run | None
    store: FeatureStore
    rows: VideoRows
    ranker: Ranker
    reader: QueryReader
    strategies: Mapping[str, str]

    def query(
        self, text: str | None = None, *, like: str | PathLike[str] | None = None, without: str | None = None
    ) -> Query:
        """A text or, by `like`, a video: the id of one that is searched, or a file; `without` is subtracted."""
        if text is None and like is None:
            raise CamoeError("nothing is searched for; give a text, or a video that others are like")
        if text is not None and like is not None:
            raise CamoeError("a text and a video that others are like are two searches; give one of them")
        if without is not None and not without.strip():
            raise CamoeError("the text that is subtracted is empty; say what should not be seen, or leave it out")
        wanted = self._text_part(text) if text is not None else self._video_part(like or "")
        parts = (wanted,) if without is None else (wanted, self._text_part(without, WITHOUT_WEIGHT))
        return Query(parts, own_row=None if like is None else self.rows.find(str(like)))

    def caption_query(self, caption: int) -> Query:
        """A caption of the store, by its row, from its stored embeddings: no text tower is needed."""
        return Query((Part(1, texts=self.captions([caption])),))

    @property
    def reads_words(self) -> bool:
        """Whether the model compares words, not only whole texts."""
        return self.run is not None and self.run.config.facts.words

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """`(S, M, D)` of texts as the tower gives them; with their words, where the model reads words."""
        sentences = self.reader.encode(texts)
        if self.run is None or not self.reads_words:
            return sentences
        room = self.run.record["shape"]["max_words"]
        words = self.reader.encode_words(texts, room)
        if self.run.config.facts.fixes_words and words.longest > room:
            raise CamoeError(
                f"the query has {words.longest} tokens and {self.run.path} was trained on at most {room}; shorten it"
            )
        return _joined(sentences, words)

    def captions(self, captions: Sequence[int]) -> torch.Tensor:
        """`(S, M, D)` of captions of the store, by their rows, as they were stored; with their words, where the model
        reads words: raises `CamoeError` then where the store lacks them, or they are too many for the model."""
        rows = torch.as_tensor(captions, dtype=torch.int64, device=self.ranker.device)
        sentences = torch.stack([table.embedding.index_select(0, table.row[rows]) for table in self._tables])
        if self.run is None or not self.reads_words:
            return sentences
        words = stored_words(self.store, np.asarray(captions, np.int64), self.ranker.device)
        check_words(self.run, words.longest)
        return _joined(sentences, words)

    @cached_property
    def _tables(self) -> list:
        return [
            load_texts(self.store, strategy, stream, self.ranker.device, raw=True)
            for stream, strategy in self.strategies.items()
        ]

    def frames(self, video: str | PathLike[str], option: str) -> tuple[torch.Tensor, torch.Tensor]:
        """`X (1, T, D)` and `mask (1, T)` of a video that is searched, by its id, or of a file.

        Raises `CamoeError`, naming the `option` that the video was given by, where it is neither.
        """
        if (row := self.rows.find(str(video))) is not None:
            return self.ranker.gallery.take(np.array([row]), self.ranker.device, raw=self.ranker.raw)
        path = Path(video)
        if not path.exists():
            remedy = self.rows.hint(str(video)) or "; give an id or a video file"
            raise CamoeError(f"{option} {path}: neither a video that is searched nor a file{remedy}")
        embedded = self.embed(path, option).to(self.ranker.device)
        if not self.ranker.raw:
            embedded = torch.nn.functional.normalize(embedded, dim=-1)
        return embedded.unsqueeze(0), torch.ones(1, len(embedded), dtype=torch.bool, device=self.ranker.device)

    def embed(self, path: Path, option: str = "") -> torch.Tensor:
        """The frame embeddings `(T, D)` of a video file; raises as `frames`."""
        try:
            return embed_file(path, self.store.settings, self.reader.tower)
        except FrameDecodeError as error:
            named = f"{option} {path}".strip()
            raise CamoeError(f"{named} cannot be searched by ({error.reason}); give another file, or an id") from None

    def _text_part(self, text: str, weight: float = 1.0) -> Part:
        return Part(weight, texts=self.texts([text]), readings=tuple(self.reader.read(text)))

    def _video_part(self, like: str | PathLike[str]) -> Part:
        frames, mask = self.frames(like, "--like")
        return Part(1, videos=self.ranker.encode_queries(frames, mask), clip=pooled(frames)[0])


def _joined(sentences: torch.Tensor, words: WordTokens) -> torch.Tensor:
    """`(S, M, D)` and the words of all `M` -> `with_words` of them."""
    rows = torch.arange(len(words.row), device=words.row.device)
    return with_words(sentences, *words.padded(rows, words.longest))
