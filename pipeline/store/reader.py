"""A store of one or many shards, opened for reading."""

from __future__ import annotations

import glob
import shlex
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path

import numpy as np
import pyarrow.compute as pc

from ..wording import counted
from .content import add_sums, videos_sum
from .failures import legacy_failures
from .manifest import store_of
from .notes import merge_notes
from .resolve import dropped_videos, removed_videos, standing_failures
from .rows import gather_rows
from .safe_open import StoreError, decode_strings
from .schema import FULL, FUSION, Captions, Failure, TextName, TextTable, Videos, broken_rows
from .shard import VIDEO_COLUMNS, ShardIndex, file_stamp, frames_row_shape, read_index, text_table_shape
from .strings import CodedStrings, Strings
from .tokens import StoredTokens
from .union import UnitedCaptions
from .united_settings import united_settings
from .united_sums import united_captions_sum, united_table_sums
from .united_texts import TextPlaces

IMPORTED = "imported"
"""What a store of features made elsewhere says of their precision, and where it is not known of the weights."""

StorePaths = str | PathLike[str] | Sequence[str | PathLike[str]]


def find_shards(paths: StorePaths) -> list[Path]:
    """The HDF5 files behind a file, several, a glob or a folder of shards."""
    listed = [paths] if isinstance(paths, str | PathLike) else list(paths)
    found: list[Path] = []
    for entry in map(Path, listed):
        if entry.is_dir():
            shards = sorted(entry.glob("*.h5"))
            if not shards:
                raise StoreError(f"{entry} holds no feature store (no .h5 file); give one that camoe-extract wrote")
        elif entry.exists():
            shards = [entry]
        else:
            shards = [Path(name) for name in sorted(glob.glob(str(entry), recursive=True))]
            if not shards:
                raise StoreError(f"{entry} does not exist; {_remedy(entry)}")
        found += [shard for shard in shards if shard not in found]
    if not found:
        raise StoreError("no feature store was given; name a file or folder that camoe-extract wrote")
    return found


def _remedy(missing: Path) -> str:
    if missing.with_name(missing.name + ".parts").is_dir():
        return "camoe-extract has begun it and not ended: run the same command again"
    return "give a store that camoe-extract wrote"


