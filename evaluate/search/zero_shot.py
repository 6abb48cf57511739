"""What stands in for a run where none is named: CLIP itself, with the streams that the store can tell."""

from __future__ import annotations

from ...pipeline.store import FeatureStore
from ...pipeline.store.schema import FULL, FUSION
from ...train.config import TrainConfig
from ...train.model import FeatureShape, build_model
from ...train.scorer import Scorer
from .gallery import Gallery

STREAMS = {FUSION: FULL, "entity": "muw", "action": "muw"}
"""What zero-shot reads of a store without captions; the fusion stream alone counts unless weights are given."""


def zero_shot_config(store: FeatureStore) -> TrainConfig:
    """Whole queries count; the other streams that the store can tell are there to be weighed."""
    strategies = _stored_strategies(store) if store.has_captions else STREAMS
    return TrainConfig(
        features=("store",),
        model="zero-shot",
        streams=tuple(strategies),
        strategy=tuple(f"{stream}={strategy}" for stream, strategy in strategies.items() if stream != FUSION)
        or ("muw",),
        stream_weights=tuple(float(stream == FUSION) for stream in strategies),
    )


def zero_shot_model(config: TrainConfig, store: FeatureStore, gallery: Gallery) -> Scorer:
    """The model of `zero_shot_config`, which has nothing to learn, for a store's videos."""
    shape = FeatureShape(store.settings.embed_dim, gallery.max_frames, float(store.settings.clip_logit_scale))
    return build_model(config.recipe, shape).eval()


def _stored_strategies(store: FeatureStore) -> dict[str, str]:
    """The streams of the store's texts, each by one strategy: muw where it is there."""
    found: dict[str, str] = {FUSION: FULL}
    for strategy, stream in sorted(store.text_names, key=lambda name: (name[0] != "muw", name)):
        if stream != FUSION:
            found.setdefault(stream, strategy)
    return found
