"""A run's scores on a store: what evaluation starts from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..pipeline.errors import CamoeError
from ..pipeline.store import FeatureStore, StoreSettings
from .data import Features, load_features, resolve_device, resolve_protocol
from .run_folder import Run
from .validation import score_matrix

UNKNOWN_HASH = "imported"
"""What a store says of a model whose weights nobody has hashed."""


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


class RunScorer:
    """A run's model with the features of a store, which may be another store than it was trained on.

    `missing_captions` counts those of `subset` whose video has no features: raises `CamoeError` where there are any and
    `allow_missing` is not set, where the features are another CLIP's, or where the store lacks the run's streams.
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
    ) -> None:
        check_same_clip(run, store)
        target = resolve_device(device)
        wanted = resolve_protocol(store, protocol or (run.protocol if run.protocol in store.protocols else None))
        self.features: Features = load_features(
            store,
            run.config,
            protocol=wanted,
            device=target,
            subsets=(subset,),
            held_out=run.held_out_videos if wanted == run.protocol else (),
            allow_missing=allow_missing,
        )
        check_length(run, self.features.frames.shape[1])
        self.protocol = self.features.protocol
        self.shortfall: dict = store.shortfall.get(self.protocol, {})
        self.missing_captions = self.features.missing[subset]
        self.model = run.model.to(target)
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
        rows = captions.tolist()
        return Scores(
            similarity=similarity.cpu().numpy(),
            caption_ids=[self.features.caption_ids[row] for row in rows],
            caption_video_ids=[self._caption_video_ids[row] for row in rows],
            video_ids=[self.features.video_ids[row] for row in gallery.tolist()],
            video_of_caption=place[self.features.video_of_caption[captions]].cpu().numpy(),
        )


def check_same_clip(run: Run, store: FeatureStore) -> None:
    """Raise `CamoeError` where the store's features are another CLIP's than the run's, or a stream means something else.

    A hash that says only `imported` identifies nothing: two such models are the same where their names agree. What a
    run of an earlier version did not record is not compared.
    """
    trained, offered = run.record["store"], store.settings
    if not _same_model(trained, offered) or run.record["shape"]["embed_dim"] != offered.embed_dim:
        raise CamoeError(
            f"{run.path} was trained on features of {_model(trained['clip_model'], trained['clip_sha256'])}, the "
            f"store's are of {_model(offered.clip_model, offered.clip_sha256)}; extract them with the same CLIP"
        )
    mine, theirs = trained.get("streams") or {}, offered.streams or {}
    for stream in run.config.streams:
        if stream in mine and stream in theirs and mine[stream] != theirs[stream]:
            raise CamoeError(
                f"{run.path} was trained with the stream {stream} defined as {mine[stream]}, in the store it is "
                f"{theirs[stream]}; extract its texts with the same --streams"
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
    return same_hash and (offered.clip_sha256 != UNKNOWN_HASH or trained["clip_model"] == offered.clip_model)


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