class FeatureStore:
    """A feature store, opened for reading: one or more shards seen as one table of videos and one of captions.

    Videos are sorted by id and captions by (video, id), whatever the shards. Large arrays are read when asked for.
    Ids and texts are columns that are read like lists (`Strings`), so that a store of any size can be listed.
    """

    def __init__(self, shards: Sequence[ShardIndex]) -> None:
        self.shards = list(shards)
        self.settings = united_settings(self.shards)
        self._ids, self._places = self._locate_videos()

    @classmethod
    def open(cls, paths: StorePaths, before: FeatureStore | None = None) -> FeatureStore:
        """Open a file, several, a glob or a folder of shards.

        What the store `before` read of files that are still the same is not read again.
        Raises `StoreError` when a path is not a store, when two shards were made with different settings, or when
        a video or text lies in two of them.
        """
        known = {shard.path: shard for shard in before.shards} if before is not None else {}
        return cls(
            [
                known[path] if path in known and known[path].stamp == file_stamp(path) else read_index(path)
                for path in find_shards(paths)
            ]
        )

    def _locate_videos(self) -> tuple[Strings, np.ndarray]:
        """The videos that still count, sorted by id, and the shard number and row of each, `(N, 2)`."""
        removed = removed_videos(self.shards)
        numbers, rows, parts = [np.empty(0, np.int64)], [np.empty(0, np.int64)], []
        for number, shard in enumerate(self.shards):
            left = np.arange(len(shard.video_ids))
            if shard.path in removed:
                left = np.flatnonzero(~shard.video_ids.among(list(removed[shard.path])))
            numbers.append(np.full(len(left), number))
            rows.append(left)
            parts.append(shard.video_ids if len(left) == len(shard.video_ids) else shard.video_ids.take(left))
        ids, places = Strings.joined(parts), np.stack([np.concatenate(numbers), np.concatenate(rows)], axis=1)
        if ids.ascend:
            return ids, places
        order = ids.order()
        ids, places = ids.take(order), places[order]
        self._refuse_doubles(ids, places)
        return ids, places

    def _refuse_doubles(self, ids: Strings, places: np.ndarray) -> None:
        if ids.ascend:
            return
        rows = np.flatnonzero(np.asarray(pc.equal(ids.values[1:], ids.values[:-1])))
        row = min(rows.tolist(), key=lambda row: tuple(places[row + 1]))
        one, other = (self.shards[places[place, 0]].path for place in (row, row + 1))
        raise StoreError(f"video {ids[row]!r} lies in both {one} and {other}; give only one of them")

    # -- videos -----------------------------------------------------------------------------------------------------

    @property
    def video_ids(self) -> Strings:
        """`N` ids of the videos that have frames, sorted."""
        return self._ids

    @cached_property
    def failures(self) -> dict[str, Failure]:
        """What could not be read, or only in part, by video id."""
        found = {**legacy_failures(self.shards), **standing_failures(self.shards, self._ids)}
        return {name: found[name] for name in sorted(found)}

    @cached_property
    def dropped(self) -> list[str]:
        """Videos that were taken out of the store, and that extraction leaves out; sorted."""
        return dropped_videos(self.shards, self._ids)

    @cached_property
    def frame_count(self) -> np.ndarray:
        """`(N,)` int64, valid frames of each video."""
        return self._video_column("frame_count").astype(np.int64)

    @cached_property
    def video_status(self) -> list[str]:
        """`ok` or `damaged` for each of the `N` videos."""
        return decode_strings(self._video_column("status"))

    def frames(self, rows: np.ndarray | None = None) -> np.ndarray:
        """`(N, T, D)` float16 frame embeddings in the order of `video_ids`, or of some `rows` of these; zero past
        `frame_count`.

        Raises `StoreError` naming a video whose frames are not finite.
        """
        frames = self._video_column("frames", rows)
        broken = broken_rows(frames)
        if len(broken):
            row = int(broken[0] if rows is None else rows[broken[0]])
            raise StoreError(
                f"{self.shards[0].path}: {counted(len(broken), 'video')} with frames that are not finite numbers "
                f"(first: {self.video_ids[row]!r}); extract them again"
            )
        return frames

    @cached_property
    def frames_shape(self) -> tuple[int, int, int]:
        """`(N, T, D)` of `frames`, without reading them; raises `StoreError` where the store holds no videos."""
        first = self.shards[int(self._places_of_videos()[0, 0])].path
        return len(self._places), *frames_row_shape(first)

    def frame_times(self, rows: np.ndarray | None = None) -> np.ndarray:
        """`(N, T)` float32 seconds, or of some `rows`; NaN past `frame_count`."""
        return self._video_column("frame_time_s", rows)

    def video_column(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """A small per-video column: `source`, `source_size`, `source_mtime`, `fingerprint`, `duration_s`, `status`."""
        return self._video_column(name, rows)

    def _video_column(self, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        places = self._places_of_videos()
        return gather_rows([shard.path for shard in self.shards], name, places if rows is None else places[rows])

    def _places_of_videos(self) -> np.ndarray:
        if not len(self._ids):
            raise StoreError(f"{self.shards[0].path} holds no videos; add the store with the frames to --features")
        return self._places

    @property
    def video_places(self) -> np.ndarray:
        """`(N, 2)` int64: the number of the shard that holds each video, and its row there."""
        return self._places

    @property
    def has_videos(self) -> bool:
        """Whether any shard is about videos, be it that none of them could be read."""
        return any(shard.kind != "texts" for shard in self.shards)

    # -- captions and texts -----------------------------------------------------------------------------------------

    @cached_property
    def _captions(self) -> UnitedCaptions:
        return UnitedCaptions.read(self.shards)

    @property
    def has_captions(self) -> bool:
        """Whether any shard holds captions."""
        return any(shard.kind != "frames" for shard in self.shards)

    @property
    def captions(self) -> Captions:
        """All captions as one record, sorted by (video, id)."""
        return self._captions.captions

    @property
    def caption_ids(self) -> Strings:
        """`M` ids, sorted by (video, id)."""
        return Strings.of(self._captions.captions.id)

    @property
    def caption_video_ids(self) -> CodedStrings:
        """The video of each of the `M` captions; it may be one that has no frames here."""
        return self._captions.videos

    @cached_property
    def caption_videos(self) -> np.ndarray:
        """`(M,)` int64: the row of each caption's video among the `N`, -1 where it has no frames here."""
        videos = self._captions.videos
        return self._ids.find(videos.distinct)[videos.codes]

    @property
    def caption_texts(self) -> Strings:
        """The whole text of each of the `M` captions; read when the first is asked for, and by `take` only so many."""
        return Strings.of(self._captions.captions.text)

    @property
    def protocols(self) -> dict[str, np.ndarray]:
        """Per protocol `(M,)` uint8: 0 unused, 1 train, 2 val, 3 test."""
        return self._captions.captions.protocols

    @property
    def shortfall(self) -> dict[str, dict]:
        """Per protocol, what its data set publishes and this store lacks; empty when complete."""
        return self._captions.captions.shortfall

    @cached_property
    def text_names(self) -> list[TextName]:
        """The `(strategy, stream)` pairs that the store holds."""
        return sorted({name for shard in self.shards for name in shard.text_names})

    @property
    def text_notes(self) -> dict[str, dict]:
        """The audit's counts of each `strategy/stream`, over all shards."""
        parts: dict[str, list[dict]] = {}
        for shard in self.shards:
            for name, value in shard.text_notes.items():
                parts.setdefault(name, []).append(value)
        return {name: merge_notes(parts[name]) for name in sorted(parts)}

    def text_table(self, strategy: str, stream: str, captions: np.ndarray | None = None) -> TextTable:
        """The sentences of one stream read by one strategy, rows in the order of `caption_ids`, or of some `captions`,
        given by their rows: then only theirs are read.

        The stream `fusion`, and the strategy `full` of any stream, are the whole captions. Raises `StoreError`
        naming what there is when the store lacks it.
        """
        name = self._text_name(strategy, stream)
        texts = self._captions.texts(name)
        return texts.table() if captions is None else texts.table_of(captions)

    def text_places(self, strategy: str, stream: str) -> TextPlaces:
        """Where the embeddings of `text_table` lie, without reading them; raises as it does."""
        return self._captions.texts(self._text_name(strategy, stream)).places()

    def text_count(self, strategy: str, stream: str) -> int:
        """How many embeddings the shards hold for that stream, from their headers; raises as `text_table`."""
        name = self._text_name(strategy, stream)
        return sum(text_table_shape(shard.path, name)[0] for shard in self.shards if name in shard.text_names)

    def _text_name(self, strategy: str, stream: str) -> TextName:
        wanted = (FULL, FUSION) if FUSION == stream or strategy == FULL else (strategy, stream)
        if wanted not in self.text_names:
            raise StoreError(
                f"{self.shards[0].path} has no texts {'/'.join(wanted)}; it has "
                f"{', '.join('/'.join(name) for name in self.text_names) or 'none'} "
                "(camoe-extract --captions FILE --into STORE adds more)"
            )
        return wanted

    @property
    def has_word_tokens(self) -> bool:
        """Whether any shard holds word tokens."""
        return any(shard.has_tokens for shard in self.shards)

    @cached_property
    def word_tokens(self) -> StoredTokens:
        """The text tower's output at every token of each distinct whole caption; the tokens are read when asked for.

        Raises `StoreError`, naming the command that adds them, where the store or some caption has none.
        """
        if not self.has_word_tokens:
            raise StoreError(f"{self._captions_path} has no word tokens; {self._tokens_remedy}")
        return self._captions.tokens(self._tokens_remedy)

    def find_tokens(self, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """The word tokens `(L, D)` float16 that the store has of the `wanted` whole captions, as `sentence`s."""
        return self._captions.find_tokens(wanted) if self.has_word_tokens else {}

    @property
    def _captions_path(self) -> Path:
        """The file or folder that the first captions without word tokens lie in."""
        shards = [shard for shard in self.shards if shard.kind != "frames"] or self.shards
        return store_of(min(shards, key=lambda shard: shard.has_tokens).path)

    @property
    def _tokens_remedy(self) -> str:
        """What gives the store word tokens."""
        if self.settings.precision == IMPORTED or self.settings.clip_sha256.startswith(IMPORTED):
            return "import brings none, so they need the videos and captions themselves: camoe-extract --tokens"
        is_file = Path(self.settings.clip_model).suffix in (".pt", ".pth", ".safetensors")
        clip = f" --clip {shlex.quote(self.settings.clip_model)}" if is_file else ""
        return f"add them with: camoe-extract --into {shlex.quote(str(self._captions_path))} --tokens{clip}"

    def captions_with_texts(self) -> Mapping[TextName, np.ndarray]:
        """`(M,)` bool by `(strategy, stream)`: which captions the store holds texts of."""
        return self._captions.holding if self.has_captions else {}

    def find_sentences(self, name: TextName, wanted: Collection[str]) -> dict[str, np.ndarray]:
        """The embeddings `(D,)` float16 that the store has of the `wanted` sentences of a strategy and stream."""
        return self._captions.find_sentences(name, wanted) if self.has_captions else {}

    @cached_property
    def content_hash(self) -> str:
        """64 hexadecimal digits that tell what the store holds, the same however it is cut into shards."""
        sums = [self.videos_content_sum]
        if self.has_captions:
            sums += [*united_table_sums(self._captions.parts), united_captions_sum(self._captions)]
        return add_sums(sums)

    @cached_property
    def videos_content_sum(self) -> str:
        """The content sum of the videos that still count."""
        removed = removed_videos(self.shards)
        sums = [shard.sums["videos"] for shard in self.shards if "videos" in shard.sums and shard.path not in removed]
        for number, shard in enumerate(self.shards):
            if shard.path in removed:
                left = self._places[self._places[:, 0] == number]
                sums += [videos_sum(self._videos_at(left))] if len(left) else []
        return add_sums(sums)

    def _videos_at(self, places: np.ndarray) -> Videos:
        paths = [shard.path for shard in self.shards]
        columns = {name: gather_rows(paths, name, places) for name in VIDEO_COLUMNS}
        texts = {name: decode_strings(columns[name]) for name, (kind, _) in VIDEO_COLUMNS.items() if kind == "S"}
        return Videos(**(columns | texts))  # type: ignore[arg-type]
