from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store import FeatureStore
from camoe.train.config import TrainConfig
from camoe.train.data import (
    BatchSampler,
    Features,
    hold_out_videos,
    load_features,
    resolve_device,
    resolve_protocol,
    shuffle_frames,
)
from camoe.train.model import FeatureShape
from hypothesis import given, settings
from hypothesis import strategies as st

CPU = torch.device("cpu")


def load(path: Path, *, allow_missing: bool = False, **changes: object) -> Features:
    config = TrainConfig(**({"features": str(path)} | changes))  # type: ignore[arg-type]
    return load_features(
        FeatureStore.open(path),
        config.strategies,
        shuffle_seed=config.shuffle_seed,
        protocol=None,
        device=CPU,
        allow_missing=allow_missing,
    )


def test_frames_and_sentences_are_normalised_and_padding_is_zero(store_path: Path) -> None:
    store, features = FeatureStore.open(store_path), load(store_path)
    assert features.frames.shape == (240, 4, 16)
    assert features.mask.sum(1).tolist() == store.frame_count.tolist()
    norms = features.frames.norm(dim=-1)
    torch.testing.assert_close(norms, features.mask.float(), rtol=1e-5, atol=1e-6)
    raw = store.frames()[7, 0].astype(np.float32)
    np.testing.assert_allclose(features.frames[7, 0], raw / np.linalg.norm(raw), rtol=1e-5)
    for stream in features.texts:
        torch.testing.assert_close(stream.embedding.norm(dim=-1), torch.ones(480), rtol=1e-5, atol=1e-5)
    assert features.shape == FeatureShape(embed_dim=16, max_frames=4, clip_logit_scale=20.0)


def test_captions_belong_to_their_videos(store_path: Path) -> None:
    store, features = FeatureStore.open(store_path), load(store_path)
    for caption in (0, 1, 100, 479):
        assert features.video_ids[features.video_of_caption[caption]] == store.caption_video_ids[caption]
    assert features.captions_of("test").tolist() == list(range(400, 480))
    assert features.videos_of("test").tolist() == list(range(200, 240))
    entity = store.text_table("muw", "entity")
    expected = entity.embedding[entity.row[5]].astype(np.float32)
    np.testing.assert_allclose(
        features.texts_of(torch.tensor([5]))[1, 0], expected / np.linalg.norm(expected), rtol=1e-5
    )


def test_captions_without_features_are_refused_unless_told(store_maker: Callable[..., Path]) -> None:
    path = store_maker(subsets={"train": 4, "val": 2, "test": 2}, without_features=("v0001", "v0004", "v0007"))
    message = (
        r"4 of 12 captions of protocol own belong to 2 videos without features \(first: v0001\); "
        r"leave these captions out with --allow-missing, or repair the videos .* with --retry-failed"
    )
    with pytest.raises(CamoeError, match=message):
        load(path)
    features = load(path, allow_missing=True)
    assert features.videos_of("train").tolist() == [0, 1, 2]
    assert [features.video_ids[row] for row in features.videos_of("train")] == ["v0000", "v0002", "v0003"]
    assert len(features.captions_of("train")) == 6
    assert features.video_of_caption[2:4].tolist() == [-1, -1]
    assert features.missing == {"train": 2, "val": 2, "test": 2}


def test_a_store_without_captions_is_named(store_maker: Callable[..., Path]) -> None:
    store = store_maker("frames.h5", subsets={"train": 4}, with_captions=False)
    with pytest.raises(CamoeError, match=r"frames.h5 holds no captions .* camoe-extract --captions FILE --into STORE"):
        load(store)


def test_a_store_of_whole_captions_says_how_to_train_on_them(store_maker: Callable[..., Path]) -> None:
    store = store_maker("whole.h5", subsets={"train": 4}, streams=("fusion",))
    message = (
        r"whole.h5 has no texts muw/entity; it has full/fusion; train on its whole captions with --streams fusion, or"
    )
    with pytest.raises(CamoeError, match=message):
        load(store)
    assert len(load(store, streams="fusion").texts) == 1


def test_same_text(store_path: Path) -> None:
    features = load(store_path)
    row = features.texts[1].row.clone()
    row[6] = row[2]
    shared = Features(
        **(vars(features) | {"texts": [features.texts[0], type(features.texts[1])(features.texts[1].embedding, row)]})
    )
    same = shared.same_text(torch.tensor([2, 4, 6]))
    assert same[0].tolist() == torch.eye(3, dtype=torch.bool).tolist()
    assert same[1].tolist() == [[True, False, True], [False, True, False], [True, False, True]]


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), counts=st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_shuffled_frames_are_the_same_frames(seed: int, counts: list[int]) -> None:
    mask = torch.arange(5) < torch.tensor(counts)[:, None]
    frames = torch.arange(1, len(counts) * 5 + 1).float().view(-1, 5, 1) * mask.unsqueeze(-1)
    shuffled = shuffle_frames(frames, mask, seed)
    assert torch.equal(shuffled, shuffle_frames(frames, mask, seed))
    assert torch.equal(shuffled.squeeze(-1) > 0, mask)
    for before, after in zip(frames, shuffled, strict=True):
        assert sorted(before.flatten().tolist()) == sorted(after.flatten().tolist())


