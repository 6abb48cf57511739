"""Stores of random features, for what costs the same whatever the numbers are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from camoe.pipeline.store import Captions, Shard, StoreSettings, TextTable, Videos, write_shard
from camoe.pipeline.store.schema import TEST, TRAIN, VAL, TokenTable

WIDTH, FRAMES = 512, 12
STREAMS = {"fusion": "full", "entity": "muw", "action": "muw"}


def made_up_settings(width: int = WIDTH, frames: int = FRAMES, sha256: str = "0" * 64) -> StoreSettings:
    """Of a store whose frames were sampled once a second."""
    return StoreSettings(
        clip_model="random",
        clip_sha256=sha256,
        clip_logit_scale=100.0,
        embed_dim=width,
        precision="fp16",
        fps=1.0,
        max_frames=frames,
        sampling="uniform",
    )


def made_up_videos(ids: Sequence[str], frames: np.ndarray) -> Videos:
    """Sound videos with `frames (N, T, D)`, one a second, all of them valid."""
    count, length = frames.shape[:2]
    return Videos(
        id=list(ids),
        source=[f"{name}.mp4" for name in ids],
        source_size=np.ones(count, np.int64),
        source_mtime=np.ones(count),
        duration_s=np.full(count, float(length)),
        status=["ok"] * count,
        frame_count=np.full(count, length),
        frames=frames.astype(np.float16, copy=False),
        frame_time_s=np.tile(np.arange(length, dtype=np.float32), (count, 1)),
    )


def made_up_texts(sentences: Sequence[str], draw: np.random.Generator, width: int = WIDTH) -> TextTable:
    """A random embedding for each sentence, which one caption has."""
    embedding = draw.standard_normal((len(sentences), width), np.float32).astype(np.float16)
    return TextTable(list(sentences), embedding, np.arange(len(sentences)))


def make_store(
    path: Path,
    videos: int,
    *,
    captions_each: int,
    width: int = WIDTH,
    frames: int = FRAMES,
    held: int = 0,
    words: int = 0,
    streams: dict[str, str] = STREAMS,
    first: int = 0,
) -> None:
    """One file in which every caption has a sentence of its own in every stream, the most that a store can hold.

    All videos train but the last `2 * held`, of which half validate and half test. With `words`, each whole caption has
    as many word tokens. `first` numbers the first video.
    """
    draw = np.random.default_rng(first)
    ids = [f"video{index:07d}" for index in range(first, first + videos)]
    owner = np.repeat(np.arange(videos), captions_each)
    names = [f"{first * captions_each + index:07d}" for index in range(len(owner))]
    subset = np.full(videos, TRAIN, np.uint8)
    subset[videos - 2 * held :], subset[videos - held :] = VAL, TEST
    values = draw.standard_normal((videos, frames, width), np.float32)
    shard = Shard(
        settings=made_up_settings(width, frames),
        videos=made_up_videos(ids, values),
        captions=Captions(
            id=names, video_id=[ids[video] for video in owner], text=names, protocols={"own": subset[owner]}
        ),
        texts={(strategy, stream): made_up_texts(names, draw, width) for stream, strategy in streams.items()},
        tokens=_tokens(names, words, width, draw) if words else None,
    )
    write_shard(path, shard)


def _tokens(names: list[str], words: int, width: int, draw: np.random.Generator) -> TokenTable:
    embedding = draw.standard_normal((len(names) * words, width), np.float32).astype(np.float16)
    return TokenTable(names, np.arange(len(names) + 1) * words, embedding, np.arange(len(names)))
