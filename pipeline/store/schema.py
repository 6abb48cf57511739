"""What a shard holds, as plain records that check themselves once, when they are built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np

from ..errors import CamoeError
from ..text_names import FULL as FULL
from ..text_names import FUSION as FUSION
from ..wording import short_hash

SCHEMA_VERSION = "camoe-store-2"
TOKENS_VERSION = "camoe-store-2.1"
"""Of a shard that holds word tokens, so that versions which would pass over them refuse it."""
READABLE_VERSIONS = ("camoe-store-1", SCHEMA_VERSION, TOKENS_VERSION)
"""Version 1 kept failures in a file beside the shards, and knew neither fingerprints nor removals."""

UNUSED, TRAIN, VAL, TEST = range(4)
SUBSETS: dict[str, int] = {"train": TRAIN, "val": VAL, "test": TEST}
"""Codes of a caption's subset in a protocol; 0 is unused."""

OK, DAMAGED = "ok", "damaged"

TextName = tuple[str, str]
"""`(strategy, stream)`, for example `("muw", "entity")`."""

WORD_TOKENS: TextName = (FULL, "/tokens")
"""Stands for the word tokens of the whole captions where texts are named; no stream's name has a slash."""

CaptionKey = tuple[str, str]
"""`(video id, caption id)`; a caption's id is unique within its video."""

FAILED, PARTIAL = "decode", "damaged"
"""Stages of a failure: nothing could be decoded; some frames could, and are in the store."""


@dataclass(frozen=True)
class Failure:
    """A video that could not be read; `stage` is `decode` (it has no frames) or `damaged` (it has some)."""

    id: str
    path: str
    stage: str
    reason: str


@dataclass(frozen=True)
class Removed:
    """What earlier shards of the same store hold and what no longer counts: replaced here, or dropped.

    `dropped` are those of the `videos` that are to stay out, though their files may still be there.
    """

    videos: tuple[str, ...] = ()
    captions: tuple[CaptionKey, ...] = ()
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class StoreSettings:
    """How the features of a shard were made; `None` where a shard has no such part.

    `clip_logit_scale` is the multiplier (100.0 for OpenAI's models), not its logarithm; `clip_logit_bias` is what the
    model adds to the product (SigLIP), which changes no ranking and is no part of a score. `streams` maps a
    stream's name to its definition, for example `{"entity": "NOUN"}`. `precision` is a list (`fp32,bf16`) where
    machines of several kinds were let work on one store: first the one it was begun in, in a shard its own last.
    `batch_size` is how many frames were encoded at once, and `versions` says which software wrote the shard: two shards
    of a store may disagree on these.
    """

    clip_model: str
    clip_sha256: str
    clip_logit_scale: float
    embed_dim: int
    precision: str
    fps: float | None = None
    max_frames: int | None = None
    sampling: str | None = None
    streams: Mapping[str, str] | None = None
    strategies: tuple[str, ...] | None = None
    tagger: str | None = None
    captions_sha256: str | None = None
    clip_logit_bias: float | None = None
    batch_size: int | None = field(default=None, compare=False)
    versions: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def precisions(self) -> tuple[str, ...]:
        """Those that the store was made in, the one that it was begun in first."""
        return _precisions(self.precision)

    def differences(self, other: StoreSettings, sides: tuple[str, str], *, ignore: Sequence[str] = ()) -> list[str]:
        """Sentence fragments, one for each setting that both state and state differently; `sides` names the two.

        Each begins with the setting's name.
        """
        found = []
        for item in fields(self):
            mine, theirs = getattr(self, item.name), getattr(other, item.name)
            if not item.compare or item.name in ignore or mine is None or theirs is None:
                continue
            if item.name == "precision":
                mine, theirs = self.precisions[0], other.precisions[0]
            if mine != theirs:
                shown = short_hash if item.name.endswith("sha256") else _shown
                found.append(f"{item.name} is {shown(mine)} {sides[0]} and {shown(theirs)} {sides[1]}")
        return found


_KNOWN_PRECISIONS = ("fp32", "bf16", "fp16")


def _precisions(text: str) -> tuple[str, ...]:
    """The names in a list of known ones; of a store that was imported, the text is anybody's."""
    names = tuple(text.split(","))
    return names if all(name in _KNOWN_PRECISIONS for name in names) else (text,)