def test_shuffling_happens_on_loading(store_path: Path) -> None:
    plain, shuffled = load(store_path), load(store_path, shuffle_frames=True)
    assert torch.equal(shuffled.frames, shuffle_frames(plain.frames, plain.mask, 0))
    assert not torch.equal(shuffled.frames, plain.frames)


def fake_features(captions_of_video: list[int]) -> Features:
    """Training captions only, in the order of their videos; `captions_of_video[v]` of video v."""
    owner = torch.repeat_interleave(torch.arange(len(captions_of_video)), torch.tensor(captions_of_video))
    empty = torch.zeros(len(captions_of_video), 1, 2)
    return Features(
        protocol="own",
        video_ids=[str(index) for index in range(len(captions_of_video))],
        frames=empty,
        mask=empty[..., 0] == 0,
        caption_ids=[str(index) for index in range(len(owner))],
        texts=[],
        video_of_caption=owner,
        subset=torch.ones(len(owner), dtype=torch.int64),
        shape=FeatureShape(2, 1, 1.0),
    )


@settings(deadline=None, max_examples=50)
@given(
    counts=st.lists(st.integers(0, 4), min_size=2, max_size=20).filter(lambda counts: sum(map(bool, counts)) > 1),
    batch=st.integers(2, 12),
    seed=st.integers(0, 99),
)
def test_batches_never_hold_a_video_twice(counts: list[int], batch: int, seed: int) -> None:
    features = fake_features(counts)
    sampler, again = BatchSampler(features, batch, seed), BatchSampler(features, batch, seed)
    videos = sum(map(bool, counts))
    size = min(batch, videos)
    for _ in range(3):
        epoch = sampler.epoch()
        assert epoch.shape == (videos // size, 1, size)
        owners = features.video_of_caption[epoch.flatten()].tolist()
        assert len(set(owners)) == len(owners)
        assert torch.equal(epoch, again.epoch())


def test_every_caption_has_its_turn() -> None:
    sampler = BatchSampler(fake_features([3, 1, 2, 4]), 4, 0)
    seen = {caption for _ in range(60) for caption in sampler.epoch().flatten().tolist()}
    assert seen == set(range(10))


def test_captions_of_a_video_differ_where_it_has_enough() -> None:
    features = fake_features([3, 1, 2, 5])
    epoch = BatchSampler(features, 4, 0, 3).epoch()
    assert epoch.shape == (1, 3, 4)
    owners = features.video_of_caption[epoch[0]]
    assert torch.equal(owners[0], owners[1])
    assert torch.equal(owners[0], owners[2])
    distinct = {int(owner): len(set(rows)) for owner, rows in zip(owners[0], epoch[0].T.tolist(), strict=True)}
    assert distinct == {0: 3, 1: 1, 2: 2, 3: 3}
    one, three = (BatchSampler(features, 4, 0, count).epoch() for count in (1, 3))
    assert torch.equal(one[:, 0], three[:, 0])


def test_one_training_video_is_too_few() -> None:
    with pytest.raises(CamoeError, match="protocol own has 1 training video with features; a contrastive loss needs"):
        BatchSampler(fake_features([3, 0]), 4, 0)


def test_hold_out_is_seeded_and_only_where_val_is_missing(store_maker: Callable[..., Path], store_path: Path) -> None:
    assert hold_out_videos(FeatureStore.open(store_path), "own", 0.1, 0) == []
    store = FeatureStore.open(store_maker(subsets={"train": 30, "test": 5}))
    held_out = hold_out_videos(store, "own", 0.1, 0)
    assert len(held_out) == 3
    assert held_out == hold_out_videos(store, "own", 0.1, 0) != hold_out_videos(store, "own", 0.1, 1)
    assert set(held_out) <= {f"v{index:04d}" for index in range(30)}
    few = FeatureStore.open(store_maker("few.h5", subsets={"train": 2, "test": 5}))
    with pytest.raises(CamoeError, match=r"has 2 training videos with features and no val captions; .* at least 3"):
        hold_out_videos(few, "own", 0.1, 0)


def test_protocol_is_named_where_there_are_several(store_maker: Callable[..., Path]) -> None:
    store = FeatureStore.open(store_maker(subsets={"test": 2}, protocols=("own", "msvd")))
    assert resolve_protocol(store, "msvd") == "msvd"
    with pytest.raises(CamoeError, match="several protocols; choose with --protocol: msvd, own"):
        resolve_protocol(store, None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_device() -> None:
    assert resolve_device("auto") == CPU
    for name in ("cuda", "cuda:1"):
        with pytest.raises(CamoeError, match=f"device {name} is not available here; use --device cpu"):
            resolve_device(name)


def test_device_names() -> None:
    for name in ("tpu", "cuda:x", ""):
        with pytest.raises(CamoeError, match=f"device must be auto, cpu, cuda or cuda:N, not '{name}'"):
            resolve_device(name)
