from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from camoe.pipeline.store import Captions, Shard, StoreSettings, TextTable, TokenTable, Videos

DIM, FRAMES = 8, 4
ShardMaker = Callable[..., Shard]


def settings(**changes: object) -> StoreSettings:
    values: dict = {
        "clip_model": "ViT-B/32",
        "clip_sha256": "ab" * 32,
        "clip_logit_scale": 100.0,
        "embed_dim": DIM,
        "precision": "fp32",
        "fps": 1.0,
        "max_frames": FRAMES,
        "sampling": "uniform",
        "versions": {"camoe": "0"},
    }
    return StoreSettings(**(values | changes))


def videos(ids: Sequence[str], seed: int = 0) -> Videos:
    """Frames depend on the id and the seed only, so that stores can be cut anyhow and compared."""
    count = np.array([1 + len(video_id) % FRAMES for video_id in ids], np.int64)
    frames = np.zeros((len(ids), FRAMES, DIM), np.float16)
    times = np.full((len(ids), FRAMES), np.nan, np.float32)
    for row, video_id in enumerate(ids):
        draw = np.random.default_rng([seed, *video_id.encode("utf-8", "surrogatepass")])
        frames[row, : count[row]] = draw.normal(size=(count[row], DIM))
        times[row, : count[row]] = np.arange(count[row])
    return Videos(
        id=list(ids),
        source=[f"{video_id}.mp4" for video_id in ids],
        source_size=np.arange(len(ids), dtype=np.int64),
        source_mtime=np.linspace(1, 2, len(ids)),
        duration_s=np.full(len(ids), np.nan, np.float32),
        status=["damaged" if video_id.endswith("x") else "ok" for video_id in ids],
        frame_count=count,
        frames=frames,
        frame_time_s=times,
    )


def captions(keys: Sequence[tuple[str, str, str]]) -> Captions:
    """Of (video, caption, text); the subset depends on the video."""
    codes = np.array([len(video) % 4 for video, _, _ in keys], np.uint8)
    return Captions(
        id=[caption for _, caption, _ in keys],
        video_id=[video for video, _, _ in keys],
        text=[text for _, _, text in keys],
        protocols={"own": codes},
        shortfall={"own": {"missing": 2}},
    )


def table(sentences: Sequence[str], seed: int = 0) -> TextTable:
    """One sentence for each caption; equal sentences share a row."""
    distinct = list(dict.fromkeys(sentences))
    embedding = np.zeros((len(distinct), DIM), np.float16)
    for row, sentence in enumerate(distinct):
        draw = np.random.default_rng([seed, *sentence.encode("utf-8", "surrogatepass")])
        embedding[row] = draw.normal(size=DIM)
    return TextTable(distinct, embedding, np.array([distinct.index(text) for text in sentences], np.int64))


def tokens(sentences: Sequence[str], seed: int = 0) -> TokenTable:
    """Two to six tokens for each distinct sentence, which depend on it and the seed only."""
    distinct = list(dict.fromkeys(sentences))
    parts = []
    for sentence in distinct:
        draw = np.random.default_rng([seed, *sentence.encode("utf-8", "surrogatepass"), 1])
        parts.append(draw.normal(size=(2 + len(sentence) % 5, DIM)).astype(np.float16))
    offsets = np.cumsum([0, *map(len, parts)]).astype(np.int64)
    row = np.array([distinct.index(text) for text in sentences], np.int64)
    return TokenTable(distinct, offsets, np.concatenate([np.zeros((0, DIM), np.float16), *parts]), row)


def shard(
    video_ids: Sequence[str] | None = None,
    keys: Sequence[tuple[str, str, str]] | None = None,
    strategies: Sequence[str] = ("full", "muw"),
    has_tokens: bool = False,
    **changes: object,
) -> Shard:
    """Videos, captions `(video, caption, text)` read by `strategies` and with word tokens, or both."""
    texts = {}
    if keys is not None:
        whole = [text for _, _, text in keys]
        for strategy in strategies:
            if strategy == "full":
                texts["full", "fusion"] = table(whole)
            else:
                texts[strategy, "entity"] = table([f"{text[:3]} _" for text in whole], seed=1)
        changes = {
            "strategies": tuple(strategies),
            "streams": {"fusion": "everything", "entity": "NOUN"},
            "tagger": "hanta",
            "captions_sha256": "cd" * 32,
        } | changes
    notes = {"captions": len(keys or ()), "fell_back": 1, "truncated": 0, "kept_words": 3, "top_words": {"dog": 2}}
    return Shard(
        settings(**changes),
        videos=videos(video_ids) if video_ids is not None else None,
        captions=captions(keys) if keys is not None else None,
        texts=texts,
        tokens=tokens([text for _, _, text in keys]) if has_tokens and keys is not None else None,
        text_notes={"/".join(name): notes for name in texts},
    )


KEYS = [
    ("b", "1", "a dog runs"),
    ("a", "0", "a man rides a horse"),
    ("a", "1", "a dog runs"),
    ("ccc", "0", ""),
    ("ü", "0", "ein Hund läuft"),
]
IDS = ["b", "a", "ccc", "ü", "dx"]


@pytest.fixture(scope="session")
def make_shard() -> ShardMaker:
    """`make_shard(video_ids, keys, strategies, **settings)`; what is not given is the small example."""

    def make(video_ids: object = IDS, keys: object = KEYS, **changes: object) -> Shard:
        return shard(video_ids, keys, **changes)  # type: ignore[arg-type]

    return make
