"""A store's features as tensors on one device, loaded once, so that a batch is an `index_select`; or, where they are
too large for that, left in host memory or on disk, from where batches are fetched (`gather.py`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from ..pipeline.errors import CamoeError
from ..pipeline.store import SUBSETS, FeatureStore, subset_code
from ..pipeline.store.stored import StoredFrames, StoredTexts
from ..pipeline.text_names import FULL, FUSION
from ..pipeline.wording import counted
from .kept import HeldRows, Kept, KeptFrames, Rows, finished, in_order
from .names import DEVICE, DISK
from .scorer import Dropout, FeatureShape, Scorer
from .words import WordTokens, load_words, with_words


@dataclass(frozen=True)
class StreamTexts:
    """One stream: `U` distinct sentences, `embedding (U, D)`, and each caption's sentence, `row (M,)`.

    Embeddings are normalised where the frames are.
    """

    embedding: torch.Tensor | Kept
    row: torch.Tensor

    def of(self, captions: torch.Tensor) -> torch.Tensor:
        """`(B, D)` of some captions."""
        rows = self.row[captions]
        if isinstance(self.embedding, torch.Tensor):
            return self.embedding.index_select(0, rows)
        return self.embedding.take(rows)


@dataclass(frozen=True)
class Features:
    """`N` videos sorted by id and `M` captions sorted by (video, id), under one protocol.

    `frames (N, T, D)` float32, L2-normalised or, for models that take them so, as the encoder gave them; zero where
    `mask (N, T)` is false. `video_of_caption (M,)` int64 is -1
    where the video has no features; `subset (M,)` holds the protocol's codes, 0 for such a caption. Frames, sentences
    and words are all on the device, or all kept elsewhere.
    """

    protocol: str
    video_ids: Sequence[str]
    frames: torch.Tensor | KeptFrames
    mask: torch.Tensor
    caption_ids: Sequence[str]
    texts: list[StreamTexts]
    video_of_caption: torch.Tensor
    subset: torch.Tensor
    shape: FeatureShape
    missing: dict[str, int] = field(default_factory=dict)
    """Captions of each subset left out because their video has no features."""
    words: WordTokens | None = None
    """The captions' word tokens, where the model reads them."""

    @property
    def device(self) -> torch.device:
        return self.frames.device

    def captions_of(self, subset: str) -> torch.Tensor:
        """Rows of the subset's captions, int64, ascending."""
        return (self.subset == subset_code(subset)).nonzero().squeeze(1)

    def videos_of(self, subset: str) -> torch.Tensor:
        """Rows of the videos with a caption in the subset, int64, ascending: the subset's gallery, sorted by id."""
        return self.video_of_caption[self.captions_of(subset)].unique()

    def frames_of(self, videos: torch.Tensor) -> torch.Tensor:
        """`(B, T, D)` frames of `B` videos, wherever they are kept."""
        if isinstance(self.frames, torch.Tensor):
            return self.frames.index_select(0, videos)
        return self.frames.take(videos)

    def texts_of(self, captions: torch.Tensor) -> torch.Tensor:
        """`(S, B, D)` sentence embeddings of `B` captions; where the model reads words, `with_words` of them."""
        sentences = torch.stack([stream.of(captions) for stream in self.texts])
        if self.words is None:
            return sentences
        return with_words(sentences, *self.words_of(captions, self.shape.max_words))

    def words_of(self, captions: torch.Tensor, length: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Word tokens `(…, L, D)` and their mask `(…, L)` of captions `(…)`, as `WordTokens.padded` gives them."""
        if self.words is None:
            raise ValueError("these features were loaded without word tokens; load them with words=True")
        return self.words.padded(captions, length)

    def same_text(self, captions: torch.Tensor) -> torch.Tensor:
        """`(S, …, B, B)` bool: which of `B` captions `(…, B)` read the same in each stream."""
        rows = torch.stack([stream.row[captions] for stream in self.texts])
        return rows.unsqueeze(-1) == rows.unsqueeze(-2)


def resolve_device(name: str) -> torch.device:
    """`auto`, `cpu`, `cuda` or `cuda:N` as a device; raises `CamoeError` for another, or one that is absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda") or (index and not index.isdigit()):
        raise CamoeError(f"--device must be auto, cpu, cuda or cuda:N, not {name!r}")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise CamoeError(f"--device {name} is not available here; use --device cpu")
    return torch.device(name)


def _captions_remedy(store: FeatureStore) -> str:
    if store.settings.clip_sha256.startswith("imported"):
        return "import it again, with --captions and --texts"
    return "add some with camoe-extract --captions FILE --into STORE"


def resolve_protocol(store: FeatureStore, protocol: str | None) -> str:
    """The named protocol, or the store's only one; raises `CamoeError` for another, or a store without captions."""
    if not store.has_captions:
        raise CamoeError(
            f"{store.shards[0].path} holds no captions to train or evaluate with; {_captions_remedy(store)}"
        )
    names = list(store.protocols)
    if protocol is None and len(names) == 1:
        return names[0]
    if protocol not in names:
        if not names:
            raise CamoeError(f"{store.shards[0].path} has captions and no protocol; extract them again")
        what = "several protocols" if protocol is None else f"no protocol {protocol!r}"
        raise CamoeError(f"the store has {what}; choose with --protocol: {', '.join(names)}")
    return protocol


def load_features(
    store: FeatureStore,
    strategies: Mapping[str, str],
    *,
    protocol: str | None,
    device: torch.device,
    raw: bool = False,
    words: bool = False,
    shuffle_seed: int | None = None,
    subsets: Sequence[str] = ("train", "val"),
    held_out: Sequence[str] = (),
    allow_missing: bool = False,
    resident: str = DEVICE,
) -> Features:
    """Put the store's videos, and its captions by stream and strategy, on the device, or leave them in host memory or
    on disk, as `resident` says.

    `raw` leaves embeddings as the encoder gave them, else they are normalised; `words` loads word tokens, too;
    `shuffle_seed` permutes each video's frames. Captions of the videos `held_out` count as `val`. A caption of
    `subsets` whose video has no features raises `CamoeError` unless `allow_missing`; so does a stream, and so do word
    tokens, that the store lacks. The store lets no value pass that is not finite.
    """
    name = resolve_protocol(store, protocol)
    owner = store.caption_videos.copy()
    codes = store.protocols[name].copy()
    codes[store.caption_video_ids.among(list(held_out)) & (codes == SUBSETS["train"])] = SUBSETS["val"]
    if not allow_missing:
        _refuse_missing(store, name, np.isin(codes, [subset_code(subset) for subset in subsets]))
    missing = {subset: int(((codes == code) & (owner < 0)).sum()) for subset, code in SUBSETS.items()}
    codes[owner < 0] = 0
    _refuse_missing_texts(store, strategies)
    tokens = load_words(store, device, raw=raw, resident=resident) if words else None
    frames, mask = _load_frames(store, device, raw=raw, resident=resident)
    if shuffle_seed is not None:
        frames = shuffled(frames, mask, shuffle_seed)
    return Features(
        protocol=name,
        video_ids=store.video_ids,
        frames=frames,
        mask=mask,
        caption_ids=store.caption_ids,
        texts=[
            load_texts(store, strategy, stream, device, raw=raw, resident=resident)
            for stream, strategy in strategies.items()
        ],
        video_of_caption=torch.from_numpy(owner).to(device),
        subset=torch.from_numpy(codes.astype(np.int64)).to(device),
        shape=FeatureShape(
            embed_dim=frames.shape[2],
            max_frames=max(frames.shape[1], store.settings.max_frames or 0),
            clip_logit_scale=float(store.settings.clip_logit_scale),
            max_words=tokens.longest if tokens is not None else 0,
        ),
        missing=missing,
        words=tokens,
    )


def refuse_missing_videos(store: FeatureStore, protocol: str) -> None:
    """Raises `CamoeError` where a caption that the protocol uses belongs to a video without features."""
    _refuse_missing(store, protocol, np.isin(store.protocols[protocol], list(SUBSETS.values())))


def _refuse_missing(store: FeatureStore, protocol: str, asked: np.ndarray) -> None:
    missing = asked & (store.caption_videos < 0)
    if missing.any():
        videos = sorted(set(store.caption_video_ids.take(np.flatnonzero(missing))))
        raise CamoeError(
            f"{int(missing.sum())} of {counted(int(asked.sum()), 'caption')} of protocol {protocol} belong to "
            f"{counted(len(videos), 'video')} without features (first: {videos[0]}); leave these captions out with "
            "--allow-missing, or repair the videos and run the same camoe-extract command again with --retry-failed"
        )


def _refuse_missing_texts(store: FeatureStore, strategies: Mapping[str, str]) -> None:
    """Raise `CamoeError` for a stream that the store lacks, with the way to have it, or to do without."""
    for stream, strategy in strategies.items():
        wanted = (FULL, FUSION) if stream == FUSION or strategy == FULL else (strategy, stream)
        if wanted in store.text_names:
            continue
        remedy = f"camoe-extract --captions FILE --into STORE --strategies {strategy} adds them"
        if stream not in (store.settings.streams or {}):
            remedy = f"{remedy} with --stream {stream}=TAG,TAG"
        if store.text_names == [(FULL, FUSION)]:
            remedy = f"train on its whole captions with --streams fusion, or {remedy}"
        raise CamoeError(
            f"{store.shards[0].path} has no texts {'/'.join(wanted)}; it has "
            f"{', '.join('/'.join(name) for name in store.text_names) or 'none'}; {remedy}"
        )


def _load_frames(
    store: FeatureStore, device: torch.device, *, raw: bool, resident: str
) -> tuple[torch.Tensor | KeptFrames, torch.Tensor]:
    length = store.frames_shape[1]
    mask = torch.arange(length, device=device) < torch.from_numpy(store.frame_count).to(device)[:, None]
    if resident != DEVICE:
        rows: Rows = StoredFrames(store) if resident == DISK else HeldRows(store.frames())
        return KeptFrames(rows, device, raw, mask), mask
    frames = finished(torch.from_numpy(store.frames()).to(device), raw=raw)
    return frames.mul_(mask.unsqueeze(-1)), mask


def load_texts(
    store: FeatureStore,
    strategy: str,
    stream: str,
    device: torch.device,
    *,
    raw: bool = False,
    resident: str = DEVICE,
) -> StreamTexts:
    """A stream's sentences, normalised unless they are wanted `raw`, on the device or where `resident` says."""
    if resident == DISK:
        stored = StoredTexts(store, strategy, stream)
        return StreamTexts(Kept(stored, device, raw), torch.from_numpy(stored.row).to(device))
    table = store.text_table(strategy, stream)
    row = torch.from_numpy(np.asarray(table.row, np.int64)).to(device)
    if resident != DEVICE:
        return StreamTexts(Kept(HeldRows(table.embedding), device, raw), row)
    return StreamTexts(finished(torch.from_numpy(table.embedding).to(device), raw=raw), row)


def shuffle_frames(frames: torch.Tensor, mask: torch.Tensor, seed: int) -> torch.Tensor:
    """Permute each video's valid frames by seed; padding stays behind them."""
    return in_order(frames, _order(mask, seed))


def shuffled(frames: torch.Tensor | KeptFrames, mask: torch.Tensor, seed: int) -> torch.Tensor | KeptFrames:
    """`shuffle_frames` of frames wherever they are kept."""
    return (
        shuffle_frames(frames, mask, seed) if isinstance(frames, torch.Tensor) else frames.ordered(_order(mask, seed))
    )


def _order(mask: torch.Tensor, seed: int) -> torch.Tensor:
    draw = torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed)).to(mask.device)
    return draw.masked_fill(~mask, 2.0).argsort(dim=1)