def unite_precisions(one: str, more: str) -> str:
    """The list of both, which begin alike; the same whichever comes first."""
    first, *rest = dict.fromkeys(_precisions(one) + _precisions(more))
    return ",".join([first, *sorted(rest)])


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}={item}" for key, item in value.items()) or "empty"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class Videos:
    """`N` videos with at least one frame each.

    `frames (N, T, D)` float16 are CLIP's `encode_image` outputs, not normalised, zero past `frame_count (N,)`;
    `frame_time_s (N, T)` is NaN there. `source` is relative to the videos' folder; `source_mtime` and
    `duration_s` are in seconds (`duration_s` is NaN where the file does not say). `fingerprint` tells the source's
    content (`checksum.fingerprint`), empty where it is not known. `N` may be 0.
    """

    id: list[str]
    source: list[str]
    source_size: np.ndarray
    source_mtime: np.ndarray
    duration_s: np.ndarray
    status: list[str]
    frame_count: np.ndarray
    frames: np.ndarray
    frame_time_s: np.ndarray
    fingerprint: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", [""] * len(self.id))
        _same_length("videos", {item.name: len(getattr(self, item.name)) for item in fields(self)})
        if self.frames.ndim != 3 or self.frame_time_s.shape != self.frames.shape[:2]:
            raise ValueError(
                f"frames must be (N, T, D) and frame_time_s (N, T), "
                f"not {self.frames.shape} and {self.frame_time_s.shape}"
            )
        if len(self.id) and not (
            1 <= int(self.frame_count.min()) and int(self.frame_count.max()) <= self.frames.shape[1]
        ):
            raise ValueError(f"frame_count must lie in 1..{self.frames.shape[1]}")
        broken = broken_rows(self.frames)
        if len(broken):
            raise CamoeError(f"video {self.id[broken[0]]!r} has frames that are not finite; take it out")


@dataclass(frozen=True)
class Captions:
    """`M` captions; `protocols` maps a protocol to the subset code of each, `(M,)` uint8.

    `shortfall` says, per protocol, what the data set publishes and this copy of it lacks.
    """

    id: Sequence[str]
    video_id: Sequence[str]
    text: Sequence[str]
    protocols: dict[str, np.ndarray]
    shortfall: dict[str, dict] = field(default_factory=dict)

    def __post_init__(self) -> None:
        lengths = {"id": len(self.id), "video_id": len(self.video_id), "text": len(self.text)}
        _same_length("captions", lengths | {name: len(codes) for name, codes in self.protocols.items()})


@dataclass(frozen=True)
class TextTable:
    """One stream read by one strategy: `U` distinct sentences and the sentence of each of `M` captions.

    `embedding (U, D)` float16, not normalised; `row (M,)` int64 indexes it.
    """

    sentence: Sequence[str]
    embedding: np.ndarray
    row: np.ndarray

    def __post_init__(self) -> None:
        _same_length("texts", {"sentence": len(self.sentence), "embedding": len(self.embedding)})
        if len(self.row) and not (0 <= int(self.row.min()) and int(self.row.max()) < len(self.sentence)):
            raise ValueError(f"a caption points outside the {len(self.sentence)} sentences of its table")
        broken = broken_rows(self.embedding)
        if len(broken):
            raise CamoeError(f"the embedding of {self.sentence[broken[0]]!r} is not finite; take the sentence out")


@dataclass(frozen=True)
class TokenTable:
    """Word tokens of `U` distinct whole captions: the text tower's output at every token, projected, not normalised.

    Caption `u` has the rows `offsets[u]` to `offsets[u + 1]` of `values (K, D)` float16, its start token first and its
    end token, whose output is the sentence's embedding, last. `offsets (U + 1,)` and `row (M,)` are int64; `row` is
    each caption's `u`.
    """

    sentence: list[str]
    offsets: np.ndarray
    values: np.ndarray
    row: np.ndarray

    def __post_init__(self) -> None:
        check_token_rows(self.sentence, self.offsets, self.row, len(self.values))
        broken = broken_rows(self.values)
        if len(broken):
            raise CamoeError(broken_tokens(self.sentence[int(np.searchsorted(self.offsets, broken[0], "right")) - 1]))

    def blocks(self) -> Iterator[np.ndarray]:
        """`values`, in one piece or several."""
        yield self.values


