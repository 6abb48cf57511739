"""A run's scores on a store: what evaluation starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..pipeline.errors import CamoeError
from ..pipeline.store import FeatureStore, StoreSettings
from ..pipeline.store.schema import FULL
from ..pipeline.store.strings import take_texts
from .data import Features, load_features, resolve_device, resolve_protocol
from .names import AUTO
from .residence import choose_residence
from .run_folder import Run
from .scorer import Scorer
from .validation import score_matrix

UNKNOWN = "imported"
"""What an imported store says of what it does not know, such as the hash of the model's weights."""


@dataclass(frozen=True)
class Scores:
    """`similarity (M, N)` float32 in logit units: captions in the store's order, videos sorted by id.

    `video_of_caption (M,)` int64 is the column of each caption's own video, -1 where that video is not among the
    columns (training captions against the test gallery). `video_ids` name the columns, `caption_ids` and
    `caption_video_ids` the rows (a caption's id is unique within its video).
    """

    similarity: np.ndarray
    caption_ids: list[str]
    caption_video_ids: list[str]
    video_ids: list[str]
    video_of_caption: np.ndarray


class ModelScorer:
    """A model and loaded features, of which `missing_captions` of `subset` have no video."""

    def __init__(self, model: Scorer, features: Features, store: FeatureStore, *, subset: str = "test") -> None:
        self.model, self.features, self.protocol = model.eval(), features, features.protocol
        self.shortfall: dict = store.shortfall.get(self.protocol, {})
        self.missing_captions = features.missing[subset]
        self._caption_video_ids = store.caption_video_ids

    def score(self, *, texts: str = "test", videos: str = "test") -> Scores:
        """The captions of subset `texts` against the videos of subset `videos`.

        `texts="train", videos="test"` is the query bank of text-to-video, `texts="test", videos="train"`, transposed,
        that of video-to-text. Raises `CamoeError` for an empty subset.
        """
        captions, gallery = self.features.captions_of(texts), self.features.videos_of(videos)
        for subset, found in ((texts, captions), (videos, gallery)):
            if not len(found):
                raise CamoeError(
                    f"protocol {self.protocol} has no {subset} captions with features; name another --subset"
                )
        similarity = score_matrix(self.model, self.features, captions, gallery)
        place = torch.full((len(self.features.video_ids),), -1, dtype=torch.int64, device=gallery.device)
        place[gallery] = torch.arange(len(gallery), device=gallery.device)
        rows = captions.cpu().numpy()
        return Scores(
            similarity=similarity.cpu().numpy(),
            caption_ids=list(take_texts(self.features.caption_ids, rows)),
            caption_video_ids=list(take_texts(self._caption_video_ids, rows)),
            video_ids=list(take_texts(self.features.video_ids, gallery.cpu().numpy())),
            video_of_caption=place[self.features.video_of_caption[captions]].cpu().numpy(),
        )


class RunScorer(ModelScorer):
    """A run's model with the features of a store, which may be another store than it was trained on.

    `missing_captions` counts those of `subset` whose video has no features: raises `CamoeError` where there are any and
    `allow_missing` is not set, where the features are another CLIP's, or where the store lacks the run's streams.
    `residence` says where the features went, as `resident` asked.
    """

    def __init__(
        self,
        run: Run,
        store: FeatureStore,
        *,
        protocol: str | None = None,
        subset: str = "test",
        allow_missing: bool = False,
        device: str = "auto",
        resident: str = AUTO,
    ) -> None:
        check_same_clip(run, store)
        target = resolve_device(device)
        wanted = resolve_protocol(store, protocol or (run.protocol if run.protocol in store.protocols else None))
        facts = run.config.facts
        self.residence = choose_residence(
            store, resident, run.config.strategies.items(), words=facts.words, device=target
        )
        features = load_features(
            store,
            run.config.strategies,
            raw=facts.raw,
            words=facts.words,
            shuffle_seed=run.config.shuffle_seed,
            protocol=wanted,
            device=target,
            subsets=(subset,),
            held_out=run.held_out_videos if wanted == run.protocol else (),
            allow_missing=allow_missing,
            resident=self.residence.name,
        )
        check_length(run, features.frames.shape[1])
        check_words(run, features.shape.max_words)
        super().__init__(run.model.to(target), features, store, subset=subset)


def check_same_clip(run: Run, store: FeatureStore) -> None:
    """Raise `CamoeError` where the store's features are another CLIP's than the run's, or a stream is another one.

    A hash that says only `imported` identifies nothing: two such models are the same where their names agree. Streams
    that the run reads are compared where both definitions are known; a run of an earlier version recorded none.
    """
    trained, offered = run.record["store"], store.settings
    if not _same_model(trained, offered) or run.record["shape"]["embed_dim"] != offered.embed_dim:
        raise CamoeError(
            f"{run.path} was trained on features of {_model(trained['clip_model'], trained['clip_sha256'])}, the "
            f"store's are of {_model(offered.clip_model, offered.clip_sha256)}; extract them with the same CLIP"
        )
    mine, theirs = trained.get("streams") or {}, offered.streams or {}
    for stream, strategy in run.config.strategies.items():
        definitions = mine.get(stream), theirs.get(stream)
        if strategy == FULL or not all(definitions) or UNKNOWN in definitions or definitions[0] == definitions[1]:
            continue
        raise CamoeError(
            f"{run.path} was trained with the stream {stream} defined as {definitions[0]}, in the store it is "
            f"{definitions[1]}; extract its texts with the run's definition (--stream)"
        )


COMPARED = ("sampling", "fps", "max_frames", "tagger")
"""Settings of a store that may differ from those that a run was trained with, but are told beside the numbers."""


def made_otherwise(run: Run, store: FeatureStore) -> dict[str, tuple[object, object]]:
    """By setting, what the run was trained with and what the store has, where both are known and differ."""
    trained = run.record["store"]
    pairs = {name: (trained.get(name), getattr(store.settings, name)) for name in COMPARED}
    return {name: pair for name, pair in pairs.items() if None not in pair and pair[0] != pair[1]}


def _same_model(trained: dict[str, Any], offered: StoreSettings) -> bool:
    same_hash = trained["clip_sha256"] == offered.clip_sha256
    return same_hash and (offered.clip_sha256 != UNKNOWN or trained["clip_model"] == offered.clip_model)


def _model(name: str, sha256: str) -> str:
    return f"{name} ({sha256[:12]})"


def check_length(run: Run, offered: int) -> None:
    """Raise `CamoeError` when the store has more frames a video, `offered`, than the run was trained on."""
    trained = run.record["shape"]["max_frames"]
    if offered > trained:
        raise CamoeError(
            f"{run.path} was trained on at most {trained} frames a video, the store has {offered}; "
            f"extract it with --max-frames {trained}"
        )


def check_words(run: Run, offered: int) -> None:
    """Raise `CamoeError` where a model that fixes the length of captions was trained on shorter ones than `offered`."""
    trained = run.record["shape"]["max_words"]
    if run.config.facts.fixes_words and offered > trained:
        raise CamoeError(
            f"{run.path} was trained on captions of at most {trained} tokens, the store's longest has {offered}; "
            "shorten that caption, or train anew"
        )