def hold_out_videos(store: FeatureStore, protocol: str, fraction: float, seed: int) -> list[str]:
    """Training videos, drawn by seed, that serve as `val` where the protocol has no val captions; none where it has."""
    codes = store.protocols[protocol]
    if (codes == SUBSETS["val"]).any():
        return []
    rows = np.unique(store.caption_videos[codes == SUBSETS["train"]])
    videos = store.video_ids.take(rows[rows >= 0])
    if len(videos) < 3:
        raise CamoeError(
            f"protocol {protocol} has {counted(len(videos), 'training video')} with features and no val captions; "
            "training and validation need at least 3"
        )
    order = torch.randperm(len(videos), generator=torch.Generator().manual_seed(seed)).tolist()
    return sorted(videos[index] for index in order[: min(max(round(fraction * len(videos)), 1), len(videos) - 2)])


class BatchSampler:
    """Batches of training captions, each of another video; all randomness from one seeded generator on the CPU."""

    def __init__(self, features: Features, batch_size: int, seed: int, captions_per_video: int = 1) -> None:
        captions = features.captions_of("train").cpu()
        owner = features.video_of_caption.cpu()[captions]
        self.captions = captions[owner.argsort(stable=True)]
        self.count = owner.bincount()
        self.count = self.count[self.count > 0]
        self.start = self.count.cumsum(0) - self.count
        if len(self.count) < 2:
            raise CamoeError(
                f"protocol {features.protocol} has {counted(len(self.count), 'training video')} with features; "
                "a contrastive loss needs at least 2"
            )
        self.batch_size = min(batch_size, len(self.count))
        self.captions_per_video = captions_per_video
        self.generator = torch.Generator().manual_seed(seed)

    @property
    def steps(self) -> int:
        """Batches an epoch; the videos left over are others in every epoch."""
        return len(self.count) // self.batch_size

    @property
    def pairs(self) -> int:
        """Pairs of a caption and its video in an epoch."""
        return self.steps * self.batch_size * self.captions_per_video

    def epoch(self) -> torch.Tensor:
        """`(steps, K, batch)` rows of captions: every video once, by `K` of its captions.

        One is drawn; the others follow it in the order of ids, around the end, so that they differ where a video has
        `K` captions.
        """
        videos = torch.randperm(len(self.count), generator=self.generator)[: self.steps * self.batch_size]
        count = self.count[videos]
        first = (torch.rand(len(videos), generator=self.generator, dtype=torch.float64) * count).long()
        pick = (first + torch.arange(self.captions_per_video)[:, None]) % count
        rows = self.captions[self.start[videos] + pick]
        return rows.view(self.captions_per_video, self.steps, self.batch_size).transpose(0, 1)


def draw_dropout(
    model: Scorer, rate: float, captions: torch.Tensor, embed_dim: int, generator: torch.Generator
) -> Dropout | None:
    """What a step with `captions (K, B)` draws, on the generator's device; at rate 0 only what the model samples."""
    if rate == 0 and not model.samples:
        return None
    return model.draw_dropout(
        rate, texts=captions.numel(), videos=captions.shape[1], embed_dim=embed_dim, generator=generator
    )