def check_token_rows(sentence: Sequence[str], offsets: np.ndarray, row: np.ndarray, count: int) -> None:
    """Raises `ValueError` where `offsets` do not cut `count` tokens into those of the sentences, one or more each."""
    if len(offsets) != len(sentence) + 1 or offsets[0] != 0 or offsets[-1] != count or (np.diff(offsets) < 1).any():
        raise ValueError(f"the offsets of word tokens do not cut {count} tokens into {len(sentence)} sentences")
    if len(row) and not (0 <= int(row.min()) and int(row.max()) < len(sentence)):
        raise ValueError(f"a caption points outside the {len(sentence)} sentences with word tokens")


def broken_tokens(sentence: str) -> str:
    """What is said of a sentence some of whose tokens are not finite."""
    return f"the word tokens of {sentence!r} are not finite; take the sentence out"


@dataclass(frozen=True)
class Shard:
    """The contents of one HDF5 file: videos, captions with their texts, or both."""

    settings: StoreSettings
    videos: Videos | None = None
    captions: Captions | None = None
    texts: dict[TextName, TextTable] = field(default_factory=dict)
    tokens: TokenTable | None = None
    text_notes: dict[str, dict] = field(default_factory=dict)
    """Counts that the audit prints, per `strategy/stream` (fallbacks, truncations, kept words)."""
    failures: tuple[Failure, ...] = ()
    removed: Removed = Removed()
    order: int = 0
    """`removed` speaks of shards of a lower order; of two failures of one video the later counts."""

    def __post_init__(self) -> None:
        if self.videos is None and self.captions is None:
            raise ValueError("a shard holds videos, captions, or both")
        if self.videos is None and (self.failures or self.removed.videos):
            raise ValueError("failures and removed videos belong to a shard of videos, which may be empty")
        if self.captions is None and self.removed.captions:
            raise ValueError("removed captions belong to a shard of captions, which may be empty")
        for name, table in self.texts.items():
            if self.captions is None or len(table.row) != len(self.captions.id):
                raise ValueError(f"texts {'/'.join(name)} do not match the captions of their shard")
        if self.tokens is not None and (self.captions is None or len(self.tokens.row) != len(self.captions.id)):
            raise ValueError("word tokens do not match the captions of their shard")

    @property
    def kind(self) -> str:
        """`frames`, `texts` or `both`."""
        if self.captions is None:
            return "frames"
        return "texts" if self.videos is None else "both"


def no_videos(settings: StoreSettings) -> Videos:
    """An empty table of videos, for a shard that only tells of failures or removals."""
    frames = settings.max_frames or 1
    return Videos(
        id=[],
        source=[],
        source_size=np.zeros(0, np.int64),
        source_mtime=np.zeros(0),
        duration_s=np.zeros(0, np.float32),
        status=[],
        frame_count=np.zeros(0, np.int64),
        frames=np.zeros((0, frames, settings.embed_dim), np.float16),
        frame_time_s=np.zeros((0, frames), np.float32),
    )


def subset_code(subset: str) -> int:
    """The code of `train`, `val` or `test`; raises `CamoeError` for another word."""
    if subset not in SUBSETS:
        raise CamoeError(f"subset {subset!r} does not exist; choose one of {', '.join(SUBSETS)}")
    return SUBSETS[subset]


def broken_rows(values: np.ndarray) -> np.ndarray:
    """Indices of the rows of `values (N, ...)` that hold NaN or infinity, in float16, which is what a store keeps."""
    found = [np.empty(0, np.int64)]
    for start in range(0, len(values), _BLOCK_ROWS):
        with np.errstate(over="ignore"):
            block = np.ascontiguousarray(values[start : start + _BLOCK_ROWS], np.float16)
        bits = block.view(np.uint16) & _EXPONENT
        if bits.size and bits.max() == _EXPONENT:
            found.append(start + np.flatnonzero((bits == _EXPONENT).reshape(len(bits), -1).any(axis=1)))
    return np.concatenate(found)


_EXPONENT = np.uint16(0x7C00)
"""The bits that a float16 has set where it is not finite."""

_BLOCK_ROWS = 1024


def _same_length(what: str, lengths: dict[str, int]) -> None:
    if len(set(lengths.values())) > 1:
        raise ValueError(f"{what}: columns differ in length: {lengths}")
