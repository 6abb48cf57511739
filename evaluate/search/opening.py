"""What a search stands on, read and held against each other: a run or none, a store, its videos, maybe an index."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from ...pipeline.errors import CamoeError
from ...pipeline.store import FeatureStore
from ...pipeline.store.reader import StorePaths
from ...pipeline.store.video_index import VideoIndex
from ...train.config import TrainConfig
from ...train.data import resolve_device
from ...train.run_folder import Run, load_run
from ...train.scoring import check_length, check_same_clip
from .gallery import Gallery, load_gallery, subset_rows
from .ranker import Ranker
from .zero_shot import zero_shot_config, zero_shot_model


@dataclass(frozen=True)
class Opened:
    """`run` is none for zero-shot; `paths` is what the store was opened by; `strategies` maps streams to strategies."""

    run: Run | None
    store: FeatureStore
    paths: StorePaths
    gallery: Gallery
    ranker: Ranker
    strategies: dict[str, str]


def open_ranker(
    run: str | PathLike[str] | None,
    features: StorePaths | None,
    *,
    device: str,
    subset: str | None,
    protocol: str | None,
    index: str | PathLike[str] | None,
    without_emcl: bool,
) -> Opened:
    """The arguments are those of `Searcher.open`; raises `CamoeError` where something is missing or does not fit."""
    if run is None and not features:
        raise CamoeError("nothing to search: give --run RUN, or --features STORE for zero-shot")
    loaded = None if run is None else load_run(run)
    if loaded is not None:
        _leave_emcl(loaded, allowed=without_emcl)
    paths = features or (loaded.features if loaded else ())
    store = FeatureStore.open(paths)
    found = _open_index(index, store, subset)
    target = resolve_device(device)
    if loaded is not None:
        check_same_clip(loaded, store)
    config = loaded.config if loaded else zero_shot_config(store)
    gallery = _load_gallery(store, loaded, config, subset, protocol, on_disk=found is not None)
    model = loaded.model if loaded else zero_shot_model(config, store, gallery)
    ranker = Ranker(model, gallery, device=target, raw=config.facts.raw, nearest=found.nearest if found else None)
    return Opened(loaded, store, paths, gallery, ranker, config.strategies)


def _leave_emcl(run: Run, *, allowed: bool) -> None:
    """Take EMCL off a run's model; raises `CamoeError` if not `allowed`, as its scores are others then."""
    if run.config.emcl and not allowed:
        raise CamoeError(
            f"{run.path} was trained with --emcl, which needs all queries at once, and a search has one; "
            "search with a run without it"
        )
    run.model.emcl = None


def _open_index(index: str | PathLike[str] | None, store: FeatureStore, subset: str | None) -> VideoIndex | None:
    if index is None:
        return None
    if subset is not None:
        raise CamoeError("--index is of all videos of a store, and --subset wants some; leave one of them out")
    return VideoIndex.open(Path(index), store)


def _load_gallery(
    store: FeatureStore,
    run: Run | None,
    config: TrainConfig,
    subset: str | None,
    protocol: str | None,
    *,
    on_disk: bool,
) -> Gallery:
    seed = config.seed if config.shuffle_frames else None
    if subset is None:
        gallery = load_gallery(store, shuffle_seed=seed, on_disk=on_disk)
    else:
        own = run is not None and run.protocol in store.protocols
        name = protocol or (run.protocol if run is not None and own else None)
        held_out = run.held_out_videos if run is not None and name == run.protocol else []
        gallery = load_gallery(store, subset_rows(store, subset, name, held_out), shuffle_seed=seed)
    if run is not None:
        check_length(run, gallery.max_frames)
    return gallery
